//! One bounded pass over JSON bytes that yields keys and strings with their places.
//!
//! Stricter than most parsers on purpose: what two parsers could read differently (duplicate keys,
//! trailing bytes, control characters in strings, invalid UTF-8) is an error, so that the upstream
//! never sees another document than the one inspected. Nothing is built; strings without escapes are
//! borrowed.

use std::borrow::Cow;
use std::collections::HashSet;

use super::at::At;

/// Nesting beyond this is an error.
pub(super) const DEPTH_MAX: usize = 64;

/// Keys of one document beyond this are an error.
pub(super) const KEYS_MAX: usize = 10_000;

/// Keys of one object that are compared pairwise; later ones go into a set.
const PAIRWISE_MAX: usize = 8;

/// What the walk meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf<'a> {
    Key(&'a [u8]),
    Text(&'a [u8]),
}

/// Why a document is not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JsonError {
    #[error("not JSON")]
    Malformed,
    #[error("nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("more than {KEYS_MAX} keys")]
    Keys,
    #[error("a key stands twice in one object")]
    DuplicateKey,
}

/// Walks a whole document.
pub(super) fn walk(
    text: &[u8],
    at: &At<'_>,
    visit: &mut dyn FnMut(Leaf<'_>, &At<'_>),
) -> Result<(), JsonError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut walker = Walker {
        text,
        position: 0,
        keys: 0,
        visit,
    };
    walker.blank();
    walker.value(at, 0)?;
    walker.blank();
    if walker.position == text.len() {
        Ok(())
    } else {
        Err(JsonError::Malformed)
    }
}

struct Walker<'t, 'v> {
    text: &'t [u8],
    position: usize,
    keys: usize,
    visit: &'v mut dyn FnMut(Leaf<'_>, &At<'_>),
}

impl<'t> Walker<'t, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.position += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.position += 1;
            return Ok(());
        }
        Err(JsonError::Malformed)
    }

    fn value(&mut self, at: &At<'_>, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') if depth >= DEPTH_MAX => Err(JsonError::Depth),
            Some(b'[') if depth >= DEPTH_MAX => Err(JsonError::Depth),
            Some(b'{') => self.object(at, depth),
            Some(b'[') => self.array(at, depth),
            Some(b'"') => {
                let text = self.string()?;
                (self.visit)(Leaf::Text(&text), at);
                Ok(())
            }
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, at: &At<'_>, depth: usize) -> Result<(), JsonError> {
        self.position += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.position += 1;
            return Ok(());
        }
        let mut seen = Seen::default();
        loop {
            let key = self.string()?;
            self.keys += 1;
            if self.keys > KEYS_MAX {
                return Err(JsonError::Keys);
            }
            if !seen.add(key.clone()) {
                return Err(JsonError::DuplicateKey);
            }
            let here = at.name(&key);
            (self.visit)(Leaf::Key(&key), &here);
            self.blank();
            self.expect(b':')?;
            self.blank();
            self.value(&here, depth + 1)?;
            self.blank();
            if self.peek() != Some(b',') {
                return self.expect(b'}');
            }
            self.position += 1;
            self.blank();
        }
    }

    fn array(&mut self, at: &At<'_>, depth: usize) -> Result<(), JsonError> {
        self.position += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.position += 1;
            return Ok(());
        }
        for index in 0.. {
            self.value(&at.index(index), depth + 1)?;
            self.blank();
            if self.peek() != Some(b',') {
                break;
            }
            self.position += 1;
            self.blank();
        }
        self.expect(b']')
    }

    fn string(&mut self) -> Result<Cow<'t, [u8]>, JsonError> {
        self.expect(b'"')?;
        let rest = self.text.get(self.position..).unwrap_or_default();
        let stop = memchr::memchr2(b'"', b'\\', rest).ok_or(JsonError::Malformed)?;
        let plain = rest.get(..stop).unwrap_or_default();
        // Without an early end the loop is a few instructions for sixteen bytes.
        if plain.iter().fold(false, |low, b| low | (*b < 0x20)) {
            return Err(JsonError::Malformed);
        }
        let text = match rest.get(stop) {
            Some(b'"') => {
                self.position += stop + 1;
                Cow::Borrowed(plain)
            }
            Some(b'\\') => Cow::Owned(self.escaped(rest, stop)?),
            _ => return Err(JsonError::Malformed),
        };
        if text.is_ascii() || std::str::from_utf8(&text).is_ok() {
            Ok(text)
        } else {
            Err(JsonError::Malformed)
        }
    }

    /// A string with escapes, of which `plain` bytes were read.
    fn escaped(&mut self, rest: &[u8], plain: usize) -> Result<Vec<u8>, JsonError> {
        let mut out = rest.get(..plain).unwrap_or_default().to_vec();
        let mut at = plain;
        loop {
            match rest.get(at).copied() {
                Some(b'"') => {
                    self.position += at + 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    let (char, width) = escape(rest.get(at + 1..).unwrap_or_default())?;
                    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    at += width + 1;
                }
                Some(byte) if byte >= 0x20 => {
                    out.push(byte);
                    at += 1;
                }
                _ => return Err(JsonError::Malformed),
            }
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if self
            .text
            .get(self.position..)
            .is_some_and(|rest| rest.starts_with(word))
        {
            self.position += word.len();
            return Ok(());
        }
        Err(JsonError::Malformed)
    }

    /// `-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?`
    fn number(&mut self) -> Result<(), JsonError> {
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        if self.peek() == Some(b'0') {
            self.position += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.position;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.position += 1;
        }
        if self.position > from {
            Ok(())
        } else {
            Err(JsonError::Malformed)
        }
    }
}

