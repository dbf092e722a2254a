//! Audit events as JSON, written straight into a buffer.
//!
//! The bytes are those of the events' `Serialize`, at a fraction of its cost: every answered request pays for this,
//! and most of its strings need no escape, which is seen eight bytes at a time. Parts that are rare
//! go through serde.

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

use super::event::{AuditEvent, DataAccessed, Source};
use super::timestamp;
use uuid::Uuid;

type Encoded = Result<(), serde_json::Error>;

/// Appends an event as one JSON object on one line. Answers where its personal part begins.
///
/// # Errors
///
/// When `details` holds what JSON cannot say.
pub(crate) fn encode(
    event: &AuditEvent<'_>,
    out: &mut Vec<u8>,
) -> Result<usize, serde_json::Error> {
    let begin = out.len();
    number(out, "{\"schema_version\":", u64::from(event.schema_version));
    let mut id = Uuid::encode_buffer();
    plain(
        out,
        ",\"event_id\":\"",
        event.event_id.hyphenated().encode_lower(&mut id),
    );
    out.extend_from_slice(b",\"timestamp\":\"");
    out.extend_from_slice(&timestamp::text(event.timestamp));
    plain(out, "\",\"event_type\":\"", event.event_type.as_str());
    plain(out, ",\"severity\":\"", event.severity.as_str());
    nullable(
        out,
        ",\"organization_id\":",
        event.organization_id.as_deref(),
    )?;
    text(out, ",\"endpoint\":\"", &event.endpoint)?;
    text(out, ",\"method\":\"", &event.method)?;
    number(out, ",\"status_code\":", u64::from(event.status_code));
    text(out, ",\"request_id\":\"", &event.request_id)?;
    milliseconds(out, ",\"processing_time_ms\":", event.processing_time_ms)?;
    match &event.data_accessed {
        Some(accessed) => data_accessed(out, accessed)?,
        None => out.extend_from_slice(b",\"data_accessed\":null"),
    }
    list(out, ",\"compliance_tags\":", &event.compliance_tags)?;
    ours(event, out)?;
    let personal_from = out.len() - begin;
    personal(event, out)?;
    out.push(b'}');
    Ok(personal_from)
}

/// The fields beside the specification's, left out when absent.
fn ours(event: &AuditEvent<'_>, out: &mut Vec<u8>) -> Encoded {
    present(out, ",\"decision_id\":\"", event.decision_id.as_deref())?;
    present(out, ",\"route\":\"", event.route.as_deref())?;
    present(out, ",\"plan\":\"", event.plan.as_deref())?;
    if let Some(outcome) = event.outcome {
        plain(out, ",\"outcome\":\"", outcome.as_str());
    }
    present(out, ",\"refusal_code\":\"", event.refusal_code.as_deref())?;
    present(out, ",\"upstream\":\"", event.upstream.as_deref())?;
    if event.request_bytes != 0 {
        number(out, ",\"request_bytes\":", event.request_bytes);
    }
    if event.response_bytes != 0 {
        number(out, ",\"response_bytes\":", event.response_bytes);
    }
    if let Some(ms) = event.upstream_ms {
        milliseconds(out, ",\"upstream_ms\":", ms)?;
    }
    present(out, ",\"trace_id\":\"", event.trace_id.as_deref())?;
    if let Some(inspection) = event.inspection {
        plain(out, ",\"inspection\":\"", inspection.as_str());
    }
    Ok(())
}

/// What may tell of a person.
fn personal(event: &AuditEvent<'_>, out: &mut Vec<u8>) -> Encoded {
    source(out, event.source_ip)?;
    text(out, ",\"user_agent\":\"", &event.user_agent)?;
    nullable(out, ",\"api_key_id\":", event.api_key_id.as_deref())?;
    nullable(out, ",\"error_details\":", event.error_details.as_deref())?;
    out.extend_from_slice(b",\"geographic_location\":");
    match &event.geographic_location {
        Some(location) => serde_json::to_writer(&mut *out, location)?,
        None => out.extend_from_slice(b"null"),
    }
    if !event.indicators.is_empty() {
        out.extend_from_slice(b",\"indicators\":");
        serde_json::to_writer(&mut *out, &event.indicators)?;
    }
    present(out, ",\"actor\":\"", event.actor.as_deref())?;
    if let Some(details) = &event.details {
        out.extend_from_slice(b",\"details\":");
        serde_json::to_writer(&mut *out, details)?;
    }
    Ok(())
}

