//! Takes secrets and personal data out of text that is kept: audit events, spans, recordings.
//!
//! What is taken out leaves a word that says what stood there (`[secret]`, `[api-key]`, `[card]`, `[email]`), so that
//! the rest still explains what a rule found. Text is searched as it is and with its percent encoding, its escapes
//! and its entities undone; what any of these readings shows is taken out of all of them.
//!
//! It promises: no API key of ours, no value after a name that says secret, no card number, IBAN, e-mail address,
//! telephone or national number that [`pii`] knows, in any of these spellings. It would rather take out too much: what
//! stands after a quote that nothing closes goes whole. It does not see what is hidden otherwise, such as in base64.

mod find;
mod names;
mod plain;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use super::pii::{self, Kind};
use super::route::PathTemplate;
use plain::Plain;

pub(crate) use names::says_secret;

/// What stands in the place of a value that a name calls secret.
pub(crate) const SECRET: &str = "[secret]";
/// What stands in the place of an API key of ours.
const API_KEY: &str = "[api-key]";

/// Readings of a text, each with one more layer of disguise undone.
const READINGS_MAX: usize = 5;
/// Bytes of a document in which names are looked for.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// No number of a person or an account has fewer digits; all but one kind have more.
const DIGITS_FEWEST: usize = 6;

/// A part of a text that is not kept, and the word that stands in its place.
type Hidden = (Range<usize>, &'static str);

/// The text without secrets and personal data.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if !may_hold(text.as_bytes()) {
        return Cow::Borrowed(text);
    }
    let hidden = hidden(text.as_bytes(), b"");
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&replaced(text.as_bytes(), &hidden)).into_owned())
}

/// The text without secrets; personal data stays.
pub(crate) fn credentials(text: &str) -> Cow<'_, str> {
    let mut hidden = hidden(text.as_bytes(), b"");
    hidden.retain(|(_, word)| [SECRET, API_KEY].contains(word));
    if hidden.is_empty() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&replaced(text.as_bytes(), &hidden)).into_owned())
}

/// A path, segment by segment; the template says of parameters of its whose names say secret, where it has any.
pub(crate) fn path<'p>(path: &'p str, secrets: Option<&PathTemplate>) -> Cow<'p, str> {
    if secrets.is_none() && !may_hold_number(path.as_bytes()) && !may_hold(path.as_bytes()) {
        return Cow::Borrowed(path);
    }
    let named_secret = |index| {
        let name = secrets.and_then(|template| template.parameter_at(index));
        name.is_some_and(|name| says_secret(name.as_bytes()))
    };
    let mut before = "";
    let mut kept = Vec::new();
    for (index, segment) in path.split('/').enumerate() {
        kept.push(match index.checked_sub(1) {
            Some(index) if !segment.is_empty() && named_secret(index) => Cow::Borrowed(SECRET),
            _ => {
                let hidden = hidden(segment.as_bytes(), before.as_bytes());
                let kept = replaced(segment.as_bytes(), &hidden);
                Cow::Owned(String::from_utf8_lossy(&kept).into_owned())
            }
        });
        before = segment;
    }
    Cow::Owned(kept.join("/"))
}

/// The cookie pairs of a header without their values.
pub(crate) fn cookies(header: &[u8]) -> Vec<u8> {
    let pairs = header.split(|byte| *byte == b';').map(|pair| {
        let name = memchr::memchr(b'=', pair).and_then(|at| pair.get(..=at));
        [name.unwrap_or_default(), SECRET.as_bytes()].concat()
    });
    pairs.collect::<Vec<_>>().join(&b';')
}

/// A part of a text, from and to a place, of a field of this name: what is hidden is looked for in all of `text`.
pub(crate) fn part(text: &[u8], part: Range<usize>, name: &[u8]) -> Vec<u8> {
    let mut hidden = hidden(text, name);
    hidden.retain(|(place, _)| place.start < part.end && place.end > part.start);
    for (place, _) in &mut hidden {
        *place = place.start.max(part.start) - part.start..place.end.min(part.end) - part.start;
    }
    replaced(text.get(part).unwrap_or_default(), &hidden)
}

/// Whether a name, however disguised, says that its value is a secret.
pub(crate) fn is_secret_name(name: &[u8]) -> bool {
    readings(name)
        .iter()
        .any(|plain| says_secret(plain.bytes()))
}

/// Whether a document names a secret anywhere; one that is too long to say is taken to.
pub(crate) fn names_secrets(text: &[u8]) -> bool {
    text.len() > DOCUMENT_BYTES_MAX
        || readings(text)
            .iter()
            .any(|plain| find::has_name(plain.bytes()))
}

