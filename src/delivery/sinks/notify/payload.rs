//! What is posted: a signed document for webhooks, alerts for Alertmanager.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::finding::{Event, Finding};
use crate::config::Secret;

/// What a webhook is told.
const TYPE: &str = "threat.detected";
/// The alert's name.
const ALERT_NAME: &str = "RocketGraphThreat";

/// The document of a webhook. It has no excerpt of the request: that stays in the audit log.
pub(super) fn webhook(event: &Event<'_>, fresh: &[(&Finding<'_>, u64)]) -> String {
    let findings: Vec<Value> = fresh
        .iter()
        .map(|(finding, held_back)| {
            json!({
                "rule": finding.rule,
                "indicator_type": finding.indicator_type,
                "severity": finding.severity,
                "confidence": finding.confidence,
                "description": finding.description,
                "field": finding.field,
                "held_back": held_back,
            })
        })
        .collect();
    json!({
        "type": TYPE,
        "timestamp": event.timestamp,
        "data": {
            "event_id": event.event_id,
            "request_id": event.request_id,
            "decision_id": event.decision_id,
            "organization_id": event.organization_id,
            "api_key_id": event.api_key_id,
            "source_ip": event.source_ip,
            "method": event.method,
            "endpoint": event.endpoint,
            "status_code": event.status_code,
            "refusal_code": event.refusal_code,
            "findings": findings,
        },
    })
    .to_string()
}

/// The header fields of a webhook, as the Standard Webhooks specification has them.
pub(super) fn signature(secret: &Secret, id: &str, unix_secs: i64, body: &str) -> String {
    let key = secret.expose().strip_prefix("whsec_").unwrap_or_default();
    // The configuration was checked for it.
    let key = STANDARD.decode(key).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{unix_secs}.{body}").as_bytes());
    let tag = STANDARD.encode(tag.as_ref());
    format!("webhook-id: {id}\r\nwebhook-timestamp: {unix_secs}\r\nwebhook-signature: v1,{tag}\r\n")
}

/// One alert a rule. Alertmanager takes the same labels for the same alert, and lets it end by itself.
pub(super) fn alerts(
    event: &Event<'_>,
    fresh: &[(&Finding<'_>, u64)],
    from_micros: i64,
    until_micros: i64,
) -> String {
    let alerts: Vec<Value> = fresh
        .iter()
        .map(|(finding, held_back)| {
            json!({
                "labels": {
                    "alertname": ALERT_NAME,
                    "source": "rg-gateway",
                    "rule": finding.rule,
                    "indicator_type": finding.indicator_type,
                    "severity": finding.severity,
                    "organization_id": event.organization_id.as_deref().unwrap_or_default(),
                    "api_key_id": event.api_key_id.as_deref().unwrap_or_default(),
                },
                "annotations": {
                    "summary": finding.description,
                    "description": format!(
                        "{} {} was answered {} ({:.0} % sure, {held_back} more held back)",
                        event.method, event.endpoint, event.status_code, finding.confidence * 100.0,
                    ),
                    "field": finding.field,
                    "source_ip": event.source_ip,
                    "event_id": event.event_id,
                    "request_id": event.request_id,
                },
                "startsAt": time(from_micros),
                "endsAt": time(until_micros),
            })
        })
        .collect();
    Value::from(alerts).to_string()
}

fn time(unix_micros: i64) -> String {
    jiff::Timestamp::from_microsecond(unix_micros)
        .map_or_else(|_| String::new(), |at| at.to_string())
}
