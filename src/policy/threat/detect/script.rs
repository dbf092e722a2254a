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

pub(super) fn find(text: &[u8], found: &mut Found) {
    // Browsers skip blanks and control characters inside a scheme.
    let mut squeezed = Vec::with_capacity(text.len().min(2_048));
    squeezed.extend(
        text.iter()
            .take(2_048)
            .filter(|b| !matches!(b, b'\t' | b'\n' | b'\r' | 0))
            .map(u8::to_ascii_lowercase),
    );
    for scheme in SCHEMES {
        let Some(at) = memchr::memmem::find(&squeezed, scheme) else {
            continue;
        };
        let after = squeezed.get(at + scheme.len()..).unwrap_or_default();
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
        let idle =
            after.starts_with(b"void(0)") && after.iter().filter(|b| **b == b'(').count() == 1;
        if runs && !spaced && !idle {
            found.note(Predicate::HtmlScriptUrl, 0);
        }
    }
}
