//! One bounded pass over JSON bytes that yields keys and strings with their places.
//!
//! Stricter than most parsers on purpose: what two parsers could read differently (duplicate keys,
//! trailing bytes, control characters in strings, invalid UTF-8) is an error, so that the upstream
//! never sees another document than the one inspected. Nothing is built; strings without escapes are
//! borrowed.

use std::borrow::Cow;
use std::collections::HashSet;

use super::at::At;
use super::unescape::unescaped;

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
    #[error("ends before its end")]
    Cut,
}

/// What a walk allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Keys of the document.
    pub(super) keys_max: usize,
    /// Whether it is the beginning of a longer one, so that it may end anywhere.
    pub(super) is_prefix: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keys_max: KEYS_MAX,
            is_prefix: false,
        }
    }
}

/// Walks a whole document.
pub(super) fn walk(
    text: &[u8],
    at: &At<'_>,
    visit: &mut dyn FnMut(Leaf<'_>, &At<'_>),
) -> Result<(), JsonError> {
    walk_within(text, at, Limits::default(), visit)
}

/// Walks a document, or the beginning of one: a string that is cut there is visited as far as it goes.
pub(super) fn walk_within(
    text: &[u8],
    at: &At<'_>,
    limits: Limits,
    visit: &mut dyn FnMut(Leaf<'_>, &At<'_>),
) -> Result<(), JsonError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut walker = Walker {
        text,
        position: 0,
        keys: 0,
        limits,
        visit,
    };
    match walker.document(at) {
        Err(JsonError::Cut) if limits.is_prefix => Ok(()),
        Err(JsonError::Cut) => Err(JsonError::Malformed),
        walked => walked,
    }
}

struct Walker<'t, 'v> {
    text: &'t [u8],
    position: usize,
    keys: usize,
    limits: Limits,
    visit: &'v mut dyn FnMut(Leaf<'_>, &At<'_>),
}

impl<'t> Walker<'t, '_> {
    fn document(&mut self, at: &At<'_>) -> Result<(), JsonError> {
        self.blank();
        self.value(at, 0)?;
        self.blank();
        if self.position == self.text.len() {
            Ok(())
        } else {
            Err(JsonError::Malformed)
        }
    }

    /// What is wrong where something else is expected.
    fn fault(&self) -> JsonError {
        if self.position >= self.text.len() {
            JsonError::Cut
        } else {
            JsonError::Malformed
        }
    }

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
        Err(self.fault())
    }

    fn value(&mut self, at: &At<'_>, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') if depth >= DEPTH_MAX => Err(JsonError::Depth),
            Some(b'[') if depth >= DEPTH_MAX => Err(JsonError::Depth),
            Some(b'{') => self.object(at, depth),
            Some(b'[') => self.array(at, depth),
            Some(b'"') => {
                let text = match self.string() {
                    Err(JsonError::Cut) if self.limits.is_prefix => {
                        let begun = self.begun_string();
                        (self.visit)(Leaf::Text(&begun), at);
                        return Err(JsonError::Cut);
                    }
                    read => read?,
                };
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
            if self.keys > self.limits.keys_max {
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
        let stop = memchr::memchr2(b'"', b'\\', rest);
        let plain = rest.get(..stop.unwrap_or(rest.len())).unwrap_or_default();
        // Without an early end the loop is a few instructions for sixteen bytes.
        if plain.iter().fold(false, |low, b| low | (*b < 0x20)) {
            return Err(JsonError::Malformed);
        }
        let text = match stop.map(|stop| (stop, rest.get(stop))) {
            Some((stop, Some(b'"'))) => {
                self.position += stop + 1;
                Cow::Borrowed(plain)
            }
            Some((stop, Some(b'\\'))) => Cow::Owned(self.escaped(rest, stop)?),
            _ => return Err(JsonError::Cut),
        };
        if text.is_ascii() || std::str::from_utf8(&text).is_ok() {
            Ok(text)
        } else {
            Err(JsonError::Malformed)
        }
    }

    /// A string with escapes, of which `plain` bytes were read.
    fn escaped(&mut self, rest: &[u8], plain: usize) -> Result<Vec<u8>, JsonError> {
        let (out, end) = unescaped(rest, plain);
        self.position += end?;
        Ok(out)
    }

    /// The string whose end is missing, as far as it goes; its opening quote is read.
    fn begun_string(&self) -> Vec<u8> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let (mut out, _) = unescaped(rest, 0);
        // The cut may go through a character.
        if let Err(error) = std::str::from_utf8(&out)
            && error.error_len().is_none()
        {
            out.truncate(error.valid_up_to());
        }
        out
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        if rest.starts_with(word) {
            self.position += word.len();
            return Ok(());
        }
        if word.starts_with(rest) {
            return Err(JsonError::Cut);
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
            Err(self.fault())
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

    /// The strings of a document's beginning.
    fn begun(text: &[u8]) -> Result<Vec<String>, JsonError> {
        let mut out = Vec::new();
        let limits = Limits {
            keys_max: usize::MAX,
            is_prefix: true,
        };
        walk_within(text, &At::root("$"), limits, &mut |leaf, _| {
            if let Leaf::Text(text) = leaf {
                out.push(String::from_utf8_lossy(text).into_owned());
            }
        })?;
        Ok(out)
    }

    #[test]
    fn a_document_may_be_cut_anywhere_where_it_is_only_a_beginning() {
        let text = r#" {"a": [1, {"b": "xä\u0041\n\ud83d\ude00"}, null], "c": "", "d": -1.5e+3, "e": true} "#;
        let all = begun(text.as_bytes()).unwrap();
        for cut in 0..text.len() {
            let seen = begun(&text.as_bytes()[..cut]).unwrap();
            assert!(seen.len() <= all.len(), "{cut}: {seen:?}");
        }
        assert_eq!(begun(br#"{"a": "one\u00"#).unwrap(), ["one"]);
        assert_eq!(begun(b"{\"a\": \"two\xc3").unwrap(), ["two"]);
        for wrong in ["{a", "[1 2", "[1,]", "[\"\\x", "[\"\u{1}", "tru]", "{} x"] {
            assert_eq!(
                begun(wrong.as_bytes()),
                Err(JsonError::Malformed),
                "{wrong}"
            );
        }
        assert_eq!(begun(br#"{"a":1,"a":2"#), Err(JsonError::DuplicateKey));
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
