//! Which procedures and functions a statement may call, and what they are known to do, by their names.
//!
//! Without a list of the operator's, a statement may call whatever neither reaches beyond the graph nor runs text
//! nor administers. The list adds single names to that, or is, where it says `only`, all that may be called beside
//! the functions of the language. A wildcard never allows what is denied without the list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of an allowed name.
pub(super) const PATTERN_BYTES_MAX: usize = 120;

/// Name spaces whose procedures and functions reach beyond the graph, run text, or administer.
const DENIED: &[&str] = &[
    "apoc.load.",
    "apoc.import.",
    "apoc.export.",
    "apoc.cypher.",
    "apoc.periodic.",
    "apoc.trigger.",
    "apoc.custom.",
    "apoc.systemdb.",
    "apoc.util.sleep",
    "apoc.bolt.",
    "apoc.config.",
    "apoc.es.",
    "apoc.mongo.",
    "apoc.mongodb.",
    "apoc.couchbase.",
    "apoc.redis.",
    "apoc.model.",
    "apoc.dv.",
    "apoc.uuid.",
    "apoc.ttl.",
    "apoc.static.",
    "apoc.nlp.",
    "apoc.ml.",
    "apoc.gephi.",
    "apoc.graphml.",
    "apoc.graph.fromdb",
    "apoc.monitor.",
    "apoc.log.",
    "apoc.when",
    "apoc.case",
    "apoc.do.",
    "apoc.warmup.",
    "apoc.lock.",
    "apoc.nodes.delete",
    "apoc.schema.assert",
    "apoc.refactor.rename",
    "apoc.generate.",
    "apoc.kernel",
    "dbms.",
    "dbinfo.",
    "tx.setmetadata",
    "sys.",
    "jwt.",
    "custom.",
    "db.clearquerycaches",
    "db.checkpoint",
    "db.createlabel",
    "db.createproperty",
    "db.createrelationshiptype",
    "db.resampleindex",
    "db.resampleoutdated",
    "db.stats.",
    "db.prepareforreplanning",
    "db.listlocks",
    "db.index.fulltext.drop",
    "db.schema.drop",
    "n10s.rdf.import",
    "n10s.onto.import",
    "n10s.quadrdf.import",
    "gds.debug.",
    "gds.config.",
    "gds.export",
    "gds.graph.export",
    "gds.license",
    "gds.listprogress",
    "gds.systemmonitor",
    "gds.beta.graph.export",
    "gds.arrow",
    "cdc.",
    "apoc.spatial.geocode",
    "internal.",
];

/// Procedures that are fine to call and change the graph or its indexes.
const WRITING: &[&str] = &[
    "apoc.create.",
    "apoc.merge.",
    "apoc.refactor.",
    "apoc.atomic.",
    "apoc.nodes.",
    "apoc.path.create",
    "db.index.fulltext.create",
];

/// The first words of dotted names that are worth joining.
const ROOTS: &[&[u8]] = &[
    b"apoc",
    b"dbms",
    b"db",
    b"dbinfo",
    b"tx",
    b"sys",
    b"jwt",
    b"custom",
    b"n10s",
    b"gds",
    b"cdc",
    b"internal",
];

/// Name spaces of functions that are part of the language.
const LANGUAGE: &[&str] = &[
    "date.",
    "datetime.",
    "duration.",
    "localdatetime.",
    "localtime.",
    "point.",
    "time.",
    "vector.similarity.",
];

/// A name, or with `.*` at its end all names of a name space; in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcedurePattern(Arc<str>);

/// Why a text allows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPattern {
    /// It is no name.
    #[error("must be a name such as my.proc, or a name space such as gds.*")]
    Name,
    /// All of the name space is denied without a list, so each name must be given.
    #[error(
        "must name each procedure in full, as those there read files or addresses, run text or administer"
    )]
    Wildcard,
}

impl ProcedurePattern {
    /// Reads `my.proc` or `gds.*`, in any letter case.
    ///
    /// # Errors
    ///
    /// What it must be and is not.
    pub fn parse(text: &str) -> Result<Self, WrongPattern> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name = text.strip_suffix(".*").unwrap_or(text);
        let parts = |part: &str| !part.is_empty() && part.chars().all(plain);
        if text.len() > PATTERN_BYTES_MAX || !name.split('.').all(parts) {
            return Err(WrongPattern::Name);
        }
        let text = text.to_ascii_lowercase();
        match text.strip_suffix('*') {
            Some(space) if is_denied(space) => Err(WrongPattern::Wildcard),
            _ => Ok(Self(text.into())),
        }
    }
}

