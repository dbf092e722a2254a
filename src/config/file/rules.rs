//! The part of the shape that is about threat rules and the cost of queries.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use crate::config::placed::Placed;
use crate::policy::cypher::ComplexityClass;

/// The threat rules.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RulesShape {
    /// The folder of the rule files; relative to this file's folder.
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) directory: Placed<String>,
    /// Ids of rules that are not to run.
    #[schemars(length(max = 10_000))]
    pub(in crate::config) disabled: Placed<Vec<Placed<String>>>,
    /// Where findings of rules do not count, until a day.
    #[schemars(length(max = 1_000))]
    pub(in crate::config) exclusions: Placed<Vec<Placed<ExclusionShape>>>,
}

impl Default for RulesShape {
    fn default() -> Self {
        Self {
            directory: by_default("./rules"),
            disabled: Placed::default(),
            exclusions: Placed::default(),
        }
    }
}

/// Where findings of rules do not count, until a day.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["owner", "reason", "expires"]))]
pub(in crate::config) struct ExclusionShape {
    /// The rule's id; either this or `tag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub(in crate::config) rule: Option<Placed<String>>,
    /// A tag: every rule that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub(in crate::config) tag: Option<Placed<String>>,
    /// Only on this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) route: Option<Placed<String>>,
    /// Only in this field, as indicators name it: `$.items[*].note`, `query.q`, `header.referer`. `*` is any one name or number, `**` at the end is all that follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) field: Option<Placed<String>>,
    /// Only for the API key of this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) key: Option<Placed<String>>,
    /// Only for clients of this network (CIDR).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) network: Option<Placed<String>>,
    /// Who answers for it.
    #[schemars(length(min = 1, max = 128))]
    pub(in crate::config) owner: Placed<String>,
    /// Why it is right.
    #[schemars(length(min = 1, max = 512))]
    pub(in crate::config) reason: Placed<String>,
    /// The last day it holds (UTC), such as 2027-03-31.
    #[schemars(length(min = 1, max = 32))]
    pub(in crate::config) expires: Placed<String>,
}

/// What queries may cost by a key's scopes.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["scope", "max"]))]
pub(in crate::config) struct ScopedComplexityShape {
    /// A key that has this scope, such as `graph:analyse`.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) scope: Placed<String>,
    /// The dearest class it may send; of several scopes the largest.
    pub(in crate::config) max: Placed<ComplexityClass>,
}
