//! What a writer does beside appending: syncs, checkpoints, quota, the reserve, index files.

use std::io;
use std::sync::Arc;

use super::digest::Digest;
use super::dropping::Why;
use super::follow::Span;
use super::format::{CHECKPOINT_BYTES, Checkpoint, HEADER_BYTES, LogId};
use super::segments::{
    CHECKPOINT_FILE, RESERVE_FILE, UNFINISHED, checkpoint, index_name, segment_name,
};
use super::storage::{Storage, StorageFile, read_whole};
use super::summary::{Blocks, encode_index};
use super::writer::{Index, Mark, UNSYNCED_BYTES_MAX, UNSYNCED_EVENTS_MAX, Writer};
use super::{AppendError, LogStats, WhenFull};
use crate::audit::proof::notary::Signed;
use crate::audit::search::SegmentView;

/// The part of the log's size that hashes of dropped events may take: one in so many bytes.
const TREE_SHARE: u64 = 16;

/// History given up for new events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) segments: u64,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
}

/// Why new requests should not be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distress {
    None,
    Full,
    Broken,
    SyncBehind,
}

/// One group commit on its way.
pub(crate) struct SyncJob {
    epoch: u64,
    mark: Mark,
    files: Vec<Arc<dyn StorageFile>>,
    directory: bool,
    checkpoint: Option<Arc<dyn StorageFile>>,
    /// The frames it covers.
    frames: Arc<Vec<u8>>,
}

impl SyncJob {
    /// Makes everything up to the job's mark durable; slow, so run without the lock.
    pub(crate) fn run(&self, storage: &dyn Storage) -> io::Result<()> {
        self.files.iter().try_for_each(|file| file.sync())?;
        if self.directory {
            storage.sync_directory()?;
            // Now and then, so that a power cut finds an old checkpoint rather than none.
            drop(self.checkpoint.as_ref().map(|file| file.sync()));
        }
        Ok(())
    }
}

/// One index file to be written.
pub(crate) struct IndexJob {
    pub(crate) ordinal: u64,
    blocks: Option<Blocks>,
}

impl IndexJob {
    /// Writes the file, reading the segment first where its summaries are not at hand. An index is a
    /// convenience: a failure costs later searches time and is not reported.
    pub(crate) fn run(self, storage: &dyn Storage) {
        let index = index_name(self.ordinal);
        let unfinished = format!("{index}{UNFINISHED}");
        let write = || -> io::Result<()> {
            let name = segment_name(self.ordinal);
            let (blocks, length) = match self.blocks {
                Some(blocks) => {
                    let files = storage.list()?;
                    let segment = files.into_iter().find(|(file, _)| *file == name);
                    (blocks, segment.map_or(0, |(_, length)| length))
                }
                None => {
                    let bytes = read_whole(storage, &name)?;
                    (Blocks::read(&bytes, HEADER_BYTES), bytes.len() as u64)
                }
            };
            let file = storage.create(&unfinished)?;
            file.write_at(0, &encode_index(length, &blocks.all()))?;
            // Synced before it has its name: there is no half index, whatever happens.
            file.sync()?;
            storage.rename(&unfinished, &index)
        };
        if write().is_err() {
            // Half an index would keep space from a disk that is full.
            drop(storage.remove(&unfinished));
        }
    }
}

impl Writer {
    /// Begins to make everything appended so far durable. `None` when there is nothing to do, or
    /// when a sync is running already.
    pub(crate) fn begin_sync(&mut self) -> Option<SyncJob> {
        if self.sync_running || (self.broken && self.abandon().is_err()) {
            return None;
        }
        if self.flush().is_err() || self.broken {
            return None;
        }
        if self.last == self.synced && self.dirty.is_empty() && !self.directory_dirty {
            return None;
        }
        let next = std::mem::take(&mut self.spare);
        self.syncing = Arc::new(std::mem::replace(&mut self.fresh, next));
        self.sync_running = true;
        let mut files = std::mem::take(&mut self.dirty);
        files.push(self.active.file.clone());
        Some(SyncJob {
            epoch: self.epoch,
            mark: self.last,
            files,
            directory: std::mem::take(&mut self.directory_dirty),
            checkpoint: self.checkpoint.clone(),
            frames: self.syncing.clone(),
        })
    }

