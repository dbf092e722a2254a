//! Short words and what they mean, looked up without comparing them one by one.

/// Bytes of the longest word.
const LONGEST: usize = 16;

/// Words of at most [`LONGEST`] bytes in `SLOTS` places: a power of two, with room to spare.
///
/// Built by the compiler. A word is one number, so that a lookup is a multiplication and a comparison; most words that
/// are none of these are told by their first two letters, before that.
pub(super) struct Words<T, const SLOTS: usize> {
    slots: [Option<(u128, T)>; SLOTS],
    /// For each first letter the letters that come second, a bit each.
    starts: [u32; 32],
}

impl<T: Copy, const SLOTS: usize> Words<T, SLOTS> {
    /// The words of some lists, each list with what its words mean. They are in lower case, and none stands there twice.
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    pub(super) const fn new(lists: &[(&[&str], T)]) -> Self {
        let mut slots: [Option<(u128, T)>; SLOTS] = [None; SLOTS];
        let mut starts = [0; 32];
        let mut list = 0;
        while list < lists.len() {
            let (words, meaning) = lists[list];
            let mut index = 0;
            while index < words.len() {
                let (first, second) = start(words[index].as_bytes());
                starts[first] |= second;
                let packed = pack(words[index].as_bytes());
                let mut slot = place(packed) % SLOTS;
                while slots[slot].is_some() {
                    slot = (slot + 1) % SLOTS;
                }
                slots[slot] = Some((packed, meaning));
                index += 1;
            }
            list += 1;
        }
        Self { slots, starts }
    }

    /// What a word means, whatever its letter case.
    pub(super) fn meaning(&self, word: &[u8]) -> Option<T> {
        let (first, second) = start(word);
        let starts = self
            .starts
            .get(first)
            .is_some_and(|seconds| seconds & second != 0);
        if !starts || word.len() > LONGEST {
            return None;
        }
        let packed = pack(word);
        let mut slot = place(packed) % SLOTS;
        while let Some(Some((known, meaning))) = self.slots.get(slot) {
            if *known == packed {
                return Some(*meaning);
            }
            slot = (slot + 1) % SLOTS;
        }
        None
    }
}

/// The first letter of a word as a place, and the second as a bit, of either case.
const fn start(word: &[u8]) -> (usize, u32) {
    match word {
        [first, second, ..] => ((*first & 31) as usize, 1 << (*second & 31)),
        [first] => ((*first & 31) as usize, 1),
        [] => (0, 0),
    }
}

/// A word of at most [`LONGEST`] bytes as one number, its letters in lower case: setting their sixth bit turns capitals into small letters, and
/// nothing else into a letter.
const fn pack(word: &[u8]) -> u128 {
    let mut packed = 0;
    let mut rest = word;
    while let [byte, more @ ..] = rest {
        packed = packed << 8 | (*byte | 0x20) as u128;
        rest = more;
    }
    packed
}

/// Where a packed word belongs, before the number of places is known.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both halves are folded into one"
)]
const fn place(packed: u128) -> usize {
    let folded = (packed >> 64) as u64 ^ packed as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    static FRUIT: Words<u8, 16> = Words::new(&[(&["apple", "pear", "fig"], 1), (&["nut"], 2)]);

    #[test]
    fn words_are_found_in_any_case_and_nothing_else_is() {
        for (word, meaning) in [
            ("apple", Some(1)),
            ("PEAR", Some(1)),
            ("nUt", Some(2)),
            ("", None),
            ("appl", None),
            ("apples", None),
            ("a word that is longer than any", None),
        ] {
            assert_eq!(FRUIT.meaning(word.as_bytes()), meaning, "{word}");
        }
    }
}
