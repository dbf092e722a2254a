//! What the collector's answers mean.

use std::collections::HashMap;

use serde::Deserialize;

use crate::delivery::Delivery;
use crate::delivery::http::Answer;

/// Codes that blame one event: invalid format, no event member, a blank event, unusable indexed fields.
const EVENT_FAULTS: [u32; 4] = [6, 12, 13, 15];

/// What followed from a batch that was posted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Posted {
    /// Taken; with the number to ask for acknowledgement by, where the token gives one.
    Taken {
        ack_id: Option<u64>,
    },
    Not(Delivery),
}

#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    text: String,
    code: u32,
    #[serde(rename = "invalid-event-number")]
    invalid: Option<usize>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
}

/// The answer to a batch of `count` events.
pub(super) fn posted(answer: &Answer, count: usize) -> Posted {
    let body = serde_json::from_slice::<Said>(&answer.body).ok();
    let cause = cause(answer);
    let blamed = body
        .as_ref()
        .is_some_and(|said| EVENT_FAULTS.contains(&said.code));
    Posted::Not(match (answer.status.as_u16(), body) {
        (
            200,
            Some(Said {
                code: 0, ack_id, ..
            }),
        ) => return Posted::Taken { ack_id },
        (413, _) => Delivery::Reject { cause },
        (
            400,
            Some(Said {
                invalid: Some(at), ..
            }),
        ) if blamed && at < count => Delivery::Partly {
            rejected: vec![(at, cause.clone())],
            // Whether those before it were taken is not said: a second copy is better than none.
            again: (0..count).filter(|index| *index != at).collect(),
            after: answer.retry_after,
            cause,
        },
        (400, _) if blamed => Delivery::Reject { cause },
        // Credentials, an index that does not exist, a full queue: nothing an event is to blame for.
        _ => Delivery::Retry {
            after: answer.retry_after,
            cause,
        },
    })
}

/// Whether the batch of this number is indexed.
///
/// # Errors
///
/// Why the answer does not say.
pub(super) fn acknowledged(answer: &Answer, ack_id: u64) -> Result<bool, String> {
    #[derive(Deserialize)]
    struct Acks {
        acks: HashMap<String, bool>,
    }
    if !answer.status.is_success() {
        return Err(cause(answer));
    }
    let acks: Acks = serde_json::from_slice(&answer.body)
        .map_err(|cause| format!("the answer acknowledges nothing: {cause}"))?;
    Ok(acks.acks.get(&ack_id.to_string()) == Some(&true))
}

fn cause(answer: &Answer) -> String {
    let status = answer.status;
    match serde_json::from_slice::<Said>(&answer.body) {
        Ok(said) => format!("{status}: code {}: {}", said.code, said.text),
        Err(_) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::*;

    fn answer(status: u16, body: &Value) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: body.to_string().into(),
        }
    }

    fn of(status: u16, body: &Value) -> Posted {
        posted(&answer(status, body), 4)
    }

    #[test]
    fn success_is_taken() {
        assert_eq!(
            of(200, &json!({"text": "Success", "code": 0})),
            Posted::Taken { ack_id: None }
        );
        assert_eq!(
            of(200, &json!({"text": "Success", "code": 0, "ackId": 7})),
            Posted::Taken { ack_id: Some(7) }
        );
    }

    #[test]
    fn the_event_that_is_blamed_is_set_apart() {
        let found = of(
            400,
            &json!({"text": "Invalid data format", "code": 6, "invalid-event-number": 1}),
        );
        let cause = "400 Bad Request: code 6: Invalid data format".to_owned();
        assert_eq!(
            found,
            Posted::Not(Delivery::Partly {
                rejected: vec![(1, cause.clone())],
                again: vec![0, 2, 3],
                after: None,
                cause,
            })
        );
    }

    #[test]
    fn a_batch_with_an_event_nobody_names_is_rejected() {
        for (status, body) in [
            (400, json!({"text": "Invalid data format", "code": 6})),
            (
                400,
                json!({"text": "Event field is required", "code": 12, "invalid-event-number": 99}),
            ),
            (413, json!("too large")),
        ] {
            assert!(
                matches!(of(status, &body), Posted::Not(Delivery::Reject { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn what_no_event_is_to_blame_for_is_offered_again() {
        for (status, code) in [
            (403, 1),
            (401, 2),
            (401, 3),
            (403, 4),
            (400, 5),
            (400, 7),
            (500, 8),
            (503, 9),
            (400, 10),
            (400, 11),
            (400, 14),
            (503, 23),
            (429, 26),
            (503, 6),
            (200, 9),
        ] {
            let found = of(
                status,
                &json!({"text": "t", "code": code, "invalid-event-number": 0}),
            );
            assert!(
                matches!(found, Posted::Not(Delivery::Retry { .. })),
                "{status} {code}: {found:?}"
            );
        }
        for body in [json!({}), json!("<html>"), json!({"code": "0"})] {
            assert!(
                matches!(of(200, &body), Posted::Not(Delivery::Retry { .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn only_true_acknowledges() {
        let of = |status, body: Value| acknowledged(&answer(status, &body), 7);
        assert_eq!(of(200, json!({"acks": {"7": true}})), Ok(true));
        assert_eq!(of(200, json!({"acks": {"7": false}})), Ok(false));
        assert_eq!(of(200, json!({"acks": {"8": true}})), Ok(false));
        assert!(of(200, json!({})).is_err());
        assert!(of(400, json!({"text": "ACK is disabled", "code": 14})).is_err());
    }
}
