//! Why a request is not served. One enum, so that one place can speak HTTP about it.

use std::borrow::Cow;
use std::time::Duration;

use crate::policy::auth::AuthRefusal;
use crate::policy::cypher::ComplexityClass;
use crate::policy::hygiene::{PathRefusal, Violation};
use crate::policy::limits::{Exceeded, LimitType};
use crate::policy::totp::CodeRefusal;

/// A request that is refused, or that could not be served.
#[derive(Debug)]
pub enum Refusal {
    /// The bytes are not a request RFC 9110/9112 allows.
    Protocol(Violation),
    /// The client was too slow with the head or the body.
    RequestTimeout,
    /// The path has no single meaning.
    Path(PathRefusal),
    /// No route matches.
    RouteNotFound,
    /// The route exists, for other methods.
    MethodNotAllowed {
        /// What it allows, ready for the `Allow` field.
        allow: String,
    },
    /// The route exists to be refused.
    RouteRefused,
    /// An upgrade where the route allows none.
    UpgradeRefused,
    /// An expectation other than `100-continue`.
    ExpectationFailed,
    /// The caller is not who or what the route asks for.
    Auth(AuthRefusal),
    /// A limit of the plan is used up.
    Limited(Exceeded),
    /// The key is suspended by a mitigation.
    Suspended {
        /// When it ends.
        retry_after: Duration,
    },
    /// A one-time code is demanded, and none that counts was presented.
    Verification(CodeRefusal),
    /// The body is larger than any the gateway takes.
    BodyTooLarge {
        /// In bytes.
        max: u64,
    },
    /// The body is larger than what the route inspects.
    UninspectableBody {
        /// In bytes.
        max: u64,
    },
    /// The body cannot be read as what it says it is.
    Unreadable {
        /// 400, 413 or 415.
        status: u16,
        /// Stable and kebab-case.
        code: &'static str,
    },
    /// A threat rule blocks it.
    Threat,
    /// The query costs more than the plan allows the key.
    QueryTooComplex {
        /// What it is estimated to cost.
        class: ComplexityClass,
        /// What the key may send.
        max: ComplexityClass,
    },
    /// Too much is held for inspection already.
    InspectionBusy,
    /// The audit log cannot take an event, and an unaudited answer is not given.
    AuditUnavailable,
    /// No healthy endpoint, or none that accepts a connection.
    UpstreamUnavailable,
    /// The upstream answered with something that is not HTTP, or broke off.
    UpstreamFailed,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The client went away; nobody reads the answer.
    ClientGone,
    /// A fault of ours.
    Internal,
}

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Self::Protocol(violation) => violation.status(),
            Self::Auth(refusal) => refusal.status(),
            Self::Unreadable { status, .. } => *status,
            Self::Path(_) => 400,
            Self::RouteRefused
            | Self::UpgradeRefused
            | Self::Suspended { .. }
            | Self::Verification(_)
            | Self::QueryTooComplex { .. }
            | Self::Threat => 403,
            Self::RouteNotFound => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge { .. } | Self::UninspectableBody { .. } => 413,
            Self::ExpectationFailed => 417,
            Self::Limited(_) => 429,
            Self::ClientGone => 499,
            Self::Internal => 500,
            Self::UpstreamFailed => 502,
            Self::InspectionBusy | Self::AuditUnavailable | Self::UpstreamUnavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The stable code of the problem document, the metric and the audit event.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Protocol(violation) => violation.code(),
            Self::Auth(refusal) => refusal.code(),
            Self::Path(refusal) => refusal.code(),
            Self::Unreadable { code, .. } => code,
            Self::RequestTimeout => "request-timeout",
            Self::RouteNotFound => "route-not-found",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::RouteRefused => "route-refused",
            Self::UpgradeRefused => "upgrade-refused",
            Self::ExpectationFailed => "expectation-failed",
            Self::Limited(exceeded) if exceeded.limit == LimitType::Address => "too-many-failures",
            Self::Limited(_) => "quota-exceeded",
            Self::Suspended { .. } => "key-suspended",
            Self::Verification(_) => "verification-required",
            Self::BodyTooLarge { .. } => "body-too-large",
            Self::UninspectableBody { .. } => "body-over-inspection-limit",
            Self::Threat => "threat-blocked",
            Self::QueryTooComplex { .. } => "query-too-complex",
            Self::InspectionBusy => "inspection-busy",
            Self::AuditUnavailable => "audit-unavailable",
            Self::UpstreamUnavailable => "upstream-unavailable",
            Self::UpstreamFailed => "upstream-failed",
            Self::UpstreamTimeout => "upstream-timeout",
            Self::ClientGone => "client-gone",
            Self::Internal => "internal-error",
        }
    }

    /// One sentence for the caller; never what they sent, never internals.
    pub fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Protocol(violation) => violation.reason().into(),
            Self::Auth(refusal) => refusal.reason().into(),
            Self::Path(refusal) => refusal.reason().into(),
            Self::RequestTimeout => "The request did not arrive in time.".into(),
            Self::RouteNotFound => "No route matches this path.".into(),
            Self::MethodNotAllowed { allow } => format!("This path allows {allow}.").into(),
            Self::RouteRefused => "This path is not served here.".into(),
            Self::UpgradeRefused => "This path does not allow a protocol upgrade.".into(),
            Self::ExpectationFailed => "Only the expectation 100-continue is met.".into(),
            Self::Limited(exceeded) if exceeded.limit == LimitType::Address => {
                "Too many failed authentications from this address.".into()
            }
            Self::Limited(exceeded) => format!(
                "The {} limit of the plan is used up.",
                exceeded.limit.as_str()
            )
            .into(),
            Self::Suspended { .. } => "The API key is suspended.".into(),
            Self::Verification(refusal) => refusal.detail().into(),
            Self::BodyTooLarge { max } => format!("The body is larger than {max} bytes.").into(),
            Self::UninspectableBody { max } => {
                format!("The body is larger than the {max} bytes that are inspected here.").into()
            }
            Self::Unreadable { .. } => "The body cannot be read as its type declares.".into(),
            Self::Threat => "The request was blocked because of security concerns.".into(),
            Self::QueryTooComplex { class, max } => format!(
                "The query's estimated complexity is {class}; the key may send up to {max}."
            )
            .into(),
            Self::InspectionBusy => "Too many bodies are being inspected.".into(),
            Self::AuditUnavailable => "The request cannot be audited now.".into(),
            Self::UpstreamUnavailable => "The service behind the gateway is not available.".into(),
            Self::UpstreamFailed => "The service behind the gateway gave no valid answer.".into(),
            Self::UpstreamTimeout => {
                "The service behind the gateway did not answer in time.".into()
            }
            Self::ClientGone => "The client closed the connection.".into(),
            Self::Internal => "The gateway could not serve the request.".into(),
        }
    }

    /// When it makes sense to ask again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Suspended { retry_after }
            | Self::Verification(CodeRefusal::Locked { retry_after }) => Some(*retry_after),
            Self::Limited(exceeded) => Some(exceeded.retry_after),
            Self::InspectionBusy | Self::AuditUnavailable | Self::UpstreamUnavailable => {
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// Whether the gateway refused what it could have served, as against being unable to serve.
    pub fn is_decision(&self) -> bool {
        !matches!(
            self,
            Self::UpstreamUnavailable
                | Self::UpstreamFailed
                | Self::UpstreamTimeout
                | Self::ClientGone
                | Self::Internal
        )
    }
}
