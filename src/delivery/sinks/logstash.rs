//! Logstash: JSON lines over TCP as its `tcp` input with the `json_lines` codec takes them, or JSON arrays as its
//! `http` input takes them.
//!
//! The `http` input answers when its pipeline has the events, and that it is busy when it has not: a batch counts as
//! delivered when it says so. With Logstash's persistent queue that is on its disk; with the queue in memory it goes
//! with Logstash. What was answered to nobody is sent again, so a batch may be there twice.

use http::Method;

use super::unacknowledged::Unacknowledged;
use super::{json_lines, or_again};
use crate::config::LogstashSink;
use crate::delivery::http::{Answer, Ask, HttpClient};
use crate::delivery::{BoxFuture, Delivery, Record, Sink};

pub(super) enum Logstash {
    Tcp(Unacknowledged),
    Http(HttpClient),
}

impl Logstash {
    pub(super) fn new(settings: &LogstashSink) -> Self {
        match settings {
            LogstashSink::Tcp(server) => Self::Tcp(Unacknowledged::to(server)),
            LogstashSink::Http(service) => Self::Http(HttpClient::of(service)),
        }
    }
}

impl Sink for Logstash {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            match self {
                Self::Tcp(connection) => {
                    or_again(connection.send(json_lines(batch)).await, "logstash")
                }
                Self::Http(client) => post(client, batch).await,
            }
        })
    }
}

async fn post(client: &mut HttpClient, batch: &[Record]) -> Delivery {
    let path = if client.has_path() { "" } else { "/" };
    match client
        .send(Ask::json(Method::POST, path, array(batch)))
        .await
    {
        Ok(answer) => delivery(&answer),
        Err(cause) => Delivery::Retry { after: None, cause },
    }
}

/// A batch as one JSON array, each event to the letter.
fn array(batch: &[Record]) -> Vec<u8> {
    let bytes: usize = batch.iter().map(|record| record.json.len() + 1).sum();
    let mut array = Vec::with_capacity(bytes + 1);
    for record in batch {
        array.push(if array.is_empty() { b'[' } else { b',' });
        array.extend_from_slice(record.json.as_bytes());
    }
    array.push(b']');
    array
}

/// What the input's answer means. It has no word for the event that is to blame, so a batch is refused as a whole.
fn delivery(answer: &Answer) -> Delivery {
    let cause = format!("logstash: {}", answer.status);
    match answer.status.as_u16() {
        200..=299 => Delivery::Accepted,
        400 | 413 | 422 => Delivery::Reject { cause },
        // Busy, or an error of the operator's: a wrong address or password loses nothing.
        _ => Delivery::Retry {
            after: answer.retry_after,
            cause,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_batch_is_one_array_of_the_events_as_they_are() {
        let record = |json: &str| Record {
            sequence: 1,
            event_id: Uuid::nil(),
            timestamp: 0,
            json: json.into(),
        };
        for events in [
            vec!["{\"a\":1}"],
            vec!["{\"a\":\"x\\n\"}", "{}", "{\"b\":[1,2]}"],
        ] {
            let batch: Vec<Record> = events.iter().map(|json| record(json)).collect();
            let got = String::from_utf8(array(&batch)).unwrap();
            assert_eq!(got, format!("[{}]", events.join(",")));
            let parsed: Value = serde_json::from_str(&got).unwrap();
            assert_eq!(parsed.as_array().unwrap().len(), events.len());
            assert_ne!(parsed, json!([]));
        }
    }

    #[test]
    fn only_what_names_the_events_as_the_fault_gives_them_up() {
        let of = |status: u16| {
            delivery(&Answer {
                status: StatusCode::from_u16(status).unwrap(),
                retry_after: Some(Duration::from_secs(3)),
                body: bytes::Bytes::new(),
            })
        };
        for status in [200, 201, 202, 204] {
            assert_eq!(of(status), Delivery::Accepted, "{status}");
        }
        for status in [400, 413, 422] {
            assert!(matches!(of(status), Delivery::Reject { .. }), "{status}");
        }
        for status in [301, 401, 403, 404, 405, 407, 408, 429, 500, 503] {
            let Delivery::Retry { after, .. } = of(status) else {
                panic!("{status}");
            };
            assert_eq!(after, Some(Duration::from_secs(3)), "{status}");
        }
    }
}
