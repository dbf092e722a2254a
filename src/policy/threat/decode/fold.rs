//! Overlong UTF-8, look-alike letters, and characters that show nothing.

use icu_normalizer::DecomposingNormalizerBorrowed;

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
            Some(Look::Like(ascii)) => {
                out.push(ascii);
                changed = true;
            }
            _ => match char.filter(is_compatibility).and_then(ascii) {
                Some(letters) => {
                    out.extend_from_slice(&letters);
                    changed = true;
                }
                None => out.extend_from_slice(rest.get(..width).unwrap_or_default()),
            },
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
    Hidden,
}

/// Whether a character stands in a block of variants of others: letterlike signs, ligatures, superscripts, circled
/// and mathematical letters. Outside of them are the letters of languages, which are what they are.
fn is_compatibility(char: &char) -> bool {
    matches!(
        u32::from(*char),
        0xaa | 0xb2 | 0xb3 | 0xb9 | 0xba | 0xbc..=0xbe
            | 0x2b0..=0x2e4
            | 0x1d2c..=0x1dbf
            | 0x2010..=0x205e
            | 0x2070..=0x218f
            | 0x2460..=0x24ea
            | 0x2a74..=0x2a76
            | 0x3200..=0x33ff
            | 0xfb00..=0xfb06
            | 0xfb29
            | 0xfe10..=0xfe6b
            | 0xffe0..=0xffee
            | 0x1d400..=0x1d7ff
            | 0x1f100..=0x1f15a
    )
}

/// The ASCII that compatibility normalisation (NFKC) makes of a character, if it makes nothing else of it.
fn ascii(char: char) -> Option<Vec<u8>> {
    const NORMALIZER: DecomposingNormalizerBorrowed<'static> =
        DecomposingNormalizerBorrowed::new_nfkd();
    NORMALIZER
        .normalize_iter(std::iter::once(char))
        .map(|part| match look_alike(part) {
            Look::Like(byte) => Some(byte),
            _ => u8::try_from(part).ok().filter(u8::is_ascii),
        })
        .collect()
}

/// The ASCII character a best-fit table turns a character into, or a form's variant of it.
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
        _ => Look::Own,
    }
}
