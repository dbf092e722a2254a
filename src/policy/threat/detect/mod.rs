//! What code finds in values: the findings that patterns cannot express.

mod address;
mod doctype;
mod html;
mod html_idle;
mod inclusion;
mod script;
mod shell;
mod shell_word;
mod shell_words;
mod sql;
mod sql_breakout;
mod sql_statement;
mod sql_token;
mod sql_tokens;
mod sql_words;
mod structure;

use super::bytes::{self, Classes};
use super::context::Context;
use super::predicate::{Found, Predicate};
use crate::policy::cypher::{self, Findings};

pub(super) use doctype::doctype;
pub(super) use structure::{GRAPHQL_BATCH_MAX, graphql, graphql_texts, is_graphql, key, path};

/// Bytes of a value the address and path detectors read; literals and patterns read all of it.
const VALUE_BYTES_MAX: usize = 16_384;

/// Bytes the SQL tokeniser reads at once; a longer value is read window by window.
const WINDOW_BYTES: usize = 2_048;

/// Steps for each token of Cypher read in a value.
const TOKEN_STEPS: usize = 28;

/// Bytes by which windows overlap: more than any injection needs to show itself.
const OVERLAP_BYTES: usize = 512;

/// Runs the detectors a value's bytes call for.
pub(super) fn value(
    text: &[u8],
    classes: Classes,
    context: Context,
    name: Option<&[u8]>,
    found: &mut Found,
) {
    let head = text
        .get(..text.len().min(VALUE_BYTES_MAX))
        .unwrap_or_default();
    let has = |class: Classes| classes & class != 0;
    let called = has(bytes::QUOTE | bytes::BRACKET | bytes::SIGN)
        || has(bytes::BLANK | bytes::LINE)
            && (has(bytes::DIGIT | bytes::LINE) || text.len() < 64 || names_select(text));
    if called && text.len() <= WINDOW_BYTES {
        sql::find(text, classes, found);
    } else if called {
        windows(&condensed(text), |window| {
            if !found.work.is_spent() {
                sql::find(window, bytes::classes(window), found);
            }
        });
    }
    if has(bytes::ANGLE) {
        html::find(text, found);
    }
    if has(bytes::EQUALS) {
        html::find_attribute(head, found);
    }
    let separated = bytes::SIGN | bytes::QUOTE | bytes::LINE | bytes::ESCAPE | bytes::BRACKET;
    if has(separated) && context != Context::UserAgent {
        shell::find(head, found);
    }
    if has(bytes::COLON) {
        script::find(head, found);
    }
    if has(bytes::DOT) {
        let named = matches!(context, Context::Segment | Context::FileName);
        structure::climb(head, named, found);
    }
    let addressed = has(bytes::COLON | bytes::SLASH | bytes::ESCAPE);
    if context != Context::UserAgent && (addressed || name.is_some_and(address::is_address_name)) {
        address::find(head, context, name, found);
    }
}

/// What in a value or a name would break out of a statement, where it has bytes that could.
pub(super) fn breakouts(text: &[u8], seen: Classes, found: &mut Found) {
    let starts = text
        .first()
        .is_some_and(|b| b.is_ascii_digit() || *b == b'-');
    if seen & (bytes::QUOTE | bytes::BRACKET | bytes::SLASH) == 0
        && (!starts || seen & (!bytes::PLAIN | bytes::BLANK) == 0)
    {
        return;
    }
    let mut findings = Findings::default();
    let read = cypher::value::collect(text, &mut findings);
    found.work.spend(TOKEN_STEPS * read);
    for (finding, place) in findings.iter() {
        found.note(Predicate::Cypher(finding), place as usize);
    }
}

/// Whether `select` stands in a text, in any case.
fn names_select(text: &[u8]) -> bool {
    memchr::memchr2_iter(b's', b'S', text).any(|at| {
        text.get(at..at + 6)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"select"))
    })
}

/// A long text without what only pads it: comments, and long runs of blanks or of one byte.
fn condensed(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut run = 0_usize;
    let mut closable = true;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let opens =
            byte == b'/' && text.get(at + 1) == Some(&b'*') && text.get(at + 2) != Some(&b'!');
        let inside = text.get(at + 2..).filter(|_| opens && closable);
        let end = inside.and_then(|rest| memchr::memmem::find(rest, b"*/"));
        // One search to the end suffices to know that no comment closes any more.
        closable &= inside.is_none() || end.is_some();
        if let Some(end) = end {
            out.push(b' ');
            at += end + 4;
            continue;
        }
        run = if out.last() == Some(&byte) {
            run + 1
        } else {
            0
        };
        let most = if byte <= b' ' { 0 } else { 8 };
        if run <= most {
            out.push(byte);
        }
        at += 1;
    }
    out
}

/// Calls for every window of a text.
fn windows(text: &[u8], mut read: impl FnMut(&[u8])) {
    let mut from = 0;
    loop {
        read(
            text.get(from..text.len().min(from + WINDOW_BYTES))
                .unwrap_or_default(),
        );
        if from + WINDOW_BYTES >= text.len() {
            return;
        }
        from += WINDOW_BYTES - OVERLAP_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_condensed_and_what_it_hides_is_kept() {
        assert_eq!(condensed(b"a/*b*/c /* d"), b"a c /* d");
        assert_eq!(condensed(b"a    b"), b"a b");
        // Without a close there is one search for it, not one for each mark.
        let open = b"/* ".repeat(50_000);
        assert_eq!(condensed(&open), open);
    }
}
