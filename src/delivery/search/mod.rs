//! Searches over the stores that sinks deliver to: the same filters and pages as over the log itself.
//!
//! A store may hold what several gateways have delivered, so its order is that of time, newest first; events of one
//! microsecond stand in the order of their ids. The cursor is the place of the last event that was looked at. Every
//! filter is asked of the store where it has a word for it, and of each event again here, by the same code that
//! searches the log: a store only narrows, it never decides.
//!
//! It promises an answer, or a reason, within the sink's `timeout_ms`. A page looks at [`EVENTS_READ_MAX`] events at
//! the most and for half of that time, and may then hold fewer than asked for, with a cursor to go on. It changes
//! nothing in the store, and it cannot show what has not been delivered yet.

mod gather;

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(in crate::delivery) use self::gather::{Found, Span};
use self::gather::{Gather, Taken};
use super::BoxFuture;
use super::sinks;
use crate::audit::{Page, Search};
use crate::config::{SinkKind, SinkSettings};

/// Most events of a store that one page looks at.
const EVENTS_READ_MAX: usize = 50_000;
/// Searches of stores at once; further ones wait, and that counts towards their time.
const SEARCHES_MAX: usize = 4;

static TURNS: Semaphore = Semaphore::const_new(SEARCHES_MAX);

/// Why a store was not searched.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No sink of this name can be searched.
    #[error("store: no mongodb or elasticsearch sink of this name: {name}{}", hint(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The sinks that can be searched.
        known: Vec<String>,
    },
    /// The cursor is not one that a page of a store gave out.
    #[error("not a cursor of a store: {0}")]
    Cursor(String),
    /// The store does not answer, or not with events.
    #[error("the store {store} cannot be searched: {cause}")]
    Unavailable {
        /// The sink's name.
        store: String,
        /// Why, for people.
        cause: String,
    },
}

fn hint(known: &[String]) -> String {
    match known {
        [] => "; none is configured".to_owned(),
        known => format!("; there is {}", known.join(", ")),
    }
}

/// Events of a store, newest millisecond first.
pub(in crate::delivery) trait Newest: Send {
    /// Some more of them; none at the end.
    fn more(&mut self) -> BoxFuture<'_, Result<Vec<Found>, String>>;
}

/// The sink whose store is searched under this name.
///
/// # Errors
///
/// There is none, or nothing can be read back from it.
pub fn searchable<'a>(
    sinks: &'a [SinkSettings],
    name: &str,
) -> Result<&'a SinkSettings, StoreError> {
    let can_be = |sink: &&SinkSettings| {
        matches!(sink.kind, SinkKind::Mongodb(_) | SinkKind::Elasticsearch(_))
    };
    let mut stores = sinks.iter().filter(can_be);
    let named = stores.clone().find(|sink| *sink.name == *name);
    named.ok_or_else(|| StoreError::Unknown {
        name: name.to_owned(),
        known: stores.by_ref().map(|sink| sink.name.to_string()).collect(),
    })
}

/// Searches the store of a [`searchable`] sink.
///
/// # Errors
///
/// The cursor is not a store's, or the store has no answer in time.
pub async fn search_store(sink: &SinkSettings, search: &Search) -> Result<Page, StoreError> {
    let gather = Gather::of(search)?;
    let span = gather.span(search);
    let unavailable = |cause: String| StoreError::Unavailable {
        store: sink.name.to_string(),
        cause,
    };
    let Some(mut events) = sinks::newest(sink, search, span) else {
        return Err(unavailable("nothing can be read back from it".to_owned()));
    };
    let searched = async {
        // Never closed; without a permit the search would only not be counted.
        let _turn = TURNS.acquire().await;
        page(&mut *events, gather, sink.timeout / 2).await
    };
    match timeout(sink.timeout, searched).await {
        Ok(page) => page.map_err(unavailable),
        Err(_) => {
            let cause = format!("no answer within {} ms", sink.timeout.as_millis());
            Err(unavailable(cause))
        }
    }
}

/// Reads until the page is full, the store has no more, or it was looked at for long enough.
async fn page(
    events: &mut dyn Newest,
    mut gather: Gather<'_>,
    enough: Duration,
) -> Result<Page, String> {
    let mut enough = std::pin::pin!(tokio::time::sleep(enough));
    loop {
        let more = tokio::select! {
            biased;
            () = &mut enough, if gather.has_moved() => return Ok(gather.so_far()),
            more = events.more() => more?,
        };
        if more.is_empty() {
            return Ok(gather.whole());
        }
        for found in more {
            if gather.take(found)? == Taken::Enough {
                return Ok(gather.so_far());
            }
        }
    }
}
