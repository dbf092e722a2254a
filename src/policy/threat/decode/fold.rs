//! Overlong UTF-8, look-alike letters, and characters that show nothing.

use super::push_char;

pub(super) fn fold(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().all(|b| *b < 0x80 && *b != 0) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let mut changed = false;
    while let Some(&byte) = text.get(at) {
        if byte < 0x80 {
            changed |= byte == 0;
            if byte != 0 {
                out.push(byte);
            }
            at += 1;
            continue;
        }
        let rest = text.get(at..).unwrap_or_default();
        if let Some((code, width)) = overlong(rest) {
            push_char(&mut out, code);
            (at, changed) = (at + width, true);
            continue;
        }
        let (char, width) = character(rest);
        match char.map(look_alike) {
            Some(Look::Hidden) => changed = true,
            Some(Look::Number(number)) => {
                out.extend_from_slice(number.to_string().as_bytes());
                changed = true;
            }
            Some(Look::Like(ascii)) => {
                out.push(ascii);
                changed = true;
            }
            _ => out.extend_from_slice(rest.get(..width).unwrap_or_default()),
        }
        at += width;
    }
    changed.then_some(out)
}

/// The first character of valid UTF-8, or one byte of what is not.
fn character(rest: &[u8]) -> (Option<char>, usize) {
    let width = match rest.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => 1,
    };
    let char = rest
        .get(..width)
        .and_then(|b| std::str::from_utf8(b).ok())
        .and_then(|s| s.chars().next());
    if char.is_some() {
        (char, width)
    } else {
        (None, 1)
    }
}

/// ASCII written in more bytes than it needs, also where the continuation byte is spoilt, as old decoders took it.
fn overlong(rest: &[u8]) -> Option<(u32, usize)> {
    match *rest {
        [lead @ (0xc0 | 0xc1), low @ 0x80..=0xbf, ..] => {
            Some(((u32::from(lead & 1) << 6) | u32::from(low & 0x3f), 2))
        }
        [0xc0, low, ..] if matches!(low & 0x3f, 0x2e | 0x2f) => Some((u32::from(low & 0x3f), 2)),
        [0xc0, b'\\', ..] | [0xc1, 0x1c | 0x5c | 0xdc, ..] => Some((u32::from(b'\\'), 2)),
        [0xc0, 0xe9, ..] => Some((u32::from(b'/'), 2)),
        [0xe0, 0x80 | 0x81, low @ 0x80..=0xbf, ..] => {
            let high = u32::from(rest.get(1).copied().unwrap_or(0) & 1) << 6;
            Some((high | u32::from(low & 0x3f), 3))
        }
        [0xf0, 0x80, middle @ (0x80 | 0x81), low @ 0x80..=0xbf, ..] => {
            Some(((u32::from(middle & 1) << 6) | u32::from(low & 0x3f), 4))
        }
        [
            0xf8,
            0x80,
            0x80,
            middle @ (0x80 | 0x81),
            low @ 0x80..=0xbf,
            ..,
        ] => Some(((u32::from(middle & 1) << 6) | u32::from(low & 0x3f), 5)),
        [
            0xfc,
            0x80,
            0x80,
            0x80,
            middle @ (0x80 | 0x81),
            low @ 0x80..=0xbf,
            ..,
        ] => Some(((u32::from(middle & 1) << 6) | u32::from(low & 0x3f), 6)),
        _ => None,
    }
}

enum Look {
    Own,
    Like(u8),
    Number(u32),
    Hidden,
}

/// The ASCII character a compatibility decomposition (NFKC) or a best-fit table turns a character into.
fn look_alike(char: char) -> Look {
    let code = u32::from(char);
    let like = |base: u8, offset: u32| {
        u8::try_from(u32::from(base) + offset).map_or(Look::Own, Look::Like)
    };
    match code {
        0xff01..=0xff5e => like(b'!', code - 0xff01),
        0x200b..=0x200f | 0x2060..=0x2064 | 0xfeff | 0xad | 0x180e | 0x202a..=0x202e => {
            Look::Hidden
        }
        0x3000 | 0xa0 | 0x2000..=0x200a | 0x202f | 0x205f | 0x1680 => Look::Like(b' '),
        0x2028 | 0x2029 | 0x85 | 0x560a => Look::Like(b'\n'),
        0x560d => Look::Like(b'\r'),
        0x560c | 0xfe64 => Look::Like(b'<'),
        0x560e | 0xfe65 => Look::Like(b'>'),
        0x2215 | 0x2044 | 0x29f8 => Look::Like(b'/'),
        0xf025 => Look::Like(b'/'),
        0xefc8 | 0x2216 | 0x29f5 | 0x29f9 | 0xfe68 => Look::Like(b'\\'),
        0x2024 | 0xfe52 | 0xff61 => Look::Like(b'.'),
        0x2032 | 0x02b9 | 0x02bc => Look::Like(b'\''),
        0x2033 | 0x02ba => Look::Like(b'"'),
        0xfe55 => Look::Like(b':'),
        0xfe54 => Look::Like(b';'),
        0xfe66 => Look::Like(b'='),
        0xfe59 => Look::Like(b'('),
        0xfe5a => Look::Like(b')'),
        0x212a => Look::Like(b'K'),
        0x17f => Look::Like(b's'),
        0x131 => Look::Like(b'i'),
        0x130 => Look::Like(b'I'),
        0x1d400..=0x1d6a3 => match (code - 0x1d400) % 52 {
            capital @ 0..=25 => like(b'A', capital),
            small => like(b'a', small - 26),
        },
        0x24b6..=0x24cf => like(b'A', code - 0x24b6),
        0x24d0..=0x24e9 => like(b'a', code - 0x24d0),
        0x2460..=0x2473 => Look::Number(code - 0x2460 + 1),
        0x24ea => Look::Number(0),
        _ => Look::Own,
    }
}
