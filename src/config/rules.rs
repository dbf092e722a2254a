//! What the file says of threat rules and of what queries may cost, compiled.

use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;

use crate::diagnostic::Place;
use crate::policy::cypher::{AllowList, ComplexityClass};
use crate::policy::threat::{CategoryThresholds, Exclusion};

/// The threat rules.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesSettings {
    /// The folder of the rule files. Whether it can be read is the rules' own check.
    pub directory: PathBuf,
    /// Where the file names it, or where the file begins.
    pub place: Place,
    /// Whether a folder without a rule file is an error.
    pub required: bool,
    /// Ids of rules that are not to run, unique. Whether they exist is the rules' own check.
    pub disabled: Vec<Arc<str>>,
    /// Where findings do not count; routes exist. Whether the rules do is the rules' own check.
    pub exclusions: Vec<Exclusion>,
    /// From which confidence on findings have consequences. Whether the categories exist is the rules' own check.
    pub thresholds: Vec<CategoryThresholds>,
    /// What statements may call.
    pub procedures: AllowList,
    /// What is kept of inspected requests.
    pub recording: Option<RecordingSettings>,
}

/// What is kept of inspected requests.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordingSettings {
    /// The folder of the recordings.
    pub directory: PathBuf,
    /// The share of requests that is kept, 0 to 1.
    pub sample: f64,
    /// Size of all files.
    pub bytes_max: u64,
    /// Bytes of a body that are kept.
    pub body_bytes_max: usize,
    /// The header fields that are kept; none is a credential.
    pub headers: Vec<HeaderName>,
    /// Lower-case words that redact the values of names they stand in.
    pub redact: Vec<String>,
}

/// The dearest query a key of a plan may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComplexitySettings {
    /// For every key; `None` is no limit.
    pub max: Option<ComplexityClass>,
    /// For keys that have a scope, instead.
    pub by_scope: Vec<(Arc<str>, ComplexityClass)>,
}
