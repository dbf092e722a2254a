//! What stands at a digit: a phrase of grouped digits, or a word of letters and digits.

use super::hint::{self, Hints};
use super::{Kind, Note, closes, iban, national, opens, phone, word_end};

/// Groups of digits read as one phrase; more begin another.
const GROUPS_MAX: usize = 12;
/// Digits of the longest number looked for.
const DIGITS_MAX: usize = 24;
/// Whether digits are a number of some kind.
type Check = fn(&[u8]) -> bool;

/// Numbers of fewer digits are nobody's.
const DIGITS_MIN: usize = 7;

/// Looks at the first digit after `from`; where to go on, which is behind it.
pub(super) fn at(text: &[u8], from: usize, digit: usize, noted: &mut impl Note) -> usize {
    let before = text.get(from..digit).unwrap_or_default();
    let end = phrase_end(text, digit);
    if end - digit < DIGITS_MIN && !before.last().is_some_and(u8::is_ascii_alphabetic) {
        return word_end(text, end);
    }
    let letters = before
        .iter()
        .rev()
        .take(GROUPS_MAX)
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    if letters > 0 {
        return word(text, digit - letters, letters, noted);
    }
    if let Some(begin) = digit.checked_sub(3).filter(|begin| *begin >= from)
        && text.get(digit - 1) == Some(&b' ')
        && let Some(end) = british(text, begin).filter(|_| opens(text, begin))
    {
        noted.note(Kind::UkNino, begin..end);
        return end;
    }
    if !opens(text, digit) {
        return word_end(text, digit);
    }
    look_at(&Phrase::read(text, digit), noted);
    // A number that goes on in letters is no number: its word is passed over whole.
    word_end(text, end)
}

/// Where the phrase that begins with a digit ends.
fn phrase_end(text: &[u8], digit: usize) -> usize {
    let mut end = digits_end(text, digit);
    for _ in 1..GROUPS_MAX {
        let Some((_, width)) = separation(text.get(end..).unwrap_or_default()) else {
            break;
        };
        end = digits_end(text, end + width);
    }
    end
}

fn digits_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| !byte.is_ascii_digit());
    at + length.unwrap_or(rest.len())
}

/// A word that begins with letters.
fn word(text: &[u8], at: usize, letters: usize, noted: &mut impl Note) -> usize {
    let end = word_end(text, at);
    if !opens(text, at) {
        return end;
    }
    let found = match letters {
        1 => spanish(text, at).map(|end| (Kind::EsDni, end)),
        2 => iban::end(text, at)
            .map(|end| (Kind::Iban, end))
            .or_else(|| british(text, at).map(|end| (Kind::UkNino, end))),
        6 => (text.get(at..end).is_some_and(national::it_fiscal_code) && closes(text, end))
            .then_some((Kind::ItFiscalCode, end)),
        _ => None,
    };
    match found {
        Some((kind, end)) => {
            noted.note(kind, at..end);
            end
        }
        None => end,
    }
}

/// A letter, seven digits and a letter, where a word says what it is.
fn spanish(text: &[u8], at: usize) -> Option<usize> {
    let [first, digits @ .., last] = text.get(at..)?.first_chunk::<9>()?;
    let is = digits.iter().all(u8::is_ascii_digit)
        && closes(text, at + 9)
        && national::es_dni(Some(*first), digits, *last)
        && hint::before(text, at).say(hint::DNI);
    is.then_some(at + 9)
}

/// `AB123456C` or `AB 12 34 56 C`.
fn british(text: &[u8], at: usize) -> Option<usize> {
    let letters = *text.get(at..)?.first_chunk::<2>()?;
    let blank = |end: usize| usize::from(text.get(end) == Some(&b' '));
    let mut end = at + 2;
    for _ in 0..3 {
        end += blank(end);
        let pair = text.get(end..end + 2)?;
        pair.iter().all(u8::is_ascii_digit).then_some(())?;
        end += 2;
    }
    end += blank(end);
    let suffix = *text.get(end)?;
    (national::uk_nino(letters, suffix) && closes(text, end + 1)).then_some(end + 1)
}

