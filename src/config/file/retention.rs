//! The part of the shape that says how long audit events are kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::placed::Placed;

/// How long events are kept in the log. Of an event's tags that are named here the longest counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RetentionShape {
    /// Days that events with none of the tags below are kept; without it, as long as the log has room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) default_days: Option<Placed<u64>>,
    /// Days that events with a compliance tag are kept.
    pub(in crate::config) tags: Placed<RetentionTagsShape>,
}

/// Days by compliance tag.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct RetentionTagsShape {
    /// Events of clients in California's reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) ccpa: Option<Placed<u64>>,
    /// Events of clients in the GDPR's reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) gdpr: Option<Placed<u64>>,
    /// Events of organizations in health care; six years are 2192 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) hipaa: Option<Placed<u64>>,
    /// Events of organizations in finance; PCI DSS asks for a year.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) pci_dss: Option<Placed<u64>>,
    /// Events of reading data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) data_access: Option<Placed<u64>>,
    /// Events of changing data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) data_modification: Option<Placed<u64>>,
    /// Events with personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) pii: Option<Placed<u64>>,
    /// Events of callers who proved or failed to prove who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) authentication: Option<Placed<u64>>,
    /// Events of attacks and of authentication.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub(in crate::config) security: Option<Placed<u64>>,
}

impl RetentionTagsShape {
    /// Every tag with its days, where they are given.
    pub(in crate::config) fn all(&self) -> [(&'static str, Option<&Placed<u64>>); 9] {
        [
            ("ccpa", self.ccpa.as_ref()),
            ("gdpr", self.gdpr.as_ref()),
            ("hipaa", self.hipaa.as_ref()),
            ("pci_dss", self.pci_dss.as_ref()),
            ("data_access", self.data_access.as_ref()),
            ("data_modification", self.data_modification.as_ref()),
            ("pii", self.pii.as_ref()),
            ("authentication", self.authentication.as_ref()),
            ("security", self.security.as_ref()),
        ]
    }
}
