//! The part of the shape that is about threat rules and the cost of queries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use crate::config::placed::Placed;
use crate::policy::cypher::ComplexityClass;
use crate::policy::threat::Thresholds;

/// The threat rules.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RulesShape {
    /// The folder of the rule files; relative to this file's folder.
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) directory: Placed<String>,
    /// Whether a folder without a rule file is an error; `false` serves without rules.
    pub(in crate::config) required: Placed<bool>,
    /// Ids of rules that are not to run.
    #[schemars(length(max = 10_000))]
    pub(in crate::config) disabled: Placed<Vec<Placed<String>>>,
    /// Where findings of rules do not count, until a day.
    #[schemars(length(max = 1_000))]
    pub(in crate::config) exclusions: Placed<Vec<Placed<ExclusionShape>>>,
    /// From which combined confidence on a category of rules, its first tag, has consequences.
    #[schemars(extend(
        "maxProperties" = 256,
        "propertyNames" = {"pattern": "^[A-Za-z0-9._-]{1,64}$"}
    ))]
    pub(in crate::config) thresholds: Placed<BTreeMap<String, Placed<ThresholdsShape>>>,
    /// Which procedures and functions statements may call.
    pub(in crate::config) procedures: Placed<ProceduresShape>,
    /// Keep inspected requests, redacted, to judge changes of rules by; nothing is kept without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) recording: Option<Placed<RecordingShape>>,
}

impl Default for RulesShape {
    fn default() -> Self {
        Self {
            directory: by_default("./rules"),
            required: by_default(true),
            disabled: Placed::default(),
            exclusions: Placed::default(),
            thresholds: Placed::default(),
            procedures: Placed::default(),
            recording: None,
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

/// From which combined confidence on one category of rules has consequences.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ThresholdsShape {
    /// From here on rules with `block_request` block; above 0.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in crate::config) block: Placed<f64>,
    /// From here on the other mitigations follow; above 0 and at most `block`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in crate::config) act: Placed<f64>,
}

impl Default for ThresholdsShape {
    fn default() -> Self {
        Self {
            block: by_default(Thresholds::DEFAULT.block),
            act: by_default(Thresholds::DEFAULT.act),
        }
    }
}

/// Which procedures and functions statements may call.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ProceduresShape {
    /// Names, or name spaces such as `gds.*`, which leave denied what is denied anyway: that is allowed by its full name alone.
    #[schemars(length(max = 1_000))]
    pub(in crate::config) allow: Placed<Vec<Placed<String>>>,
    /// Whether only what `allow` lists may be called, beside the language's own functions.
    pub(in crate::config) only: Placed<bool>,
}

/// Inspected requests, kept redacted.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["directory"]))]
pub(in crate::config) struct RecordingShape {
    /// The folder they are written to; relative to this file's folder.
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) directory: Placed<String>,
    /// The share of requests that is kept.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in crate::config) sample: Placed<f64>,
    /// Size of all files; the oldest go beyond.
    #[schemars(range(min = 1_048_576, max = 1_099_511_627_776_u64))]
    pub(in crate::config) bytes_max: Placed<u64>,
    /// Bytes of a body that are kept.
    #[schemars(range(min = 0, max = 1_048_576))]
    pub(in crate::config) body_bytes_max: Placed<u64>,
    /// The header fields that are kept; never credentials.
    #[schemars(length(max = 64))]
    pub(in crate::config) headers: Placed<Vec<Placed<String>>>,
    /// Further words: values are redacted whose names contain one, whatever its case. Names such as `password`,
    /// `token` or `pin` always say that their value is a secret.
    #[schemars(length(max = 256))]
    pub(in crate::config) redact: Placed<Vec<Placed<String>>>,
}

impl Default for RecordingShape {
    fn default() -> Self {
        let list =
            |words: &[&str]| by_default(words.iter().map(|w| by_default(*w)).collect::<Vec<_>>());
        Self {
            directory: Placed::default(),
            sample: by_default(1.0),
            bytes_max: by_default(1_073_741_824_u64),
            body_bytes_max: by_default(65_536_u64),
            headers: list(&[
                "accept",
                "content-encoding",
                "content-type",
                "host",
                "user-agent",
            ]),
            redact: list(&[]),
        }
    }
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
