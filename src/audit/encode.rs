//! Audit events as JSON, written straight into a buffer.
//!
//! The bytes are those of the events' `Serialize`, at a third of its cost: every answered request pays for this,
//! and most of its strings need no escape, which is seen eight bytes at a time. Parts that are rare
//! go through serde.

use std::io::Write;

use super::event::{AuditEvent, DataAccessed};
use super::timestamp;
use uuid::Uuid;

type Encoded = Result<(), serde_json::Error>;

/// Appends an event as one JSON object on one line.
///
/// # Errors
///
/// When `details` holds what JSON cannot say.
pub(crate) fn encode(event: &AuditEvent<'_>, out: &mut Vec<u8>) -> Encoded {
    number(out, "{\"schema_version\":", u64::from(event.schema_version))?;
    let mut id = Uuid::encode_buffer();
    plain(
        out,
        ",\"event_id\":",
        event.event_id.hyphenated().encode_lower(&mut id),
    );
    out.extend_from_slice(b",\"timestamp\":\"");
    out.extend_from_slice(&timestamp::text(event.timestamp));
    plain(out, "\",\"event_type\":", event.event_type.as_str());
    plain(out, ",\"severity\":", event.severity.as_str());
    write!(out, ",\"source_ip\":\"{}\"", event.source_ip).map_err(serde_json::Error::io)?;
    text(out, ",\"user_agent\":", &event.user_agent)?;
    nullable(
        out,
        ",\"organization_id\":",
        event.organization_id.as_deref(),
    )?;
    nullable(out, ",\"api_key_id\":", event.api_key_id.as_deref())?;
    text(out, ",\"endpoint\":", &event.endpoint)?;
    text(out, ",\"method\":", &event.method)?;
    number(out, ",\"status_code\":", u64::from(event.status_code))?;
    text(out, ",\"request_id\":", &event.request_id)?;
    milliseconds(out, ",\"processing_time_ms\":", event.processing_time_ms)?;
    out.extend_from_slice(b",\"data_accessed\":");
    match &event.data_accessed {
        Some(accessed) => data_accessed(out, accessed)?,
        None => out.extend_from_slice(b"null"),
    }
    nullable(out, ",\"error_details\":", event.error_details.as_deref())?;
    list(out, ",\"compliance_tags\":", &event.compliance_tags)?;
    out.extend_from_slice(b",\"geographic_location\":");
    serde_json::to_writer(&mut *out, &event.geographic_location)?;
    ours(event, out)?;
    out.push(b'}');
    Ok(())
}

/// The fields beside the specification's, left out when absent.
fn ours(event: &AuditEvent<'_>, out: &mut Vec<u8>) -> Encoded {
    for (key, value) in [
        (",\"decision_id\":", &event.decision_id),
        (",\"route\":", &event.route),
        (",\"plan\":", &event.plan),
    ] {
        present(out, key, value.as_deref())?;
    }
    if let Some(outcome) = event.outcome {
        plain(out, ",\"outcome\":", outcome.as_str());
    }
    present(out, ",\"refusal_code\":", event.refusal_code.as_deref())?;
    present(out, ",\"upstream\":", event.upstream.as_deref())?;
    if event.request_bytes != 0 {
        number(out, ",\"request_bytes\":", event.request_bytes)?;
    }
    if event.response_bytes != 0 {
        number(out, ",\"response_bytes\":", event.response_bytes)?;
    }
    if let Some(ms) = event.upstream_ms {
        milliseconds(out, ",\"upstream_ms\":", ms)?;
    }
    present(out, ",\"trace_id\":", event.trace_id.as_deref())?;
    if let Some(inspection) = event.inspection {
        plain(out, ",\"inspection\":", inspection.as_str());
    }
    if !event.indicators.is_empty() {
        out.extend_from_slice(b",\"indicators\":");
        serde_json::to_writer(&mut *out, &event.indicators)?;
    }
    present(out, ",\"actor\":", event.actor.as_deref())?;
    if let Some(details) = &event.details {
        out.extend_from_slice(b",\"details\":");
        serde_json::to_writer(&mut *out, details)?;
    }
    Ok(())
}

fn data_accessed(out: &mut Vec<u8>, accessed: &DataAccessed<'_>) -> Encoded {
    list(out, "{\"graph_ids\":", &accessed.graph_ids)?;
    nullable(out, ",\"query_hash\":", accessed.query_hash.as_deref())?;
    out.extend_from_slice(b",\"result_count\":");
    serde_json::to_writer(&mut *out, &accessed.result_count)?;
    out.extend_from_slice(b",\"pii_detected\":");
    serde_json::to_writer(&mut *out, &accessed.pii_detected)?;
    let classification = accessed.data_classification.as_deref();
    nullable(out, ",\"data_classification\":", classification)?;
    out.push(b'}');
    Ok(())
}

