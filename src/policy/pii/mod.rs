//! Personal data in text: which kinds there are and how often, never the data itself.
//!
//! One pass over the bytes stops at digits and at `@` only. What stands there is recognised by its own checks:
//! check digits, assigned prefixes, the grouping people write. Numbers that could be anything count only when the
//! word before them says what they are (`"ssn": "123456789"`).
//!
//! It promises: linear in the text, whatever stands in it, and no more of it than a bound; no allocation but where text has to be decoded; nothing
//! kept. It finds what is written the usual way, and does not try to find what somebody hides.

mod email;
mod hint;
mod iban;
mod national;
mod number;
mod phone;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// An international bank account number.
    Iban,
    /// The number of a payment card.
    PaymentCard,
    /// United States: social security number.
    UsSsn,
    /// United Kingdom: national insurance number.
    UkNino,
    /// Germany: tax identification number.
    DeTaxId,
    /// France: number of the register of persons (INSEE).
    FrNir,
    /// Spain: identity number of citizens and foreigners.
    EsDni,
    /// Italy: fiscal code.
    ItFiscalCode,
    /// Netherlands: citizen service number.
    NlBsn,
    /// Poland: number of the register of persons.
    PlPesel,
    /// Brazil: number of the register of persons.
    BrCpf,
}

/// How many kinds there are.
const KINDS: usize = 13;

impl Kind {
    /// Every kind.
    pub const ALL: [Self; KINDS] = [
        Self::Email,
        Self::Phone,
        Self::Iban,
        Self::PaymentCard,
        Self::UsSsn,
        Self::UkNino,
        Self::DeTaxId,
        Self::FrNir,
        Self::EsDni,
        Self::ItFiscalCode,
        Self::NlBsn,
        Self::PlPesel,
        Self::BrCpf,
    ];

    /// The word in audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Iban => "iban",
            Self::PaymentCard => "payment_card",
            Self::UsSsn => "us_ssn",
            Self::UkNino => "uk_nino",
            Self::DeTaxId => "de_tax_id",
            Self::FrNir => "fr_nir",
            Self::EsDni => "es_dni",
            Self::ItFiscalCode => "it_fiscal_code",
            Self::NlBsn => "nl_bsn",
            Self::PlPesel => "pl_pesel",
            Self::BrCpf => "br_cpf",
        }
    }
}

/// How often each kind was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u16; KINDS]);

impl Counts {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The kinds found and how often, at most 65,535 times each.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u16)> {
        let pairs = Kind::ALL.into_iter().zip(self.0);
        pairs.filter(|(_, count)| *count > 0)
    }
}

/// What becomes of personal data that was found.
trait Note {
    /// It is of this kind and stands there.
    fn note(&mut self, kind: Kind, place: Range<usize>);
}

impl Note for Counts {
    fn note(&mut self, kind: Kind, _: Range<usize>) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count = count.saturating_add(1);
        }
    }
}

impl Note for Vec<(Kind, Range<usize>)> {
    fn note(&mut self, kind: Kind, place: Range<usize>) {
        self.push((kind, place));
    }
}

/// Bytes of one text that are looked at.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Finds personal data in text as it is, such as Cypher or a log line; in its first [`TEXT_BYTES_MAX`].
pub fn find(text: &[u8], counts: &mut Counts) {
    note(text, counts);
}

/// Where personal data stands in text as it is, in order.
pub(super) fn places(text: &[u8]) -> Vec<(Kind, Range<usize>)> {
    let mut places = Vec::new();
    note(text, &mut places);
    places
}

/// Whether these digits are the number of a payment card, whatever stands around them.
pub(super) fn is_card(digits: &[u8]) -> bool {
    number::is_card(digits)
}

/// Finds personal data in a canonical path: each segment is a string of its own, and the one before says what it is.
pub fn find_in_path(path: &str, counts: &mut Counts) {
    if next_mark(path.as_bytes(), 0).is_none() && !path.contains('%') {
        return;
    }
    let mut before: &[u8] = b"";
    for segment in looked_at(path.as_bytes()).split(|byte| *byte == b'/') {
        let plain = decoded(segment, b'+');
        if next_mark(&plain, 0).is_some() {
            // As a pair of JSON, which is what the rules of recognition know.
            find(&[before, b": \"", &plain, b"\""].concat(), counts);
        }
        before = segment;
    }
}