/// Whether a text holds a name that says secret in a place where no value follows it that could be taken out.
pub(crate) fn tells_of_secrets(text: &[u8]) -> bool {
    readings(text)
        .iter()
        .any(|plain| find::has_loose_name(plain.bytes()))
}

/// What of a text is not kept, in order and apart; `name` is what the text is called where it stands.
fn hidden(text: &[u8], name: &[u8]) -> Vec<Hidden> {
    let mut found: Vec<Hidden> = Vec::new();
    for plain in readings(text) {
        let bytes = plain.bytes();
        let mut of_this = Vec::new();
        find::keys(bytes, &mut of_this);
        find::addresses(bytes, &mut of_this);
        find::cards(bytes, &mut of_this);
        find::named(bytes, &mut of_this);
        find::bearers(bytes, &mut of_this);
        numbers(bytes, name, &mut of_this);
        found.extend(
            of_this
                .into_iter()
                .map(|(place, word)| (plain.source(place), word)),
        );
    }
    merged(found)
}

/// Numbers of persons and accounts, in capitals, since some write them small; the name says what they are.
fn numbers(bytes: &[u8], name: &[u8], found: &mut Vec<Hidden>) {
    let before = [name, b": "].concat();
    let mut text = [&before, bytes].concat().to_ascii_uppercase();
    // A blank in a form.
    for at in 1..text.len() {
        if let Some(
            [
                b'0'..=b'9' | b'A'..=b'Z',
                sign @ b'+',
                b'0'..=b'9' | b'A'..=b'Z',
            ],
        ) = text.get_mut(at - 1..at + 2)
        {
            *sign = b' ';
        }
    }
    for (kind, place) in pii::places(&text) {
        if place.end > before.len() {
            let from = place.start.saturating_sub(before.len());
            found.push((from..place.end - before.len(), word(kind)));
        }
    }
}

/// The word for a kind of personal data.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Email => "[email]",
        Kind::Phone => "[phone]",
        Kind::Iban => "[iban]",
        Kind::PaymentCard => "[card]",
        _ => "[national-id]",
    }
}

/// The text as it is, then with one layer of disguise after the other undone.
fn readings(text: &[u8]) -> Vec<Plain> {
    let mut readings = vec![Plain::of(text)];
    while let Some(next) = readings.last().and_then(Plain::undone)
        && readings.len() < READINGS_MAX
    {
        readings.push(next);
    }
    readings
}

/// Sorts, and joins what overlaps; the word of the one that begins first stays.
fn merged(mut found: Vec<Hidden>) -> Vec<Hidden> {
    found.sort_by_key(|(place, _)| (place.start, std::cmp::Reverse(place.end)));
    let mut kept: Vec<Hidden> = Vec::new();
    for (place, word) in found {
        match kept.last_mut() {
            Some((last, _)) if place.start < last.end => last.end = last.end.max(place.end),
            _ if place.is_empty() => {}
            _ => kept.push((place, word)),
        }
    }
    kept
}

fn replaced(text: &[u8], hidden: &[Hidden]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for (place, word) in hidden {
        out.extend_from_slice(text.get(from..place.start).unwrap_or_default());
        out.extend_from_slice(word.as_bytes());
        from = place.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}

/// Whether a text may hold anything that is taken out. One pass; most user agents and paths go no further.
fn may_hold(text: &[u8]) -> bool {
    let marked = text.iter().enumerate().any(|(at, byte)| match byte {
        b'@' | b'%' | b'\\' | b'&' | b'<' | b'\r' => true,
        b'_' => text
            .get(at.saturating_sub(2)..at)
            .is_some_and(|rg| rg.eq_ignore_ascii_case(b"rg")),
        b'=' | b':' | b'~' | b'!' => find::name_before(text, at).is_some_and(says_secret),
        b' ' => find::scheme_before(text, at) || find::is_after_secret(text, at),
        b'.' => find::token_before(text, at),
        _ => false,
    });
    marked
        || may_hold_number(text) && {
            let mut cards = Vec::new();
            find::cards(text, &mut cards);
            numbers(text, b"", &mut cards);
            !cards.is_empty()
        }
}

/// Whether digits stand there, with gaps of two bytes at most, that are enough for a number of somebody.
fn may_hold_number(text: &[u8]) -> bool {
    let (mut digits, mut gap) = (0, 0);
    text.iter().any(|byte| {
        match byte {
            b'0'..=b'9' => (digits, gap) = (digits + 1, 0),
            // A British number ends in a letter.
            b'A'..=b'D' | b'a'..=b'd' if digits == DIGITS_FEWEST && gap < 2 => return true,
            _ if gap < 2 => gap += 1,
            _ => (digits, gap) = (0, 0),
        }
        digits > DIGITS_FEWEST
    })
}
