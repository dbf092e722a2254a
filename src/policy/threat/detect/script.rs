//! Addresses that are programs: `javascript:` and its kin outside of tags.

use crate::policy::threat::predicate::{Found, Predicate};

/// Schemes that run what follows them.
const SCHEMES: &[&[u8]] = &[
    b"javascript:",
    b"vbscript:",
    b"livescript:",
    b"data:text/html",
    b"data:text/javascript",
];

/// What the names of these schemes end with.
const SCHEME_ENDS: &[u8] = b"ta";

/// Bytes of a value that are looked at.
const TEXT_BYTES_MAX: usize = 2_048;

pub(super) fn find(text: &[u8], found: &mut Found) {
    let head = text
        .get(..text.len().min(TEXT_BYTES_MAX))
        .unwrap_or_default();
    // Browsers skip blanks and control characters inside a scheme.
    let skipped = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0);
    let mut named = memchr::memchr_iter(b':', head).filter_map(|colon| {
        let before = head.get(..colon)?.iter().rev();
        before.copied().find(|b| !skipped(b))
    });
    if !named.any(|last| SCHEME_ENDS.contains(&last.to_ascii_lowercase())) {
        return;
    }
    if !head.iter().any(|b| skipped(b) || b.is_ascii_uppercase()) {
        return schemes(head, found);
    }
    let squeezed: Vec<u8> = head
        .iter()
        .filter(|b| !skipped(b))
        .map(u8::to_ascii_lowercase)
        .collect();
    schemes(&squeezed, found);
}

/// The first of each scheme, in a text in lower case.
fn schemes(text: &[u8], found: &mut Found) {
    let mut seen = [false; SCHEMES.len()];
    for colon in memchr::memchr_iter(b':', text) {
        for (scheme, seen) in SCHEMES.iter().zip(&mut seen) {
            let name = memchr::memchr(b':', scheme).unwrap_or(0);
            let at = colon.checked_sub(name).filter(|_| !*seen);
            let after = at
                .and_then(|at| text.get(at..))
                .and_then(|rest| rest.strip_prefix(*scheme));
            if let (Some(at), Some(after)) = (at, after) {
                *seen = true;
                if runs(after, at) {
                    found.note(Predicate::HtmlScriptUrl, 0);
                }
            }
        }
    }
}

/// Whether what follows a scheme at a byte is a program.
fn runs(after: &[u8], at: usize) -> bool {
    let word = after.trim_ascii_start();
    let word = word.split(|b| *b == b' ').next().unwrap_or_default();
    // `JavaScript: The Good Parts (2008)`
    let titled = at > 0 || word.iter().all(u8::is_ascii_alphabetic);
    let spaced = after.first() == Some(&b' ') && titled;
    let runs = after
        .iter()
        .take(120)
        .any(|b| matches!(b, b'(' | b'`' | b'<' | b'%' | b'[' | b';' | b','))
        || after.starts_with(b"//");
    let idle = after.starts_with(b"void(0)") && after.iter().filter(|b| **b == b'(').count() == 1;
    runs && !spaced && !idle
}
