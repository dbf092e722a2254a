//! One pass over Cypher text into tokens: words, quoted names, literals, parameters, comments.
//!
//! The lexer knows openCypher's lexical rules and nothing of its grammar, so it accepts every
//! dialect's statements. It never fails: what is left open at the end is said in [`Tokens::open`].
//! Blanks are those of the Cypher manual, which are more than ASCII's. `\uXXXX` outside a literal is
//! the caller's to unescape first (see [`unescape`]).

use super::keyword::{Keyword, keyword};

/// Tokens beyond this are not read; [`Tokens::cut`] says so. A statement of 64 KiB of `1+1+…` has as many.
pub(super) const TOKENS_MAX: usize = 65_536;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bare word; its keyword is in [`Token::keyword`].
    Word,
    /// A name in backticks.
    Name,
    /// A string literal in single or double quotes.
    Text,
    /// A number literal.
    Number,
    /// `$name` or `{name}`'s dollar form only.
    Parameter,
    /// `// …` to the end of the line.
    LineComment,
    /// `/* … */`
    BlockComment,
    /// Any other single byte.
    Sign(u8),
}

/// One token: its kind and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Which keyword a [`Kind::Word`] is, if any.
    pub keyword: Keyword,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// What the text leaves open at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// A string literal without its closing quote.
    Text,
    /// A backtick name without its closing backtick.
    Name,
    /// A block comment without `*/`.
    Comment,
}

/// The tokens of one text, comments apart.
#[derive(Debug, Default)]
pub struct Tokens {
    /// Everything but comments and blanks, in order.
    pub list: Vec<Token>,
    /// Comments, in order; at most 1,024 are kept.
    pub comments: Vec<Token>,
    /// What is left open at the end.
    pub open: Option<Open>,
    /// Whether `TOKENS_MAX` was hit.
    pub cut: bool,
    /// Whether a backslash stands outside a literal.
    pub stray_backslash: bool,
    /// Whether `range` occurs.
    pub(super) ranges: bool,
    /// Whether `+` occurs.
    pub(super) sums: bool,
}

impl Tokens {
    /// The token at a position.
    pub fn at(&self, index: usize) -> Option<Token> {
        self.list.get(index).copied()
    }

    /// Whether the token at a position is this keyword.
    pub fn is(&self, index: usize, keyword: Keyword) -> bool {
        self.at(index).is_some_and(|t| t.keyword == keyword)
    }

    /// Whether the token at a position is this sign.
    pub fn is_sign(&self, index: usize, sign: u8) -> bool {
        self.at(index).is_some_and(|t| t.kind == Kind::Sign(sign))
    }
}

impl Token {
    /// The token's own bytes.
    pub fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// A literal's or name's content, without its quotes.
    pub fn inner<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let whole = self.of(text);
        match self.kind {
            Kind::Text | Kind::Name => whole
                .get(1..whole.len().saturating_sub(1))
                .unwrap_or_default(),
            _ => whole,
        }
    }
}

/// Reads a text into tokens. Texts beyond 4 GiB are cut, which no caller reaches.
pub fn tokens(text: &[u8]) -> Tokens {
    Reader::new(text).whole()
}

