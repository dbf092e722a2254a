//! The vocabulary: an [`Upstream`] that records, a [`Gateway`] that is the real executable, clients
//! that say exactly what the test says, and an [`Answer`] that checks what every answer promises.
//!
//! Waiting is bounded polling; no pause decides a test.

mod answer;
mod collector;
mod disk;
mod gateway;
mod http1;
mod link;
pub(crate) mod mmdb;
mod otelcol;
mod part;
mod process;
mod recorder;
mod schema;
mod served;
mod server_part;
mod setup;
mod stores;
mod upstream;
mod wire;

use std::future::Future;
use std::time::Duration;

pub(crate) use answer::Answer;
pub(crate) use collector::Collector;
pub(crate) use disk::SmallDisk;
pub(crate) use gateway::Gateway;
pub(crate) use http1::chunked;
pub(crate) use link::{Line, Link};
pub(crate) use otelcol::{OtelCollector, members};
pub(crate) use part::part;
pub(crate) use process::{Outcome, Process, run_to_end};
pub(crate) use recorder::{Recorder, ids_of, lines_of};
pub(crate) use served::{
    Served, elasticsearch, ferretdb, ferretdb_over_tls, opensearch, victorialogs,
};
pub(crate) use server_part::{FluentServer, Rsyslog};
pub(crate) use setup::{ApiKey, NewKey, Setup, default_file};
pub(crate) use stores::{Mood, StoreStandIn};
pub(crate) use upstream::{Received, Reply, Upstream};
use wire::Wire;

/// A connection straight to an upstream, without a gateway between.
pub(crate) async fn direct(upstream: &Upstream) -> Wire {
    Wire::to(upstream.address, answer::Answered::nobody()).await
}

/// How long anything may take before a test fails: far beyond what a busy machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits, or fails the test naming what did not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// Asks again and again until there is something, or fails the test naming what did not come.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
