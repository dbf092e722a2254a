//! The closed sets of words an audit event uses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A request and its answer.
    ApiRequest,
    /// An attempt to prove who is calling.
    Authentication,
    /// A decision on what a caller may do.
    Authorization,
    /// Data of a graph was read or written.
    DataAccess,
    /// Configuration, rules or keys changed.
    ConfigurationChange,
    /// A threat was found or acted on.
    SecurityEvent,
    /// The gateway's own life: start, stop, recovery, degradation.
    SystemEvent,
}

impl EventType {
    /// Every type, in the specification's order.
    pub const ALL: [Self; 7] = [
        Self::ApiRequest,
        Self::Authentication,
        Self::Authorization,
        Self::DataAccess,
        Self::ConfigurationChange,
        Self::SecurityEvent,
        Self::SystemEvent,
    ];

    /// The word used in JSON, metrics and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiRequest => "api_request",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::DataAccess => "data_access",
            Self::ConfigurationChange => "configuration_change",
            Self::SecurityEvent => "security_event",
            Self::SystemEvent => "system_event",
        }
    }
}

/// How much an event matters.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Expected.
    Info,
    /// Refused or unusual.
    Warning,
    /// Something of ours or the upstream's went wrong.
    Error,
    /// A person is needed.
    Critical,
}

impl Severity {
    /// Every severity, mildest first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The word used in JSON, metrics and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// A word that names no variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what}: {got}")]
pub struct UnknownWord {
    what: &'static str,
    got: String,
}

impl FromStr for EventType {
    type Err = UnknownWord;

    fn from_str(got: &str) -> Result<Self, UnknownWord> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == got);
        known.ok_or_else(|| UnknownWord {
            what: "event type",
            got: got.to_owned(),
        })
    }
}

impl FromStr for Severity {
    type Err = UnknownWord;

    fn from_str(got: &str) -> Result<Self, UnknownWord> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == got);
        known.ok_or_else(|| UnknownWord {
            what: "severity",
            got: got.to_owned(),
        })
    }
}

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A client's address.
    Address(IpAddr),
    /// The gateway itself or its operator.
    System,
    /// The address was erased.
    Erased,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::System => f.write_str("system"),
            Self::Erased => f.write_str("erased"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Address(address) => address.serialize(serializer),
            Self::System => serializer.serialize_str("system"),
            Self::Erased => serializer.serialize_str("erased"),
        }
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "system" => return Ok(Self::System),
            "erased" => return Ok(Self::Erased),
            _ => {}
        }
        text.parse().map(Self::Address).map_err(D::Error::custom)
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The upstream's answer was passed on.
    Forwarded,
    /// The gateway answered with a refusal.
    Refused,
    /// The client went away first.
    Aborted,
    /// The upstream or the gateway broke.
    Failed,
}

impl Outcome {
    /// The word used in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::Failed => "failed",
        }
    }
}

/// How far the threat rules looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Inspection {
    /// Every part the route asks for was inspected.
    Complete,
    /// Forwarded in part or whole without inspection, as the route allows.
    Uninspected,
    /// The route asks for none, or the request ended before it.
    None,
}

impl Inspection {
    /// The word used in JSON and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Uninspected => "uninspected",
            Self::None => "none",
        }
    }
}