fn note(text: &[u8], noted: &mut impl Note) {
    let text = looked_at(text);
    let mut at = 0;
    while let Some(next) = next_mark(text, at) {
        at = match text.get(next) {
            Some(b'@') => email::at(text, next, noted),
            _ => number::at(text, at, next, noted),
        };
    }
}

/// Finds personal data in JSON, whose escapes may stand within it: some writers spell `+` as `\u002B`.
pub fn find_in_json(text: &[u8], counts: &mut Counts) {
    find(&unescaped(looked_at(text)), counts);
}

/// Finds personal data in a query string or form: `%40` is `@`, `+` is a blank.
pub fn find_in_form(text: &[u8], counts: &mut Counts) {
    let text = looked_at(text);
    find(&decoded(text, b' '), counts);
}

/// Undoes percent encoding; `+` is what it is said to be.
fn decoded(text: &[u8], plus: u8) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        let code = (*byte == b'%').then(|| hex(after.get(..2))).flatten();
        plain.push(match (byte, code) {
            (_, Some(code)) => code,
            (b'+', _) => plus,
            _ => *byte,
        });
        rest = match code {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    Cow::Owned(plain)
}

fn looked_at(text: &[u8]) -> &[u8] {
    text.get(..TEXT_BYTES_MAX).unwrap_or(text)
}

/// Undoes the escapes of JSON; what is beyond ASCII becomes a blank, since nothing looked for holds it.
fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', text) else {
        return Cow::Borrowed(text);
    };
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut next = Some(first);
    while let Some(at) = next {
        plain.extend_from_slice(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        let (byte, width) = match after {
            [b'u', b'0', b'0', ..] => (hex(after.get(3..5)).unwrap_or(b' '), 5),
            [b'u', ..] => (b' ', 5),
            [b'n', ..] => (b'\n', 1),
            [byte @ (b'"' | b'/' | b'\\'), ..] => (*byte, 1),
            _ => (b' ', 1),
        };
        plain.push(byte);
        rest = after.get(width..).unwrap_or_default();
        next = memchr::memchr(b'\\', rest);
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

fn hex(digits: Option<&[u8]>) -> Option<u8> {
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// The next digit or `@` at or after a place.
fn next_mark(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let (words, last) = rest.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(from + index * 8 + (marks.trailing_zeros() / 8) as usize);
        }
    }
    let in_last = last
        .iter()
        .position(|byte| byte.is_ascii_digit() || *byte == b'@')?;
    Some(from + words.len() * 8 + in_last)
}

/// The top bit of the first byte that is a digit or `@`, and perhaps of later ones.
///
/// Exclusive-or turns digits into the numbers below ten and `@` into zero; what is below a bound borrows into its
/// top bit when the bound is taken away (Mycroft 1987). A borrow can only spoil bytes after the first.
fn marks(x: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let below = |value: u64, bound: u64| value.wrapping_sub(ONES * bound) & !value & TOPS;
    below(x ^ (ONES * 0x30), 10) | below(x ^ (ONES * 0x40), 1)
}

/// Whether what begins at a place is no part of something longer that began before.
fn opens(text: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| text.get(at));
    match before(1) {
        None => true,
        Some(b'_') => false,
        Some(b'-' | b'.' | b'/') => !before(2).is_some_and(u8::is_ascii_alphanumeric),
        Some(byte) => !byte.is_ascii_alphanumeric(),
    }
}

/// Whether what ends before a place goes no further.
fn closes(text: &[u8], end: usize) -> bool {
    match text.get(end) {
        None => true,
        Some(b'_') => false,
        Some(b'-') => !text.get(end + 1).is_some_and(u8::is_ascii_alphanumeric),
        Some(b'.') => !text.get(end + 1).is_some_and(u8::is_ascii_digit),
        Some(byte) => !byte.is_ascii_alphanumeric(),
    }
}

/// Where the letters and digits at a place end.
fn word_end(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let length = rest.iter().position(|byte| !byte.is_ascii_alphanumeric());
    at + length.unwrap_or(rest.len())
}