fn data_accessed(out: &mut Vec<u8>, accessed: &DataAccessed<'_>) -> Encoded {
    list(
        out,
        ",\"data_accessed\":{\"graph_ids\":",
        &accessed.graph_ids,
    )?;
    nullable(out, ",\"query_hash\":", accessed.query_hash.as_deref())?;
    match accessed.result_count {
        Some(count) => number(out, ",\"result_count\":", count),
        None => out.extend_from_slice(b",\"result_count\":null"),
    }
    out.extend_from_slice(match accessed.pii_detected {
        true => b",\"pii_detected\":true".as_slice(),
        false => b",\"pii_detected\":false",
    });
    let classification = accessed.data_classification.as_deref();
    nullable(out, ",\"data_classification\":", classification)?;
    let kinds = [
        (",\"pii_kinds\":", &accessed.pii_kinds),
        (",\"pii_response_kinds\":", &accessed.pii_response_kinds),
    ];
    for (key, kinds) in kinds {
        if !kinds.is_empty() {
            out.extend_from_slice(key.as_bytes());
            serde_json::to_writer(&mut *out, kinds)?;
        }
    }
    out.push(b'}');
    Ok(())
}

#[inline(always)]
fn list(out: &mut Vec<u8>, key: &str, texts: &[Cow<'_, str>]) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    let mut opening = "[\"";
    for value in texts {
        text(out, opening, value)?;
        opening = ",\"";
    }
    out.extend_from_slice(if texts.is_empty() {
        b"[]".as_slice()
    } else {
        b"]"
    });
    Ok(())
}

#[inline(always)]
fn present(out: &mut Vec<u8>, key_and_quote: &str, value: Option<&str>) -> Encoded {
    match value {
        Some(value) => text(out, key_and_quote, value),
        None => Ok(()),
    }
}

#[inline(always)]
fn nullable(out: &mut Vec<u8>, key: &str, value: Option<&str>) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    match value {
        Some(value) => text(out, "\"", value),
        None => {
            out.extend_from_slice(b"null");
            Ok(())
        }
    }
}

/// Inlined, so that the key is a constant to be stored and not bytes to be copied.
#[inline(always)]
fn text(out: &mut Vec<u8>, key_and_quote: &str, value: &str) -> Encoded {
    out.extend_from_slice(key_and_quote.as_bytes());
    rest_of_text(out, value)
}

