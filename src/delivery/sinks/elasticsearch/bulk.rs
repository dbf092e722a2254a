//! The body of a `_bulk` request, and what its answer means for each event.
//!
//! An event is given up only where the store names the event itself as the fault. A store that is busy, read-only,
//! full or refuses the credentials leaves it to be offered again.

use std::fmt::Write;

use serde::Deserialize;

use crate::audit::timestamp;
use crate::delivery::http::Answer;
use crate::delivery::{Delivery, Record};

/// Bytes of an action line beside the index name.
const ACTION_BYTES: usize = 80;

/// `audit-logs-2026-11`: the index of an event's month, in UTC.
pub(super) fn index_name(prefix: &str, timestamp: i64) -> String {
    let text = timestamp::text(timestamp);
    let month = text.get(..7).unwrap_or_default();
    format!("{prefix}-{}", String::from_utf8_lossy(month))
}

/// Two lines for each event: an action that creates it under its own id, and the event.
pub(super) fn body(prefix: &str, batch: &[Record]) -> String {
    let events: usize = batch.iter().map(|record| record.json.len()).sum();
    let actions = (ACTION_BYTES + prefix.len()) * batch.len();
    let mut body = String::with_capacity(events + actions);
    for record in batch {
        let index = index_name(prefix, record.timestamp);
        // Neither name nor id has a character that JSON escapes; writing to a string cannot fail.
        let _ = write!(
            body,
            "{{\"create\":{{\"_index\":\"{index}\",\"_id\":\"{}\"}}}}\n{}\n",
            record.event_id, record.json
        );
    }
    body
}

/// The answer to a `_bulk` request, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct BulkAnswer {
    items: Vec<BulkItem>,
}

#[derive(Debug, Deserialize)]
struct BulkItem {
    create: ItemResult,
}

#[derive(Debug, Deserialize)]
struct ItemResult {
    status: u16,
    #[serde(default)]
    error: Option<Fault>,
}

/// `{"type": …, "reason": …}`, in an item or in the answer as a whole.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Fault {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    caused_by: Option<Box<Self>>,
}

impl Fault {
    /// Type and reason with what lies beneath, for people.
    fn said(&self) -> String {
        let mut said = format!("{}: {}", self.kind, self.reason);
        let mut cause = self.caused_by.as_deref();
        while let Some(beneath) = cause {
            // Writing to a string cannot fail.
            let _ = write!(said, "; {}: {}", beneath.kind, beneath.reason);
            cause = beneath.caused_by.as_deref();
        }
        said
    }
}

/// What is said of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    There,
    Never,
    NotNow,
}

/// Faults with status 400 that no event can help: a shard limit, a closed index.
const NOT_THE_EVENTS_FAULT: [&str; 2] = ["validation_exception", "index_closed_exception"];

fn fate(result: &ItemResult) -> Fate {
    let kind = result.error.as_ref().map_or("", |fault| &fault.kind);
    match result.status {
        // 409: the id is there, from an attempt whose answer was lost.
        200 | 201 | 409 => Fate::There,
        400 if !NOT_THE_EVENTS_FAULT.contains(&kind) => Fate::Never,
        413 | 422 => Fate::Never,
        // 403 is also a disk beyond its watermark, 404 an index that may not be created: an operator mends both.
        _ => Fate::NotNow,
    }
}

/// What became of a batch of `count` events whose `_bulk` request was answered so.
pub(super) fn delivery(answer: &Answer, count: usize) -> Delivery {
    let retry = |cause: String| Delivery::Retry {
        after: answer.retry_after,
        cause,
    };
    match answer.status.as_u16() {
        200 => match serde_json::from_slice::<BulkAnswer>(&answer.body) {
            Ok(bulk) if bulk.items.len() == count => item_by_item(&bulk.items, answer),
            Ok(bulk) => retry(format!(
                "the answer speaks of {} events, not {count}",
                bulk.items.len()
            )),
            Err(cause) => retry(format!("the answer is no bulk answer: {cause}")),
        },
        413 => Delivery::Reject {
            cause: said(answer),
        },
        _ => retry(said(answer)),
    }
}

fn item_by_item(items: &[BulkItem], answer: &Answer) -> Delivery {
    let mut rejected: Vec<(usize, String)> = Vec::new();
    let mut again = Vec::new();
    let mut cause = String::new();
    for (index, BulkItem { create: result }) in items.iter().enumerate() {
        let fate = fate(result);
        if fate == Fate::There {
            continue;
        }
        let fault = result.error.as_ref().map_or_else(String::new, Fault::said);
        let said = format!("status {}: {fault}", result.status);
        if cause.is_empty() {
            cause.clone_from(&said);
        }
        match fate {
            Fate::Never => rejected.push((index, said)),
            Fate::There | Fate::NotNow => again.push(index),
        }
    }
    let after = answer.retry_after;
    match (rejected.len(), again.len()) {
        (0, 0) => Delivery::Accepted,
        (0, left) if left == items.len() => Delivery::Retry { after, cause },
        _ => Delivery::Partly {
            rejected,
            again,
            after,
            cause,
        },
    }
}

