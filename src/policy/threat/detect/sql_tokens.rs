//! SQL's tokens, of every dialect at once, from text that may start inside a string.

use std::ops::Deref;

use super::sql_token::{Kind, Token};
use super::sql_words::word_kind;

/// Tokens read of one value.
pub(super) const TOKENS_MAX: usize = 1_024;

/// The tokens of a text, and which kinds there are among them.
pub(super) struct Tokens {
    list: Vec<Token>,
    kinds: u32,
}

impl Tokens {
    /// Whether one of some kinds is there.
    pub(super) fn have(&self, kinds: u32) -> bool {
        self.kinds & kinds != 0
    }
}

impl Deref for Tokens {
    type Target = [Token];

    fn deref(&self) -> &[Token] {
        &self.list
    }
}

/// Reads at most so many tokens; `inside` is the quote the text is taken to start within.
pub(super) fn read(text: &[u8], inside: Option<u8>, most: usize) -> Tokens {
    let mut reader = Reader {
        text,
        at: 0,
        out: Vec::with_capacity((text.len() / 2 + 2).min(most)),
        kinds: 0,
    };
    if let Some(quote) = inside {
        reader.text_literal(quote, 0);
    }
    while let Some(first) = text.get(reader.at).filter(|_| reader.out.len() < most) {
        reader.step(*first);
    }
    Tokens {
        list: reader.out,
        kinds: reader.kinds,
    }
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    out: Vec<Token>,
    kinds: u32,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Where the bytes of a kind end that begin at a place.
    fn end_of(&self, from: usize, is: impl Fn(u8) -> bool) -> usize {
        let mut end = from;
        while self.text.get(end).is_some_and(|byte| is(*byte)) {
            end += 1;
        }
        end
    }

    fn push(&mut self, kind: Kind, width: usize) {
        self.kinds |= kind.bit();
        self.out.push(Token {
            kind,
            at: self.at,
            end: self.at + width,
        });
        self.at += width;
    }

    fn step(&mut self, first: u8) {
        match LEADS.get(usize::from(first)) {
            Some(Lead::Blank) => self.at += 1,
            Some(Lead::Word) => self.word(),
            Some(Lead::Digit) => self.number(),
            Some(Lead::Quote) => self.text_literal(first, 1),
            Some(Lead::Several) => self.several(first),
            Some(Lead::Sign(kind)) => self.push(*kind, 1),
            None => {}
        }
    }

    /// What begins with a sign that may go on.
    fn several(&mut self, first: u8) {
        match (first, self.peek(1)) {
            (b'-', b'-') if cuts(self.peek(2)) => self.comment(2),
            (b'#', _) => self.comment(1),
            (b'/', b'*') => self.block(),
            (b'*', b'/') => self.at += 2,
            (b'`', _) => {
                let end = self.end_of(self.at + 1, |b| b != b'`');
                let closed = usize::from(end < self.text.len());
                self.push(Kind::Word, end + closed - self.at);
            }
            (b'.', b'0'..=b'9') => self.number(),
            (b'@', _) => self.variable(),
            _ => self.sign(first),
        }
    }

    fn variable(&mut self) {
        let from = self.end_of(self.at, |b| b == b'@');
        let end = match self.text.get(from).copied() {
            Some(quote @ (b'\'' | b'"' | b'`')) => {
                let end = self.end_of(from + 1, |b| b != quote);
                end + usize::from(end < self.text.len())
            }
            _ => self.end_of(from, |b| {
                b.is_ascii_alphanumeric() || b == b'_' || b == b'$'
            }),
        };
        self.push(Kind::Variable, end - self.at);
    }

    fn number(&mut self) {
        let digits = self.end_of(self.at, |b| b.is_ascii_digit() || b == b'.');
        let end = self.end_of(digits, |b| b.is_ascii_alphanumeric() || b == b'.');
        let (digits, width) = (digits - self.at, end - self.at);
        // `1or 1`: the number ends where a word begins.
        if width == digits || is_number(self.rest().get(..width).unwrap_or_default()) {
            self.push(Kind::Number, width)
        } else {
            self.digits_then_word(digits, width)
        }
    }

    fn digits_then_word(&mut self, digits: usize, width: usize) {
        let mut digits = digits;
        let mut word = self
            .text
            .get(self.at + digits..self.at + width)
            .unwrap_or_default();
        // `1e0union`: an exponent, then a word.
        if let [b'e' | b'E', rest @ ..] = word {
            let exponent = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if exponent > 0 || rest.is_empty() {
                digits += exponent + 1;
                word = rest.get(exponent..).unwrap_or_default();
            }
        }
        let splits = matches!(
            word_kind(word),
            Kind::Logic | Kind::Union | Kind::Compare { .. } | Kind::From | Kind::Select
        );
        if splits {
            self.push(Kind::Number, digits);
        } else {
            self.push(Kind::Word, width);
        }
    }

    fn sign(&mut self, first: u8) {
        let (kind, width) = match (first, self.peek(1)) {
            (b'&', b'&') | (b'|', b'|') => (Kind::Logic, 2),
            (b'<', b'=')
            | (b'>', b'=')
            | (b'<', b'>')
            | (b'!', b'=')
            | (b'=', b'=')
            | (b':', b'=') => (
                Kind::Compare { word: false },
                if self.peek(2) == b'>' { 3 } else { 2 },
            ),
            (b'=' | b'<' | b'>', _) => (Kind::Compare { word: false }, 1),
            (b'!', _) => (Kind::Not, 1),
            (b'*', _) => (Kind::Star, 1),
            (b'-' | b'/' | b'|' | b'&', _) => (Kind::Arithmetic, 1),
            (b'.', _) => (Kind::Dot, 1),
            // `{x 1}` is 1 in one dialect.
            (b'{', _) => {
                let end = self.end_of(self.at + 1, |b| b.is_ascii_alphanumeric());
                (Kind::Open, end - self.at)
            }
            _ => (Kind::Other, 1),
        };
        self.push(kind, width);
    }

    fn word(&mut self) {
        let is_word = |b: u8| WORD_BYTES.get(usize::from(b)).copied().unwrap_or(false);
        let end = self.end_of(self.at + 1, is_word);
        let word = self.text.get(self.at..end).unwrap_or_default();
        let mut kind = word_kind(word);
        if kind == Kind::Word {
            let open = match self.text.get(end..) {
                Some([0..=b' ', 0..=b' ', third, ..]) => *third,
                Some([0..=b' ', second, ..]) => *second,
                Some([first, ..]) => *first,
                _ => 0,
            };
            if open == b'(' {
                kind = Kind::Call;
            }
        }
        self.push(kind, end - self.at);
    }

    fn comment(&mut self, mark: usize) {
        let rest = self.rest();
        let width = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let content = rest.get(mark..width).unwrap_or_default();
        let empty = content.iter().copied().all(is_idle);
        self.push(Kind::Comment { empty }, width);
    }

    /// `/* … */` is a blank, `/*! … */` is read, and an open one is a comment.
    fn block(&mut self) {
        let rest = self.rest();
        if rest.get(2) == Some(&b'!') {
            let digits = rest
                .iter()
                .skip(3)
                .take_while(|b| b.is_ascii_digit())
                .count();
            self.at += 3 + digits;
            return;
        }
        match memchr::memmem::find(rest.get(2..).unwrap_or_default(), b"*/") {
            Some(i) => {
                let ends = self.at + i + 4 >= self.text.trim_ascii_end().len();
                if ends {
                    self.push(Kind::Comment { empty: true }, i + 4)
                } else {
                    self.at += i + 4
                }
            }
            None => {
                let empty = rest.get(2..).unwrap_or_default().iter().all(|b| *b <= b' ');
                let width = rest.len();
                self.push(Kind::Comment { empty }, width);
            }
        }
    }

    /// `skip` is 1 at an opening quote, 0 when the text starts inside. Doubled and escaped quotes stay inside.
    fn text_literal(&mut self, quote: u8, skip: usize) {
        let from = self.at + skip;
        let mut end = from;
        loop {
            match self.text.get(end).copied() {
                None => {
                    self.out.push(Token {
                        kind: Kind::Text {
                            closed: false,
                            empty: end == from,
                        },
                        at: self.at,
                        end,
                    });
                    self.at = end;
                    return;
                }
                Some(b'\\') => end += 2,
                Some(byte) if byte == quote => {
                    if self.text.get(end + 1) == Some(&quote) && skip == 1 && end > from {
                        end += 2;
                        continue;
                    }
                    self.out.push(Token {
                        kind: Kind::Text {
                            closed: true,
                            empty: end == from,
                        },
                        at: self.at,
                        end: end + 1,
                    });
                    self.at = end + 1;
                    return;
                }
                Some(_) => end += 1,
            }
        }
    }
}

