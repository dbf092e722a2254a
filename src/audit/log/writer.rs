//! The writing side of the log, without threads or clocks: appends, rotation, abandonment, quota.
//!
//! [`Log`](super::Log) drives it under a lock and from one background thread; the simulation drives
//! it directly. A sync is three steps, so that appends go on during the slow one:
//! [`begin_sync`](Writer::begin_sync), [`SyncJob::run`] without the lock, [`finish_sync`](Writer::finish_sync).

use std::io;
use std::sync::Arc;

use super::digest::{Digest, Parts, Seal};
use super::dropping::Condemned;
use super::format::{
    Begun, Chain, Frame, HEADER_BYTES, Kind, LogId, PAYLOAD_BYTES_MAX, SegmentHeader,
};
use super::frames::frame_bytes;
use super::segments::{segment_name, unfinished_name};
use super::storage::{Storage, StorageFile};
use super::summary::{Blocks, Traits};
use super::{AppendError, Durability, LogStats, Position, WhenFull};
use crate::audit::proof::notary::Signed;

/// Most events that may wait for a sync; appends are refused beyond it.
pub(crate) const UNSYNCED_EVENTS_MAX: u64 = 10_000;
/// Most bytes of frames that may wait for a sync; appends are refused beyond it.
pub(crate) const UNSYNCED_BYTES_MAX: usize = 16 << 20;
/// Most bytes `relaxed` keeps before it writes on the caller's thread.
const UNWRITTEN_BYTES_MAX: usize = 256 << 10;

/// What bounds a writer.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) durability: Durability,
    pub(crate) segment_bytes_max: u64,
    pub(crate) total_bytes_max: u64,
    pub(crate) reserve_bytes: u64,
    pub(crate) when_full: WhenFull,
}

/// One event made ready to be appended; what can be computed without the lock is computed here.
pub(crate) struct Entry<'a> {
    payload: &'a [u8],
    personal_from: u32,
    salt: [u8; 32],
    digest: Digest,
    traits: Traits,
    /// Whether it tells what the log gives up: it makes room, so a log that is full takes it.
    makes_room: bool,
}

impl<'a> Entry<'a> {
    pub(crate) fn new(
        payload: &'a [u8],
        personal_from: usize,
        salt: [u8; 32],
        traits: Traits,
    ) -> Self {
        let personal_from = u32::try_from(personal_from).unwrap_or(u32::MAX);
        let parts = Parts {
            personal_from,
            seal: Seal::Salt(salt),
        };
        Self {
            payload,
            personal_from,
            salt,
            digest: parts.digest(payload),
            traits,
            makes_room: false,
        }
    }

    /// The same, as the record of what the log gives up.
    pub(crate) fn making_room(self, makes_room: bool) -> Self {
        Self { makes_room, ..self }
    }
}

/// A place in the log and the chain up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
}

/// A segment no longer written to.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) ordinal: u64,
    /// First sequence of its own and first of its successor.
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    pub(crate) index: Index,
}

/// How far a sealed segment's index file is.
#[derive(Clone, Debug)]
pub(crate) enum Index {
    /// To be written from these summaries.
    Pending(Blocks),
    /// To be written after reading the segment.
    Absent,
    /// Written, or given up.
    Settled,
}

/// The segment being written.
pub(crate) struct Active {
    pub(crate) ordinal: u64,
    pub(crate) first: u64,
    pub(crate) file: Arc<dyn StorageFile>,
    /// Where the next frame goes; the last `unwritten` bytes before it are not in the file yet.
    pub(crate) end: u64,
    pub(crate) blocks: Blocks,
}

/// Everything a writer continues from.
pub(crate) struct Start {
    pub(crate) log_id: LogId,
    pub(crate) last: Mark,
    pub(crate) synced: Mark,
    /// The frames after `synced`.
    pub(crate) unsynced: Vec<u8>,
    pub(crate) sealed: Vec<Sealed>,
    /// A segment to go on with; a new one is begun without it.
    pub(crate) active: Option<Active>,
    /// How the new one begins.
    pub(crate) begun: Begun,
    pub(crate) ordinal_next: u64,
    /// Bytes of files that are neither segment nor index.
    pub(crate) other_bytes: u64,
}

