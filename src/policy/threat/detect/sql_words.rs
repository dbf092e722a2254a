//! The words of SQL's dialects that injections care about.

use super::sql_tokens::Kind;
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

/// Words without one of which unquoted text joins no condition and starts no statement.
static SYNTAX: Words<(), 64> = Words::new(&[(
    &[
        "and",
        "or",
        "xor",
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
    (),
)]);

/// Whether a text has a comment, or a word or sign that joins conditions or starts a statement.
pub(super) fn joins(text: &[u8], classes: Classes) -> bool {
    let has = |class: Classes| classes & class != 0;
    has(bytes::HASH)
        || has(bytes::DASH) && pairs(text, b'-', b"--").next().is_some()
        || has(bytes::STAR) && pairs(text, b'/', b"/*").next().is_some()
        || has(bytes::AMPERSAND) && pairs(text, b'&', b"&&").next().is_some()
        || has(bytes::PIPE) && pairs(text, b'|', b"||").next().is_some()
        || names_syntax(text)
}

/// Whether one of them stands in a text, between what are no letters.
fn names_syntax(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(start) = rest.iter().position(u8::is_ascii_alphabetic) {
        let word = rest.get(start..).unwrap_or_default();
        let width = word.iter().position(|b| !b.is_ascii_alphabetic());
        let (word, after) = word
            .split_at_checked(width.unwrap_or(word.len()))
            .unwrap_or_default();
        if SYNTAX.meaning(word).is_some() {
            return true;
        }
        rest = after;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_join_or_start_are_seen_and_no_others() {
        for text in ["1or 1", "x;DROP", "1e0union", "é and b", "or"] {
            assert!(names_syntax(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "a",
            "order",
            "https://example.com/a?c=d",
            "oracle andes",
        ] {
            assert!(!names_syntax(text.as_bytes()), "{text}");
        }
    }
}
