//! Tells regular expressions that a backtracking matcher may take exponential time for from those it may not.
//!
//! What takes long is a repeated group that can read one text in two ways: it repeats inside, or two of its branches
//! begin alike, and no sign says where one round ends and the next begins. A group such as `(\.[0-9]+)*` begins each
//! round with what nothing in it repeats, and is harmless. Where that cannot be told, a group is taken for ambiguous.

/// Groups that nest deeper are not told apart.
const DEPTH_MAX: u32 = 24;

/// Rounds of a group without open repetition that cost nothing.
const FEW_ROUNDS_MAX: u32 = 10;

/// Whether a pattern, as a literal spells it, may take exponential time.
pub(super) fn repeats_repetition(pattern: &[u8]) -> bool {
    let mut reader = Reader {
        pattern,
        at: 0,
        folds: folds_case(pattern),
        found: false,
    };
    while reader.at < pattern.len() && !reader.found {
        reader.branches(0);
        // A bracket that closes nothing.
        reader.at += 1;
    }
    reader.found
}

/// Whether `(?i)` or the like stands in a pattern.
fn folds_case(pattern: &[u8]) -> bool {
    memchr::memmem::find_iter(pattern, b"(?").any(|at| {
        let flags = pattern.get(at + 2..).unwrap_or_default();
        flags
            .iter()
            .take_while(|b| b.is_ascii_alphabetic())
            .any(|b| *b == b'i')
    })
}

/// Bytes that an atom reads; all beyond ASCII are one.
#[derive(Clone, Copy, Default)]
struct Set {
    ascii: u128,
    high: bool,
}

impl Set {
    const ALL: Self = Self {
        ascii: u128::MAX,
        high: true,
    };

    const DIGITS: Self = Self::from_to(b'0', b'9');

    const WORD: Self = Self::DIGITS
        .with(Self::from_to(b'A', b'Z'))
        .with(Self::from_to(b'a', b'z'))
        .with(Self::from_to(b'_', b'_'));

    const BLANKS: Self = Self::from_to(b'\t', b'\r').with(Self::from_to(b' ', b' '));

    fn of(byte: u8) -> Self {
        Self::from_to(byte, byte)
    }

    const fn from_to(first: u8, last: u8) -> Self {
        let high = last >= 0x80;
        let from = if first < 0x80 { u128::MAX << first } else { 0 };
        let to = if high {
            u128::MAX
        } else {
            u128::MAX >> (0x7f - last)
        };
        Self {
            ascii: from & to,
            high,
        }
    }

    const fn with(self, other: Self) -> Self {
        Self {
            ascii: self.ascii | other.ascii,
            high: self.high || other.high,
        }
    }

    fn not(self) -> Self {
        Self {
            ascii: !self.ascii,
            high: !self.high,
        }
    }

    fn is_empty(self) -> bool {
        self.ascii == 0 && !self.high
    }

    fn meets(self, other: Self) -> bool {
        self.ascii & other.ascii != 0 || self.high && other.high
    }

    /// Letters of both cases where there is one of either.
    fn folded(self) -> Self {
        let upper = Self::from_to(b'A', b'Z').ascii;
        let lower = Self::from_to(b'a', b'z').ascii;
        let ascii = self.ascii | (self.ascii & upper) << 32 | (self.ascii & lower) >> 32;
        Self { ascii, ..self }
    }
}

/// What is known of a part of a pattern.
#[derive(Clone, Copy, Default)]
struct Part {
    /// What it may begin with.
    first: Set,
    /// What it reads anywhere.
    any: Set,
    /// What may stand in it once or more, or not at all.
    repeated: Set,
    /// Of that, what nothing else ends before the part does.
    trailing: Set,
    /// Something in it is repeated.
    repeats: bool,
    /// Something in it is repeated without an end.
    endless: bool,
    /// It may read nothing.
    nullable: bool,
    /// One text may be read in two ways, or that cannot be told.
    ambiguous: bool,
    /// It begins or ends with one sign that stands nowhere else in it.
    separated: bool,
    /// It is one byte or class.
    single: bool,
}

impl Part {
    fn single(set: Set) -> Self {
        Self {
            first: set,
            any: set,
            single: true,
            ..Self::default()
        }
    }

    fn nothing() -> Self {
        Self {
            nullable: true,
            ..Self::default()
        }
    }

    /// Whether rounds of it can be told from one another.
    fn is_told_apart(self) -> bool {
        !self.ambiguous
            && (!self.repeats
                || self.separated
                || !self.nullable && !self.first.meets(self.repeated))
    }

