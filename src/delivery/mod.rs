//! Audit events on their way to other systems: one worker, one cursor and one dead-letter file per sink.
//!
//! A worker reads the audit log behind its writer, offers batches to its [`Sink`] and remembers how far it came.
//! The log is the queue: a sink that is down costs disk, which the log bounds, and neither requests nor other
//! sinks wait for it.
//!
//! # Promises
//!
//! - Events are offered in the log's order, each until it is accepted or will never be: at least once. A sink
//!   whose store knows the event's id therefore shows one copy.
//! - A [`Sink`] only translates. Patience, order, deadlines and dead letters belong to the worker.
//!
//! It does not choose what is recorded, and it does not change events: a sink gets the log's own JSON.

mod backoff;
mod cursor;
mod dead_letters;
mod http;
mod net;
mod outage;
mod outstanding;
mod pace;
mod search;
mod sinks;
#[cfg(test)]
mod tests;
mod untold;
mod worker;
mod workers;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub(crate) use self::dead_letters::dead_letter_files;
pub use self::search::{StoreError, search_store, searchable};
pub use self::workers::Sinks;
use crate::config::SinkSettings;

/// What a sink returns for a batch on its way.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One event on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the audit log.
    pub sequence: u64,
    /// Its identity, in every store it reaches.
    pub event_id: Uuid,
    /// When it happened, in microseconds since 1970.
    pub timestamp: i64,
    /// The event as one JSON object on one line, exactly as in the log.
    pub json: Arc<str>,
}

/// What became of a batch. A sink reports; it never retries, sleeps or logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Every event is there, now or from an earlier attempt.
    Accepted,
    /// Nothing was taken, or nobody knows what; the same batch is offered again. Also for refused credentials:
    /// an operator's error loses nothing.
    Retry {
        /// How long the receiver asked to wait.
        after: Option<Duration>,
        /// Why, for people.
        cause: String,
    },
    /// Item by item: those not named here are there.
    Partly {
        /// Events that will never be taken, by index, and why.
        rejected: Vec<(usize, String)>,
        /// Events that were not taken now, by index; they are offered again.
        again: Vec<usize>,
        /// How long the receiver asked to wait.
        after: Option<Duration>,
        /// Why, for people.
        cause: String,
    },
    /// The batch as a whole will never be taken; the worker looks for the event that is to blame.
    Reject {
        /// Why, for people.
        cause: String,
    },
}

/// A place that events are delivered to.
///
/// The worker calls it under a deadline and drops the future when that passes, so an unfinished call must leave
/// nothing that a later one trusts: above all no connection in the middle of a message.
pub trait Sink: Send {
    /// Offers a batch: at least one event, in the log's order, within the sink's configured count and bytes.
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery>;

    /// Whether the receiver has the batch of a call that was cut off, and will yet say what became of it. The same
    /// batch is then offered again, where else the half of it is, for a receiver that was given too much.
    fn is_waiting(&self) -> bool {
        false
    }
}

/// What bounds a batch.
#[derive(Clone, Copy, Debug)]
struct Limits {
    events_max: usize,
    bytes_max: usize,
    linger: Duration,
    timeout: Duration,
}

impl Limits {
    fn of(settings: &SinkSettings) -> Self {
        Self {
            events_max: settings.batch_events_max,
            bytes_max: settings.batch_bytes_max,
            linger: settings.linger,
            timeout: settings.timeout,
        }
    }
}
