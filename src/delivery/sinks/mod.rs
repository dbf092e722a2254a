//! The sinks: each translates a batch into its receiver's words and reports what became of it.

mod elasticsearch;
mod file;
mod fluentd;
mod logstash;
mod mongodb;
mod msgpack;
mod notify;
mod siem;
mod splunk;
mod syslog;
mod unacknowledged;

use std::io;

use super::search::{Newest, Span};
use super::{Delivery, Record, Sink};
use crate::audit::Search;
use crate::config::{SinkKind, SinkSettings};

/// The sink of this kind. It connects when there is something to deliver.
pub(super) fn build(sink: &SinkSettings) -> Box<dyn Sink> {
    match &sink.kind {
        SinkKind::File(settings) => Box::new(file::Files::new(settings)),
        SinkKind::Syslog(settings) => Box::new(syslog::Syslog::new(settings)),
        SinkKind::Fluentd(settings) => Box::new(fluentd::Fluentd::new(settings)),
        SinkKind::Logstash(settings) => Box::new(logstash::Logstash::new(settings)),
        SinkKind::Notify(settings) => Box::new(notify::Notify::new(settings)),
        SinkKind::Mongodb(settings) => Box::new(mongodb::Mongodb::new(settings, sink.timeout)),
        SinkKind::Elasticsearch(settings) => Box::new(elasticsearch::Elasticsearch::new(settings)),
        SinkKind::Splunk(settings) => Box::new(splunk::Splunk::new(settings)),
    }
}

/// What a search may be about in the store of this sink; `None` where nothing can be read back.
pub(super) fn newest(sink: &SinkSettings, search: &Search, span: Span) -> Option<Box<dyn Newest>> {
    match &sink.kind {
        SinkKind::Mongodb(settings) => {
            let store = mongodb::Mongodb::new(settings, sink.timeout);
            Some(Box::new(mongodb::search::Stored::of(store, search, span)))
        }
        SinkKind::Elasticsearch(settings) => {
            let stored = elasticsearch::search::Stored::of(settings, search, span);
            Some(Box::new(stored))
        }
        _ => None,
    }
}

/// A batch as JSON lines.
fn json_lines(batch: &[Record]) -> Vec<u8> {
    let bytes = batch.iter().map(|record| record.json.len() + 1).sum();
    let mut lines = Vec::with_capacity(bytes);
    for record in batch {
        lines.extend_from_slice(record.json.as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// An input or output error means that the same batch is offered again.
fn or_again(done: io::Result<()>, what: &str) -> Delivery {
    match done {
        Ok(()) => Delivery::Accepted,
        Err(error) => Delivery::Retry {
            after: None,
            cause: format!("{what}: {error}"),
        },
    }
}
