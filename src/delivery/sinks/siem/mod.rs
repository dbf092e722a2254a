//! Audit events in the words of security monitoring: CEF (version 0) and LEEF 2.0, pure.
//!
//! Both are one line. What a client sent can neither end a field nor begin another: the characters that
//! separate are escaped, control characters become spaces.
//!
//! Neither holds a whole event. What stands in the log alone: kinds of personal data, region and city, plan, trace, upstream,
//! how far the rules looked, and of what they found all but rule and description.

use std::borrow::Cow;
use std::fmt::{Display, Write};
use std::net::IpAddr;

use crate::audit::{AuditEvent, EventType, Severity, Source};

const VENDOR: &str = "RocketGraph";
const PRODUCT: &str = "RocketGraph Gateway";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What keys of ours begin with, as CEF asks of those that are not in its dictionary.
const OURS: &str = "RocketGraphGateway";
/// The longest `details` written, in bytes of its JSON.
const DETAILS_BYTES_MAX: usize = 1024;

/// One event as ArcSight's Common Event Format.
pub(super) fn cef(event: &AuditEvent<'_>) -> String {
    let mut line = String::with_capacity(1024);
    line.push_str("CEF:0");
    let severity = grade(event.severity).to_string();
    let header = [
        VENDOR,
        PRODUCT,
        VERSION,
        &signature(event),
        name(event),
        &severity,
    ];
    for field in header {
        line.push('|');
        escape(&mut line, field, &['\\', '|']);
    }
    line.push('|');
    let mut extension = Fields::of(line, ' ', &['\\', '=']);
    extension.put("rt", event.timestamp.div_euclid(1000));
    extension.put("externalId", event.event_id);
    extension.put("cat", event.event_type.as_str());
    match event.source_ip {
        Source::Address(IpAddr::V4(address)) => extension.put("src", address),
        Source::Address(IpAddr::V6(address)) => {
            extension.put("c6a2", address);
            extension.put("c6a2Label", "Source IPv6 Address");
        }
        Source::System | Source::Erased => {}
    }
    extension.text("requestMethod", &event.method);
    extension.text("request", &event.endpoint);
    extension.text("requestClientApplication", &event.user_agent);
    extension.text("suid", event.api_key_id.as_deref().unwrap_or_default());
    extension.text("suser", event.actor.as_deref().unwrap_or_default());
    extension.text(
        "outcome",
        event.outcome.map_or("", |outcome| outcome.as_str()),
    );
    extension.text("reason", reason(event));
    extension.text("msg", &message(event));
    extension.put("in", event.request_bytes);
    extension.put("out", event.response_bytes);
    labelled(&mut extension, event);
    unlabelled(&mut extension, event);
    extension.line
}

/// What stands under CEF's keys for anything, each with its label.
fn labelled(extension: &mut Fields, event: &AuditEvent<'_>) {
    if event.status_code != 0 {
        extension.put("cn1", event.status_code);
        extension.put("cn1Label", "statusCode");
    }
    extension.put("cfp1", event.processing_time_ms);
    extension.put("cfp1Label", "processingTimeMs");
    let (tags, rules) = (event.compliance_tags.join(","), rules(event));
    let touched = Touched::by(event);
    let custom = [
        ("cn2", "resultCount", Some(&*touched.result_count)),
        ("cs1", "organizationId", event.organization_id.as_deref()),
        ("cs2", "requestId", Some(&*event.request_id)),
        ("cs3", "decisionId", event.decision_id.as_deref()),
        ("cs4", "complianceTags", Some(&*tags)),
        ("cs5", "route", event.route.as_deref()),
        ("cs6", "rules", Some(&*rules)),
        ("flexString1", "graphs", Some(&*touched.graphs)),
        (
            "flexString2",
            "dataClassification",
            touched.data_classification,
        ),
    ];
    for (key, label, value) in custom {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            extension.text(key, value);
            extension.put(format_args!("{key}Label"), label);
        }
    }
}

/// What is left once CEF's keys are used up, under keys of ours.
fn unlabelled(extension: &mut Fields, event: &AuditEvent<'_>) {
    let (touched, details) = (Touched::by(event), details(event));
    let ours = [
        ("QueryHash", touched.query_hash),
        ("PiiDetected", touched.pii_detected),
        ("Country", country(event)),
        ("Details", Some(&*details)),
    ];
    for (name, value) in ours {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            extension.put(format_args!("{OURS}{name}"), value);
        }
    }
}

/// One event as QRadar's Log Event Extended Format 2.0, its attributes separated by tabs.
pub(super) fn leef(event: &AuditEvent<'_>) -> String {
    let mut line = String::with_capacity(1024);
    line.push_str("LEEF:2.0");
    for field in [VENDOR, PRODUCT, VERSION, &signature(event)] {
        line.push('|');
        escape(&mut line, field, &['\\', '|']);
    }
    line.push_str("|x09|");
    let mut attributes = Fields::of(line, '\t', &['\\', '=', '|']);
    attributes.put("devTime", event.timestamp.div_euclid(1000));
    attributes.put("cat", event.event_type.as_str());
    attributes.put("sev", grade(event.severity));
    if let Source::Address(address) = event.source_ip {
        attributes.put("src", address);
    }
    attributes.text("usrName", event.actor.as_deref().unwrap_or_default());
    attributes.put("srcBytes", event.request_bytes);
    attributes.put("dstBytes", event.response_bytes);
    attributes.text("url", &event.endpoint);
    attributes.text("method", &event.method);
    attributes.text("userAgent", &event.user_agent);
    if event.status_code != 0 {
        attributes.put("statusCode", event.status_code);
    }
    attributes.put("processingTimeMs", event.processing_time_ms);
    attributes.put("eventId", event.event_id);
    attributes.put("severityName", event.severity.as_str());
    let optional = [
        ("organizationId", event.organization_id.as_deref()),
        ("apiKeyId", event.api_key_id.as_deref()),
        ("requestId", Some(&*event.request_id)),
        ("decisionId", event.decision_id.as_deref()),
        ("route", event.route.as_deref()),
        ("action", event.outcome.map(|outcome| outcome.as_str())),
    ];
    for (key, value) in optional {
        attributes.text(key, value.unwrap_or_default());
    }
    unforeseen(&mut attributes, event);
    attributes.text("reason", reason(event));
    attributes.text("complianceTags", &event.compliance_tags.join(","));
    attributes.text("rules", &rules(event));
    attributes.text("msg", &message(event));
    attributes.line
}

