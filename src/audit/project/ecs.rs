//! Elastic Common Schema.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ours, succeeded, without_nothing};
use crate::audit::event::{AuditEvent, EventType, Outcome, Source};
use crate::audit::timestamp;

const VERSION: &str = "8.17.0";

pub(super) fn ecs(event: &AuditEvent<'_>) -> Value {
    let outcome = match succeeded(event) {
        Some(true) => "success",
        Some(false) => "failure",
        None => "unknown",
    };
    let (kind, categories, types) = class(event, outcome);
    let at = String::from_utf8_lossy(&timestamp::text(event.timestamp)).into_owned();
    let rule = event
        .indicators
        .iter()
        .find(|found| found.mode == "enforce");
    let place = event.geographic_location.as_ref();
    let request = !event.request_id.is_empty();
    let bytes = |count: u64| (count > 0).then_some(count);
    without_nothing(json!({
        "@timestamp": at,
        "ecs": {"version": VERSION},
        "event": {
            "id": event.event_id.to_string(),
            "kind": kind,
            "category": categories,
            "type": types,
            "action": action(event),
            "outcome": outcome,
            "reason": event.error_details,
            "code": event.refusal_code,
            "duration": request.then_some(nanoseconds(event.processing_time_ms)),
            "severity": event.severity as u8 + 1,
            "module": "rg_gateway",
            "dataset": "rg_gateway.audit",
        },
        "log": {"level": event.severity.as_str()},
        "tags": event.compliance_tags,
        "source": match event.source_ip {
            Source::Address(ip) => json!({
                "ip": ip,
                "address": ip.to_string(),
                "geo": {
                    "country_iso_code": place.and_then(|place| place.country.as_deref()),
                    "region_name": place.and_then(|place| place.region.as_deref()),
                    "city_name": place.and_then(|place| place.city.as_deref()),
                },
            }),
            Source::System | Source::Erased => Value::Null,
        },
        "destination": destination(event),
        "user_agent": {"original": request.then_some(&event.user_agent)},
        "organization": {"id": event.organization_id},
        "user": {"id": event.api_key_id},
        "url": {"path": request.then_some(&event.endpoint)},
        "http": {
            "request": {
                "id": event.request_id,
                "method": request.then_some(&event.method),
                "body": {"bytes": bytes(event.request_bytes)},
            },
            "response": {
                "status_code": (event.status_code > 0).then_some(event.status_code),
                "body": {"bytes": bytes(event.response_bytes)},
            },
        },
        "trace": {"id": event.trace_id},
        "rule": rule.map(|rule| json!({
            "id": rule.rule,
            "category": rule.indicator_type,
            "description": rule.description,
        })),
        "rg": ours(event),
    }))
}

/// The upstream, its address and its port apart; what is no such pair stands as it is.
fn destination(event: &AuditEvent<'_>) -> Value {
    let upstream = event.upstream.as_deref();
    match upstream.and_then(|text| text.parse::<SocketAddr>().ok()) {
        Some(to) => json!({"address": to.ip().to_string(), "ip": to.ip(), "port": to.port()}),
        None => json!({"address": upstream}),
    }
}

/// Kind, categories and types: words of closed lists, each type one that a category of the event expects.
fn class(
    event: &AuditEvent<'_>,
    outcome: &str,
) -> (&'static str, &'static [&'static str], Vec<&'static str>) {
    let modifies = event
        .compliance_tags
        .iter()
        .any(|tag| tag == "data_modification");
    let mut types = Vec::new();
    let (kind, categories): (_, &[&str]) = match event.event_type {
        EventType::ApiRequest | EventType::Authorization => {
            types.push("access");
            ("event", &["api", "web"])
        }
        EventType::Authentication => {
            types.push("start");
            return ("event", &["authentication"], types);
        }
        EventType::DataAccess => {
            types.push(if modifies { "change" } else { "access" });
            ("event", &["api", "database", "web"])
        }
        EventType::ConfigurationChange => {
            types.push("change");
            return ("event", &["configuration"], types);
        }
        EventType::SecurityEvent => {
            types.push("info");
            ("alert", &["intrusion_detection", "web"])
        }
        EventType::SystemEvent => {
            types.push(match &*event.endpoint {
                "gateway.started" => "start",
                "gateway.stopped" => "end",
                _ => "info",
            });
            return ("event", &["process"], types);
        }
    };
    match (outcome, event.outcome) {
        ("failure", Some(Outcome::Refused)) => types.push("denied"),
        ("failure", _) => types.push("error"),
        _ => {}
    }
    (kind, categories, types)
}

/// What was done: our own name for it, or the method.
fn action<'e>(event: &'e AuditEvent<'_>) -> &'e str {
    if event.request_id.is_empty() {
        &event.endpoint
    } else {
        event.event_type.as_str()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what an integer of JSON holds exactly"
)]
fn nanoseconds(ms: f64) -> u64 {
    (ms * 1e6).round().clamp(0.0, 9e15) as u64
}