/// Reads as many tokens as are asked for.
pub(super) struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    out: Tokens,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        let mut out = Tokens::default();
        out.list.reserve((text.len() / 3).min(TOKENS_MAX));
        Self { text, at: 0, out }
    }

    /// The tokens up to so many, comments not counted.
    pub(super) fn first(&mut self, most: usize) -> &Tokens {
        while self.at < self.text.len() && !self.out.cut && self.out.list.len() < most {
            self.step();
        }
        &self.out
    }

    /// All tokens.
    pub(super) fn whole(mut self) -> Tokens {
        while self.at < self.text.len() && !self.out.cut {
            self.step();
        }
        self.out
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn step(&mut self) {
        let byte = self.peek(0);
        match byte {
            b'\t'..=b'\r' | 0x1c..=b' ' => self.at += 1,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() && !self.after_operand() => self.number(),
            b'\'' | b'"' => self.quoted(byte, Kind::Text),
            b'`' => self.quoted(byte, Kind::Name),
            b'$' => self.parameter(),
            b'/' if self.peek(1) == b'/' => self.line_comment(),
            b'/' if self.peek(1) == b'*' => self.block_comment(),
            0x80.. => match blank(self.text.get(self.at..).unwrap_or_default()) {
                0 => self.word(),
                width => self.at += width,
            },
            sign => {
                self.out.stray_backslash |= sign == b'\\';
                self.out.sums |= sign == b'+';
                self.push(Kind::Sign(sign), Keyword::None, self.at + 1);
            }
        }
    }

    fn push(&mut self, kind: Kind, keyword: Keyword, end: usize) {
        let (Ok(start), Ok(to)) = (u32::try_from(self.at), u32::try_from(end)) else {
            self.out.cut = true;
            return;
        };
        let token = Token {
            kind,
            keyword,
            start,
            end: to,
        };
        self.at = end;
        if matches!(kind, Kind::LineComment | Kind::BlockComment) {
            if self.out.comments.len() < 1024 {
                self.out.comments.push(token);
            }
        } else if self.out.list.len() < TOKENS_MAX {
            self.out.list.push(token);
        } else {
            self.out.cut = true;
        }
    }

    /// `.5` is a number, but `n.5` and `1..5` are not.
    fn after_operand(&self) -> bool {
        self.at
            .checked_sub(1)
            .and_then(|i| self.text.get(i))
            .is_some_and(|b| {
                b.is_ascii_alphanumeric()
                    || matches!(b, b'_' | b'`' | b')' | b']' | b'.')
                    || *b >= 0x80
            })
    }

    fn word(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut length = names(rest);
        while rest.get(length).is_some_and(|b| *b >= 0x80)
            && blank(rest.get(length..).unwrap_or_default()) == 0
        {
            length += 1 + names(rest.get(length + 1..).unwrap_or_default());
        }
        let found = keyword(rest.get(..length).unwrap_or_default());
        self.out.ranges |= found == Keyword::Range;
        self.push(Kind::Word, found, self.at + length.max(1));
    }

    fn number(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut length = 0;
        while let Some(&b) = rest.get(length) {
            let next = rest.get(length + 1).copied().unwrap_or(0);
            let part = b.is_ascii_alphanumeric()
                || b == b'_'
                || (b == b'.' && next.is_ascii_digit())
                || (matches!(b, b'-' | b'+')
                    && length > 0
                    && matches!(rest.get(length - 1), Some(b'e' | b'E'))
                    && next.is_ascii_digit());
            if !part {
                break;
            }
            length += 1;
        }
        self.push(Kind::Number, Keyword::None, self.at + length.max(1));
    }

    /// A doubled quote inside is a quote; a backslash escapes what follows, but in backticks.
    fn quoted(&mut self, quote: u8, kind: Kind) {
        let mut end = self.at + 1;
        loop {
            let rest = self.text.get(end..).unwrap_or_default();
            let hit = if kind == Kind::Name {
                memchr::memchr(quote, rest)
            } else {
                memchr::memchr2(quote, b'\\', rest)
            };
            let Some(hit) = hit else {
                self.out.open = Some(if kind == Kind::Name {
                    Open::Name
                } else {
                    Open::Text
                });
                return self.push(kind, Keyword::None, self.text.len());
            };
            let escaped = rest.get(hit) == Some(&b'\\');
            let doubled = !escaped && rest.get(hit + 1) == Some(&quote) && hit > 0;
            end += hit + if escaped || doubled { 2 } else { 1 };
            if !escaped && !doubled {
                return self.push(kind, Keyword::None, end.min(self.text.len()));
            }
        }
    }

    fn parameter(&mut self) {
        let rest = self.text.get(self.at + 1..).unwrap_or_default();
        if rest.first() == Some(&b'`') {
            let width = memchr::memchr(b'`', rest.get(1..).unwrap_or_default())
                .map_or(rest.len(), |i| i + 2);
            return self.push(Kind::Parameter, Keyword::None, self.at + 1 + width);
        }
        let width = rest
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b >= 0x80)
            .count();
        self.push(Kind::Parameter, Keyword::None, self.at + 1 + width);
    }

    fn line_comment(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let width = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        self.push(Kind::LineComment, Keyword::None, self.at + width);
    }

    fn block_comment(&mut self) {
        let rest = self.text.get(self.at + 2..).unwrap_or_default();
        let width = memchr::memmem::find(rest, b"*/").map_or_else(
            || {
                self.out.open = Some(Open::Comment);
                rest.len()
            },
            |i| i + 2,
        );
        self.push(Kind::BlockComment, Keyword::None, self.at + 2 + width);
    }
}

