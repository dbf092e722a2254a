//! The part of the shape that says what audit events know beyond the request: places and classifications.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use crate::config::enrichment::Classification;
use crate::config::placed::Placed;

/// Where addresses are.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["file"]))]
pub(in crate::config) struct GeoIpShape {
    /// A city or country database in MaxMind's format (MMDB). One that cannot be read leaves places unknown.
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) file: Placed<String>,
    /// Time between two looks whether the file has changed.
    #[schemars(range(min = 1, max = 86_400))]
    pub(in crate::config) check_secs: Placed<u64>,
}

impl Default for GeoIpShape {
    fn default() -> Self {
        Self {
            file: Placed::default(),
            check_secs: by_default(60_u64),
        }
    }
}

/// How sensitive the data of some graphs is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["graph", "classification"]))]
pub(in crate::config) struct GraphShape {
    /// A graph's id; `*` stands for any characters, such as `patients-*`.
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) graph: Placed<String>,
    /// What its events say; of several that fit, the highest.
    pub(in crate::config) classification: Placed<Classification>,
}
