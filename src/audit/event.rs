//! The audit event: what the gateway writes down about one request, decision or change.
//!
//! The first block of fields is of the specification's `AuditEvent`, names unchanged and always present
//! in the JSON (absent values are `null`). The second block is ours and is left out when absent. From
//! `source_ip` on follows what may tell of a person: it can be [erased](super::Log::carry_out) without the rest.
//! Strings are borrowed where they can be, so that building an event on the request path allocates
//! next to nothing. Serialised it is one JSON object on one line: control characters are escaped.
//!
//! Nothing here decides what may be recorded: callers hand over no secrets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::encode::rounded;
use super::timestamp;

pub use super::vocabulary::{EventType, Inspection, Outcome, Severity, Source, UnknownWord};

/// Version of the event's JSON shape; raised when a field changes its meaning.
pub const SCHEMA_VERSION: u16 = 1;

/// Longest free-text field kept when an event is [clipped](AuditEvent::clipped), in bytes.
const CLIPPED_TEXT_BYTES_MAX: usize = 1024;

/// Which data a request touched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataAccessed<'a> {
    /// Graphs named by the request.
    #[serde(default)]
    pub graph_ids: Vec<Cow<'a, str>>,
    /// SHA-256 of the query text, lower-case hex.
    pub query_hash: Option<Cow<'a, str>>,
    /// Rows in the answer.
    pub result_count: Option<u64>,
    /// Whether personal data was seen.
    #[serde(default)]
    pub pii_detected: bool,
    /// The highest classification among the graphs.
    pub data_classification: Option<Cow<'a, str>>,
    /// How often each kind of personal data was seen in the request; never the data.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pii_kinds: BTreeMap<Cow<'a, str>, u32>,
    /// The same of the answer, where answers are looked at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pii_response_kinds: BTreeMap<Cow<'a, str>, u32>,
}

/// Where the client's address is, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GeographicLocation<'a> {
    /// ISO 3166-1 alpha-2.
    pub country: Option<Cow<'a, str>>,
    /// Subdivision name or code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Cow<'a, str>>,
    /// City name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Cow<'a, str>>,
}

/// One thing a rule found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IndicatorRecord<'a> {
    /// Rule id.
    pub rule: Cow<'a, str>,
    /// Such as `sql_injection`.
    pub indicator_type: Cow<'a, str>,
    /// Such as `high`.
    pub severity: Cow<'a, str>,
    /// 0.0 to 1.0.
    pub confidence: f64,
    /// For whoever reads it.
    pub description: Cow<'a, str>,
    /// Where it was found, such as `body:$.query`.
    pub field: Cow<'a, str>,
    /// What it rests on; empty in events of before there was any.
    #[serde(default)]
    pub evidence: Evidence<'a>,
    /// `enforce`, `shadow` or `excluded`.
    pub mode: Cow<'a, str>,
    /// What the confidences of its category came to in this value; 0 where it did not count.
    #[serde(default)]
    pub score: f64,
    /// The score from which on its category blocks, where that is not 0.9.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks_from: Option<f64>,
    /// What followed.
    #[serde(default)]
    pub mitigations: Vec<Cow<'a, str>>,
}

/// What an indicator rests on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence<'a> {
    /// A short, redacted piece of what matched.
    pub excerpt: Cow<'a, str>,
}

impl<'a> From<&'a str> for Evidence<'a> {
    fn from(excerpt: &'a str) -> Self {
        Self {
            excerpt: excerpt.into(),
        }
    }
}

/// One audit event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEvent<'a> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u16,
    /// UUID version 7; the event's identity in every sink.
    #[serde(with = "uuid_text")]
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub event_id: Uuid,
    /// Microseconds since 1970; RFC 3339 UTC with six decimals in JSON.
    #[serde(with = "timestamp::rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub timestamp: i64,
    /// What kind of thing happened.
    pub event_type: EventType,
    /// How much it matters.
    pub severity: Severity,
    /// The caller's organization.
    pub organization_id: Option<Cow<'a, str>>,
    /// The canonical path.
    pub endpoint: Cow<'a, str>,
    /// HTTP method, `SYSTEM` for the gateway's own events.
    pub method: Cow<'a, str>,
    /// HTTP status, 0 when there was none.
    pub status_code: u16,
    /// The request's id, empty when there was no request.
    pub request_id: Cow<'a, str>,
    /// From the first byte of the request to the end of the answer.
    #[serde(serialize_with = "milliseconds")]
    #[schemars(with = "f64")]
    pub processing_time_ms: f64,
    /// Which data was touched.
    pub data_accessed: Option<DataAccessed<'a>>,
    /// Laws and concerns it falls under, such as `gdpr` or `data_access`.
    pub compliance_tags: Vec<Cow<'a, str>>,

    /// The id a refusal tells the client, for `explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<Cow<'a, str>>,
    /// Route name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Cow<'a, str>>,
    /// The organization's plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Cow<'a, str>>,
    /// What became of the request; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The stable code of the refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal_code: Option<Cow<'a, str>>,
    /// The upstream endpoint's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Cow<'a, str>>,
    /// Body bytes received.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub request_bytes: u64,
    /// Body bytes sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub response_bytes: u64,
    /// Time spent waiting for the upstream's first byte.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "optional_milliseconds"
    )]
    #[schemars(with = "Option<f64>")]
    pub upstream_ms: Option<f64>,
    /// W3C trace id, 32 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<Cow<'a, str>>,
    /// How far the rules looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspection: Option<Inspection>,

    /// The client's address, `system`, or `erased`; here the personal part begins.
    #[schemars(with = "String")]
    pub source_ip: Source,
    /// As sent, empty when absent.
    pub user_agent: Cow<'a, str>,
    /// The key's public id, never the key.
    pub api_key_id: Option<Cow<'a, str>>,
    /// What went wrong.
    pub error_details: Option<Cow<'a, str>>,
    /// Where the client's address is.
    pub geographic_location: Option<GeographicLocation<'a>>,
    /// What the rules found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indicators: Vec<IndicatorRecord<'a>>,
    /// Who made a change, for events of the admin API and the CLI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<Cow<'a, str>>,
    /// Whatever else the event type needs; a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

