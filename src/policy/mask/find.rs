//! What is taken out of a text whose disguises are gone.

use super::names::{NAME_BYTES_MAX, says_secret};
use super::{API_KEY, Hidden, SECRET};
use crate::policy::pii;

/// Digits of a phrase that are tried as card numbers; numbers are shorter, and the rest is tried from there.
const CARD_LENGTHS: [usize; 4] = [14, 15, 16, 19];

/// API keys of ours, valid or not: `rg_live_` and what may follow it in a key.
pub(super) fn keys(text: &[u8], found: &mut Vec<Hidden>) {
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'_', text.get(from..).unwrap_or_default()) {
        let sign = from + at;
        from = sign + 1;
        let begin = sign.saturating_sub(2);
        let head = text.get(begin..begin + 8).unwrap_or_default();
        let is = [&b"rg_live_"[..], b"rg_test_"]
            .iter()
            .any(|prefix| prefix.eq_ignore_ascii_case(head));
        if is {
            let end = end_of(text, begin, |byte| {
                byte.is_ascii_alphanumeric() || byte == b'_'
            });
            found.push((begin..end, API_KEY));
            from = end;
        }
    }
}

/// Where bytes of a kind end.
fn end_of(text: &[u8], from: usize, is: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|byte| !is(*byte))
        .unwrap_or(rest.len())
}

/// Where bytes of a kind that end before a place begin.
fn begin_of(text: &[u8], to: usize, max: usize, is: impl Fn(u8) -> bool) -> usize {
    let before = text.get(to.saturating_sub(max)..to).unwrap_or_default();
    to - before.iter().rev().take_while(|byte| is(**byte)).count()
}

/// E-mail addresses, wider than [`pii`] takes them, and the user and password of a URL.
pub(super) fn addresses(text: &[u8], found: &mut Vec<Hidden>) {
    for sign in memchr::memchr_iter(b'@', text) {
        let userinfo = begin_of(text, sign, 256, |b| {
            b.is_ascii_graphic() && !b"/\"'<>?#".contains(&b)
        });
        if text
            .get(..userinfo)
            .is_some_and(|before| before.ends_with(b"://"))
        {
            found.push((userinfo..sign, SECRET));
            continue;
        }
        let userinfo = begin_of(text, sign, 256, |b| {
            b.is_ascii_graphic() && !b"/\"'<>?#(){}[],;&=`".contains(&b)
        });
        let pair = text.get(userinfo..sign).unwrap_or_default();
        let after = text.get(sign + 1).is_some_and(u8::is_ascii_alphanumeric);
        if after
            && memchr::memchr(b':', pair).is_some_and(|at| at > 0)
            && !pair.starts_with(b"mailto:")
        {
            found.push((userinfo..sign, SECRET));
            continue;
        }
        let local =
            |b: u8| b.is_ascii_alphanumeric() || b >= 0x80 || b".!#$*+-/=?^_{|}~".contains(&b);
        let domain = |b: u8| b.is_ascii_alphanumeric() || b >= 0x80 || b".-".contains(&b);
        let begin = begin_of(text, sign, 64, |b| local(b) && !b"=/?{}|#".contains(&b));
        let end = end_of(text, sign + 1, domain);
        let name = text.get(sign + 1..end).unwrap_or_default();
        let dotted = name
            .rsplit(|b| *b == b'.')
            .next()
            .is_some_and(|last| last.len() < name.len());
        if begin < sign && dotted {
            found.push((begin..end, "[email]"));
        }
    }
}

/// Card numbers wherever they stand: digits, one sign between two of them or none.
pub(super) fn cards(text: &[u8], found: &mut Vec<Hidden>) {
    let mut places: Vec<usize> = Vec::new();
    for (at, byte) in text.iter().enumerate() {
        if !byte.is_ascii_digit() {
            continue;
        }
        let joined = places.last().is_some_and(|last| {
            let between = text.get(last + 1..at).unwrap_or_default();
            matches!(between, [] | [b' ' | b'-' | b'.' | b'+' | b'_'] | [_, _])
                && !between.iter().any(|b| b.is_ascii_alphabetic())
                && between.iter().all(|b| b" -.+_".contains(b))
        });
        if !joined {
            of_phrase(text, &places, found);
            places.clear();
        }
        places.push(at);
    }
    of_phrase(text, &places, found);
}