/// How many bytes a name goes on for.
pub(super) fn names(rest: &[u8]) -> usize {
    let is_name = |b: &u8| IS_NAME.get(usize::from(*b)).copied().unwrap_or(false);
    rest.iter().position(|b| !is_name(b)).unwrap_or(rest.len())
}

/// Bytes of names below 0x80.
const IS_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        #[expect(clippy::indexing_slicing, reason = "a u8 is below 256")]
        {
            table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
        }
        byte += 1;
    }
    table
};

/// The width of a blank beyond ASCII at the start of `rest`; 0 when none stands there.
pub fn blank(rest: &[u8]) -> usize {
    match rest {
        [0xc2, 0x85 | 0xa0, ..] => 2,
        [0xe1, 0x9a, 0x80, ..]
        | [0xe1, 0xa0, 0x8e, ..]
        | [0xe2, 0x80, 0x80..=0x8f | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f | 0xa0, ..]
        | [0xe3, 0x80, 0x80, ..]
        | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// Replaces every `\uXXXX` by its character, as Cypher does before it reads a statement.
///
/// `None` when the text holds none. Surrogates become U+FFFD.
pub fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    memchr::memmem::find(text, b"\\u")?;
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let mut changed = false;
    while let Some(&byte) = text.get(at) {
        let escape = text
            .get(at + 2..at + 6)
            .filter(|_| byte == b'\\' && text.get(at + 1) == Some(&b'u'));
        let code = escape
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u32::from_str_radix(hex, 16).ok());
        if let Some(code) = code {
            let char = char::from_u32(code).unwrap_or('\u{fffd}');
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            at += 6;
            changed = true;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<String> {
        tokens(text.as_bytes())
            .list
            .iter()
            .map(|t| String::from_utf8_lossy(t.of(text.as_bytes())).into_owned())
            .collect()
    }

    #[test]
    fn literals_names_parameters_and_ranges_are_single_tokens() {
        assert_eq!(
            words("MATCH (n:`a b`)-[*1..3]->(m {x: 'it''s', y: $p, z: -1.5e-3}) // tail"),
            [
                "MATCH", "(", "n", ":", "`a b`", ")", "-", "[", "*", "1", ".", ".", "3", "]", "-",
                ">", "(", "m", "{", "x", ":", "'it''s'", ",", "y", ":", "$p", ",", "z", ":", "-",
                "1.5e-3", "}", ")"
            ]
        );
    }

    #[test]
    fn what_is_left_open_is_said() {
        assert_eq!(tokens(b"RETURN 'a").open, Some(Open::Text));
        assert_eq!(tokens(b"RETURN `a").open, Some(Open::Name));
        assert_eq!(tokens(b"RETURN 1 /* a").open, Some(Open::Comment));
        assert_eq!(tokens(b"RETURN 'a\\'' // 'x").open, None);
    }

    #[test]
    fn an_empty_literal_is_not_a_doubled_quote() {
        assert_eq!(words("a = '' OR b"), ["a", "=", "''", "OR", "b"]);
    }

    #[test]
    fn exotic_blanks_separate_words() {
        assert_eq!(
            words("LOAD\u{2003}CSV\u{3000}FROM\u{1c}x"),
            ["LOAD", "CSV", "FROM", "x"]
        );
    }

    #[test]
    fn unicode_escapes_become_their_characters() {
        assert_eq!(unescape(b"M\\u0041TCH").as_deref(), Some(&b"MATCH"[..]));
        assert_eq!(unescape(b"MATCH"), None);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_order_and_no_text_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let read = tokens(&text);
            let mut last = 0;
            for token in &read.list {
                prop_assert!(token.start >= last && token.end > token.start);
                last = token.end;
            }
            prop_assert!(last as usize <= text.len());
        }
    }
}
