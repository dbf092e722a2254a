//! Whole values that are base64 of text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Shorter values are too often words.
const BYTES_MIN: usize = 8;

/// A longer value is text where as much of it is: what follows may be anything.
const HEAD_BYTES: usize = 49_152;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The text a value is base64 of; `None` unless the whole value is, and decodes to printable text with a sign in it, or
/// to base64 of such.
pub(crate) fn base64(value: &[u8]) -> Option<Vec<u8>> {
    let value = value.trim_ascii();
    if value.len() < BYTES_MIN {
        return None;
    }
    // What starts with these decodes to a byte no text starts with, and a short text has to be one throughout.
    if value.len() <= 26 && matches!(value.first(), Some(b'g'..=b'v')) {
        return None;
    }
    let (mut url, mut other) = (false, false);
    let mut digits = 0;
    for byte in value {
        match byte {
            b'-' | b'_' => url = true,
            b'+' | b'/' | b'\n' | b'\r' | b' ' => other = true,
            b'0'..=b'9' | b'A'..=b'Z' | b'=' => digits += 1,
            b'a'..=b'z' => {}
            _ => return None,
        }
    }
    if (url && other) || digits == 0 {
        return None;
    }
    let cleaned: Vec<u8> = if other {
        value
            .iter()
            .filter(|b| !matches!(b, b'\n' | b'\r'))
            .map(|b| if *b == b' ' { b'+' } else { *b })
            .collect()
    } else {
        Vec::new()
    };
    let source = if other { cleaned.as_slice() } else { value };
    let decoded = if url {
        URL_SAFE.decode(source)
    } else {
        STANDARD.decode(source)
    }
    .ok()?;
    let is_text = readable(&decoded) || decoded.get(..HEAD_BYTES).is_some_and(readable);
    // What was encoded twice has no signs either until it is decoded again; each time it gets shorter.
    (is_text || base64(&decoded).is_some()).then_some(decoded)
}

/// Printable text of which something is neither letter nor digit.
fn readable(text: &[u8]) -> bool {
    let printable = text
        .iter()
        .filter(|b| matches!(b, b'\t' | b'\n' | b'\r' | b' '..=b'~'))
        .count();
    let high = text.iter().filter(|b| **b >= 0x80).count();
    let mostly = printable * 100 >= text.len() * 95
        || (high > 0 && printable + high == text.len() && std::str::from_utf8(text).is_ok());
    mostly && text.iter().any(|b| b.is_ascii_punctuation())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_and_tokens_are_not() {
        assert_eq!(base64(b"PGI+aGk8L2I+").as_deref(), Some(&b"<b>hi</b>"[..]));
        assert_eq!(base64(b"JyBPUiAxPTE").as_deref(), Some(&b"' OR 1=1"[..]));
        assert_eq!(base64(b"fa55b0e576778ca41612cdc2649ef0deb5bb0e3a"), None);
        assert_eq!(base64(b"relationships"), None);
    }

    #[test]
    fn a_long_value_is_decoded_whole() {
        let text = "words, words; ".repeat(10_000) + "' OR 1=1 --";
        let encoded = STANDARD.encode(&text);
        assert!(base64(encoded.as_bytes()).as_deref() == Some(text.as_bytes()));
        let mut mixed = text.clone().into_bytes();
        mixed.extend_from_slice(&[0xff; 200_000]);
        assert!(base64(STANDARD.encode(&mixed).as_bytes()).is_some());
        assert_eq!(base64(STANDARD.encode([0xff; 200_000]).as_bytes()), None);
    }
}
