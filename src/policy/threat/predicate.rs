//! The findings that code makes and rules name: what a rule's `predicate` may say.

use super::work::Work;
use crate::policy::cypher::Finding;

macro_rules! predicates {
    ($($name:ident = $word:literal),* $(,)?) => {
        /// A finding made in code; a rule gives it its weight.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(super) enum Predicate { Cypher(Finding), $($name),* }

        impl Predicate {
            const OWN: &'static [Self] = &[$(Self::$name),*];

            /// The name rules use.
            pub(super) fn name(self) -> &'static str {
                match self {
                    Self::Cypher(finding) => finding.name(),
                    $(Self::$name => $word),*
                }
            }
        }
    };
}

predicates! {
    SqlUnion = "sql.union_select",
    SqlCondition = "sql.condition",
    SqlBreakout = "sql.breakout",
    SqlWeakBreakout = "sql.weak_breakout",
    SqlCommentTail = "sql.comment_tail",
    SqlStacked = "sql.stacked",
    SqlStatement = "sql.statement",
    HtmlScript = "html.script",
    HtmlHandler = "html.event_handler",
    HtmlScriptUrl = "html.script_url",
    HtmlActiveTag = "html.active_tag",
    HtmlStyle = "html.active_style",
    HtmlAttribute = "html.attribute_breakout",
    ShellCommand = "shell.command",
    PathClimbs = "path.climbs",
    UrlInternal = "url.internal_address",
    UrlScheme = "url.scheme",
    UrlInclusion = "url.inclusion",
    OperatorKey = "json.operator_key",
    PrototypeKey = "json.prototype_key",
    XmlDoctype = "xml.doctype",
    SerializedObject = "object.serialized",
    GraphqlBatch = "graphql.batch",
    GraphqlAliases = "graphql.aliases",
    GraphqlDepth = "graphql.depth",
    GraphqlIntrospection = "graphql.introspection",
    Unsettled = "decode.unsettled",
    BoundLeaves = "bound.leaves",
    BoundWork = "bound.work",
    BoundParts = "bound.parts",
    BoundPairs = "bound.pairs",
    BoundNesting = "bound.json_nesting",
    BoundGraphql = "bound.graphql",
    BoundDepth = "bound.json_depth",
    BoundKeys = "bound.json_keys",
    DuplicateKey = "bound.json_duplicate_key",
}

impl Predicate {
    /// Whether it says only that there is too much of something.
    pub(super) fn is_of_size(self) -> bool {
        matches!(
            self,
            Self::BoundLeaves
                | Self::BoundWork
                | Self::BoundParts
                | Self::BoundPairs
                | Self::BoundKeys
        )
    }

    /// Every predicate.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Finding::ALL
            .into_iter()
            .map(Self::Cypher)
            .chain(Self::OWN.iter().copied())
    }
}

/// What code found in one value: at most one of each predicate, with the byte it stands at.
#[derive(Debug, Default)]
pub(super) struct Found {
    list: Vec<(Predicate, usize)>,
    /// What is left for looking.
    pub(super) work: Work,
}

impl Found {
    /// Nothing yet, with some work left.
    pub(super) fn within(work: Work) -> Self {
        Self {
            list: Vec::new(),
            work,
        }
    }

    pub(super) fn note(&mut self, predicate: Predicate, at: usize) {
        if !self.has(predicate) {
            self.list.push((predicate, at));
        }
    }

    pub(super) fn has(&self, predicate: Predicate) -> bool {
        self.list.iter().any(|(p, _)| *p == predicate)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Predicate, usize)> + '_ {
        self.list.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let names: std::collections::HashSet<&str> =
            Predicate::all().map(Predicate::name).collect();
        assert_eq!(names.len(), Predicate::all().count());
    }
}