    fn then(self, next: Self) -> Self {
        let ended = !next.nullable && !next.any.meets(self.trailing);
        let trailing = if ended { Set::default() } else { self.trailing };
        Self {
            first: if self.nullable {
                self.first.with(next.first)
            } else {
                self.first
            },
            any: self.any.with(next.any),
            repeated: self.repeated.with(next.repeated),
            trailing: trailing.with(next.trailing),
            repeats: self.repeats || next.repeats,
            endless: self.endless || next.endless,
            nullable: self.nullable && next.nullable,
            ambiguous: self.ambiguous || next.ambiguous || self.trailing.meets(next.repeated),
            separated: false,
            single: false,
        }
    }

    fn or(self, other: Self) -> Self {
        let alike = self.first.meets(other.first) || self.nullable || other.nullable;
        Self {
            first: self.first.with(other.first),
            any: self.any.with(other.any),
            repeated: self.repeated.with(other.repeated),
            trailing: self.trailing.with(other.trailing),
            repeats: self.repeats || other.repeats,
            endless: self.endless || other.endless,
            nullable: self.nullable || other.nullable,
            ambiguous: self.ambiguous || other.ambiguous || alike,
            separated: false,
            single: false,
        }
    }
}

struct Reader<'p> {
    pattern: &'p [u8],
    at: usize,
    folds: bool,
    found: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Up to the closing bracket, or to the end.
    fn branches(&mut self, depth: u32) -> Part {
        let mut whole = self.sequence(depth);
        while self.takes(b'|') {
            whole = whole.or(self.sequence(depth));
        }
        whole
    }

    fn sequence(&mut self, depth: u32) -> Part {
        let mut whole = Part::nothing();
        let (mut head, mut tail) = (None, None);
        let (mut after_head, mut before_tail) = (Set::default(), Set::default());
        while self.peek().is_some_and(|b| b != b'|' && b != b')') && !self.found {
            let part = self.quantified(depth);
            if part.nullable && part.any.is_empty() {
                continue;
            }
            if head.is_none() {
                head = Some(part);
            } else {
                after_head = after_head.with(part.any);
            }
            before_tail = whole.any;
            tail = Some(part);
            whole = whole.then(part);
        }
        let apart = |end: Option<Part>, rest: Set| {
            end.is_some_and(|part| part.single && !part.any.meets(rest))
        };
        whole.separated = apart(head, after_head) || apart(tail, before_tail);
        whole
    }

    /// One atom and how often it stands.
    fn quantified(&mut self, depth: u32) -> Part {
        let mut part = self.atom(depth);
        let Some((least, most)) = self.rounds() else {
            return part;
        };
        let repeats = most.is_none_or(|most| most > 1);
        let few = most.is_some_and(|most| most <= FEW_ROUNDS_MAX) && !part.endless;
        self.found |= repeats && !few && !part.is_told_apart();
        let fixed = most == Some(least);
        if !fixed {
            part.repeated = part.any;
            part.trailing = part.any;
        }
        part.repeats |= repeats;
        part.endless |= most.is_none();
        part.nullable |= least == 0;
        part.single &= !repeats && least > 0;
        part
    }

    /// The least and the most rounds that a quantifier asks for.
    fn rounds(&mut self) -> Option<(u32, Option<u32>)> {
        let rounds = match self.peek()? {
            b'*' => (0, None),
            b'+' => (1, None),
            b'?' => (0, Some(1)),
            b'{' => return self.counted(),
            _ => return None,
        };
        self.at += 1;
        self.manner();
        Some(rounds)
    }

    fn counted(&mut self) -> Option<(u32, Option<u32>)> {
        let rest = self.pattern.get(self.at + 1..)?;
        let end = memchr::memchr(b'}', rest.get(..rest.len().min(16))?)?;
        let text = std::str::from_utf8(rest.get(..end)?).ok()?;
        let (least, most) = text.split_once(',').unwrap_or((text, text));
        let least = least.trim().parse().ok()?;
        let most = most.trim();
        let most = if most.is_empty() {
            None
        } else {
            Some(most.parse().ok()?)
        };
        self.at += end + 2;
        self.manner();
        Some((least, most))
    }

    /// Reluctant or possessive: it makes no difference here.
    fn manner(&mut self) {
        let _ = self.takes(b'?') || self.takes(b'+');
    }

    fn atom(&mut self, depth: u32) -> Part {
        let byte = self.peek().unwrap_or(0);
        self.at += 1;
        match byte {
            b'(' => self.group(depth + 1),
            b'[' => Part::single(self.class()),
            b'\\' => self.escape(),
            b'.' => Part::single(Set::ALL),
            b'^' | b'$' => Part::nothing(),
            byte => Part::single(self.fold(Set::of(byte))),
        }
    }

    fn fold(&self, set: Set) -> Set {
        if self.folds { set.folded() } else { set }
    }

    fn group(&mut self, depth: u32) -> Part {
        if depth > DEPTH_MAX {
            self.found = true;
            return Part::nothing();
        }
        if self.takes(b'?') {
            let rest = self.pattern.get(self.at..).unwrap_or_default();
            let width = rest
                .iter()
                .position(|b| matches!(b, b':' | b'=' | b'!' | b'>' | b')'));
            self.at += width.unwrap_or(rest.len());
            if self.takes(b')') {
                return Part::nothing();
            }
            self.at += 1;
        }
        let part = self.branches(depth);
        self.at += 1;
        part
    }

    /// The rest of `[…]`. One that holds another is not read.
    fn class(&mut self) -> Set {
        let negated = self.takes(b'^');
        let mut set = Set::default();
        let mut begins = true;
        let mut nested = false;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b']' if !begins => break,
                b'[' | b'&' => nested = true,
                b'\\' => set = set.with(self.escape().any),
                first => {
                    let last = match self.pattern.get(self.at..self.at + 2) {
                        Some([b'-', last]) if !matches!(last, b']' | b'\\' | b'[') => {
                            self.at += 2;
                            *last
                        }
                        _ => first,
                    };
                    set = set.with(Set::from_to(first, last));
                }
            }
            begins = false;
        }
        let set = self.fold(set);
        match (nested, negated) {
            (true, _) => Set::ALL,
            (_, true) => set.not(),
            _ => set,
        }
    }

    /// What follows a backslash, which a literal may spell twice.
    fn escape(&mut self) -> Part {
        let more = self.pattern.get(self.at..).unwrap_or_default();
        let more = more.iter().take_while(|b| **b == b'\\').count();
        if more > 1 {
            self.at += more;
            return Part::single(Set::of(b'\\'));
        }
        self.at += more;
        let byte = self.peek().unwrap_or(0);
        self.at += 1;
        Part::single(match byte {
            b'd' => Set::DIGITS,
            b'D' => Set::DIGITS.not(),
            b'w' => Set::WORD,
            b'W' => Set::WORD.not(),
            b's' => Set::BLANKS,
            b'S' => Set::BLANKS.not(),
            b'b' | b'B' | b'A' | b'z' | b'Z' | b'G' => return Part::nothing(),
            b't' | b'n' | b'r' | b'f' => Set::BLANKS,
            byte if byte.is_ascii_alphanumeric() => Set::ALL,
            byte => Set::of(byte),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounds_that_cannot_be_told_apart_are_found() {
        for pattern in [
            "(a+)+",
            "(a|aa)+",
            r"(\w|\d)+",
            "(.*a){25}",
            "([a-z]+)*$",
            r"(\\w+\\s?)*",
            "((ab)*c?)*",
            "(a*)*",
            "(a|)+",
            "(-a+a?)*",
            "(?i)(A[a-z]+)*",
            "(?:a+){2,}",
            r"(\.[0-9]+[0-9]*)*",
            "(x+x+)+y",
            r"([^.]+\.?)+",
            "x(b(c+)+)",
            "(a+ba+)*",
            r"(\.a*ba?[ab]*)*",
            "((a{1,3}))+",
            &"(".repeat(40),
        ] {
            assert!(repeats_repetition(pattern.as_bytes()), "{pattern}");
        }
    }

    #[test]
    fn rounds_that_a_sign_tells_apart_are_left_alone() {
        for pattern in [
            r"[0-9]+(\.[0-9]+)*",
            r"[0-9]+(\\.[0-9]+)*",
            r"(\w+\.)+com",
            "[a-z]+(-[a-z]+)*",
            "(a|b)+",
            "(foo|bar)*",
            "([0-9]{1,3}[.]){3}[0-9]{1,3}",
            "([A-Z][a-z]+)+",
            r"(?:[^,]*,)*x",
            "(ab)+",
            "(a{1}b)+",
            "(?i)ab+c.*",
            r"^(\(|\))*$",
            r"([^\]]+\])*",
            r"(\s*\w+\s*,)*x",
            r"(\.a+ba+)*",
            "a)b+c",
        ] {
            assert!(!repeats_repetition(pattern.as_bytes()), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(parts in proptest::collection::vec(proptest::sample::select(vec![
            "a", "(", ")", "[", "]", "^", "-", "+", "*", "?", "{", "2,", "}", "|", "\\", "d", ".", "(?", ":", "\u{e9}",
        ]), 0..40)) {
            repeats_repetition(parts.concat().as_bytes());
        }
    }
}