fn list(out: &mut Vec<u8>, key: &str, texts: &[std::borrow::Cow<'_, str>]) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    out.push(b'[');
    let mut separator = "";
    for value in texts {
        text(out, separator, value)?;
        separator = ",";
    }
    out.push(b']');
    Ok(())
}

fn present(out: &mut Vec<u8>, key: &str, value: Option<&str>) -> Encoded {
    value.map_or(Ok(()), |value| text(out, key, value))
}

fn nullable(out: &mut Vec<u8>, key: &str, value: Option<&str>) -> Encoded {
    if let Some(value) = value {
        return text(out, key, value);
    }
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"null");
    Ok(())
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    serde_json::to_writer(out, &value)
}

/// Milliseconds to the microsecond; what is not a number is 0, for JSON has no word for it.
fn milliseconds(out: &mut Vec<u8>, key: &str, ms: f64) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    serde_json::to_writer(out, &rounded(ms))
}

/// Milliseconds as events carry them.
pub(super) fn rounded(ms: f64) -> f64 {
    let rounded = (ms * 1000.0).round() / 1000.0;
    if rounded.is_finite() { rounded } else { 0.0 }
}

fn text(out: &mut Vec<u8>, key: &str, value: &str) -> Encoded {
    if needs_escape(value.as_bytes()) {
        out.extend_from_slice(key.as_bytes());
        return serde_json::to_writer(out, value);
    }
    plain(out, key, value);
    Ok(())
}

/// A string known to need no escape.
fn plain(out: &mut Vec<u8>, key: &str, value: &str) {
    out.reserve(key.len() + value.len() + 2);
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

/// Whether a control character, quote or backslash may be among the bytes; it may say yes too often.
///
/// Eight bytes are one number: subtracting a small byte from each borrows into the top bit of those that are
/// smaller, and exclusive-or turns the search for a value into the search for zero (Mycroft 1987).
fn needs_escape(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let below = |x: u64, least: u64| x.wrapping_sub(ONES * least) & !x & TOPS;
    let (words, rest) = bytes.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| {
        let x = u64::from_le_bytes(*word);
        let quote = below(x ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(x ^ (ONES * u64::from(b'\\')), 1);
        found | below(x, 0x20) | quote | backslash
    });
    found != 0
        || rest
            .iter()
            .any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{
        EventType, GeographicLocation, IndicatorRecord, Inspection, Outcome, Severity, Source,
    };
    use proptest::prelude::*;

    fn words() -> impl Strategy<Value = Vec<String>> {
        let word = prop_oneof!["[a-z0-9/-]{0,40}", "\\PC{0,20}", any::<String>()];
        prop::collection::vec(word, 18)
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_serde(
            words in words(), some in any::<u32>(), micros in any::<i64>(), ms in any::<f64>(),
            bytes in any::<(u64, u64, u16)>(), kinds in (0..7_usize, 0..4_usize),
        ) {
            let given = |n: usize| (some >> n & 1 == 1).then(|| words[n].as_str().into());
            let event = AuditEvent {
                source_ip: match some >> 20 & 3 {
                    0 => Source::System,
                    1 => Source::Address(std::net::Ipv6Addr::from(u128::from(bytes.0)).into()),
                    _ => Source::Address(std::net::Ipv4Addr::from(some).into()),
                },
                user_agent: words[0].as_str().into(),
                organization_id: given(1),
                api_key_id: given(2),
                endpoint: words[3].as_str().into(),
                method: words[4].as_str().into(),
                status_code: bytes.2,
                request_id: words[5].as_str().into(),
                processing_time_ms: ms,
                data_accessed: (some >> 22 & 1 == 1).then(|| DataAccessed {
                    graph_ids: words.iter().take(3).map(|word| word.as_str().into()).collect(),
                    query_hash: given(6),
                    result_count: Some(bytes.0),
                    pii_detected: true,
                    data_classification: given(7),
                }),
                error_details: given(8),
                compliance_tags: vec!["gdpr".into(), words[9].as_str().into()],
                geographic_location: (some >> 23 & 1 == 1).then(|| GeographicLocation {
                    country: given(10),
                    region: given(11),
                    city: None,
                }),
                decision_id: given(12),
                route: given(13),
                plan: given(14),
                outcome: (some >> 24 & 1 == 1).then_some(Outcome::Aborted),
                refusal_code: given(15),
                upstream: given(16),
                request_bytes: bytes.0,
                response_bytes: bytes.1 % 2,
                upstream_ms: (some >> 25 & 1 == 1).then_some(ms),
                trace_id: given(17),
                inspection: (some >> 26 & 1 == 1).then_some(Inspection::Uninspected),
                indicators: (some >> 27 & 1 == 1).then(|| IndicatorRecord {
                    rule: words[0].as_str().into(),
                    indicator_type: "x".into(),
                    severity: "high".into(),
                    confidence: 0.5,
                    description: words[1].as_str().into(),
                    field: "f".into(),
                    excerpt: words[2].as_str().into(),
                    mode: "shadow".into(),
                    mitigations: vec!["block_request".into()],
                }).into_iter().collect(),
                actor: given(3),
                details: (some >> 28 & 1 == 1).then(|| serde_json::json!({"a": words[4]})),
                ..AuditEvent::new(
                    Uuid::from_u64_pair(bytes.0, bytes.1),
                    micros,
                    EventType::ALL[kinds.0],
                    Severity::ALL[kinds.1],
                )
            };
            let mut out = Vec::new();
            encode(&event, &mut out).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&event).unwrap());
        }

        #[test]
        fn escapes_are_never_overlooked(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let needed = bytes.iter().any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
            prop_assert!(needs_escape(&bytes) || !needed);
        }
    }
}