/// Notes what a phrase holds, group by group.
fn look_at(phrase: &Phrase<'_>, noted: &mut impl Note) {
    let mut from = 0;
    let mut digits: usize = phrase.groups().iter().map(|group| group.len()).sum();
    while digits >= DIGITS_MIN {
        let groups = match recognise(phrase, from) {
            Some((kind, groups)) => {
                let last = from + groups.max(1) - 1;
                noted.note(kind, phrase.place(from).0..phrase.place(last).1);
                groups.max(1)
            }
            None => 1,
        };
        let seen = phrase.groups().iter().skip(from).take(groups);
        digits -= seen.map(|group| group.len()).sum::<usize>();
        from += groups;
    }
}

/// What begins with a group, and how many groups it takes. What can be told by its form alone comes first.
fn recognise(phrase: &Phrase<'_>, from: usize) -> Option<(Kind, usize)> {
    if from == 0
        && phrase.has_plus()
        && let Some(groups) = phone::international(phrase)
    {
        return Some((Kind::Phone, groups));
    }
    let lengths = phrase.lengths::<7>(from);
    let by_form = match lengths {
        [4, 4, 4, 4, ..] | [4, 6, 4 | 5, ..] => {
            grouped_card(phrase, from).map(|groups| (Kind::PaymentCard, groups))
        }
        [3, 2, 4, ..] => (phrase.is_written(from, 3, b"-")
            && national::us_ssn(phrase.digits(from, 3).as_slice()))
        .then_some((Kind::UsSsn, 3)),
        [2, 3, 3, 3, ..] => (phrase.is_written(from, 4, b" ")
            && national::de_tax_id(phrase.digits(from, 4).as_slice()))
        .then_some((Kind::DeTaxId, 4)),
        [1, 2, 2, 2, 3, 3, 2] => (phrase.is_written(from, 7, b" -.")
            && national::fr_nir(phrase.digits(from, 7).as_slice()))
        .then_some((Kind::FrNir, 7)),
        [3, 3, 3, 2, ..] => {
            let dotted = [b'.', b'.', b'-'].iter().zip(1..);
            (dotted
                .into_iter()
                .all(|(sign, next)| phrase.separator(from + next) == *sign)
                && national::br_cpf(phrase.digits(from, 4).as_slice()))
            .then_some((Kind::BrCpf, 4))
        }
        _ => None,
    };
    by_form
        .or_else(|| Some((Kind::Phone, phone::national(phrase, from, &lengths)?)))
        .or_else(|| in_one_piece(phrase, from))
        .or_else(|| named_phone(phrase, from))
}

/// `4111 1111 1111 1111` and the groupings of other brands.
fn grouped_card(phrase: &Phrase<'_>, from: usize) -> Option<usize> {
    let groups = match phrase.lengths(from) {
        [4, 4, 4, 4, 3] => 5,
        [4, 4, 4, 4, _] => 4,
        _ => 3,
    };
    // Blanks also stand before and after a number, dashes only within it.
    let written = phrase.is_uniform(from, groups)
        && match phrase.separator(from + 1) {
            b' ' => true,
            b'-' => phrase.stands_alone(from, groups),
            _ => false,
        };
    (written && is_card(phrase.digits(from, groups).as_slice())).then_some(groups)
}

/// A number without separators. Most are nobody's, so a word before it must say otherwise; only numbers whose
/// check leaves hardly any chance speak for themselves.
fn in_one_piece(phrase: &Phrase<'_>, from: usize) -> Option<(Kind, usize)> {
    let length = phrase.groups().get(from)?.len();
    if !(8..=19).contains(&length) || !phrase.is_apart(from) {
        return None;
    }
    let number = phrase.digits(from, 1);
    let number = number.as_slice();
    let after = phrase.byte_after(from);
    if let (8, Some(letter)) = (number.len(), after)
        && letter.is_ascii_uppercase()
    {
        let is = national::es_dni(None, number, letter) && phrase.hints(from).say(hint::DNI);
        return is.then_some((Kind::EsDni, 1));
    }
    if !phrase.is_closed(from) {
        return None;
    }
    let says = |what: Hints| phrase.hints(from).say(what);
    let card =
        is_card(number) && (says(hint::CARD) || phrase.is_quoted(from) && !says(hint::THING));
    if card {
        return Some((Kind::PaymentCard, 1));
    }
    let named: [(Kind, Option<Hints>, Check); 6] = [
        (Kind::FrNir, None, national::fr_nir),
        (Kind::UsSsn, Some(hint::SSN), national::us_ssn),
        (Kind::DeTaxId, Some(hint::TAX), national::de_tax_id),
        (Kind::NlBsn, Some(hint::BSN), national::nl_bsn),
        (Kind::PlPesel, Some(hint::PESEL), national::pl_pesel),
        (Kind::BrCpf, Some(hint::CPF), national::br_cpf),
    ];
    let found = named
        .into_iter()
        .find(|(_, hint, checks)| checks(number) && hint.is_none_or(says));
    found.map(|(kind, ..)| (kind, 1))
}

