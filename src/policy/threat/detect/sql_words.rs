//! The words of SQL's dialects that injections care about.

use super::sql_tokens::Kind;
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