/// What an operator allows statements to call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// Names and name spaces.
    pub allow: Vec<ProcedurePattern>,
    /// Whether nothing else may be called.
    pub only: bool,
}

/// What statements may call, ready to be asked. The default is what holds without a list.
#[derive(Debug, Default)]
pub struct Procedures {
    /// Which these are: others of this process have another number, unless neither has a list.
    number: u64,
    names: Vec<Arc<str>>,
    /// With the dot at their ends.
    spaces: Vec<Box<str>>,
    only: bool,
}

impl Procedures {
    /// Those a list allows.
    pub fn new(list: &AllowList) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if *list == AllowList::default() {
            return Self::default();
        }
        let mut made = Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            only: list.only,
            ..Self::default()
        };
        for pattern in &list.allow {
            match pattern.0.strip_suffix('*') {
                Some(space) => made.spaces.push(space.into()),
                None => made.names.push(Arc::clone(&pattern.0)),
            }
        }
        made.names.sort_unstable();
        made
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether nothing but what is listed may be called.
    pub(super) fn is_only(&self) -> bool {
        self.only
    }

    /// Whether a name, in lower case, must not be called; `by_call` says that CALL does, which calls no function.
    pub(super) fn denies(&self, name: &str, by_call: bool) -> bool {
        if self
            .names
            .binary_search_by(|known| (**known).cmp(name))
            .is_ok()
        {
            return false;
        }
        let within = |space: &str| name.starts_with(space);
        let of_language = !by_call && LANGUAGE.iter().any(|space| within(space));
        is_denied(name)
            || self.only && !of_language && !self.spaces.iter().any(|space| within(space))
    }
}

/// Whether procedures of this name reach beyond the graph, run text, or administer.
fn is_denied(name: &str) -> bool {
    DENIED.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a procedure of this name changes the graph.
pub(super) fn writes(name: &str) -> bool {
    WRITING.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a dotted name that begins with this word may be a known one.
pub(super) fn is_known_root(word: &[u8]) -> bool {
    ROOTS.iter().any(|root| word.eq_ignore_ascii_case(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn procedures(allow: &[&str], only: bool) -> Procedures {
        let allow = allow
            .iter()
            .map(|text| ProcedurePattern::parse(text).unwrap());
        Procedures::new(&AllowList {
            allow: allow.collect(),
            only,
        })
    }

    #[test]
    fn a_pattern_is_a_name_or_a_name_space_that_is_not_denied_whole() {
        for right in [
            "gds.*",
            "apoc.*",
            "apoc.coll.*",
            "my.proc",
            "alone",
            "DBMS.components",
        ] {
            assert!(ProcedurePattern::parse(right).is_ok(), "{right}");
        }
        let long = "a".repeat(PATTERN_BYTES_MAX + 1);
        for no_name in [
            "",
            "*",
            ".*",
            "a.",
            ".a",
            "a.*.b",
            "apoc.cypher.run*",
            "a b",
            "a..b",
            "a.**",
            &long,
        ] {
            let parsed = ProcedurePattern::parse(no_name);
            assert_eq!(parsed, Err(WrongPattern::Name), "{no_name}");
        }
        for too_wide in [
            "apoc.load.*",
            "Dbms.*",
            "dbms.security.*",
            "apoc.cypher.*",
            "gds.export.*",
        ] {
            let parsed = ProcedurePattern::parse(too_wide);
            assert_eq!(parsed, Err(WrongPattern::Wildcard), "{too_wide}");
        }
    }

    #[test]
    fn a_name_is_allowed_alone_and_a_name_space_without_what_is_denied() {
        let some = procedures(&["apoc.load.JSON", "gds.*"], false);
        let only = procedures(&["apoc.load.json", "gds.*", "my.proc"], true);
        for (name, by_some, by_only) in [
            ("apoc.load.json", false, false),
            ("apoc.load.jsonarray", true, true),
            ("gds.pagerank.stream", false, false),
            ("gds.graph.export", true, true),
            ("gdsx.a", false, true),
            ("my.proc", false, false),
            ("my.proc.more", false, true),
            ("db.labels", false, true),
            ("date.truncate", false, false),
        ] {
            assert_eq!(some.denies(name, false), by_some, "{name}");
            assert_eq!(only.denies(name, false), by_only, "{name}");
        }
        assert!(only.denies("date.truncate", true));
    }
}
