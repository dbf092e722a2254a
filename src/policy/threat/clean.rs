//! Forms of a value with ever more of it taken away.

use super::decode::undo;

/// The value without hidden characters, then without disguises, then without markup, then without the marks that
/// markup and literals are made of. Each takes away from the one before; empty text comes after all of them.
pub(super) fn milder_forms(raw: &[u8]) -> [Vec<u8>; 4] {
    let shown = visible(raw);
    let plain = visible(&undo(raw, false).text);
    let untagged = without_tags(&plain);
    let unmarked = untagged
        .iter()
        .copied()
        .filter(|byte| !b"<>\"'`\\".contains(byte))
        .collect();
    [shown, plain, untagged, unmarked]
}

/// The text without controls, zero-width characters and marks of direction.
fn visible(text: &[u8]) -> Vec<u8> {
    let kept = |c: &char| {
        let hidden = matches!(
            *c,
            '\u{ad}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{2064}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        );
        !hidden && (!c.is_control() || matches!(c, '\n' | '\r' | '\t'))
    };
    let text = String::from_utf8_lossy(text);
    text.chars().filter(kept).collect::<String>().into_bytes()
}

/// The text without whatever reads as a tag, a comment or a declaration; an open one loses its sign.
fn without_tags(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = memchr::memchr(b'<', rest) {
        let (before, tag) = rest.split_at(open);
        out.extend_from_slice(before);
        let begins = tag
            .get(1)
            .is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'/' | b'!' | b'?'));
        if !begins {
            out.push(b'<');
            rest = tag.get(1..).unwrap_or_default();
            continue;
        }
        // Without its sign an open tag is text, and none of it need go.
        let end = memchr::memchr(b'>', tag).unwrap_or(0);
        rest = tag.get(end + 1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// A value as it stands in a query string or form: everything but unreserved characters encoded.
pub(super) fn percent_encoded(value: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| {
        HEX.get(usize::from(nibble))
            .copied()
            .map_or('0', char::from)
    };
    let mut out = String::with_capacity(value.len());
    for byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_takes_more_away() {
        let raw = "a\u{202e}\u{200b}%3Cscript%3Ealert('1')%3C/script%3E 1 < 2".as_bytes();
        let forms = milder_forms(raw).map(|form| String::from_utf8(form).unwrap());
        assert_eq!(forms[0], "a%3Cscript%3Ealert('1')%3C/script%3E 1 < 2");
        assert_eq!(forms[1], "a<script>alert('1')</script> 1 < 2");
        assert_eq!(forms[2], "aalert('1') 1 < 2");
        assert_eq!(forms[3], "aalert(1) 1  2");
        let forms = milder_forms(b"hello <zz world").map(|form| String::from_utf8(form).unwrap());
        assert_eq!(forms[2], "hello zz world");
    }

    #[test]
    fn a_value_is_encoded_for_any_reader_of_pairs() {
        assert_eq!(percent_encoded("a b&ü".as_bytes()), "a%20b%26%C3%BC");
    }
}
