//! Notifications: of all events, the findings that somebody is to be told of, once for each rule and key in a
//! time.
//!
//! The security team is told of findings that ask for `alert_security_team`, an organization of those in its own
//! requests that ask for `notification`. An event nobody is to be told of is accepted at once. A notification is
//! sent again until it is taken; its id is that of the event, by which a receiver tells a repetition apart.

mod finding;
mod payload;
mod post;
mod recent;

use std::time::Duration;

use finding::{Event, Finding};
use post::{Answer, Poster};
use recent::{Recent, Told};

use crate::config::{NotifyForm, NotifySink};
use crate::delivery::{BoxFuture, Delivery, Record, Sink};
use crate::now::Now;

pub(super) struct Notify {
    settings: NotifySink,
    poster: Poster,
    recent: Recent,
}

/// What became of one event.
enum Outcome {
    /// Told, or nothing to tell.
    Done,
    Again {
        after: Option<Duration>,
        cause: String,
    },
    Never {
        cause: String,
    },
}

impl Notify {
    pub(super) fn new(settings: &NotifySink) -> Self {
        Self {
            poster: Poster::to(&settings.server, &settings.path),
            recent: Recent::within(settings.window),
            settings: settings.clone(),
        }
    }

    /// Tells of one event what of it is to be told now.
    async fn tell(&mut self, record: &Record) -> Outcome {
        let Some(event) = Event::of(&record.json, &self.settings.audience) else {
            return Outcome::Done;
        };
        let key = event.subject();
        let fresh: Vec<(&Finding<'_>, u64)> = event
            .findings()
            .filter_map(|finding| {
                match self
                    .recent
                    .ask(&finding.rule, key, record.event_id, record.timestamp)
                {
                    Told::Not { held_back } => Some((finding, held_back)),
                    Told::Lately => None,
                }
            })
            .collect();
        if fresh.is_empty() {
            return Outcome::Done;
        }
        let id = record.event_id.to_string();
        let (fields, body) = match &self.settings.form {
            NotifyForm::Webhook { secret } => {
                let body = payload::webhook(&event, &fresh);
                let at = Now::read().unix_secs();
                (payload::signature(secret, &id, at, &body), body)
            }
            NotifyForm::Alertmanager => {
                let until = record.timestamp.saturating_add(self.recent.window_micros());
                let body = payload::alerts(&event, &fresh, record.timestamp, until);
                (String::new(), body)
            }
        };
        let outcome = outcome(self.poster.post(&fields, &body).await);
        // What will never be taken is not tried again with the next finding.
        if !matches!(outcome, Outcome::Again { .. }) {
            for (finding, _) in &fresh {
                self.recent
                    .told(&finding.rule, key, record.event_id, record.timestamp);
            }
        }
        outcome
    }
}

impl Sink for Notify {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            let mut rejected = Vec::new();
            for (index, record) in batch.iter().enumerate() {
                match self.tell(record).await {
                    Outcome::Done => {}
                    Outcome::Never { cause } => rejected.push((index, cause)),
                    Outcome::Again { after, cause } => {
                        return Delivery::Partly {
                            rejected,
                            again: (index..batch.len()).collect(),
                            after,
                            cause,
                        };
                    }
                }
            }
            if rejected.is_empty() {
                return Delivery::Accepted;
            }
            Delivery::Partly {
                rejected,
                again: Vec::new(),
                after: None,
                cause: "a notification was refused".to_owned(),
            }
        })
    }
}

/// Only a receiver that finds fault with this very notification is not asked again; what an operator can mend
/// loses nothing.
fn outcome(answer: std::io::Result<Answer>) -> Outcome {
    let again = |after, cause| Outcome::Again { after, cause };
    match answer {
        Err(error) => again(None, error.to_string()),
        Ok(Answer { status, after }) => match status {
            200..=299 => Outcome::Done,
            400 | 410 | 413 | 422 => Outcome::Never {
                cause: format!("answered {status}"),
            },
            _ => again(after, format!("answered {status}")),
        },
    }
}

#[cfg(test)]
mod tests;
