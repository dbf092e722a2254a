//! Splunk, by its HTTP Event Collector.
//!
//! The collector's success says that events look valid, not that they are indexed. With `acknowledge` a batch
//! counts as delivered only when the indexer acknowledges it, which the token must be set up for; a batch that is
//! not acknowledged in [`POLLS_MAX`] polls is posted again. Splunk knows no ids of ours, so a batch whose answer or
//! acknowledgement was lost is there twice: `event_id` is indexed beside each event to tell copies by.

mod answer;
mod event;

use std::time::Duration;

use http::header::ACCEPT_ENCODING;
use http::{HeaderName, HeaderValue, Method};
use serde_json::json;
use uuid::Uuid;

use crate::config::SplunkSink;
use crate::delivery::http::{Ask, HttpClient};
use crate::delivery::{BoxFuture, Delivery, Record, Sink};
use answer::Posted;
use event::Filing;

const EVENT_PATH: &str = "/services/collector/event";
const ACK_PATH: &str = "/services/collector/ack";
const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

/// How often an acknowledgement is asked for before the batch is posted again.
const POLLS_MAX: u32 = 300;

/// Delivers to one token of a collector.
pub(super) struct Splunk {
    client: HttpClient,
    filing: Filing,
    fields: [(HeaderName, HeaderValue); 2],
    ack_path: String,
    acknowledge: bool,
    poll_interval: Duration,
    /// Whether the token is known to acknowledge: events posted to one that does not would be posted for ever.
    acknowledges: bool,
    /// Posted and not acknowledged yet; kept over calls that were cut off, so that it need not be posted again.
    pending: Option<Pending>,
}

/// A batch on its way through the indexer.
struct Pending {
    first: Uuid,
    last: Uuid,
    count: usize,
    ack_id: u64,
    polls: u32,
}

impl Pending {
    fn is_of(&self, batch: &[Record]) -> bool {
        self.count == batch.len()
            && batch
                .first()
                .is_some_and(|record| record.event_id == self.first)
            && batch
                .last()
                .is_some_and(|record| record.event_id == self.last)
    }
}

impl Splunk {
    pub(super) fn new(settings: &SplunkSink) -> Self {
        // Identifies this client towards the collector; new with each start.
        let channel = Uuid::new_v4().hyphenated().to_string();
        // A UUID is a field value.
        let value =
            HeaderValue::try_from(&channel).unwrap_or_else(|_| HeaderValue::from_static("0"));
        Self {
            client: HttpClient::of(&settings.service),
            filing: Filing {
                host: settings.host.clone(),
                source: settings.source.clone(),
                sourcetype: settings.sourcetype.clone(),
                index: settings.index.clone(),
            },
            fields: [
                (CHANNEL, value),
                (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            ],
            ack_path: format!("{ACK_PATH}?channel={channel}"),
            acknowledge: settings.acknowledge,
            poll_interval: settings.acknowledge_poll,
            acknowledges: false,
            pending: None,
        }
    }

    async fn post_until_indexed(&mut self, batch: &[Record]) -> Delivery {
        if self.acknowledge && !self.acknowledges {
            // Asked for a number that no batch has, a token that acknowledges answers that it is not there.
            if let Err(cause) = self.asked_for(0).await {
                return Delivery::Retry { after: None, cause };
            }
            self.acknowledges = true;
        }
        if !self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.is_of(batch))
        {
            self.pending = None;
            match self.post(batch).await {
                Posted::Not(delivery) => return delivery,
                Posted::Taken { .. } if !self.acknowledge => return Delivery::Accepted,
                Posted::Taken { ack_id } => self.pending = pending(batch, ack_id),
            }
        }
        self.indexed().await
    }

    async fn post(&mut self, batch: &[Record]) -> Posted {
        let body = match event::body(&self.filing, batch) {
            Ok(body) => body,
            Err(error) => {
                return Posted::Not(Delivery::Reject {
                    cause: error.to_string(),
                });
            }
        };
        let ask = Ask {
            fields: &self.fields,
            ..Ask::json(Method::POST, EVENT_PATH, body)
        };
        match self.client.send(ask).await {
            Ok(answer) => answer::posted(&answer, batch.len()),
            Err(cause) => Posted::Not(Delivery::Retry { after: None, cause }),
        }
    }

    /// Waits until the pending batch is acknowledged; the worker's deadline bounds one wait, [`POLLS_MAX`] all.
    async fn indexed(&mut self) -> Delivery {
        loop {
            let Some(pending) = &mut self.pending else {
                return Delivery::Retry {
                    after: None,
                    cause: "the token does not acknowledge: the answer bears no ackId".to_owned(),
                };
            };
            pending.polls += 1;
            let (ack_id, last) = (pending.ack_id, pending.polls >= POLLS_MAX);
            let asked = self.asked_for(ack_id).await;
            if last || asked == Ok(true) {
                self.pending = None;
            }
            match asked {
                Ok(true) => return Delivery::Accepted,
                Ok(false) if last => {
                    let cause = format!("not acknowledged in {POLLS_MAX} polls");
                    return Delivery::Retry { after: None, cause };
                }
                Ok(false) => tokio::time::sleep(self.poll_interval).await,
                Err(cause) => return Delivery::Retry { after: None, cause },
            }
        }
    }

    async fn asked_for(&mut self, ack_id: u64) -> Result<bool, String> {
        let ask = Ask {
            fields: &self.fields,
            ..Ask::json(
                Method::POST,
                &self.ack_path,
                json!({"acks": [ack_id]}).to_string(),
            )
        };
        let answer = self.client.send(ask).await?;
        answer::acknowledged(&answer, ack_id)
    }
}

fn pending(batch: &[Record], ack_id: Option<u64>) -> Option<Pending> {
    Some(Pending {
        first: batch.first()?.event_id,
        last: batch.last()?.event_id,
        count: batch.len(),
        ack_id: ack_id?,
        polls: 0,
    })
}

impl Sink for Splunk {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(self.post_until_indexed(batch))
    }

    fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }
}
