//! Giving up the oldest segments so that nobody has to guess who did it: recorded first, then removed.
//!
//! A segment to be dropped is *condemned*: it no longer counts, and waits until a record in the log that names its
//! sequences is synced. Only then is its file removed, so that after any crash history begins no later than the
//! records say, and `verify` can tell the log's own dropping from that of somebody else. A crash in between finds
//! the segment still there, and it is dropped, and recorded, again.
//!
//! One case cannot wait: where the disk itself is full, no record can be written before a segment is gone. There the
//! record follows within a sync interval, and a crash between the two leaves a log that `verify` finds cut.

use super::report::AppendError;
use super::segments::{index_name, segment_name};
use super::upkeep::Dropped;
use super::writer::{Sealed, Writer};

/// The record of what a full log drops; its details name the sequences.
pub const LOG_DROPPED: &str = "audit.log.dropped";
/// The record of what is dropped because it was kept as long as it should be.
pub const RETENTION_DROPPED: &str = "audit.retention.dropped";
/// How the records say what they are. Strings of clients hold no bare quotes.
pub(super) const RECORDS: [&[u8]; 2] = [
    br#""endpoint":"audit.log.dropped""#,
    br#""endpoint":"audit.retention.dropped""#,
];

/// Why a segment is given up, which is also who records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Full,
    Past,
}

/// A segment that is given up and not forgotten yet.
#[derive(Debug)]
pub(super) struct Condemned {
    sealed: Sealed,
    why: Why,
    /// The event that names it, once there is one.
    recorded: Option<u64>,
    /// Whether its file is gone already.
    removed: bool,
}

impl Writer {
    /// Gives up the oldest sealed segment, if every event of it is synced and signed.
    pub(super) fn condemn_oldest(&mut self, why: Why) -> Option<Dropped> {
        let settled = self.synced.sequence.min(self.signed.sequence);
        let oldest = self.sealed.first();
        oldest.filter(|oldest| oldest.end <= settled + 1)?;
        let sealed = self.sealed.remove(0);
        self.count_sealed();
        let dropped = Dropped {
            segments: 1,
            first_sequence: sealed.first,
            last_sequence: sealed.end.saturating_sub(1),
        };
        self.condemned.push(Condemned {
            sealed,
            why,
            recorded: None,
            removed: false,
        });
        Some(dropped)
    }

    /// Frees the space of the oldest segment on a full disk, where nothing can be recorded first.
    pub(super) fn drop_at_once(&mut self) -> bool {
        if self.condemned.iter().all(|condemned| condemned.removed)
            && self.condemn_oldest(Why::Full).is_none()
        {
            return false;
        }
        let storage = &self.storage;
        let waiting = self.condemned.iter_mut().find(|waiting| !waiting.removed);
        let Some(oldest) = waiting else {
            return false;
        };
        oldest.removed = remove(storage.as_ref(), oldest.sealed.ordinal);
        oldest.removed
    }

    /// What the log gave up to make room and has not recorded yet.
    pub(crate) fn to_record(&self) -> Option<Dropped> {
        let mut waiting = self
            .condemned
            .iter()
            .filter(|condemned| condemned.why == Why::Full && condemned.recorded.is_none());
        let first = waiting.next()?;
        let (count, last) = waiting.fold((1, first), |(count, _), next| (count + 1, next));
        Some(Dropped {
            segments: count,
            first_sequence: first.sealed.first,
            last_sequence: last.sealed.end.saturating_sub(1),
        })
    }

    /// Takes note that an event names everything given up through a sequence.
    pub(crate) fn recorded(&mut self, through: u64, event: u64) {
        let named = |condemned: &&mut Condemned| {
            condemned.recorded.is_none() && condemned.sealed.end <= through + 1
        };
        for condemned in self.condemned.iter_mut().filter(named) {
            condemned.recorded = Some(event);
        }
    }

    /// Removes, oldest first, what a synced record names.
    pub(super) fn remove_recorded(&mut self) {
        let synced = self.synced.sequence;
        let told = |condemned: &Condemned| condemned.recorded.is_some_and(|event| event <= synced);
        while let Some(oldest) = self.condemned.first().filter(|oldest| told(oldest)) {
            let gone = oldest.removed || remove(self.storage.as_ref(), oldest.sealed.ordinal);
            if !gone {
                return;
            }
            let sealed = self.condemned.remove(0).sealed;
            self.directory_dirty = true;
            self.stats.segments_dropped += 1;
            self.stats.events_dropped += sealed.end.saturating_sub(sealed.first);
        }
    }

    /// Refuses to let more than one segment's worth wait for its removal: the disk's use stays bounded.
    pub(super) fn bound_condemned(&self, size: u64) -> Result<(), AppendError> {
        let waiting = self.condemned.iter().filter(|waiting| !waiting.removed);
        let waiting: u64 = waiting.map(|waiting| waiting.sealed.bytes).sum();
        let bound = self.limits.total_bytes_max + self.limits.segment_bytes_max;
        if waiting > 0 && self.total_bytes() + waiting + size > bound {
            return Err(AppendError::SyncBehind);
        }
        Ok(())
    }
}

fn remove(storage: &dyn super::storage::Storage, ordinal: u64) -> bool {
    let removed = match storage.remove(&segment_name(ordinal)) {
        Ok(()) => true,
        // By an earlier attempt that could not finish.
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    };
    if removed {
        drop(storage.remove(&index_name(ordinal)));
    }
    removed
}