fn of_phrase(text: &[u8], places: &[usize], found: &mut Vec<Hidden>) {
    let digits: Vec<u8> = places
        .iter()
        .filter_map(|at| text.get(*at).copied())
        .collect();
    let mut from = 0;
    while from < digits.len() {
        let card = CARD_LENGTHS.iter().rev().find(|length| {
            let number = digits.get(from..from + **length);
            number.is_some_and(pii::is_card)
        });
        let Some(length) = card else {
            from += 1;
            continue;
        };
        if let (Some(begin), Some(last)) = (places.get(from), places.get(from + length - 1)) {
            found.push((*begin..last + 1, "[card]"));
        }
        from += length;
    }
}

/// What stands after `Bearer`, `Basic` and their like, and JSON Web Tokens.
pub(super) fn bearers(text: &[u8], found: &mut Vec<Hidden>) {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    for (at, byte) in text.iter().enumerate() {
        if *byte == b' ' && scheme_before(text, at) {
            found.push((at + 1..end_of(text, at + 1, is_token), SECRET));
        }
        if *byte == b'.' && token_before(text, at) {
            let begin = begin_of(text, at, 4_096, is_token);
            found.push((begin..end_of(text, at, is_token), SECRET));
        }
    }
}

/// Whether a blank stands after the name of an authentication scheme.
pub(super) fn scheme_before(text: &[u8], blank: usize) -> bool {
    let before = text.get(..blank).unwrap_or_default();
    [&b"bearer"[..], b"basic", b"splunk", b"apikey"]
        .iter()
        .any(|scheme| {
            let word = before
                .len()
                .checked_sub(scheme.len())
                .and_then(|at| before.split_at_checked(at));
            word.is_some_and(|(rest, word)| {
                word.eq_ignore_ascii_case(scheme)
                    && !rest.last().is_some_and(u8::is_ascii_alphanumeric)
            })
        })
        && end_of(text, blank + 1, |b| {
            b.is_ascii_graphic() && !b"<>()'\"".contains(&b)
        }) >= blank + 8
}

/// Whether the first dot of a JSON Web Token stands there: its head is `{"` in base64.
pub(super) fn token_before(text: &[u8], dot: usize) -> bool {
    let is = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let begin = begin_of(text, dot, 512, is);
    text.get(begin..dot)
        .is_some_and(|head| head.starts_with(b"eyJ"))
}

/// The name before the first of some signs such as `=`, blanks and a closing quote between them or not.
pub(super) fn name_before(text: &[u8], sign: usize) -> Option<&[u8]> {
    let end = begin_of(text, sign, sign, |b| b" \t\"'`]".contains(&b));
    let begin = begin_of(text, end, NAME_BYTES_MAX, is_name);
    text.get(begin..end).filter(|name| !name.is_empty())
}

