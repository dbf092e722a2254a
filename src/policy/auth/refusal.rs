//! Every way a caller is turned away before limits and inspection.

use std::sync::Arc;

use super::grants::Scope;

/// Why a request's key does not admit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthRefusal {
    /// No key in `X-API-Key` nor as a bearer token.
    #[error("an API key is required")]
    Missing,
    /// Mistyped, over-long, or with characters keys do not have.
    #[error("the API key is malformed")]
    Malformed,
    /// Well formed, but no such key; a wrong secret of an existing id looks the same.
    #[error("the API key is not known")]
    Unknown,
    /// In the query string, where logs and referrers would keep it.
    #[error("API keys are not accepted in the query string")]
    InQuery,
    /// More than one key.
    #[error("exactly one API key is required")]
    Ambiguous,
    /// Past its expiry, or past the grace of its rotation.
    #[error("the API key has expired")]
    Expired,
    /// Withdrawn for good.
    #[error("the API key was revoked")]
    Revoked,
    /// Withdrawn for now.
    #[error("the API key is suspended")]
    Suspended {
        /// End in microseconds since 1970; `None` until somebody resumes it.
        until: Option<i64>,
    },
    /// The client's address is outside the key's networks.
    #[error("the API key is not allowed from this address")]
    NetworkDenied,
    /// The route needs a scope the key does not have.
    #[error("the API key lacks the scope {scope}")]
    ScopeMissing {
        /// The first one missing.
        scope: Scope,
    },
    /// The key does not reach the graph.
    #[error("the API key has no access to this graph")]
    GraphDenied,
    /// The key's plan is not in the configuration; nothing is admitted without knowing its limits.
    #[error("the API key's plan is not configured")]
    PlanUnknown {
        /// The plan's name, for the audit event.
        plan: Arc<str>,
    },
}

impl AuthRefusal {
    /// The stable code of answers, audit events and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "key-missing",
            Self::Malformed => "key-malformed",
            Self::Unknown => "key-unknown",
            Self::InQuery => "key-in-query",
            Self::Ambiguous => "key-ambiguous",
            Self::Expired => "key-expired",
            Self::Revoked => "key-revoked",
            Self::Suspended { .. } => "key-suspended",
            Self::NetworkDenied => "network-denied",
            Self::ScopeMissing { .. } => "scope-missing",
            Self::GraphDenied => "graph-denied",
            Self::PlanUnknown { .. } => "plan-unknown",
        }
    }

    /// The HTTP status: 400 for how the key was sent, 401 for who it is, 403 for what it may.
    pub fn status(&self) -> u16 {
        match self {
            Self::InQuery | Self::Ambiguous => 400,
            Self::Missing | Self::Malformed | Self::Unknown | Self::Expired | Self::Revoked => 401,
            Self::Suspended { .. }
            | Self::NetworkDenied
            | Self::ScopeMissing { .. }
            | Self::GraphDenied
            | Self::PlanUnknown { .. } => 403,
        }
    }

    /// One sentence for the client; never holds the key.
    pub fn reason(&self) -> String {
        self.to_string()
    }

    /// True when it counts as a failed authentication of the client's address.
    ///
    /// A known key that may not do what it asks is no guessing.
    pub fn is_failed_authentication(&self) -> bool {
        self.status() == 401 && !matches!(self, Self::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_counts_as_failed_authentication_and_lacking_a_scope_does_not() {
        assert!(AuthRefusal::Unknown.is_failed_authentication());
        assert!(AuthRefusal::Malformed.is_failed_authentication());
        assert!(!AuthRefusal::Missing.is_failed_authentication());
        assert!(!AuthRefusal::GraphDenied.is_failed_authentication());
        assert!(!AuthRefusal::Suspended { until: None }.is_failed_authentication());
    }

    #[test]
    fn a_missing_scope_is_named() {
        let scope = "graph:write".parse().unwrap();
        let refusal = AuthRefusal::ScopeMissing { scope };
        assert_eq!(refusal.reason(), "the API key lacks the scope graph:write");
        assert_eq!((refusal.status(), refusal.code()), (403, "scope-missing"));
    }
}