/// The keys of one object so far, borrowed from the text where they hold no escape.
#[derive(Default)]
struct Seen<'t> {
    few: [Cow<'t, [u8]>; PAIRWISE_MAX],
    count: usize,
    many: HashSet<Cow<'t, [u8]>>,
}

impl<'t> Seen<'t> {
    /// False when the key was there.
    fn add(&mut self, key: Cow<'t, [u8]>) -> bool {
        if self.few.iter().take(self.count).any(|k| *k == key) {
            return false;
        }
        match self.few.get_mut(self.count) {
            Some(slot) => {
                *slot = key;
                self.count += 1;
                true
            }
            None => self.many.insert(key),
        }
    }
}

/// The character after a backslash and the width of its escape.
fn escape(rest: &[u8]) -> Result<(char, usize), JsonError> {
    let char = match rest.first() {
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(rest),
        _ => return Err(JsonError::Malformed),
    };
    Ok((char, 1))
}

fn unicode(rest: &[u8]) -> Result<(char, usize), JsonError> {
    let unit = |from: usize| {
        let digits = rest
            .get(from..from + 4)
            .filter(|d| d.iter().all(u8::is_ascii_hexdigit))?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let first = unit(1).ok_or(JsonError::Malformed)?;
    let second = unit(7).filter(|_| rest.get(5..7) == Some(b"\\u"));
    if let (0xd800..=0xdbff, Some(second @ 0xdc00..=0xdfff)) = (first, second) {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Ok((char::from_u32(code).unwrap_or('\u{fffd}'), 11));
    }
    Ok((char::from_u32(first).unwrap_or('\u{fffd}'), 5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(text: &str) -> Result<Vec<String>, JsonError> {
        let mut out = Vec::new();
        walk(text.as_bytes(), &At::root("$"), &mut |leaf, at| {
            if let Leaf::Text(text) = leaf {
                out.push(format!("{at}={}", String::from_utf8_lossy(text)));
            }
        })?;
        Ok(out)
    }

    #[test]
    fn leaves_come_with_their_places_unescaped() {
        assert_eq!(
            leaves(r#" {"a": [1, {"b": "x\u0041\n\ud83d\ude00"}, null], "c": "", "d": -1.5e+3} "#)
                .unwrap(),
            ["$.a[1].b=xA\n😀", "$.c="]
        );
    }

    #[test]
    fn what_parsers_read_differently_is_an_error() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1 2",
            "\"\u{1}\"",
            "{a:1}",
            "'x'",
            "nul",
            "[1",
            "\"\\x\"",
        ] {
            assert_eq!(leaves(text), Err(JsonError::Malformed), "{text}");
        }
        assert_eq!(
            leaves(r#"{"a":1,"\u0061":2}"#),
            Err(JsonError::DuplicateKey)
        );
        assert_eq!(leaves(&"[".repeat(65)), Err(JsonError::Depth));
    }

    proptest! {
        #[test]
        fn it_accepts_what_serde_json_accepts(text in "[\\[\\]{}:,\"a-c0-2.eE+\\-\\\\ ntru]{0,24}") {
            let ours = leaves(&text);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            if let Ok(value) = &theirs {
                prop_assert!(ours.is_ok() || ours == Err(JsonError::DuplicateKey), "{text}: {ours:?} {value}");
            } else if ours.is_ok() {
                // Only a number beyond f64 may be accepted here and refused there.
                let cause = theirs.unwrap_err().to_string();
                prop_assert!(cause.contains("out of range") || cause.contains("surrogate") || cause.contains("escape"), "{text}: {cause}");
            }
        }

        #[test]
        fn no_bytes_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = walk(&text, &At::root("$"), &mut |_, _| ());
        }
    }
}
