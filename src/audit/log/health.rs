//! How a log fares: what its metrics and its status say.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::live::{CLOSED, Log, Shared};
use super::report::AppendError;
use super::upkeep::Distress;
use crate::audit::event::AuditEvent;
use crate::audit::log::report::Position;

/// Whether the log takes the events of new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It does.
    Writable,
    /// It has its size, or the disk is full.
    Full,
    /// Too many events wait for the disk.
    Behind,
    /// The disk fails.
    Failing,
    /// It was closed.
    Closed,
}

impl Standing {
    /// The word for it in documents, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Writable => "writable",
            Self::Full => "full",
            Self::Behind => "behind",
            Self::Failing => "failing",
            Self::Closed => "closed",
        }
    }
}

impl AppendError {
    /// A word for it, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SyncBehind => "behind",
            Self::TooLarge => "too_large",
            Self::Unserialisable => "unserialisable",
            Self::Closed => "closed",
            Self::Storage(_) => "storage",
        }
    }
}

impl Shared {
    pub(super) fn standing(&self) -> Standing {
        let distress = self.distress.load(Ordering::Relaxed);
        match distress {
            _ if distress == Distress::None as u8 => Standing::Writable,
            _ if distress == Distress::Full as u8 => Standing::Full,
            _ if distress == Distress::SyncBehind as u8 => Standing::Behind,
            _ if distress == CLOSED => Standing::Closed,
            _ => Standing::Failing,
        }
    }
}

impl Log {
    /// Whether the log takes the events of new requests. Costs one atomic read.
    pub fn standing(&self) -> Standing {
        self.owner.shared.standing()
    }

    /// Appends one event, but not into the room that a full log keeps for the events of requests that were accepted
    /// before it was full.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_unless_full(&self, event: &AuditEvent<'_>) -> Result<Position, AppendError> {
        if self.standing() == Standing::Full {
            self.owner.shared.lock().events_refused += 1;
            return Err(AppendError::Full);
        }
        self.append(event)
    }
}
