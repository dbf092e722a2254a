//! The words of Cypher that mean something to the gateway, in any letter case.

use crate::policy::words::Words;

macro_rules! keywords {
    ($($name:ident = $word:literal),* $(,)?) => {
        /// A word with a meaning in Cypher. Most may also name a variable or a label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is the word it is named after")]
        #[repr(u8)]
        pub enum Keyword { None, $($name),* }

        /// Every keyword with its word.
        const ALL: &[(&[&str], Keyword)] = &[$((&[$word], Keyword::$name)),*];
    };
}

keywords! {
    Match = "match", Optional = "optional", Create = "create", Merge = "merge", Return = "return",
    With = "with", Unwind = "unwind", Call = "call", Yield = "yield", Where = "where",
    Delete = "delete", Detach = "detach", NoDetach = "nodetach", Set = "set", Remove = "remove",
    Foreach = "foreach", Load = "load", Csv = "csv", Union = "union", All = "all", Order = "order",
    By = "by", Skip = "skip", Offset = "offset", Limit = "limit", As = "as", And = "and", Or = "or",
    Xor = "xor", Not = "not", In = "in", Is = "is", Null = "null", True = "true", False = "false",
    Starts = "starts", Ends = "ends", Contains = "contains", Case = "case", When = "when",
    Then = "then", Else = "else", End = "end", On = "on", Use = "use", Explain = "explain",
    Profile = "profile", Cypher = "cypher", Using = "using", Exists = "exists", Count = "count",
    Collect = "collect", Distinct = "distinct", From = "from", Headers = "headers", Show = "show",
    Drop = "drop", Alter = "alter", Grant = "grant", Deny = "deny", Revoke = "revoke",
    Terminate = "terminate", Start = "start", Stop = "stop", Rename = "rename", Enable = "enable",
    Deallocate = "deallocate", Reallocate = "reallocate", Dryrun = "dryrun", User = "user",
    Users = "users", Role = "role", Roles = "roles", Database = "database",
    Databases = "databases", Alias = "alias", Aliases = "aliases", Server = "server",
    Servers = "servers", Privilege = "privilege", Privileges = "privileges",
    Transaction = "transaction", Transactions = "transactions", Setting = "setting",
    Settings = "settings", Current = "current", Composite = "composite", Replace = "replace",
    System = "system", Index = "index", Indexes = "indexes", Constraint = "constraint",
    Constraints = "constraints", Procedures = "procedures", Functions = "functions",
    Finish = "finish", Reduce = "reduce", Range = "range", Any = "any", NoneOf = "none",
    Single = "single", Home = "home", Default = "default", Supported = "supported",
    Fulltext = "fulltext", Text = "text", Point = "point", Lookup = "lookup", Vector = "vector",
}

static WORDS: Words<Keyword, 512> = Words::new(ALL);

/// The keyword a word is, whatever its letter case.
pub(super) fn keyword(word: &[u8]) -> Keyword {
    WORDS.meaning(word).unwrap_or(Keyword::None)
}

impl Keyword {
    /// Whether a clause starts with it.
    pub fn starts_clause(self) -> bool {
        matches!(
            self,
            Self::Match
                | Self::Optional
                | Self::Create
                | Self::Merge
                | Self::Return
                | Self::With
                | Self::Unwind
                | Self::Call
                | Self::Delete
                | Self::Detach
                | Self::NoDetach
                | Self::Set
                | Self::Remove
                | Self::Foreach
                | Self::Load
                | Self::Union
                | Self::Use
                | Self::Finish
        )
    }

    /// Whether a clause starts with it that changes the graph.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::Merge
                | Self::Delete
                | Self::Detach
                | Self::NoDetach
                | Self::Set
                | Self::Remove
                | Self::Foreach
        )
    }

    /// Whether it is a literal value.
    pub fn is_literal(self) -> bool {
        matches!(self, Self::True | Self::False | Self::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_in_any_case_and_nothing_else_is() {
        assert_eq!(keyword(b"mAtCh"), Keyword::Match);
        assert_eq!(keyword(b"matches"), Keyword::None);
        assert_eq!(keyword(b"a"), Keyword::None);
        assert_eq!(keyword(b"averyveryverylongword"), Keyword::None);
    }

    #[test]
    fn every_keyword_is_short_enough_to_be_found() {
        for (words, expected) in ALL {
            for word in *words {
                assert_eq!(keyword(word.as_bytes()), *expected, "{word}");
            }
        }
    }
}