impl<'a> AuditEvent<'a> {
    /// An event with nothing but its identity; fill the rest by struct update.
    pub fn new(event_id: Uuid, timestamp: i64, event_type: EventType, severity: Severity) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            event_id,
            timestamp,
            event_type,
            severity,
            source_ip: Source::System,
            user_agent: Cow::Borrowed(""),
            organization_id: None,
            api_key_id: None,
            endpoint: Cow::Borrowed(""),
            method: Cow::Borrowed(""),
            status_code: 0,
            request_id: Cow::Borrowed(""),
            processing_time_ms: 0.0,
            data_accessed: None,
            error_details: None,
            compliance_tags: Vec::new(),
            geographic_location: None,
            decision_id: None,
            route: None,
            plan: None,
            outcome: None,
            refusal_code: None,
            upstream: None,
            request_bytes: 0,
            response_bytes: 0,
            upstream_ms: None,
            trace_id: None,
            inspection: None,
            indicators: Vec::new(),
            actor: None,
            details: None,
        }
    }

    /// An event of the gateway's own life, such as `audit.recovered`.
    pub fn system(
        event_id: Uuid,
        timestamp: i64,
        severity: Severity,
        what: impl Into<Cow<'a, str>>,
        details: Value,
    ) -> Self {
        Self {
            user_agent: Cow::Borrowed("system"),
            endpoint: what.into(),
            method: Cow::Borrowed("SYSTEM"),
            details: Some(details),
            ..Self::new(event_id, timestamp, EventType::SystemEvent, severity)
        }
    }

    /// The same event made small: free text is cut and lists are emptied, and `details` says so.
    ///
    /// The log uses it when an event would not fit a frame, so that no event is lost to its size.
    #[must_use]
    pub fn clipped(&self) -> Self {
        let optional = |text: &Option<Cow<'a, str>>| text.as_ref().map(|text| clip(text));
        Self {
            user_agent: clip(&self.user_agent),
            organization_id: optional(&self.organization_id),
            api_key_id: optional(&self.api_key_id),
            endpoint: clip(&self.endpoint),
            method: clip(&self.method),
            request_id: clip(&self.request_id),
            data_accessed: None,
            error_details: optional(&self.error_details),
            compliance_tags: self.compliance_tags.iter().take(16).map(clip).collect(),
            geographic_location: None,
            decision_id: optional(&self.decision_id),
            route: optional(&self.route),
            plan: optional(&self.plan),
            refusal_code: optional(&self.refusal_code),
            upstream: optional(&self.upstream),
            trace_id: optional(&self.trace_id),
            indicators: Vec::new(),
            actor: optional(&self.actor),
            details: Some(serde_json::json!({
                "clipped": true,
                "indicators": self.indicators.len(),
            })),
            ..*self
        }
    }
}

/// The longest prefix of whole characters within [`CLIPPED_TEXT_BYTES_MAX`].
fn clip<'a>(text: &Cow<'a, str>) -> Cow<'a, str> {
    if text.len() <= CLIPPED_TEXT_BYTES_MAX {
        return text.clone();
    }
    let end = text.floor_char_boundary(CLIPPED_TEXT_BYTES_MAX);
    Cow::Owned(text.get(..end).unwrap_or_default().to_owned())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Milliseconds to the microsecond; what is not a number is 0, for JSON has no word for it.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn milliseconds<S: Serializer>(ms: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*ms))
}

fn optional_milliseconds<S: Serializer>(
    ms: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    milliseconds(&ms.unwrap_or(0.0), serializer)
}

/// A UUID as its hyphenated text.
pub(super) mod uuid_text {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    pub(in crate::audit) fn serialize<S: Serializer>(
        id: &Uuid,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut text = Uuid::encode_buffer();
        serializer.serialize_str(id.hyphenated().encode_lower(&mut text))
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Uuid, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        Uuid::parse_str(&text).map_err(D::Error::custom)
    }
}
