//! Undoes the disguises a value may wear, to a fixed point.
//!
//! One round undoes percent and `%u` escapes, HTML entities, `\u` and `\x` escapes, overlong UTF-8 and
//! look-alike letters, and drops NUL and zero-width characters. Rounds repeat until nothing changes, at
//! most [`ROUNDS_MAX`] times; needing the last one without reaching a fixed point is said in
//! [`Decoded::unsettled`]. A value that wears none is borrowed, not copied. Base64 is apart ([`base64`]):
//! it applies to whole values only.

mod base64;
mod entity;
mod escape;
mod fold;

use std::borrow::Cow;

use super::bytes::{self, Classes, classes};

pub(super) use base64::base64;

/// Rounds of decoding at most.
pub(super) const ROUNDS_MAX: u8 = 4;

/// A value without its disguises.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// Whether another round would have changed it again.
    pub(super) unsettled: bool,
}

/// Undoes every disguise of a value. `form` also reads `+` as a blank.
pub(super) fn undo(raw: &[u8], form: bool) -> Decoded<'_> {
    let mut text = Cow::Borrowed(raw);
    if form && memchr::memchr(b'+', raw).is_some() {
        text = Cow::Owned(
            raw.iter()
                .map(|b| if *b == b'+' { b' ' } else { *b })
                .collect(),
        );
    }
    for _ in 0..ROUNDS_MAX {
        let Some(next) = round(&text) else {
            return Decoded {
                text,
                unsettled: false,
            };
        };
        text = Cow::Owned(next);
    }
    let unsettled = round(&text).is_some();
    Decoded { text, unsettled }
}

/// A step of a round: the text it makes of another, and the classes of bytes without which it makes none.
type Step = (Classes, fn(&[u8]) -> Option<Vec<u8>>);

const STEPS: [Step; 4] = [
    (bytes::PERCENT, escape::percent),
    (bytes::BACKSLASH, escape::backslash),
    (bytes::AMPERSAND, entity::entities),
    (bytes::HIGH | bytes::CONTROL, fold::fold),
];

/// One round; `None` when nothing changes. Every step shortens or keeps the length.
fn round(text: &[u8]) -> Option<Vec<u8>> {
    let mut changed: Option<Vec<u8>> = None;
    let mut seen = classes(text);
    if seen & bytes::DIGIT != 0 && spelled_dots(text) {
        seen |= bytes::PERCENT;
    }
    for (needs, step) in STEPS {
        if seen & needs == 0 {
            continue;
        }
        if let Some(next) = step(changed.as_deref().unwrap_or(text)) {
            seen = classes(&next);
            changed = Some(next);
        }
    }
    changed
}

/// A text in which some marks were replaced, copied only from the first that was.
struct Rewrite<'t> {
    text: &'t [u8],
    /// Up to here the text is copied.
    kept: usize,
    out: Vec<u8>,
}

impl<'t> Rewrite<'t> {
    fn new(text: &'t [u8]) -> Self {
        Self {
            text,
            kept: 0,
            out: Vec::new(),
        }
    }

    /// What the bytes from `from` on are replaced with is to be appended; the text goes on at `to`.
    fn replace(&mut self, from: usize, to: usize) -> &mut Vec<u8> {
        if self.out.is_empty() {
            self.out.reserve(self.text.len());
        }
        let kept = self.text.get(self.kept..from).unwrap_or_default();
        self.out.extend_from_slice(kept);
        self.kept = to;
        &mut self.out
    }

    /// The whole, if anything of it was replaced.
    fn finish(mut self) -> Option<Vec<u8>> {
        if self.kept == 0 {
            return None;
        }
        let rest = self.text.get(self.kept..).unwrap_or_default();
        self.out.extend_from_slice(rest);
        Some(self.out)
    }
}

/// Whether a value spells `.` or a separator after it as `0x2e`.
pub(super) fn spelled_dots(text: &[u8]) -> bool {
    memchr::memchr_iter(b'x', text).any(|at| at > 0 && text.get(at - 1) == Some(&b'0'))
        && escape::spelled_dots(text)
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The number that two or four hexadecimal digits stand for.
fn hex_number(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0_u32, |n, d| Some(n.checked_mul(16)? + u32::from(hex(*d)?)))
}

/// Appends a character; below 0x80 as its byte, NUL not at all.
fn push_char(out: &mut Vec<u8>, code: u32) {
    match u8::try_from(code) {
        Ok(0) => {}
        Ok(byte) if byte < 0x80 => out.push(byte),
        _ => {
            let char = char::from_u32(code).unwrap_or('\u{fffd}');
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(raw: &str) -> String {
        String::from_utf8_lossy(&undo(raw.as_bytes(), false).text).into_owned()
    }

    #[test]
    fn each_disguise_is_undone() {
        for (raw, expected) in [
            ("%3Cb%3e", "<b>"),
            ("%253Cb%253E", "<b>"),
            ("%u003cb%U003e", "<b>"),
            ("&lt;b&#62;&#x3e;&#0000060", "<b>><"),
            (
                "&#000000000000000000000060;&#x0000000000000000000000003e;",
                "<>",
            ),
            ("1%2b1", "1+1"),
            ("%27a%27+%27b%27", "'a'+'b'"),
            ("a+or%2b1", "a or 1"),
            ("java&#9;&NewLine;x&colon;", "java\t\nx:"),
            ("\\u003cb\\x3e", "<b>"),
            ("\u{ff1c}\u{ff42}\u{ff1e}", "<b>"),
            ("..%c0%af..%e0%80%af", "../../"),
            ("a\u{200b}b\0c", "abc"),
            ("%%32%65", "."),
            ("0x2e0x2e0x5c", "..\\"),
            ("\u{2025}/\u{2025}/", "../../"),
            (
                "\u{1d4c8}\u{210b}\u{1d4c1}\u{24d4}\u{1d5bc}\u{1d4c9}",
                "sHlect",
            ),
            ("\u{2460}\u{fb01}\u{00b2}\u{215b}", "1fi21/8"),
            ("\u{ff07} \u{2170}\u{2a75}", "' i=="),
        ] {
            assert_eq!(plain(raw), expected, "{raw}");
        }
    }

    #[test]
    fn honest_text_is_borrowed() {
        for raw in [
            "100% sure & ready",
            "naïve café",
            "C:\\new\\table",
            "a&b=c",
            "Привет",
            "東京 — señal",
        ] {
            assert!(
                matches!(undo(raw.as_bytes(), false).text, Cow::Borrowed(_)),
                "{raw}"
            );
        }
    }

    proptest! {
        #[test]
        fn decoding_never_grows_a_value_and_ends(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
            let out = undo(&raw, true);
            prop_assert!(out.text.len() <= raw.len() * 3);
        }

        #[test]
        fn percent_encoding_once_or_twice_changes_nothing(text in "[ -$'-*,-~]{0,40}") {
            let once: String = text.bytes().map(|b| format!("%{b:02x}")).collect();
            let twice: String = once.bytes().map(|b| format!("%{b:02X}")).collect();
            prop_assert_eq!(plain(&once), plain(&text));
            prop_assert_eq!(plain(&twice), plain(&text));
        }
    }
}
