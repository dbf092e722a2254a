//! The shape of a rule file: a YAML list of rules. Unknown keys are errors.

use serde::Deserialize;
use serde_saphyr::Spanned;

/// One rule as written. See `docs/rules.md`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleText {
    pub(super) id: Spanned<String>,
    pub(super) name: String,
    pub(super) tags: Spanned<Vec<String>>,
    #[serde(rename = "type")]
    pub(super) indicator_type: Spanned<String>,
    pub(super) severity: Spanned<String>,
    pub(super) confidence: Spanned<f32>,
    #[serde(default)]
    pub(super) contexts: Vec<Spanned<String>>,
    #[serde(rename = "match")]
    pub(super) matches: Spanned<MatchText>,
    #[serde(default)]
    pub(super) except: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) prose: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) program: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) mode: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) mitigations: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) tests: TestsText,
}

/// What a rule matches: any of these.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatchText {
    #[serde(default)]
    pub(super) predicate: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) contains: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) regex: Vec<Spanned<String>>,
    /// A regex is tried only where one of these stands.
    #[serde(default)]
    pub(super) near: Vec<Spanned<String>>,
}

/// A rule's own test cases, run whenever it is loaded.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestsText {
    #[serde(default, rename = "match")]
    pub(super) matching: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) no_match: Vec<Spanned<String>>,
}