/// Bytes of a comment that says nothing.
pub(super) fn is_idle(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'-' | b'+' | b';' | b'/' | b'*')
}

/// Whether what follows two dashes makes a comment of them: in some dialects anything does, but honest text joins words
/// and draws arrows with dashes.
fn cuts(byte: u8) -> bool {
    matches!(
        byte,
        0..=b' ' | b'+' | b'-' | b'/' | b'\'' | b'"' | b'|' | b'\\' | b'#' | b';' | b'^' | b'~'
    )
}

/// What a token begins with.
#[derive(Clone, Copy)]
enum Lead {
    Blank,
    Word,
    Digit,
    Quote,
    /// A sign that other signs may join.
    Several,
    /// A sign by itself.
    Sign(Kind),
}

const fn lead(byte: u8) -> Lead {
    match byte {
        0..=b' ' | 0xa0 => Lead::Blank,
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Lead::Word,
        b'0'..=b'9' => Lead::Digit,
        b'\'' | b'"' => Lead::Quote,
        b'+' | b'%' | b'^' | b'~' => Lead::Sign(Kind::Arithmetic),
        b'(' => Lead::Sign(Kind::Open),
        b')' | b'}' => Lead::Sign(Kind::Close),
        b',' => Lead::Sign(Kind::Comma),
        b';' => Lead::Sign(Kind::Semicolon),
        b'?' => Lead::Sign(Kind::Variable),
        _ => Lead::Several,
    }
}