/// The state of one log being written.
pub(crate) struct Writer {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) limits: Limits,
    pub(super) log_id: LogId,
    /// The last event appended, and the last one synced.
    pub(super) last: Mark,
    pub(super) synced: Mark,
    /// The frames after `synced`: those the running sync covers, which its job shares, then the rest.
    pub(super) syncing: Arc<Vec<u8>>,
    pub(super) fresh: Vec<u8>,
    /// The digests of events appended and not synced, so that they need not be hashed again for the tree.
    pub(super) digests: Vec<(u64, Digest)>,
    /// A buffer to go on with, so that appends need not grow one.
    pub(super) spare: Vec<u8>,
    /// Bytes at the end of `fresh` that are not in the file yet.
    pub(super) unwritten: usize,
    pub(super) active: Active,
    pub(super) sealed: Vec<Sealed>,
    pub(super) sealed_bytes: u64,
    /// Sealed files a sync has yet to cover.
    pub(super) dirty: Vec<Arc<dyn StorageFile>>,
    pub(super) directory_dirty: bool,
    pub(super) sync_running: bool,
    /// Raised when the unsynced frames move to a new segment: older jobs no longer count.
    pub(super) epoch: u64,
    /// The active file failed; nothing more goes into it.
    pub(super) broken: bool,
    /// What a failed write left after the last event of the active file could not be cut off.
    pub(super) uncertain: bool,
    /// The disk is full and the reserve is spent.
    pub(super) full: bool,
    pub(super) ordinal_next: u64,
    pub(super) other_bytes: u64,
    pub(super) checkpoint: Option<Arc<dyn StorageFile>>,
    pub(super) checkpoint_slot: bool,
    /// How far a durable signature covers history, and what that takes on disk; only what is covered is dropped.
    pub(super) signed: Signed,
    /// Segments given up, oldest first, whose files wait for their record to be synced.
    pub(super) condemned: Vec<Condemned>,
    pub(super) stats: LogStats,
}

impl Writer {
    /// Continues a log. Frames not known to be synced move to a new segment, because a sync of the
    /// old file cannot be trusted once another process may have seen it fail.
    pub(crate) fn start(
        storage: Arc<dyn Storage>,
        limits: Limits,
        start: Start,
    ) -> io::Result<Self> {
        let continued = start.active.filter(|_| start.unsynced.is_empty());
        let mut ordinal_next = start.ordinal_next;
        let active = match continued {
            Some(active) => active,
            None => {
                ordinal_next += 1;
                let ordinal = start.ordinal_next;
                let header = SegmentHeader {
                    log_id: start.log_id,
                    ordinal,
                    first_sequence: start.synced.sequence + 1,
                    synced_through: start.synced.sequence,
                    chain: start.synced.chain,
                    begun: start.begun,
                };
                create_segment(&*storage, &header, &[&start.unsynced])?
            }
        };
        let mut writer = Self {
            storage,
            limits,
            log_id: start.log_id,
            last: start.last,
            synced: start.synced,
            syncing: Arc::default(),
            fresh: start.unsynced,
            digests: Vec::new(),
            spare: Vec::new(),
            unwritten: 0,
            active,
            sealed: start.sealed,
            sealed_bytes: 0,
            dirty: Vec::new(),
            // So that the first sync writes a checkpoint, whatever became of the last one.
            directory_dirty: true,
            sync_running: false,
            epoch: 0,
            broken: false,
            uncertain: false,
            full: true,
            ordinal_next,
            other_bytes: start.other_bytes,
            checkpoint: None,
            checkpoint_slot: false,
            signed: Signed::default(),
            condemned: Vec::new(),
            stats: LogStats::default(),
        };
        let first = writer.active.first;
        for sealed in &mut writer.sealed {
            sealed.end = sealed.end.min(first);
        }
        writer.count_sealed();
        writer.open_checkpoint();
        writer.restore_reserve();
        Ok(writer)
    }

    /// Appends one event. With `written` and `synced` its frame is in the file on return.
    pub(crate) fn append(&mut self, entry: &Entry<'_>) -> Result<Position, AppendError> {
        let payload = entry.payload;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let size = frame_bytes(payload.len());
        self.admit(size, entry.makes_room)?;
        if self.broken {
            self.abandon()?;
        }
        let rotates = self.active.end + size as u64 > self.limits.segment_bytes_max;
        if rotates && self.last.sequence >= self.active.first {
            self.rotate()?;
        }
        let sequence = self.last.sequence + 1;
        let chain = self.last.chain.after(sequence, Kind::Event, &entry.digest);
        let before = self.fresh.len();
        let frame = Frame {
            sequence,
            kind: Kind::Event,
            chain,
            personal_from: entry.personal_from,
            seal: entry.salt,
            payload,
        };
        frame.encode(&mut self.fresh);
        self.unwritten += size;
        let previous = std::mem::replace(&mut self.last, Mark { sequence, chain });
        let offset = self.active.end;
        self.active.end += size as u64;
        let late =
            self.limits.durability == Durability::Relaxed && self.unwritten < UNWRITTEN_BYTES_MAX;
        let epoch = self.epoch;
        if !late && let Err(error) = self.flush() {
            // Not acknowledged, so it must not appear later in the place of another.
            self.fresh.truncate(before);
            self.unwritten = self.unwritten.saturating_sub(size);
            self.last = previous;
            self.active.end = offset;
            return Err(error);
        }
        if self.epoch == epoch {
            let end = self.active.end;
            self.active
                .blocks
                .push(sequence, offset, end, Some(&entry.traits));
        }
        self.digests.push((sequence, entry.digest));
        self.stats.events_appended += 1;
        Ok(Position(sequence))
    }