/// Digits in any grouping that a word calls a telephone number.
fn named_phone(phrase: &Phrase<'_>, from: usize) -> Option<(Kind, usize)> {
    if from > 0 {
        return None;
    }
    let groups = phrase.groups().len();
    let digits: usize = phrase.groups().iter().map(|group| group.len()).sum();
    let date = matches!(phrase.lengths(0), [4, 2, 2, 0] | [2, 2, 4, 0]);
    if !(DIGITS_MIN..=15).contains(&digits) || date || !phrase.is_closed(groups - 1) {
        return None;
    }
    let hints = phrase.hints(0);
    (hints.say(hint::PHONE) && !hints.say(hint::THING)).then_some((Kind::Phone, groups))
}

/// A number with the prefix and length of a brand whose last digit checks (ISO/IEC 7812, Luhn).
pub(super) fn is_card(digits: &[u8]) -> bool {
    let prefix = |length: usize| {
        let digits = digits.get(..length).unwrap_or_default();
        digits
            .iter()
            .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit & 0x0f))
    };
    let brand = match digits.len() {
        14 => matches!(prefix(3), 300..=305 | 309 | 360..=369 | 380..=399),
        15 => matches!(prefix(2), 34 | 37),
        16 => {
            matches!(prefix(1), 4)
                || matches!(prefix(2), 51..=55 | 62 | 65)
                || matches!(prefix(3), 644..=649)
                || matches!(prefix(4), 2221..=2720 | 3528..=3589 | 6011)
        }
        19 => matches!(prefix(2), 62),
        _ => false,
    };
    brand && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| {
            let digit = u32::from(digit & 0x0f);
            match (index % 2, digit) {
                (0, digit) => digit,
                (_, 9) => 9,
                (_, digit) => digit * 2 % 9,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Digits in groups, such as `(212) 555-0123`: one or two separators between two groups, none else.
pub(super) struct Phrase<'t> {
    text: &'t [u8],
    begin: usize,
    groups: [Group; GROUPS_MAX],
    count: usize,
}

/// Where a group stands, and what separates it from the one before.
#[derive(Clone, Copy, Default)]
pub(super) struct Group {
    /// Bytes from the phrase's begin.
    from: u32,
    /// A longer one is told as 255 digits long, which is too long for anything.
    length: u8,
    separator: u8,
}

impl Group {
    pub(super) fn len(self) -> usize {
        usize::from(self.length)
    }
}

/// Up to [`DIGITS_MAX`] digits; longer numbers are cut, and are none that is looked for.
pub(super) struct Digits {
    digits: [u8; DIGITS_MAX],
    count: usize,
}

impl Digits {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }
}

impl<'t> Phrase<'t> {
    fn read(text: &'t [u8], begin: usize) -> Self {
        let mut phrase = Self {
            text,
            begin,
            groups: [Group::default(); GROUPS_MAX],
            count: 0,
        };
        let (mut from, mut separator) = (begin, 0);
        for group in &mut phrase.groups {
            let to = digits_end(text, from);
            *group = Group {
                from: u32::try_from(from - begin).unwrap_or(u32::MAX),
                length: u8::try_from(to - from).unwrap_or(u8::MAX),
                separator,
            };
            phrase.count += 1;
            let Some((sign, width)) = separation(text.get(to..).unwrap_or_default()) else {
                break;
            };
            (from, separator) = (to + width, sign);
        }
        phrase
    }

    pub(super) fn groups(&self) -> &[Group] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    /// Where a group begins and ends in the text.
    fn place(&self, group: usize) -> (usize, usize) {
        let group = self.groups().get(group).copied().unwrap_or_default();
        let from = self.begin + usize::try_from(group.from).unwrap_or(usize::MAX);
        (from, from + group.len())
    }