/// What follows the opening quote.
fn rest_of_text(out: &mut Vec<u8>, value: &str) -> Encoded {
    if needs_escape(value.as_bytes()) {
        out.pop();
        return serde_json::to_writer(out, value);
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
    Ok(())
}

/// A string known to need no escape.
#[inline(always)]
fn plain(out: &mut Vec<u8>, key_and_quote: &str, value: &str) {
    out.extend_from_slice(key_and_quote.as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

#[inline(always)]
fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    out.extend_from_slice(key.as_bytes());
    decimal(out, value);
}

/// Decimal digits.
fn decimal(out: &mut Vec<u8>, value: u64) {
    match value {
        0..=9 => out.push(digit_of(value)),
        10..=99 => out.extend_from_slice(&[digit_of(value / 10), digit_of(value)]),
        100..=999 => {
            out.extend_from_slice(&[digit_of(value / 100), digit_of(value / 10), digit_of(value)])
        }
        _ => {
            let mut digits = [0; 20];
            let mut rest = value;
            let mut unused = digits.len();
            for digit in digits.iter_mut().rev() {
                *digit = digit_of(rest);
                rest /= 10;
                unused -= 1;
                if rest == 0 {
                    break;
                }
            }
            out.extend_from_slice(digits.get(unused..).unwrap_or_default());
        }
    }
}

/// The last decimal digit of a number.
fn digit_of(number: u64) -> u8 {
    b'0' + (number % 10).to_le_bytes()[0]
}

fn source(out: &mut Vec<u8>, source: Source) -> Encoded {
    out.extend_from_slice(b",\"source_ip\":\"");
    if let Source::Address(IpAddr::V4(address)) = source {
        let [first, rest @ ..] = address.octets();
        decimal(out, u64::from(first));
        for octet in rest {
            out.push(b'.');
            decimal(out, u64::from(octet));
        }
    } else {
        write!(out, "{source}").map_err(serde_json::Error::io)?;
    }
    out.push(b'"');
    Ok(())
}

/// Milliseconds to the microsecond; what is not a number is 0, for JSON has no word for it.
///
/// A number of at most 15 significant digits is its own shortest form (IEEE 754 binary64 keeps them all
/// apart), so up to a billion milliseconds the digits are those of the whole microseconds.
#[inline(always)]
fn milliseconds(out: &mut Vec<u8>, key: &str, ms: f64) -> Encoded {
    out.extend_from_slice(key.as_bytes());
    thousandths(out, ms)
}

fn thousandths(out: &mut Vec<u8>, ms: f64) -> Encoded {
    let micros = (ms * 1000.0).round();
    if !(0.0..1e12).contains(&micros) || micros.is_sign_negative() {
        return serde_json::to_writer(out, &rounded(ms));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number between 0 and 1e12"
    )]
    let micros = micros as u64;
    decimal(out, micros / 1000);
    let fraction = micros % 1000;
    let [a, b, c] = [fraction / 100, fraction / 10, fraction].map(digit_of);
    match (b, c) {
        (b'0', b'0') => out.extend_from_slice(&[b'.', a]),
        (_, b'0') => out.extend_from_slice(&[b'.', a, b]),
        _ => out.extend_from_slice(&[b'.', a, b, c]),
    }
    Ok(())
}

/// Milliseconds as events carry them.
pub(super) fn rounded(ms: f64) -> f64 {
    let rounded = (ms * 1000.0).round() / 1000.0;
    if rounded.is_finite() { rounded } else { 0.0 }
}

/// Whether a control character, quote or backslash is among the bytes. The last word may overlap those before.
fn needs_escape(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<8>() {
        let (words, _) = bytes.as_chunks::<8>();
        let found = words
            .iter()
            .fold(0, |found, word| found | escapes(u64::from_le_bytes(*word)));
        return found | escapes(u64::from_le_bytes(*last)) != 0;
    }
    bytes
        .iter()
        .any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
}

/// Not zero when one of eight bytes needs an escape.
///
/// Subtracting a small byte from each borrows into the top bit of those that are smaller, and exclusive-or
/// turns the search for a value into the search for zero (Mycroft 1987). A borrow out of a byte that was
/// found may mark its neighbour too, which changes nothing.
fn escapes(x: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let control = x.wrapping_sub(ONES * 0x20);
    let quote = (x ^ (ONES * 0x22)).wrapping_sub(ONES);
    let backslash = (x ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (control | quote | backslash) & !x & TOPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{
        EventType, GeographicLocation, IndicatorRecord, Inspection, Outcome, Severity,
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
                    graph_ids: words.iter().take((some >> 2 & 3) as usize).map(|word| word.as_str().into()).collect(),
                    query_hash: given(6),
                    result_count: Some(bytes.0),
                    pii_detected: true,
                    data_classification: given(7),
                    pii_kinds: words.iter().take((some >> 4 & 3) as usize)
                        .map(|word| (word.as_str().into(), some)).collect(),
                    pii_response_kinds: words.iter().take((some >> 6 & 1) as usize)
                        .map(|word| (word.as_str().into(), some)).collect(),
                }),
                error_details: given(8),
                compliance_tags: words.iter().skip(9).take((some & 3) as usize)
                    .map(|word| word.as_str().into()).collect(),
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
                    evidence: words[2].as_str().into(),
                    mode: "shadow".into(),
                    score: 0.25,
                    blocks_from: (some >> 29 & 1 == 1).then_some(0.75),
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
            let personal_from = encode(&event, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            prop_assert!(text[personal_from..].starts_with(",\"source_ip\":\""));
            prop_assert_eq!(text, serde_json::to_string(&event).unwrap());
        }

        #[test]
        fn numbers_are_those_of_serde(
            number in any::<u64>(), shift in 0..64_u32, micros in 0..2_000_000_000_000_000_u64, ms in -1.0..2e9,
        ) {
            let mut out = Vec::new();
            decimal(&mut out, number >> shift);
            prop_assert_eq!(&out, &serde_json::to_vec(&(number >> shift)).unwrap());
            for ms in [ms, ms / 1e6, (micros >> (shift % 51)) as f64 / 1000.0] {
                out.clear();
                thousandths(&mut out, ms).unwrap();
                prop_assert_eq!(&out, &serde_json::to_vec(&rounded(ms)).unwrap());
            }
        }

        #[test]
        fn escapes_are_seen_wherever_they_stand(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let needed = bytes.iter().any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(needs_escape(&bytes), needed);
        }
    }
}
