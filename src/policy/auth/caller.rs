//! The caller: what is known of a request once its key is recognised.

use std::sync::Arc;

use super::grants::{GraphAccess, Networks, ScopeSet};

/// A recognised key and what it stands for. One per key, shared by all its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Eight characters; safe to log.
    pub key_id: Arc<str>,
    /// Who owns the key; visible ASCII, fit for a header.
    pub organization_id: Arc<str>,
    /// The plan's name; whether it is configured shows when its limits are looked up.
    pub plan: Arc<str>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// What it may do it to.
    pub graphs: GraphAccess,
    /// Where it may come from.
    pub networks: Networks,
    /// The organization's trade, for rules and reports.
    pub industry: Option<Arc<str>>,
    /// First microsecond since 1970 at which it is refused: its expiry, or the end of its
    /// rotation's grace where that comes first.
    pub expires_at_micros: Option<i64>,
    /// Where it stands in its life.
    pub state: KeyState,
    /// True for keys that no limit and no suspension touches.
    pub limits_exempt: bool,
    /// Its row in the limit table. Dense; a rotated key's successor has the same, so that rotating
    /// does not double the limits.
    pub index: u32,
}

/// Where a key stands in its life. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// In use.
    Active,
    /// Replaced; still accepted until then.
    Rotating {
        /// End of its grace.
        until: i64,
    },
    /// Refused for now.
    Suspended {
        /// When it is accepted again by itself; `None`: when somebody resumes it.
        until: Option<i64>,
        /// Why, in the words of whoever suspended it.
        reason: Arc<str>,
    },
    /// Refused for good.
    Revoked,
}

impl KeyState {
    /// The word for tables, audit events and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Rotating { .. } => "rotating",
            Self::Suspended { .. } => "suspended",
            Self::Revoked => "revoked",
        }
    }
}