    /// Takes note of what became of a sync. Answers with the events that are durable by it.
    ///
    /// A sync that failed is never tried again on the same file: the kernel may have forgotten what
    /// it could not write, and would report success.
    pub(crate) fn finish_sync(
        &mut self,
        job: SyncJob,
        result: io::Result<()>,
        unix_micros: i64,
    ) -> io::Result<Vec<(u64, Digest)>> {
        self.sync_running = false;
        if job.epoch != self.epoch {
            return Ok(Vec::new());
        }
        if let Err(error) = result {
            self.stats.sync_errors += 1;
            self.broken = true;
            drop(self.abandon());
            return Err(error);
        }
        self.stats.syncs += 1;
        self.synced = job.mark;
        self.syncing = Arc::default();
        // Invariant: the writer's own share of the frames just went.
        self.spare = Arc::try_unwrap(job.frames).unwrap_or_default();
        self.spare.clear();
        self.write_checkpoint(unix_micros);
        self.remove_superseded();
        self.remove_recorded();
        let synced = self.synced.sequence;
        let count = self
            .digests
            .partition_point(|(sequence, _)| *sequence <= synced);
        let later = self.digests.split_off(count);
        Ok(std::mem::replace(&mut self.digests, later))
    }

    /// Takes note of an attempt to sign.
    pub(crate) fn count_signature(&mut self, signed: &io::Result<Signed>) {
        match signed {
            Ok(signed) => {
                self.stats.signatures += 1;
                self.signed = *signed;
            }
            Err(_) => self.stats.sign_errors += 1,
        }
    }

    /// Takes note that history is not what was signed.
    pub(crate) fn set_history_broken(&mut self) {
        self.stats.history_broken = true;
    }

    /// Whether the log has its size, so that only a larger bound or fewer events make room.
    pub(crate) fn is_at_bound(&self) -> bool {
        self.total_bytes() + self.limits.reserve_bytes > self.limits.total_bytes_max
    }

    /// Takes note of a durable signature.
    pub(crate) fn set_signed(&mut self, signed: Signed) {
        self.signed = signed;
    }

    /// The oldest event kept, and what the hashes of dropped ones may take on disk.
    pub(crate) fn tree_bounds(&self) -> (u64, u64) {
        let first = self
            .sealed
            .first()
            .map_or(self.active.first, |oldest| oldest.first);
        (first, self.limits.total_bytes_max / TREE_SHARE)
    }

    /// The last event synced, and the chain there.
    pub(crate) fn synced_mark(&self) -> Mark {
        self.synced
    }

    /// Whether history that should be dropped waits for a signature.
    pub(crate) fn waits_for_signature(&self) -> bool {
        let oldest = self.sealed.first();
        self.limits.when_full == WhenFull::DropOldest
            && self.total_bytes() + self.limits.segment_bytes_max > self.limits.total_bytes_max
            && oldest.is_some_and(|oldest| oldest.end > self.signed.sequence + 1)
    }

