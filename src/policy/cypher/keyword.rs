//! The words of Cypher that mean something to the gateway, in any letter case.

use crate::policy::words::{pack, place};

/// The longest keyword, in bytes.
const LONGEST: usize = 12;

macro_rules! keywords {
    ($($name:ident = $word:literal),* $(,)?) => {
        /// A word with a meaning in Cypher. Most may also name a variable or a label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each variant is the word it is named after")]
        #[repr(u8)]
        pub enum Keyword { None, $($name),* }

        /// Every keyword with its word.
        const ALL: &[(&[u8], Keyword)] = &[$(($word, Keyword::$name)),*];
    };
}

keywords! {
    Match = b"match", Optional = b"optional", Create = b"create", Merge = b"merge", Return = b"return",
    With = b"with", Unwind = b"unwind", Call = b"call", Yield = b"yield", Where = b"where",
    Delete = b"delete", Detach = b"detach", NoDetach = b"nodetach", Set = b"set", Remove = b"remove",
    Foreach = b"foreach", Load = b"load", Csv = b"csv", Union = b"union", All = b"all", Order = b"order",
    By = b"by", Skip = b"skip", Offset = b"offset", Limit = b"limit", As = b"as", And = b"and", Or = b"or",
    Xor = b"xor", Not = b"not", In = b"in", Is = b"is", Null = b"null", True = b"true", False = b"false",
    Starts = b"starts", Ends = b"ends", Contains = b"contains", Case = b"case", When = b"when",
    Then = b"then", Else = b"else", End = b"end", On = b"on", Use = b"use", Explain = b"explain",
    Profile = b"profile", Cypher = b"cypher", Using = b"using", Exists = b"exists", Count = b"count",
    Collect = b"collect", Distinct = b"distinct", From = b"from", Headers = b"headers", Show = b"show",
    Drop = b"drop", Alter = b"alter", Grant = b"grant", Deny = b"deny", Revoke = b"revoke",
    Terminate = b"terminate", Start = b"start", Stop = b"stop", Rename = b"rename", Enable = b"enable",
    Deallocate = b"deallocate", Reallocate = b"reallocate", Dryrun = b"dryrun", User = b"user",
    Users = b"users", Role = b"role", Roles = b"roles", Database = b"database",
    Databases = b"databases", Alias = b"alias", Aliases = b"aliases", Server = b"server",
    Servers = b"servers", Privilege = b"privilege", Privileges = b"privileges",
    Transaction = b"transaction", Transactions = b"transactions", Setting = b"setting",
    Settings = b"settings", Current = b"current", Composite = b"composite", Replace = b"replace",
    System = b"system", Index = b"index", Indexes = b"indexes", Constraint = b"constraint",
    Constraints = b"constraints", Procedures = b"procedures", Functions = b"functions",
    Finish = b"finish", Reduce = b"reduce", Range = b"range", Any = b"any", NoneOf = b"none",
    Single = b"single", Home = b"home", Default = b"default", Supported = b"supported",
    Fulltext = b"fulltext", Text = b"text", Point = b"point", Lookup = b"lookup", Vector = b"vector",
}

/// Slots of the table below: a power of two with room to spare.
const SLOTS: usize = 512;

/// Keywords by their packed words, 0 where a slot is free. Collisions go to the next slot.
static TABLE: [(u128, Keyword); SLOTS] = {
    let mut table = [(0, Keyword::None); SLOTS];
    let mut index = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
    while index < ALL.len() {
        let (word, keyword) = ALL[index];
        let packed = pack(word);
        let mut slot = place(packed) % SLOTS;
        while table[slot].0 != 0 {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = (packed, keyword);
        index += 1;
    }
    table
};

/// The keyword a word is, whatever its letter case.
pub(super) fn keyword(word: &[u8]) -> Keyword {
    if word.len() > LONGEST || word.len() < 2 {
        return Keyword::None;
    }
    let packed = pack(word);
    let mut slot = place(packed) % SLOTS;
    while let Some((known, keyword)) = TABLE.get(slot).filter(|(known, _)| *known != 0) {
        if *known == packed {
            return *keyword;
        }
        slot = (slot + 1) % SLOTS;
    }
    Keyword::None
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
        for (word, expected) in ALL {
            assert_eq!(
                keyword(word),
                *expected,
                "{}",
                String::from_utf8_lossy(word)
            );
        }
    }
}