const LEADS: [Lead; 256] = {
    let mut table = [Lead::Blank; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a u8 is below 256")]
        {
            table[byte as usize] = lead(byte);
        }
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};

/// Bytes of words.
const WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a u8 is below 256")]
        {
            table[byte as usize] = byte.is_ascii_alphanumeric()
                || matches!(byte, b'_' | b'$')
                || byte >= 0x80 && byte != 0xa0;
        }
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};

fn is_number(text: &[u8]) -> bool {
    match text {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        [b'0', b'b' | b'B', digits @ ..] => digits.iter().all(|b| matches!(b, b'0' | b'1')),
        _ => {
            let digits = text
                .iter()
                .take_while(|b| b.is_ascii_digit() || **b == b'.')
                .count();
            let exponent = matches!(text.get(digits), Some(b'e' | b'E'));
            digits == text.len() || exponent && text.iter().skip(digits + 1).all(u8::is_ascii_digit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_can_start_inside_a_string() {
        let kinds: Vec<Kind> = read(b"x' or 1=1 -- ", Some(b'\''), TOKENS_MAX)
            .iter()
            .map(|t| t.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                Kind::Text {
                    closed: true,
                    empty: false
                },
                Kind::Logic,
                Kind::Number,
                Kind::Compare { word: false },
                Kind::Number,
                Kind::Comment { empty: true }
            ]
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            for inside in [None, Some(b'\''), Some(b'"')] {
                let _ = read(&text, inside, TOKENS_MAX);
            }
        }
    }
}
