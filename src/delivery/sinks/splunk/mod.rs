//! Splunk, by its HTTP Event Collector.
//!
//! The collector's success says that events look valid, not that they are indexed. With `acknowledge` a batch
//! counts as delivered only when the indexer acknowledges it, which the token must be set up for. An acknowledgement may
//! never come: the indexer was restarted, or told of it in an answer that was lost, which it does once. So it is
//! waited for [within bounds](pending::Patience), and the batch then posted again. Splunk knows no ids of ours: such a
//! batch may be there twice, and `event_id` is indexed beside each event to tell copies by.

mod answer;
mod event;
mod pending;

use std::time::Duration;

use http::header::ACCEPT_ENCODING;
use http::{HeaderName, HeaderValue, Method};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::SplunkSink;
use crate::delivery::http::{Ask, HttpClient};
use crate::delivery::{BoxFuture, Delivery, Record, Sink};
use answer::Posted;
use event::Filing;
use pending::{Patience, Pending};

const EVENT_PATH: &str = "/services/collector/event";
const ACK_PATH: &str = "/services/collector/ack";
const CHANNEL: HeaderName = HeaderName::from_static("x-splunk-request-channel");

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
    patience: Patience,
    /// Posted and not acknowledged yet; kept over calls that were cut off, so that it need not be posted again.
    pending: Option<Pending>,
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
            patience: Patience::of(settings.acknowledge_timeout),
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
                Posted::Taken { ack_id } => {
                    let until = Instant::now() + self.patience.time();
                    self.pending = Pending::of(batch, ack_id, until);
                }
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

    /// Waits until the pending batch is acknowledged; the worker's deadline bounds one wait, patience all of them.
    async fn indexed(&mut self) -> Delivery {
        loop {
            let Some(pending) = &self.pending else {
                return Delivery::Retry {
                    after: None,
                    cause: "the token does not acknowledge: the answer bears no ackId".to_owned(),
                };
            };
            let (ack_id, until) = (pending.ack_id, pending.until);
            let asked = self.asked_for(ack_id).await;
            if asked == Ok(true) {
                self.pending = None;
                self.patience.acknowledged();
                return Delivery::Accepted;
            }
            if Instant::now() >= until {
                self.pending = None;
                let waited = self.patience.exhausted().as_millis();
                let cause = format!("not acknowledged within {waited} ms, to be posted again");
                return Delivery::Retry { after: None, cause };
            }
            if let Err(cause) = asked {
                return Delivery::Retry { after: None, cause };
            }
            tokio::time::sleep(self.poll_interval).await;
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

impl Sink for Splunk {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(self.post_until_indexed(batch))
    }

    fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }
}
