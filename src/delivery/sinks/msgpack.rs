//! As much of MessagePack as the forward protocol needs: writing any JSON, reading a receiver's short answers.

use serde_json::Value;

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 8;

/// Appends text.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..32), _) => out.push(0xa0 | short),
        (Ok(short), _) => out.extend_from_slice(&[0xd9, short]),
        (_, Ok(medium)) => {
            out.push(0xda);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&long(length));
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// Appends bytes.
pub(super) fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(0xc6);
    out.extend_from_slice(&long(bytes.len()));
    out.extend_from_slice(bytes);
}

/// Begins a list of so many values.
pub(super) fn list(out: &mut Vec<u8>, items: usize) {
    header(out, items, 0x90, [0xdc, 0xdd]);
}

/// Begins a mapping of so many keys and values.
pub(super) fn map(out: &mut Vec<u8>, entries: usize) {
    header(out, entries, 0x80, [0xde, 0xdf]);
}

/// Appends a whole number.
pub(super) fn whole(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(small @ ..128) => out.push(small),
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Appends any JSON. As deep as the JSON, which its parser bounds.
pub(super) fn json(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => whole(out, number),
            (None, Some(number)) => {
                out.push(0xd3);
                out.extend_from_slice(&number.to_be_bytes());
            }
            (None, None) => {
                out.push(0xcb);
                let number = number.as_f64().unwrap_or_default();
                out.extend_from_slice(&number.to_be_bytes());
            }
        },
        Value::String(value) => text(out, value),
        Value::Array(items) => {
            list(out, items.len());
            for item in items {
                json(out, item);
            }
        }
        Value::Object(entries) => {
            map(out, entries.len());
            for (key, value) in entries {
                text(out, key);
                json(out, value);
            }
        }
    }
}

fn header(out: &mut Vec<u8>, count: usize, short: u8, longer: [u8; 2]) {
    let [medium, large] = longer;
    match (u8::try_from(count), u16::try_from(count)) {
        (Ok(count @ ..16), _) => out.push(short | count),
        (_, Ok(count)) => {
            out.push(medium);
            out.extend_from_slice(&count.to_be_bytes());
        }
        _ => {
            out.push(large);
            out.extend_from_slice(&long(count));
        }
    }
}

/// A length; batches are bounded far below what 32 bits count.
fn long(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Packed {
    Nil,
    Bool(bool),
    /// Of numbers only that they are: no answer's meaning depends on one.
    Number,
    /// Text or bytes: receivers mix the two.
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// The bytes end inside it.
    Short,
    /// It is none, or none that an answer would hold.
    Wrong,
}

impl Packed {
    /// The first value of some bytes, and how many of them it takes.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), Unread> {
        let mut reader = Reader { bytes, depth: 0 };
        let value = reader.value()?;
        Ok((value, bytes.len() - reader.bytes.len()))
    }

    /// Bytes as text.
    pub(super) fn as_text(&self) -> Option<&str> {
        self.as_bytes()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// A mapping's value.
    pub(super) fn entry(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let found = entries.iter().find(|(name, _)| name.as_text() == Some(key));
        found.map(|(_, value)| value)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    depth: usize,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Packed, Unread> {
        let [first] = self.take()?;
        let short = usize::from(first & 0x0f);
        Ok(match first {
            0x00..=0x7f | 0xe0..=0xff => Packed::Number,
            0x80..=0x8f => self.map(short)?,
            0x90..=0x9f => self.list(short)?,
            0xa0..=0xbf => self.run(usize::from(first & 0x1f))?,
            0xc0 => Packed::Nil,
            0xc2 | 0xc3 => Packed::Bool(first == 0xc3),
            0xc4 | 0xd9 => {
                let [length] = self.take()?;
                self.run(usize::from(length))?
            }
            0xc5 | 0xda => {
                let length = u16::from_be_bytes(self.take()?);
                self.run(usize::from(length))?
            }
            0xcc | 0xd0 => self.number::<1>()?,
            0xcd | 0xd1 => self.number::<2>()?,
            0xca | 0xce | 0xd2 => self.number::<4>()?,
            0xcb | 0xcf | 0xd3 => self.number::<8>()?,
            // Longer text, longer collections and extensions are in no answer.
            _ => return Err(Unread::Wrong),
        })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(Unread::Short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn number<const N: usize>(&mut self) -> Result<Packed, Unread> {
        self.take::<N>().map(|_| Packed::Number)
    }

    fn run(&mut self, length: usize) -> Result<Packed, Unread> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Unread::Short)?;
        self.bytes = rest;
        Ok(Packed::Bytes(taken.to_vec()))
    }

    fn list(&mut self, items: usize) -> Result<Packed, Unread> {
        self.deeper(|reader| (0..items).map(|_| reader.value()).collect())
            .map(Packed::List)
    }

    fn map(&mut self, entries: usize) -> Result<Packed, Unread> {
        self.deeper(|reader| {
            let entry = |_| Ok((reader.value()?, reader.value()?));
            (0..entries).map(entry).collect()
        })
        .map(Packed::Map)
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Unread>,
    ) -> Result<T, Unread> {
        if self.depth == DEPTH_MAX {
            return Err(Unread::Wrong);
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        json(&mut out, value);
        out
    }

    #[test]
    fn json_is_written_as_the_specification_of_messagepack_has_it() {
        let value =
            serde_json::json!({"a": [1, -2, 1.5, true, null], "b": "x".repeat(40), "n": 300});
        let mut expected = b"\x83\xa1a\x95\x01\xd3\xff\xff\xff\xff\xff\xff\xff\xfe\xcb\x3f\xf8\0\0\0\0\0\0\xc3\xc0".to_vec();
        expected.extend_from_slice(b"\xa1b\xd9\x28");
        expected.extend_from_slice(&[b'x'; 40]);
        expected.extend_from_slice(b"\xa1n\xcf\0\0\0\0\0\0\x01\x2c");
        assert_eq!(written(&value), expected);
    }

    #[test]
    fn lengths_take_the_form_they_need() {
        for (length, form) in [
            (31, 0xbf),
            (32, 0xd9),
            (255, 0xd9),
            (256, 0xda),
            (65_536, 0xdb),
        ] {
            let mut out = Vec::new();
            text(&mut out, &"x".repeat(length));
            assert_eq!(out[0], form, "{length}");
        }
        for (items, form) in [(15, 0x9f), (16, 0xdc), (65_536, 0xdd)] {
            let mut out = Vec::new();
            list(&mut out, items);
            assert_eq!(out[0], form, "{items}");
        }
    }

    proptest! {
        #[test]
        fn text_in_short_collections_is_read_back(texts in prop::collection::vec(".{0,300}", 0..15)) {
            let pairs: Vec<(Packed, Packed)> = texts
                .iter()
                .map(|text| (Packed::Bytes(text.clone().into_bytes()), Packed::Bool(true)))
                .collect();
            let mut out = Vec::new();
            map(&mut out, texts.len());
            for key in &texts {
                text(&mut out, key);
                json(&mut out, &Value::Bool(true));
            }
            let whole = out.len();
            prop_assert_eq!(Packed::read(&out), Ok((Packed::Map(pairs), whole)));
            for end in 0..whole {
                prop_assert_eq!(Packed::read(&out[..end]), Err(Unread::Short));
            }
        }

        #[test]
        fn any_bytes_are_a_value_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok((_, taken)) = Packed::read(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }
    }
}