    /// Makes what was recovered durable before anything is acknowledged; a second attempt goes to a new segment.
    pub(crate) fn settle(&mut self, unix_micros: i64) -> io::Result<()> {
        let mut result = Ok(());
        for _ in 0..2 {
            let Some(job) = self.begin_sync() else {
                break;
            };
            let done = job.run(&*self.storage);
            result = self.finish_sync(job, done, unix_micros).map(drop);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Writes how far the log is synced, into the older of two slots. A failure is no loss: the
    /// older checkpoint stands, and recovery believes less.
    fn write_checkpoint(&mut self, unix_micros: i64) {
        let slot = usize::from(self.checkpoint_slot);
        if self.write_slot(slot, unix_micros, false).is_err() {
            self.open_checkpoint();
        }
        self.checkpoint_slot = !self.checkpoint_slot;
    }

    fn write_slot(&self, slot: usize, unix_micros: i64, closed: bool) -> io::Result<()> {
        let checkpoint = Checkpoint {
            log_id: self.log_id,
            sequence: self.synced.sequence,
            unix_micros,
            chain: self.synced.chain,
            closed,
        };
        let file = self.checkpoint.as_ref();
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        file.write_at((slot * CHECKPOINT_BYTES) as u64, &checkpoint.encode())
    }

    /// Says durably, in both slots, that the log is closed; only where everything is synced and signed.
    pub(crate) fn mark_closed(&self, unix_micros: i64) -> io::Result<()> {
        let last = self.last.sequence;
        let complete = last == self.synced.sequence && last == self.signed.sequence;
        if !complete || self.unwritten > 0 || self.broken || !self.condemned.is_empty() {
            return Ok(());
        }
        self.write_slots(unix_micros, true)
    }

    /// Takes that back, durably and before anything is appended: else `verify` would take what a crash leaves for
    /// tampering.
    pub(crate) fn mark_open(&self, unix_micros: i64) -> io::Result<()> {
        match checkpoint(&*self.storage)? {
            Some(checkpoint) if checkpoint.closed => self.write_slots(unix_micros, false),
            _ => Ok(()),
        }
    }

    fn write_slots(&self, unix_micros: i64, closed: bool) -> io::Result<()> {
        let Some(file) = &self.checkpoint else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        self.write_slot(0, unix_micros, closed)?;
        self.write_slot(1, unix_micros, closed)?;
        file.sync()
    }

    /// Opens the checkpoint file, or creates it; without one, checkpoints are not written.
    pub(super) fn open_checkpoint(&mut self) {
        let open = self.storage.open(CHECKPOINT_FILE);
        let file = open.or_else(|_| self.storage.create(CHECKPOINT_FILE));
        self.checkpoint = file.ok();
        self.directory_dirty = true;
    }

    /// Removes segments whose every event lives in a synced successor.
    fn remove_superseded(&mut self) {
        let storage = &self.storage;
        self.sealed.retain(|sealed| {
            let superseded = sealed.first >= sealed.end;
            if superseded {
                drop(storage.remove(&segment_name(sealed.ordinal)));
                drop(storage.remove(&index_name(sealed.ordinal)));
            }
            !superseded
        });
        self.count_sealed();
    }

    /// Keeps house; called every sync interval.
    pub(crate) fn tick(&mut self) {
        if self.broken {
            drop(self.abandon());
        }
        let margin = self.limits.reserve_bytes;
        while self.limits.when_full == WhenFull::DropOldest
            && self.total_bytes() + margin > self.limits.total_bytes_max
            && self.condemn_oldest(Why::Full).is_some()
        {}
        self.remove_recorded();
        if self.full {
            self.restore_reserve();
        }
    }

    /// The next index file to write, outside the lock.
    pub(crate) fn index_job(&mut self) -> Option<IndexJob> {
        let settled = |index: &Index| matches!(index, Index::Settled);
        let sealed = self
            .sealed
            .iter_mut()
            .find(|sealed| !settled(&sealed.index))?;
        let blocks = match std::mem::replace(&mut sealed.index, Index::Settled) {
            Index::Pending(blocks) => Some(blocks),
            Index::Absent | Index::Settled => None,
        };
        Some(IndexJob {
            ordinal: sealed.ordinal,
            blocks,
        })
    }

    /// The index files to write when the log closes: those not written yet, and that of the segment being written, so
    /// that whoever searches the closed log need not read it whole.
    pub(crate) fn last_index_jobs(&mut self) -> Vec<IndexJob> {
        let mut jobs = Vec::new();
        for sealed in &mut self.sealed {
            if let Index::Pending(blocks) = &sealed.index {
                let blocks = Some(blocks.clone());
                let ordinal = sealed.ordinal;
                jobs.push(IndexJob { ordinal, blocks });
                sealed.index = Index::Settled;
            }
        }
        if self.unwritten == 0 && !self.broken {
            let blocks = Some(self.active.blocks.clone());
            let ordinal = self.active.ordinal;
            jobs.push(IndexJob { ordinal, blocks });
        }
        jobs
    }

    /// Refuses a frame of this size when there is no place for it; makes room where the policy allows.
    pub(super) fn admit(&mut self, size: usize, makes_room: bool) -> Result<(), AppendError> {
        let unsynced = self.syncing.len() + self.fresh.len();
        if self.unsynced_events() >= UNSYNCED_EVENTS_MAX || unsynced + size > UNSYNCED_BYTES_MAX {
            return Err(AppendError::SyncBehind);
        }
        if makes_room {
            return Ok(());
        }
        let size = size as u64;
        while self.limits.when_full == WhenFull::DropOldest
            && self.total_bytes() + size > self.limits.total_bytes_max
            && self.condemn_oldest(Why::Full).is_some()
        {}
        if self.total_bytes() + size > self.limits.total_bytes_max {
            return Err(AppendError::Full);
        }
        self.bound_condemned(size)
    }

    /// Frees something on a full disk: history where the policy says so, else the reserve. One sealed segment
    /// is kept: where others fill the disk, giving up all history would not help for long.
    pub(super) fn make_room(&mut self) -> bool {
        let drops = self.limits.when_full == WhenFull::DropOldest && self.sealed.len() > 1;
        if drops && self.drop_at_once() {
            return true;
        }
        let spent = !self.full && self.storage.remove(RESERVE_FILE).is_ok();
        self.full = true;
        spent
    }

    /// Takes the reserve from the disk again; while that fails the disk counts as full.
    pub(super) fn restore_reserve(&mut self) {
        let length = usize::try_from(self.limits.reserve_bytes).unwrap_or(0);
        let restored = self
            .storage
            .create(RESERVE_FILE)
            .and_then(|file| file.write_at(0, &vec![0; length]));
        self.full = restored.is_err();
        if self.full {
            // What was written of it is room for events again.
            drop(self.storage.remove(RESERVE_FILE));
        }
    }

    /// Why new requests should be refused, if they should.
    pub(crate) fn distress(&self) -> Distress {
        if self.broken {
            return Distress::Broken;
        }
        if self.full || (self.limits.when_full == WhenFull::Refuse && self.is_at_bound()) {
            return Distress::Full;
        }
        if self.unsynced_events() > UNSYNCED_EVENTS_MAX / 4 * 3 {
            return Distress::SyncBehind;
        }
        Distress::None
    }

    /// Events a power cut could take now.
    pub(crate) fn unsynced_events(&self) -> u64 {
        self.last.sequence - self.synced.sequence
    }

    /// Bytes of the log on disk, without indexes and the reserve.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.sealed_bytes + self.active.end + self.other_bytes + self.signed.bytes
    }

    pub(super) fn count_sealed(&mut self) {
        self.sealed_bytes = self.sealed.iter().map(|sealed| sealed.bytes).sum();
    }

    /// The last event a power cut cannot take.
    pub(crate) fn synced_sequence(&self) -> u64 {
        self.synced.sequence
    }

    /// The identity of the log.
    pub(crate) fn id(&self) -> LogId {
        self.log_id
    }

    /// Which events stand in which segment, oldest first; segments of no event are left out.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let sealed = self.sealed.iter().map(|sealed| Span {
            ordinal: sealed.ordinal,
            first: sealed.first,
            end: sealed.end,
        });
        let active = Span {
            ordinal: self.active.ordinal,
            first: self.active.first,
            end: u64::MAX,
        };
        let spans = sealed.chain([active]);
        spans.filter(|span| span.first < span.end).collect()
    }

    /// All segments as a search sees them, oldest first.
    pub(crate) fn views(&self) -> Vec<SegmentView> {
        let sealed = self.sealed.iter().map(|sealed| SegmentView {
            ordinal: sealed.ordinal,
            end: sealed.end,
            bytes: sealed.bytes,
            blocks: match &sealed.index {
                Index::Pending(blocks) => Some(blocks.all()),
                Index::Absent | Index::Settled => None,
            },
        });
        let active = SegmentView {
            ordinal: self.active.ordinal,
            end: u64::MAX,
            bytes: self.active.end.saturating_sub(self.unwritten as u64),
            blocks: Some(self.active.blocks.all()),
        };
        sealed.chain([active]).collect()
    }

    /// The figures of this moment.
    pub(crate) fn stats(&self) -> LogStats {
        LogStats {
            bytes: self.total_bytes(),
            segments: self.sealed.len() as u64 + 1,
            first_sequence: self
                .sealed
                .first()
                .map_or(self.active.first, |oldest| oldest.first),
            last_sequence: self.last.sequence,
            synced_sequence: self.synced.sequence,
            signed_sequence: self.signed.sequence,
            ..self.stats.clone()
        }
    }
}