/// An answer that is no success, for people.
pub(super) fn said(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: Fault,
    }
    let status = answer.status;
    match serde_json::from_slice::<Refusal>(&answer.body) {
        Ok(refusal) => format!("{status}: {}", refusal.error.said()),
        Err(_) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn record(id: u128, timestamp: i64, json: &str) -> Record {
        Record {
            sequence: 1,
            event_id: Uuid::from_u128(id),
            timestamp,
            json: json.into(),
        }
    }

    fn answer(status: u16, body: &Value) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: (status == 429).then_some(Duration::from_secs(3)),
            body: body.to_string().into(),
        }
    }

    fn bulk(items: &[(u16, &str)]) -> Answer {
        let items: Vec<Value> = items
            .iter()
            .map(|(status, kind)| {
                let error = (!kind.is_empty()).then(|| json!({"type": kind, "reason": "r"}));
                json!({"create": {"status": status, "error": error}})
            })
            .collect();
        answer(200, &json!({"errors": true, "items": items}))
    }

    #[test]
    fn an_event_goes_to_the_index_of_its_month() {
        // The last microsecond of November, and the next.
        assert_eq!(
            index_name("audit-logs", 1_796_083_199_999_999),
            "audit-logs-2026-11"
        );
        assert_eq!(
            index_name("audit-logs", 1_796_083_200_000_000),
            "audit-logs-2026-12"
        );
        assert_eq!(index_name("audit-logs", -1), "audit-logs-1969-12");
    }

    #[test]
    fn everything_there_is_accepted() {
        assert_eq!(
            delivery(
                &bulk(&[(201, ""), (409, "version_conflict_engine_exception")]),
                2
            ),
            Delivery::Accepted
        );
    }

    #[test]
    fn each_item_has_its_own_fate() {
        let found = delivery(
            &bulk(&[
                (201, ""),
                (429, "es_rejected_execution_exception"),
                (400, "document_parsing_exception"),
                (503, "unavailable_shards_exception"),
                (403, "cluster_block_exception"),
                (404, "index_not_found_exception"),
                (400, "validation_exception"),
            ]),
            7,
        );
        let Delivery::Partly {
            rejected,
            again,
            cause,
            ..
        } = found
        else {
            panic!("{found:?}")
        };
        assert_eq!(
            rejected,
            [(2, "status 400: document_parsing_exception: r".to_owned())]
        );
        assert_eq!(again, [1, 3, 4, 5, 6]);
        assert_eq!(cause, "status 429: es_rejected_execution_exception: r");
    }

    #[test]
    fn all_not_now_is_a_retry() {
        let found = delivery(&bulk(&[(429, "x"), (429, "x")]), 2);
        assert_eq!(
            found,
            Delivery::Retry {
                after: None,
                cause: "status 429: x: r".to_owned()
            }
        );
    }

    #[test]
    fn a_refusal_as_a_whole_loses_nothing() {
        let body = json!({"error": {"type": "security_exception", "reason": "no"}, "status": 401});
        for status in [400, 401, 403, 404, 408, 429, 500, 502, 503, 504, 301] {
            let after = (status == 429).then_some(Duration::from_secs(3));
            let found = delivery(&answer(status, &body), 1);
            let Delivery::Retry {
                after: asked,
                cause,
            } = found
            else {
                panic!("{status}: {found:?}")
            };
            assert_eq!(asked, after);
            assert!(cause.ends_with(": security_exception: no"), "{cause}");
        }
        assert!(matches!(
            delivery(&answer(413, &Value::Null), 1),
            Delivery::Reject { .. }
        ));
    }

    #[test]
    fn an_answer_that_is_none_is_a_retry() {
        for body in [
            json!({"items": []}),
            json!("<html>"),
            json!({"items": [{"index": {"status": 201}}]}),
        ] {
            let found = delivery(&answer(200, &body), 1);
            assert!(matches!(found, Delivery::Retry { .. }), "{body}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn the_body_is_read_back_as_it_was(
            events in prop::collection::vec((any::<u128>(), any::<i64>(), any::<String>()), 1..20),
        ) {
            let records: Vec<Record> = events
                .iter()
                .map(|(id, at, text)| record(*id, *at, &json!({"text": text}).to_string()))
                .collect();
            let body = body("audit-logs", &records);
            prop_assert!(body.ends_with('\n'));
            let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            prop_assert_eq!(lines.len(), 2 * records.len());
            for (pair, record) in lines.chunks(2).zip(&records) {
                prop_assert_eq!(&pair[0]["create"]["_id"], &json!(record.event_id.to_string()));
                prop_assert_eq!(&pair[0]["create"]["_index"], &json!(index_name("audit-logs", record.timestamp)));
                prop_assert_eq!(pair[1].to_string(), &*record.json);
            }
        }

        #[test]
        fn every_event_has_exactly_one_fate(statuses in prop::collection::vec(100_u16..600, 1..30)) {
            let items: Vec<(u16, &str)> = statuses.iter().map(|status| (*status, "t")).collect();
            let count = items.len();
            match delivery(&bulk(&items), count) {
                Delivery::Accepted => prop_assert!(statuses.iter().all(|status| matches!(status, 200 | 201 | 409))),
                Delivery::Retry { .. } => prop_assert!(!statuses.iter().any(|status| matches!(status, 200 | 201 | 409))),
                Delivery::Partly { rejected, again, .. } => {
                    let mut named: Vec<usize> = rejected.iter().map(|(index, _)| *index).chain(again).collect();
                    named.sort_unstable();
                    let expected: Vec<usize> =
                        (0..count).filter(|index| !matches!(statuses[*index], 200 | 201 | 409)).collect();
                    prop_assert_eq!(named, expected);
                }
                Delivery::Reject { .. } => prop_assert!(false, "a bulk answer rejects no batch"),
            }
        }
    }
}