    /// The lengths of groups; 0 where there is none.
    pub(super) fn lengths<const N: usize>(&self, from: usize) -> [u8; N] {
        let mut lengths = [0; N];
        let groups = self.groups().get(from..).unwrap_or_default();
        for (length, group) in lengths.iter_mut().zip(groups) {
            *length = group.length;
        }
        lengths
    }

    /// The digits of groups, joined.
    pub(super) fn digits(&self, from: usize, groups: usize) -> Digits {
        let mut joined = Digits {
            digits: [0; DIGITS_MAX],
            count: 0,
        };
        for group in from..from + groups {
            let (from, to) = self.place(group);
            for digit in self.text.get(from..to).unwrap_or_default() {
                let Some(free) = joined.digits.get_mut(joined.count) else {
                    return joined;
                };
                *free = *digit;
                joined.count += 1;
            }
        }
        joined
    }

    /// What separates a group from the one before; 0 for the first and for none.
    pub(super) fn separator(&self, group: usize) -> u8 {
        self.groups().get(group).map_or(0, |group| group.separator)
    }

    /// Whether groups stand alone, with the same one of some signs between them.
    fn is_written(&self, from: usize, groups: usize, signs: &[u8]) -> bool {
        signs.contains(&self.separator(from + 1))
            && self.is_uniform(from, groups)
            && self.stands_alone(from, groups)
    }

    /// Whether the same sign separates all of some groups.
    pub(super) fn is_uniform(&self, from: usize, groups: usize) -> bool {
        let sign = self.separator(from + 1);
        let later = self.groups().get(from + 1..from + groups);
        later.is_some_and(|later| later.iter().all(|group| group.separator == sign))
    }

    /// Whether some groups are the whole of what is written, not the middle of something longer.
    pub(super) fn stands_alone(&self, from: usize, groups: usize) -> bool {
        let sign = self.separator(from + 1);
        let apart = |separator: u8| separator != sign && !matches!(separator, b'-' | b'.' | b'/');
        (from == 0 || apart(self.separator(from)))
            && if from + groups < self.count {
                apart(self.separator(from + groups))
            } else {
                self.is_closed(self.count - 1)
            }
    }

    /// Whether a group has nothing but blanks on either side.
    fn is_apart(&self, group: usize) -> bool {
        let blank = |separator: u8| matches!(separator, 0 | b' ');
        blank(self.separator(group)) && blank(self.separator(group + 1))
    }

    fn is_closed(&self, group: usize) -> bool {
        closes(self.text, self.place(group).1)
    }

    /// The byte after a group, where it is the last of its word.
    fn byte_after(&self, group: usize) -> Option<u8> {
        let end = self.place(group).1;
        let byte = self.text.get(end).copied();
        byte.filter(|_| closes(self.text, end + 1))
    }

    /// Whether a group is the whole of a string.
    fn is_quoted(&self, group: usize) -> bool {
        let (from, to) = self.place(group);
        let before = from.checked_sub(1).and_then(|at| self.text.get(at));
        matches!(before, Some(b'"' | b'\'')) && matches!(self.text.get(to), Some(b'"' | b'\''))
    }

    fn hints(&self, group: usize) -> Hints {
        hint::before(self.text, self.place(group).0)
    }

    /// Whether a `+` stands before it that adds nothing up.
    fn has_plus(&self) -> bool {
        let before = |back: usize| {
            let at = self.begin.checked_sub(back)?;
            self.text.get(at)
        };
        let plus = match before(1) {
            Some(b'(') => 2,
            _ => 1,
        };
        before(plus) == Some(&b'+') && !before(plus + 1).is_some_and(u8::is_ascii_alphanumeric)
    }
}

/// What separates two groups: the sign and its width. Parentheses may stand beside a blank.
fn separation(rest: &[u8]) -> Option<(u8, usize)> {
    match rest {
        [sign @ (b' ' | b'-' | b'.' | b'/'), b'0'..=b'9', ..] => Some((*sign, 1)),
        [b'(' | b')', b'0'..=b'9', ..] => Some((b'(', 1)),
        [b')', b' ' | b'-', b'0'..=b'9', ..] | [b' ', b'(', b'0'..=b'9', ..] => Some((b'(', 2)),
        _ => None,
    }
}
