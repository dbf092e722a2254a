//! Events in the envelope of the HTTP Event Collector.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::delivery::Record;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// What Splunk files the events under; the token's own settings hold where one is absent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Filing {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<Arc<str>>,
    pub(super) source: Arc<str>,
    pub(super) sourcetype: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<Arc<str>>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    time: Box<RawValue>,
    #[serde(flatten)]
    filing: &'a Filing,
    /// Indexed beside the event, so that copies of it can be told without reading it.
    fields: Fields,
    event: &'a RawValue,
}

#[derive(Serialize)]
struct Fields {
    event_id: Uuid,
}

/// One envelope a line.
///
/// # Errors
///
/// An event is no JSON.
pub(super) fn body(filing: &Filing, batch: &[Record]) -> Result<String, serde_json::Error> {
    let mut body = String::new();
    for record in batch {
        let envelope = Envelope {
            time: RawValue::from_string(seconds(record.timestamp))?,
            filing,
            fields: Fields {
                event_id: record.event_id,
            },
            event: serde_json::from_str(&record.json)?,
        };
        body.push_str(&serde_json::to_string(&envelope)?);
        body.push('\n');
    }
    Ok(body)
}

/// Seconds since 1970 with six decimals, which a double could not hold for ever.
fn seconds(micros: i64) -> String {
    let mut text = String::new();
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{sign}{}.{:06}",
        micros / MICROS_PER_SECOND,
        micros % MICROS_PER_SECOND
    );
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn record(timestamp: i64, json: &str) -> Record {
        Record {
            sequence: 1,
            event_id: Uuid::from_u128(9),
            timestamp,
            json: json.into(),
        }
    }

    fn filing() -> Filing {
        Filing {
            host: None,
            source: "s".into(),
            sourcetype: "rg:audit".into(),
            index: None,
        }
    }

    #[test]
    fn an_event_is_wrapped_unchanged() {
        let filing = filing();
        let body = body(
            &filing,
            &[record(1_795_354_000_000_042, r#"{"z":1,"a":1.50}"#)],
        )
        .unwrap();
        assert_eq!(
            body,
            concat!(
                r#"{"time":1795354000.000042,"source":"s","sourcetype":"rg:audit","#,
                r#""fields":{"event_id":"00000000-0000-0000-0000-000000000009"},"event":{"z":1,"a":1.50}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert!(body(&filing(), &[record(0, "{")]).is_err());
    }

    proptest! {
        #[test]
        fn every_line_is_one_event(events in prop::collection::vec((any::<i64>(), any::<String>()), 1..20)) {
            let records: Vec<Record> =
                events.iter().map(|(at, text)| record(*at, &json!({"text": text}).to_string())).collect();
            let body = body(&filing(), &records).unwrap();
            let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            prop_assert_eq!(lines.len(), events.len());
            for (line, (_, text)) in lines.iter().zip(&events) {
                prop_assert_eq!(line["event"]["text"].as_str(), Some(text.as_str()));
            }
        }

        #[test]
        fn time_keeps_its_microseconds(micros in any::<i64>()) {
            let text = seconds(micros);
            let (whole, fraction) = text.split_once('.').unwrap();
            prop_assert_eq!(format!("{whole}{fraction}").parse::<i64>().unwrap(), micros);
        }
    }
}