    /// Hands frames not yet written to the kernel. On a full disk it spends the reserve or drops
    /// history; after any other error it moves to a new segment.
    pub(super) fn flush(&mut self) -> Result<(), AppendError> {
        let mut attempt = self.write_out();
        if attempt.as_ref().is_err_and(is_full) && self.make_room() {
            attempt = self.write_out();
        }
        let Err(error) = attempt else {
            return Ok(());
        };
        if is_full(&error) {
            // Best effort: what the failed write left behind would be read as a torn tail.
            let written = self.active.end.saturating_sub(self.unwritten as u64);
            self.uncertain |= self.active.file.truncate(written).is_err();
            return Err(self.failed(error));
        }
        self.stats.write_errors += 1;
        self.broken = true;
        self.abandon()
    }

    fn write_out(&mut self) -> io::Result<()> {
        let from = self.fresh.len().saturating_sub(self.unwritten);
        let bytes = self.fresh.get(from..).unwrap_or_default();
        if !bytes.is_empty() {
            let offset = self.active.end.saturating_sub(self.unwritten as u64);
            self.active.file.write_at(offset, bytes)?;
            self.unwritten = 0;
        }
        Ok(())
    }

    /// Goes on in a new segment because this one has its size.
    pub(super) fn rotate(&mut self) -> Result<(), AppendError> {
        self.flush()?;
        let begun = self.begin_segment(self.last, false)?;
        self.dirty.push(self.active.file.clone());
        self.install(begun, true);
        Ok(())
    }

    /// Goes on in a new segment because this one failed: nothing more is asked of its file, and the
    /// frames it may have lost are written again. Until a sync covers the new segment none of them
    /// counts as synced, whatever a sync of the old file still says.
    pub(super) fn abandon(&mut self) -> Result<(), AppendError> {
        let begun = self.begin_segment(self.synced, true)?;
        let mut unsynced = self.syncing.to_vec();
        unsynced.append(&mut self.fresh);
        self.fresh = unsynced;
        self.syncing = Arc::default();
        self.unwritten = 0;
        self.dirty.clear();
        self.epoch += 1;
        self.broken = false;
        self.stats.segments_abandoned += 1;
        self.install(begun, false);
        Ok(())
    }

    /// Makes a new segment the active one. What is in a file that failed is read off it again.
    fn install(&mut self, begun: Active, in_order: bool) {
        let old = std::mem::replace(&mut self.active, begun);
        let known = in_order && !std::mem::take(&mut self.uncertain);
        self.directory_dirty = true;
        self.ordinal_next += 1;
        self.sealed.push(Sealed {
            ordinal: old.ordinal,
            first: old.first,
            end: u64::MAX,
            bytes: old.end,
            index: match known {
                true => Index::Pending(old.blocks),
                false => Index::Absent,
            },
        });
        let first = self.active.first;
        for sealed in &mut self.sealed {
            sealed.end = sealed.end.min(first);
        }
        self.count_sealed();
    }

    /// Creates the next segment, after a mark, with or without the unsynced frames.
    fn begin_segment(&mut self, after: Mark, rewriting: bool) -> Result<Active, AppendError> {
        let header = SegmentHeader {
            log_id: self.log_id,
            ordinal: self.ordinal_next,
            first_sequence: after.sequence + 1,
            synced_through: self.synced.sequence,
            chain: after.chain,
            begun: match rewriting || self.uncertain {
                true => Begun::AfterFailure,
                false => Begun::InOrder,
            },
        };
        let attempt = |writer: &Self| {
            let frames: [&[u8]; 2] = [&writer.syncing, &writer.fresh];
            let frames = if rewriting { frames.as_slice() } else { &[] };
            create_segment(&*writer.storage, &header, frames)
        };
        let mut begun = attempt(self);
        if begun.as_ref().is_err_and(is_full) && self.make_room() {
            begun = attempt(self);
        }
        begun.map_err(|error| self.failed(error))
    }

    /// Remembers why nothing can be written.
    fn failed(&mut self, error: io::Error) -> AppendError {
        if is_full(&error) {
            self.full = true;
            return AppendError::Full;
        }
        AppendError::Storage(Arc::new(error))
    }
}

/// Builds a segment under another name, so that one that carries a segment's name is always whole
/// as far as the kernel knows.
pub(super) fn create_segment(
    storage: &dyn Storage,
    header: &SegmentHeader,
    frames: &[&[u8]],
) -> io::Result<Active> {
    let unfinished = unfinished_name(header.ordinal);
    let mut bytes = header.encode();
    for part in frames {
        bytes.extend_from_slice(part);
    }
    let build = || {
        let file = storage.create(&unfinished)?;
        file.write_at(0, &bytes)?;
        storage.rename(&unfinished, &segment_name(header.ordinal))?;
        io::Result::Ok(file)
    };
    let file = build().inspect_err(|_| drop(storage.remove(&unfinished)))?;
    Ok(Active {
        ordinal: header.ordinal,
        first: header.first_sequence,
        file,
        end: bytes.len() as u64,
        blocks: Blocks::read(&bytes, HEADER_BYTES),
    })
}

/// Whether an error says that there is no room.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
