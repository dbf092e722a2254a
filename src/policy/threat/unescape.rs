//! Strings of JSON with their escapes undone.

use super::json::JsonError;

/// A string up to its closing quote with its escapes undone, and the position behind that quote; `plain` bytes of it are
/// known to hold none.
pub(super) fn unescaped(rest: &[u8], plain: usize) -> (Vec<u8>, Result<usize, JsonError>) {
    let mut out = rest.get(..plain).unwrap_or_default().to_vec();
    let mut at = plain;
    loop {
        match rest.get(at).copied() {
            Some(b'"') => return (out, Ok(at + 1)),
            Some(b'\\') => {
                let after = rest.get(at + 1..).unwrap_or_default();
                match escape(after) {
                    Ok((char, width)) => {
                        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                        at += width + 1;
                    }
                    Err(_) if is_begun_escape(after) => return (out, Err(JsonError::Cut)),
                    Err(error) => return (out, Err(error)),
                }
            }
            Some(_) => {
                let tail = rest.get(at..).unwrap_or_default();
                let width = memchr::memchr2(b'"', b'\\', tail).unwrap_or(tail.len());
                let plain = tail.get(..width).unwrap_or_default();
                if let Some(control) = control(plain) {
                    out.extend_from_slice(plain.get(..control).unwrap_or_default());
                    return (out, Err(JsonError::Malformed));
                }
                out.extend_from_slice(plain);
                at += width;
            }
            None => return (out, Err(JsonError::Cut)),
        }
    }
}

/// Where a control character stands, which a string may only have escaped.
fn control(plain: &[u8]) -> Option<usize> {
    // Without an early end the loop is a few instructions for sixteen bytes.
    let low = plain.iter().fold(false, |low, b| low | (*b < 0x20));
    low.then(|| plain.iter().position(|b| *b < 0x20)).flatten()
}

/// Whether what follows a backslash may be an escape that goes on behind a cut.
fn is_begun_escape(after: &[u8]) -> bool {
    match after.split_first() {
        None => true,
        Some((b'u', digits)) => digits.len() < 4 && digits.iter().all(u8::is_ascii_hexdigit),
        Some(_) => false,
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
