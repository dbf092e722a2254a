//! What this thread read lately and need not read again: clients send the same statements and headers all day.
//!
//! A memo changes no answer: it is asked with the whole text and holds only what reading that text gave. It is
//! bounded by [`SLOTS`] and [`TEXT_BYTES_MAX`], and nothing enters it that was not met twice, so that texts which
//! never come again neither pay for it nor push out those that do.

/// Texts remembered by one memo; a newer one takes the place of an older one.
const SLOTS: usize = 256;

/// Longer texts are not remembered.
const TEXT_BYTES_MAX: usize = 4_096;

/// Values by the texts they were made of, within a scope: such as a header's name, or the rules in force.
pub(crate) struct Memo<T>(Vec<Slot<T>>);

struct Slot<T> {
    /// Of the text that asked last for this slot.
    hash: u64,
    kept: Option<(u64, Box<[u8]>, T)>,
}

impl<T> Memo<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// What was kept of a text.
    pub(crate) fn recall(&self, scope: u64, text: &[u8]) -> Option<&T> {
        let slot = self.0.get(place(hash(scope, text)))?;
        match &slot.kept {
            Some((of, known, value)) if *of == scope && **known == *text => Some(value),
            _ => None,
        }
    }

    /// Keeps a value from the second time on that its text asks for it.
    pub(crate) fn keep(&mut self, scope: u64, text: &[u8], value: impl FnOnce() -> T) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        if self.0.is_empty() {
            let free = || Slot {
                hash: 0,
                kept: None,
            };
            self.0.resize_with(SLOTS, free);
        }
        let hash = hash(scope, text);
        let Some(slot) = self.0.get_mut(place(hash)) else {
            return;
        };
        if slot.hash == hash {
            slot.kept = Some((scope, text.into(), value()));
        }
        slot.hash = hash;
    }
}

/// The slot of a hash: its upper bits, which every byte has reached.
fn place(hash: u64) -> usize {
    usize::try_from(hash >> 56).unwrap_or(0)
}

/// Spreads texts over the slots. Texts are compared whole, so a collision costs time and nothing else.
fn hash(scope: u64, text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = text.as_chunks::<8>();
    let hash = words.iter().fold(mix(scope, 1), |hash, word| {
        mix(hash, u64::from_le_bytes(*word))
    });
    let tail = rest.iter().fold(1, |tail, b| tail << 8 | u64::from(*b));
    mix(hash, tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_from_the_second_time_on_and_only_in_its_scope() {
        let mut memo = Memo::new();
        memo.keep(1, b"RETURN 1", || 7);
        assert_eq!(memo.recall(1, b"RETURN 1"), None);
        memo.keep(1, b"RETURN 1", || 7);
        assert_eq!(memo.recall(1, b"RETURN 1"), Some(&7));
        assert_eq!(memo.recall(2, b"RETURN 1"), None);
        assert_eq!(memo.recall(1, b"RETURN 2"), None);
    }

    #[test]
    fn texts_that_come_once_push_out_none_that_came_twice() {
        let mut memo = Memo::new();
        memo.keep(0, b"often", || ());
        memo.keep(0, b"often", || ());
        for n in 0..10_000_u32 {
            memo.keep(0, &n.to_le_bytes(), || ());
        }
        assert!(memo.recall(0, b"often").is_some());
        assert_eq!(memo.0.len(), SLOTS);
    }

    #[test]
    fn long_texts_are_not_kept() {
        let mut memo = Memo::new();
        let text = vec![b'a'; TEXT_BYTES_MAX + 1];
        memo.keep(0, &text, || ());
        memo.keep(0, &text, || ());
        assert!(memo.recall(0, &text).is_none());
    }
}