/// Where a request came from, the data it touched and what its event adds, under names of ours.
fn unforeseen(attributes: &mut Fields, event: &AuditEvent<'_>) {
    let (touched, details) = (Touched::by(event), details(event));
    let ours = [
        ("country", country(event)),
        ("graphs", Some(&*touched.graphs)),
        ("queryHash", touched.query_hash),
        ("resultCount", Some(&*touched.result_count)),
        ("piiDetected", touched.pii_detected),
        ("dataClassification", touched.data_classification),
        ("details", Some(&*details)),
    ];
    for (key, value) in ours {
        attributes.text(key, value.unwrap_or_default());
    }
}

/// Key and value pairs behind a header.
struct Fields {
    line: String,
    separator: char,
    escaped: &'static [char],
    is_first: bool,
}

impl Fields {
    fn of(line: String, separator: char, escaped: &'static [char]) -> Self {
        Self {
            line,
            separator,
            escaped,
            is_first: true,
        }
    }

    /// A value that is left out when empty.
    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.put(key, value);
        }
    }

    fn put(&mut self, key: impl Display, value: impl Display) {
        if !std::mem::take(&mut self.is_first) {
            self.line.push(self.separator);
        }
        // Writing to a `String` cannot fail.
        let _ = write!(self.line, "{key}=");
        escape(&mut self.line, &value.to_string(), self.escaped);
    }
}

/// Appends a value: `special` characters behind a backslash, line breaks as `\n` and `\r`, other control
/// characters, tabs among them, as spaces.
fn escape(line: &mut String, value: &str, special: &[char]) {
    for c in value.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            c if c.is_control() => line.push(' '),
            c => {
                if special.contains(&c) {
                    line.push('\\');
                }
                line.push(c);
            }
        }
    }
}

/// What tells events of a kind apart: the rule that found something, else the type.
fn signature<'a>(event: &'a AuditEvent<'_>) -> Cow<'a, str> {
    match (event.event_type, event.indicators.first()) {
        (EventType::SecurityEvent, Some(first)) => Cow::Borrowed(&first.rule),
        (EventType::SystemEvent | EventType::ConfigurationChange, _) => {
            Cow::Borrowed(&event.endpoint)
        }
        (kind, _) => Cow::Borrowed(kind.as_str()),
    }
}

fn name(event: &AuditEvent<'_>) -> &'static str {
    match event.event_type {
        EventType::ApiRequest => "API request",
        EventType::Authentication => "Authentication",
        EventType::Authorization => "Authorization",
        EventType::DataAccess => "Data access",
        EventType::ConfigurationChange => "Configuration change",
        EventType::SecurityEvent => "Security event",
        EventType::SystemEvent => "System event",
    }
}

/// 0 to 10, as both formats count.
fn grade(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 2,
        Severity::Warning => 5,
        Severity::Error => 7,
        Severity::Critical => 10,
    }
}

fn reason<'a>(event: &'a AuditEvent<'_>) -> &'a str {
    event.refusal_code.as_deref().unwrap_or_default()
}

/// What went wrong, or what was found.
fn message(event: &AuditEvent<'_>) -> String {
    let found = event.indicators.iter().map(|found| &*found.description);
    let told = event.error_details.as_deref().into_iter().chain(found);
    told.collect::<Vec<_>>().join("; ")
}

/// The data a request touched, as text; empty or `None` where it touched none or nothing is known.
#[derive(Default)]
struct Touched<'a> {
    graphs: String,
    query_hash: Option<&'a str>,
    result_count: String,
    pii_detected: Option<&'static str>,
    data_classification: Option<&'a str>,
}

impl<'a> Touched<'a> {
    fn by(event: &'a AuditEvent<'_>) -> Self {
        let Some(data) = &event.data_accessed else {
            return Self::default();
        };
        let pii = if data.pii_detected { "true" } else { "false" };
        Self {
            graphs: data.graph_ids.join(","),
            query_hash: data.query_hash.as_deref(),
            result_count: data
                .result_count
                .map_or_else(String::new, |of| of.to_string()),
            pii_detected: Some(pii),
            data_classification: data.data_classification.as_deref(),
        }
    }
}

fn country<'a>(event: &'a AuditEvent<'_>) -> Option<&'a str> {
    let place = event.geographic_location.as_ref()?;
    place.country.as_deref()
}

/// The event's `details` as JSON; what is longer than [`DETAILS_BYTES_MAX`] is cut and ends in `…`, which no JSON does.
fn details(event: &AuditEvent<'_>) -> String {
    let Some(details) = &event.details else {
        return String::new();
    };
    let mut json = details.to_string();
    if json.len() > DETAILS_BYTES_MAX {
        json.truncate(json.floor_char_boundary(DETAILS_BYTES_MAX));
        json.push('…');
    }
    json
}

fn rules(event: &AuditEvent<'_>) -> String {
    let rules = event.indicators.iter().map(|found| &*found.rule);
    rules.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
