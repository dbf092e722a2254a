//! Compares where history begins with the log's records of what it dropped.

use memchr::memmem;
use serde::Deserialize;

use crate::audit::log::format::{Frame, Kind};
use crate::audit::log::{LOG_DROPPED, RETENTION_DROPPED};

/// How far the log says that it dropped its beginning. Older records went with what they stood in, and every drop
/// reaches further than the one before: so the furthest record is the one that counts.
#[derive(Debug, Default)]
pub(super) struct Drops {
    through: u64,
}

#[derive(Deserialize)]
struct Record {
    endpoint: String,
    method: String,
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    last_sequence: u64,
}

impl Drops {
    pub(super) fn take(&mut self, frame: &Frame<'_>) {
        let names = [LOG_DROPPED, RETENTION_DROPPED];
        let may_be = |name: &&str| memmem::find(frame.payload, name.as_bytes()).is_some();
        if frame.kind == Kind::Event
            && let Some(name) = names.into_iter().find(may_be)
            && let Ok(record) = serde_json::from_slice::<Record>(frame.payload)
            // No request has such a path, nor this method.
            && record.endpoint == name
            && record.method == "SYSTEM"
            && record.details.last_sequence < frame.sequence
        {
            self.through = self.through.max(record.details.last_sequence);
        }
    }

    /// The first event that is gone and that no record names, where history begins with another.
    pub(super) fn unrecorded(&self, first_sequence: u64) -> Option<u64> {
        let next = self.through + 1;
        (first_sequence > next).then_some(next)
    }
}
