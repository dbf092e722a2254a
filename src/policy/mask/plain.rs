//! A text with a layer of disguise undone, every byte of which knows where it came from.

use std::ops::Range;

/// Bytes, and for each of them, and for the end, where it begins in the first text.
pub(super) struct Plain {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Plain {
    /// The text as it is.
    pub(super) fn of(text: &[u8]) -> Self {
        Self {
            bytes: text.to_vec(),
            starts: (0..=text.len()).collect(),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where a part of it stands in the first text.
    pub(super) fn source(&self, part: Range<usize>) -> Range<usize> {
        let start = |at: usize| {
            self.starts
                .get(at)
                .or_else(|| self.starts.last())
                .copied()
                .unwrap_or_default()
        };
        let from = start(part.start);
        // Bytes of one escape begin at one place, so the end is that of the last of them.
        let last = start(part.end.saturating_sub(1));
        let after = self.starts.get(part.end..).unwrap_or_default();
        let to = after.iter().find(|start| **start > last).copied();
        from..to.unwrap_or_else(|| start(part.end))
    }

    /// With one more layer undone; `None` when there is none.
    pub(super) fn undone(&self) -> Option<Self> {
        let mut next = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            starts: Vec::with_capacity(self.starts.len()),
        };
        let (mut at, mut changed) = (0, false);
        while let Some(byte) = self.bytes.get(at) {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let (character, width) = escape(rest).unwrap_or((Character::Byte(*byte), 1));
            changed |= width > 1;
            let start = self.starts.get(at).copied().unwrap_or_default();
            match character {
                Character::Byte(byte) => next.push(byte, start),
                Character::Char(c) => {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        next.push(byte, start);
                    }
                }
            }
            at += width;
        }
        next.starts.extend(self.starts.last());
        changed.then_some(next)
    }

    fn push(&mut self, byte: u8, start: usize) {
        self.bytes.push(byte);
        self.starts.push(start);
    }
}

enum Character {
    Byte(u8),
    Char(char),
}

/// The escape a text begins with: what it means and how long it is.
fn escape(rest: &[u8]) -> Option<(Character, usize)> {
    match rest {
        [b'%', b'u', ..] => unicode(rest, 2, 4),
        [b'%', ..] => Some((Character::Byte(byte(rest.get(1..3)?)?), 3)),
        [b'\\', b'u', b'{', ..] => {
            let end = rest.iter().take(10).position(|byte| *byte == b'}')?;
            Some((Character::Char(code(rest.get(3..end)?)?), end + 1))
        }
        [b'\\', b'u', ..] => unicode(rest, 2, 4),
        [b'\\', b'x', ..] => Some((Character::Byte(byte(rest.get(2..4)?)?), 4)),
        [b'\\', sign, ..] => Some((
            Character::Byte(match sign {
                b'n' | b'r' => b'\n',
                b't' | b'b' | b'f' => b' ',
                sign if sign.is_ascii_punctuation() => *sign,
                _ => return None,
            }),
            2,
        )),
        [b'&', b'#', b'x' | b'X', ..] => entity(rest, 3, 16),
        [b'&', b'#', ..] => entity(rest, 2, 10),
        [b'&', ..] => NAMED.iter().find_map(|(name, sign)| {
            let is = rest.get(..name.len()) == Some(name);
            is.then_some((Character::Byte(*sign), name.len()))
        }),
        _ => None,
    }
}

const NAMED: [(&[u8], u8); 11] = [
    (b"&quot;", b'"'),
    (b"&apos;", b'\''),
    (b"&amp;", b'&'),
    (b"&lt;", b'<'),
    (b"&gt;", b'>'),
    (b"&commat;", b'@'),
    (b"&lowbar;", b'_'),
    (b"&period;", b'.'),
    (b"&equals;", b'='),
    (b"&colon;", b':'),
    (b"&nbsp;", b' '),
];

fn byte(digits: &[u8]) -> Option<u8> {
    u8::try_from(u32::from(code(digits)?)).ok()
}

fn code(digits: &[u8]) -> Option<char> {
    number(digits, 16)
}

fn number(digits: &[u8], radix: u32) -> Option<char> {
    digits
        .iter()
        .all(|digit| char::from(*digit).is_digit(radix))
        .then_some(())?;
    char::from_u32(u32::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()?)
}

fn unicode(rest: &[u8], from: usize, digits: usize) -> Option<(Character, usize)> {
    let written = rest.get(from..from + digits)?;
    written.iter().all(u8::is_ascii_hexdigit).then_some(())?;
    // Halves of a pair are no letter of a name or a key.
    let meant = code(written).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((Character::Char(meant), from + digits))
}

/// `&#64;` and `&#x40;`, with or without the semicolon.
fn entity(rest: &[u8], from: usize, radix: u32) -> Option<(Character, usize)> {
    let digits = rest.get(from..)?;
    let length = digits
        .iter()
        .take(8)
        .take_while(|digit| char::from(**digit).is_digit(radix))
        .count();
    let meant = number(digits.get(..length)?, radix)?;
    let closed = usize::from(digits.get(length) == Some(&b';'));
    Some((Character::Char(meant), from + length + closed))
}