/// Whether `is` stands before a blank, and a name that says secret before that: `password is x`.
pub(super) fn is_after_secret(text: &[u8], blank: usize) -> bool {
    let name = blank.checked_sub(2).filter(|is| {
        let parted = is.checked_sub(1).and_then(|at| text.get(at));
        text.get(*is..blank) == Some(b"is") && !parted.is_some_and(|byte| is_name(*byte))
    });
    name.and_then(|is| name_before(text, is))
        .is_some_and(says_secret)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// Values after names that say secret: `password=x`, `"pin": "x"`, `{pwd: 'x'}`, `SET u.password = 'x'`,
/// `<password>x</password>`, `Authorization: Bearer x`.
pub(super) fn named(text: &[u8], found: &mut Vec<Hidden>) {
    each_secret_name(text, &mut |begin, end| {
        let Some(value) = value(text, begin, end) else {
            return end;
        };
        let behind = value.end.max(end);
        found.push((value, SECRET));
        behind
    });
}

/// Whether a name that says secret stands there without a value after it.
pub(super) fn has_loose_name(text: &[u8]) -> bool {
    let mut loose = false;
    each_secret_name(text, &mut |begin, end| match value(text, begin, end) {
        Some(value) => value.end.max(end),
        None => {
            // A mask is what was taken out before, and a closing tag closes what was.
            let around = begin.checked_sub(1).and_then(|at| text.get(at));
            loose |= !matches!(around, Some(b'[' | b'/'));
            end
        }
    });
    loose
}

/// Whether a name that says secret stands there.
pub(super) fn has_name(text: &[u8]) -> bool {
    let mut has = false;
    each_secret_name(text, &mut |_, _| {
        has = true;
        text.len()
    });
    has
}

/// Calls `seen` with every name that says secret; it says where to go on.
fn each_secret_name(text: &[u8], seen: &mut dyn FnMut(usize, usize) -> usize) {
    let mut at = 0;
    while let Some(begin) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| is_name(*b)))
    {
        let begin = at + begin;
        let end = end_of(text, begin, is_name);
        let name = text.get(begin..end).unwrap_or_default();
        at = if name.len() <= NAME_BYTES_MAX && says_secret(name) {
            seen(begin, end)
        } else {
            end
        };
    }
}

/// Where the value of the name at a place stands; `None` when none follows.
fn value(text: &[u8], begin: usize, end: usize) -> Option<std::ops::Range<usize>> {
    let tag = begin.checked_sub(1).and_then(|at| text.get(at)) == Some(&b'<');
    let inside = end_of(text, end, |b| b" \t\"'`]".contains(&b));
    if tag {
        let from = text.get(end..)?.iter().position(|b| *b == b'>')? + end + 1;
        return Some(from..end_of(text, from, |b| b != b'<'));
    }
    let signs = end_of(text, inside, |b| b":=~!".contains(&b));
    // `=>` and `<>`, but no tag.
    let signs = signs + usize::from(signs > inside && text.get(signs) == Some(&b'>'));
    let signs = match text.get(inside..) {
        Some([b'<', b'>', ..]) => inside + 2,
        Some([b'i', b's', b' ', ..]) if inside > end => inside + 2,
        // The value of a form's part stands behind an empty line.
        Some([b'\r', b'\n', b'\r', b'\n', ..]) => {
            return Some(inside + 4..part_end(text, inside + 4));
        }
        _ if signs == inside => return None,
        _ => signs,
    };
    let from = end_of(text, signs, |b| b" \t\r\n".contains(&b));
    let name = text.get(begin..end)?;
    let to = match *text.get(from)? {
        quote @ (b'"' | b'\'' | b'`') => quoted_end(text, from, quote),
        b'{' | b'[' | b'(' => nested_end(text, from),
        _ if is_field(name) => end_of(text, from, |b| !b"\r\n\"'".contains(&b)),
        _ => end_of(text, from, |b| {
            !b.is_ascii_whitespace() && !b"&;,)}]><\"'".contains(&b)
        }),
    };
    Some(from..to)
}

/// Header fields of credentials, whose values have blanks in them.
fn is_field(name: &[u8]) -> bool {
    [
        &b"authorization"[..],
        b"proxy-authorization",
        b"cookie",
        b"set-cookie",
    ]
    .iter()
    .any(|field| field.eq_ignore_ascii_case(name))
}

fn part_end(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + memchr::memmem::find(rest, b"\r\n--").unwrap_or(rest.len())
}

/// Behind the quote that closes; a text without one goes whole. A doubled quote closes nothing.
fn quoted_end(text: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if *byte == quote && text.get(at + 1) == Some(&quote) && at > from + 1 => at += 2,
            byte if *byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Behind the bracket that closes; a text without one goes whole.
fn nested_end(text: &[u8], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = quoted_end(text, at, *byte);
                continue;
            }
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' if depth <= 1 => return at + 1,
            b'}' | b']' | b')' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
}
