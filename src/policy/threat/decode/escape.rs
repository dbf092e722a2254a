//! Percent and backslash escapes.

use super::{Rewrite, hex, hex_number, push_char};

/// `%41`, `%u0041`, and the `0x2e`, `0x2f`, `0x5c` some file servers read.
pub(super) fn percent(text: &[u8]) -> Option<Vec<u8>> {
    let zero_x = super::spelled_dots(text);
    let mut out = Rewrite::new(text);
    let mut at = 0;
    let second = if zero_x { b'0' } else { b'%' };
    while let Some(skipped) = memchr::memchr2(b'%', second, text.get(at..).unwrap_or_default()) {
        at += skipped;
        let rest = text.get(at..).unwrap_or_default();
        let decoded = match rest {
            [b'%', b'u' | b'U', digits @ ..] => {
                digits.get(..4).and_then(hex_number).map(|code| (code, 6))
            }
            // `%2%f`: what `%%32%%66` becomes after one round, meant as one byte.
            [b'%', high, b'%', low, ..]
                if hex(*high).is_some() && hex(*low).is_some() && digit_ends(rest) =>
            {
                hex_number(&[*high, *low]).map(|code| (code, 4))
            }
            [b'%', digits @ ..] => digits.get(..2).and_then(hex_number).map(|code| (code, 3)),
            [b'0', b'x', digits @ ..] if zero_x => match digits.get(..2) {
                Some(b"2e" | b"2E") => Some((0x2e, 4)),
                Some(b"2f" | b"2F") => Some((0x2f, 4)),
                Some(b"5c" | b"5C") => Some((0x5c, 4)),
                _ => None,
            },
            _ => None,
        };
        match decoded {
            Some((code, width @ (3 | 4))) => out
                .replace(at, at + width)
                .push(u8::try_from(code).unwrap_or(b'?')),
            Some((code, width)) => push_char(out.replace(at, at + width), code),
            None => {}
        }
        at += decoded.map_or(1, |(_, width)| width);
    }
    let mut out = out.finish()?;
    if !out.contains(&b' ') {
        // A form inside a form: its blanks are plus signs, but for those that add or join.
        let joins = |at: Option<usize>| {
            let byte = at.and_then(|at| out.get(at));
            byte.is_some_and(|b| {
                b.is_ascii_digit() || matches!(b, b'\'' | b'"' | b'(' | b')' | b'[' | b']')
            })
        };
        let blanks: Vec<usize> = memchr::memchr_iter(b'+', &out)
            .filter(|at| !(joins(at.checked_sub(1)) && joins(Some(at + 1))))
            .collect();
        for at in blanks {
            if let Some(byte) = out.get_mut(at) {
                *byte = b' ';
            }
        }
    }
    Some(out)
}

/// Whether the second digit of `%h%h` is not itself the start of an escape.
fn digit_ends(rest: &[u8]) -> bool {
    rest.get(4).is_none_or(|b| hex(*b).is_none())
}

/// Whether dots or the separators after them are spelled in hexadecimal.
pub(super) fn spelled_dots(text: &[u8]) -> bool {
    let lower = text
        .get(..text.len().min(256))
        .unwrap_or_default()
        .to_ascii_lowercase();
    [&b"0x2e"[..], b"..0x2f", b"..0x5c"]
        .iter()
        .any(|mark| memchr::memmem::find(&lower, mark).is_some())
}

/// `\u0041`, `\u{41}`, `\x41`, and the escaped quotes and slashes of strings within strings.
pub(super) fn backslash(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Rewrite::new(text);
    for at in memchr::memchr_iter(b'\\', text) {
        let rest = text.get(at..).unwrap_or_default();
        let decoded = match rest {
            [b'\\', b'u', b'{', digits @ ..] => {
                let width = digits.iter().take(7).position(|b| *b == b'}');
                width.and_then(|w| {
                    digits
                        .get(..w)
                        .and_then(hex_number)
                        .map(|code| (code, w + 4))
                })
            }
            [b'\\', b'u', digits @ ..] => {
                digits.get(..4).and_then(hex_number).map(|code| (code, 6))
            }
            [b'\\', b'x', digits @ ..] => {
                digits.get(..2).and_then(hex_number).map(|code| (code, 4))
            }
            _ => None,
        };
        if let Some((code, width)) = decoded {
            push_char(out.replace(at, at + width), code);
        }
    }
    out.finish()
}
