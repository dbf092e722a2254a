//! The words of SQL's dialects that injections care about.

use super::sql_token::Kind;
use super::sql_tokens::is_idle;
use super::structure::pairs;
use crate::policy::threat::bytes::{self, Classes};
use crate::policy::words::Words;

/// What a word is, in any letter case.
pub(super) fn word_kind(word: &[u8]) -> Kind {
    WORDS.meaning(word).unwrap_or(Kind::Word)
}

static WORDS: Words<Kind, 256> = Words::new(&[
    (&["and", "or", "xor"], Kind::Logic),
    (&["not"], Kind::Not),
    (
        &[
            "like", "rlike", "regexp", "between", "in", "is", "glob", "ilike", "sounds",
        ],
        Kind::Compare { word: true },
    ),
    (&["null", "true", "false"], Kind::Number),
    (&["div", "mod", "collate"], Kind::Arithmetic),
    (&["union", "intersect", "except", "minus"], Kind::Union),
    (&["select"], Kind::Select),
    (&["from"], Kind::From),
    (
        &[
            "where",
            "group",
            "order",
            "having",
            "limit",
            "into",
            "set",
            "values",
            "insert",
            "update",
            "delete",
            "drop",
            "create",
            "alter",
            "exec",
            "execute",
            "declare",
            "truncate",
            "table",
            "waitfor",
            "shutdown",
            "all",
            "distinct",
            "top",
            "case",
            "when",
            "procedure",
            "use",
            "by",
            "begin",
            "join",
            "exists",
            "binary",
            "handler",
            "rename",
            "merge",
            "as",
            "distinctrow",
            "call",
            "offset",
        ],
        Kind::Keyword,
    ),
]);

/// What a word of [`SYNTAX`] does.
#[derive(Clone, Copy)]
enum Syntax {
    /// Joins conditions, where it stands between such as can be joined.
    Joins,
    /// Starts a statement or adds one.
    Starts,
}

/// Words without one of which unquoted text joins no condition and starts no statement.
static SYNTAX: Words<Syntax, 64> = Words::new(&[
    (&["and", "or", "xor"], Syntax::Joins),
    (
        &[
            "union",
            "intersect",
            "except",
            "minus",
            "select",
            "insert",
            "update",
            "delete",
            "drop",
            "truncate",
            "alter",
            "create",
            "declare",
            "set",
            "begin",
            "waitfor",
            "exec",
            "execute",
            "if",
            "grant",
            "revoke",
            "shutdown",
        ],
        Syntax::Starts,
    ),
]);

/// Whether a text has a comment that cuts off what follows, or a word or sign that joins conditions or starts a statement.
pub(super) fn joins(text: &[u8], classes: Classes) -> bool {
    let has = |class: Classes| classes & class != 0;
    has(bytes::HASH) && cuts_off(text, b"#")
        || has(bytes::DASH) && cuts_off(text, b"--")
        || has(bytes::STAR) && pairs(text, b'/', b"/*").next().is_some()
        || has(bytes::AMPERSAND) && pairs(text, b'&', b"&&").next().is_some()
        || has(bytes::PIPE) && pairs(text, b'|', b"||").next().is_some()
        || names_syntax(text)
}

/// Whether nothing is left of a line behind a mark of comments: a heading of Markdown and a dash in prose go on.
fn cuts_off(text: &[u8], mark: &[u8]) -> bool {
    text.split(|b| *b == b'\n').any(|line| {
        let said = line.iter().rposition(|b| !is_idle(*b)).map_or(0, |i| i + 1);
        let end = line.get(said.saturating_sub(mark.len())..);
        memchr::memmem::find(end.unwrap_or_default(), mark).is_some()
    })
}

/// Whether one of them stands in a text, between what are no letters, and does there what it is for.
fn names_syntax(text: &[u8]) -> bool {
    let variables = memchr::memchr(b'@', text).is_some();
    let mut rest = text;
    while let Some(start) = rest.iter().position(u8::is_ascii_alphabetic) {
        let word = rest.get(start..).unwrap_or_default();
        let width = word.iter().position(|b| !b.is_ascii_alphabetic());
        let (word, after) = word
            .split_at_checked(width.unwrap_or(word.len()))
            .unwrap_or_default();
        let known = (word.len() > 1).then(|| SYNTAX.meaning(word));
        let does = match known.flatten() {
            None => false,
            Some(Syntax::Starts) => true,
            Some(Syntax::Joins) => {
                let before = text.len() - after.len() - word.len();
                variables || is_joined(text.get(..before).unwrap_or_default(), after)
            }
        };
        if does {
            return true;
        }
        rest = after;
    }
    false
}

/// Bytes of one run of letters, digits, `_`, `$` and dots.
const RUN_BYTES_MAX: usize = 64;

/// Whether what stands before a joining word may be an operand, or what follows it a number: prose has words there.
fn is_joined(before: &[u8], after: &[u8]) -> bool {
    let blank = |b: &u8| matches!(b, 0..=b' ' | 0xa0);
    let in_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'.' | 0x80..);
    let Some(end) = before.iter().rposition(|b| !blank(b)) else {
        return true;
    };
    let next = after.iter().position(|b| !blank(b));
    let next = next.and_then(|at| after.get(at..)).unwrap_or_default();
    let before = before.get(..=end).unwrap_or_default();
    // Looked at no further back: a longer run may be anything.
    let near = before.len().saturating_sub(RUN_BYTES_MAX);
    let before = before.get(near..).unwrap_or_default();
    let from = before
        .iter()
        .rposition(|b| !in_word(b))
        .map_or(0, |i| i + 1);
    let word = before.get(from..).unwrap_or_default();
    let values = [&b"null"[..], b"true", b"false"];
    let is = |word: &[u8]| values.iter().any(|v| word.eq_ignore_ascii_case(v));
    let width = next.iter().position(|b| !b.is_ascii_alphabetic());
    word.iter().any(u8::is_ascii_digit)
        || is(word)
        || matches!(next, [b'0'..=b'9' | b'.', ..] | [b'*', b'/', ..])
        || before.ends_with(b"*/")
        || is(next.get(..width.unwrap_or(next.len())).unwrap_or_default())
        || matches!(before.last(), Some(b'\'' | b'"' | b')' | b'}' | b'?'))
        || from == 0 && near > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_join_or_start_are_seen_and_no_others() {
        for text in [
            "1or 1",
            "x;DROP",
            "1e0union",
            "or",
            "a' and b",
            "a or 1=1",
            "x is null or y",
            "@a or b",
            "0xff and b",
        ] {
            assert!(names_syntax(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "a",
            "order",
            "https://example.com/a?c=d",
            "oracle andes",
            "this and that",
            "`a` or b",
            "fine; and so on",
        ] {
            assert!(!names_syntax(text.as_bytes()), "{text}");
        }
    }
}
