//! E-mail addresses, as people write them: no quoted names, no comments, a dotted domain.

use super::{Kind, Note};

/// Bytes before the `@` (RFC 5321, 4.5.3.1).
const LOCAL_BYTES_MAX: usize = 64;
/// Bytes of the domain.
const DOMAIN_BYTES_MAX: usize = 253;

/// What ends a file's name and no domain that takes mail: `logo@2x.png` is no address.
const FILE_ENDINGS: [&[u8]; 12] = [
    b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"css", b"js", b"json", b"html", b"ts",
    b"yaml",
];

/// Looks around an `@`; where to go on.
pub(super) fn at(text: &[u8], sign: usize, noted: &mut impl Note) -> usize {
    let before = text.get(sign.saturating_sub(LOCAL_BYTES_MAX)..sign);
    let after = text.get(sign + 1..).unwrap_or_default();
    let Some(length) = domain(after) else {
        return sign + 1;
    };
    let Some(name) = local(before.unwrap_or_default()) else {
        return sign + 1;
    };
    noted.note(Kind::Email, sign - name..sign + 1 + length);
    sign + 1 + length
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

/// The length of the name at the end of these bytes, if one stands there.
fn local(before: &[u8]) -> Option<usize> {
    let length = before
        .iter()
        .rev()
        .take_while(|byte| is_local(**byte))
        .count();
    let name = before.get(before.len() - length..).unwrap_or_default();
    // A quote before the name belongs to the text around it.
    let name = name.strip_prefix(b"'").unwrap_or(name);
    let is = name.first().is_some_and(u8::is_ascii_alphanumeric) && name.last() != Some(&b'.');
    is.then_some(name.len())
}

/// The length of the domain these bytes begin with.
fn domain(after: &[u8]) -> Option<usize> {
    let length = after
        .iter()
        .take(DOMAIN_BYTES_MAX + 1)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        .count();
    let whole = after.get(..length)?;
    // A full stop or a dash after it belongs to the sentence.
    let kept = whole.iter().rposition(u8::is_ascii_alphanumeric)? + 1;
    let name = whole.get(..kept)?;
    if kept > DOMAIN_BYTES_MAX || is_address_of_something(after.get(kept..)?) {
        return None;
    }
    let mut labels = name.rsplit(|byte| *byte == b'.');
    let last = labels.next()?;
    let known = (2..=24).contains(&last.len())
        && last.iter().all(u8::is_ascii_alphabetic)
        && !FILE_ENDINGS
            .iter()
            .any(|end| last.eq_ignore_ascii_case(end));
    let mut rest = labels.peekable();
    let dotted = rest.peek().is_some() && rest.all(|label| !label.is_empty() && label.len() < 64);
    (known && dotted).then_some(kept)
}

/// `git@host:team/project`, `//user:password@host/path`: the part before the `@` is no name of a person.
fn is_address_of_something(after: &[u8]) -> bool {
    match after {
        [b':' | b'/', next, ..] => next.is_ascii_alphanumeric(),
        [next, ..] => *next == b'_',
        [] => false,
    }
}
