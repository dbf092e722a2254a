//! What a log tells of itself: places, errors, recoveries, figures.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::format::FormatError;
use crate::audit::event::Severity;

/// A place in the log: the sequence of an event, 0 before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Why an event was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The log has its size, or the disk is full.
    #[error("the audit log is full")]
    Full,
    /// Too many events wait for the disk.
    #[error("the disk cannot keep up with the audit log")]
    SyncBehind,
    /// The event does not fit a frame even when clipped.
    #[error("the event is too large")]
    TooLarge,
    /// The event could not be written as JSON.
    #[error("the event cannot be written as JSON")]
    Unserialisable,
    /// The log was closed.
    #[error("the audit log is closed")]
    Closed,
    /// The disk failed and a new segment could not be begun either.
    #[error("the audit log cannot be written")]
    Storage(#[source] Arc<io::Error>),
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes to it.
    #[error("the audit log is in use by another process: {}", .0.display())]
    InUse(PathBuf),
    /// The file of the signing key cannot be used.
    #[error("the audit log's signing key cannot be used: {}", path.display())]
    SigningKey {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// The directory or a file in it cannot be used.
    #[error("the audit log cannot be opened: {}", path.display())]
    Storage {
        /// The log's directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// One damaged place in what was once synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's ordinal, which is its file name.
    pub segment: u64,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The last good event before it.
    pub after_sequence: u64,
    /// What is wrong there.
    pub reason: FormatError,
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The last event believed.
    pub last_sequence: u64,
    /// Events read and believed; segments synced long ago are not read.
    pub events: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes moved aside because no belief in them was possible.
    pub torn_bytes: u64,
    /// Segments moved aside whole.
    pub segments_set_aside: u64,
    /// Whole frames in what was moved aside.
    pub quarantined_events: u64,
    /// Synced events that are gone from the end of the log.
    pub missing_events: u64,
    /// Damaged places in synced history.
    pub damages: u64,
    /// Whether the events that are there differ from those that were signed.
    pub signature_broken: bool,
    /// The first thousand of them.
    pub damaged: Vec<Damage>,
}

impl Recovery {
    /// Whether the log was closed in order and is whole.
    pub fn is_clean(&self) -> bool {
        let aside = self.torn_bytes + self.segments_set_aside;
        aside + self.missing_events + self.damages == 0 && !self.signature_broken
    }

    /// How grave it is: `info` when clean, `warning` for a torn tail, `critical` when synced history is damaged.
    pub fn severity(&self) -> Severity {
        match self {
            _ if self.is_clean() => Severity::Info,
            _ if self.damages + self.missing_events == 0 && !self.signature_broken => {
                Severity::Warning
            }
            _ => Severity::Critical,
        }
    }
}

/// Figures of a log, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Events appended since open.
    pub events_appended: u64,
    /// Events refused since open.
    pub events_refused: u64,
    /// Size of the log now, in bytes.
    pub bytes: u64,
    /// Segments now.
    pub segments: u64,
    /// The oldest event kept.
    pub first_sequence: u64,
    /// The newest event.
    pub last_sequence: u64,
    /// The newest event a power cut cannot take.
    pub synced_sequence: u64,
    /// The newest event a signature covers.
    pub signed_sequence: u64,
    /// Group commits since open.
    pub syncs: u64,
    /// Signed checkpoints written since open.
    pub signatures: u64,
    /// Attempts to sign that failed.
    pub sign_errors: u64,
    /// Whether the events that are there differ from those that were signed.
    pub history_broken: bool,
    /// Group commits that failed.
    pub sync_errors: u64,
    /// Writes that failed for a reason other than space.
    pub write_errors: u64,
    /// Segments abandoned after such failures.
    pub segments_abandoned: u64,
    /// Segments removed to make room.
    pub segments_dropped: u64,
    /// Events in them.
    pub events_dropped: u64,
}
