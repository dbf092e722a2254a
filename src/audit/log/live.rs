//! The log as the gateway holds it: a lock around the writer, and one thread that syncs.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::alarm::Alarm;
use super::dropping::{LOG_DROPPED, RETENTION_DROPPED};
use super::encrypted::Encrypted;
use super::follow::Reach;
use super::format::{LogId, PAYLOAD_BYTES_MAX};
use super::health::Standing;
use super::keeper::Keeper;
use super::options::{Durability, LogOptions};
use super::recover::recover;
use super::report::{AppendError, LogStats, OpenError, Position, Recovery};
use super::segments::LOCK_FILE;
use super::soundness::Soundness;
use super::storage::{Directory, Storage};
use super::summary::Traits;
use super::writer::{Entry, UNSYNCED_EVENTS_MAX, Writer};
use crate::audit::encode::encode;
use crate::audit::event::AuditEvent;
use crate::audit::event_id::EventIds;
use crate::audit::proof::PublicKey;
use crate::audit::proof::key::load_or_create;
use crate::audit::proof::notary::Notary;
use crate::audit::proof::note::Signer;
use crate::audit::search::{Page, Search, SearchError, Tail, search_segments, tail_segments};
use crate::now::Now;

/// The shortest sync interval.
const SYNC_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// Most that a thread keeps of its serialisation buffer between events, in bytes.
const BUFFER_BYTES_KEPT: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SALTS: RefCell<Option<blake3::OutputReader>> = const { RefCell::new(None) };
}

/// A durable log of audit events; clones share it. The last one dropped closes it.
#[derive(Clone)]
pub struct Log {
    pub(super) owner: Arc<Owner>,
}

/// Ends the thread when the last clone goes.
pub(super) struct Owner {
    pub(super) shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    durability: Durability,
    pub(super) interval: Duration,
    state: Mutex<State>,
    /// Signalled when the thread should not wait for its interval.
    pub(super) work: Condvar,
    /// The last sequences synced and signed, for those who wait on them.
    pub(super) synced: watch::Sender<Synced>,
    /// A copy of the writer's [`Distress`], read without the lock.
    pub(super) distress: AtomicU8,
    /// What people were told of it.
    pub(super) alarm: Mutex<Alarm<Standing>>,
    pub(super) ids: EventIds,
    pub(super) public_key: PublicKey,
    /// Held while events are erased.
    pub(super) erasing: Mutex<()>,
    /// What is known of damage.
    pub(super) soundness: Mutex<Soundness>,
}

pub(super) struct State {
    pub(super) writer: Writer,
    pub(super) events_refused: u64,
    /// Someone waits for a sync, or the unsynced events near their bound.
    pub(super) hurried: bool,
    /// Someone waits for a signature.
    pub(super) signature_wanted: bool,
    pub(super) closing: bool,
    pub(super) closed: bool,
    /// Locked while the log is open.
    directory: Option<File>,
}

#[derive(Clone, Copy)]
pub(super) struct Synced {
    pub(super) sequence: u64,
    pub(super) signed: u64,
    pub(super) closed: bool,
}

impl Log {
    /// Opens or creates a log, mends what a crash left, and begins to write.
    ///
    /// # Errors
    ///
    /// When another process writes to it, or the disk does not let it be read, mended and synced.
    pub fn open(options: &LogOptions) -> Result<(Self, Recovery), OpenError> {
        let failed = |source: io::Error| OpenError::Storage {
            path: options.dir.clone(),
            source,
        };
        let directory = Directory::writable(&options.dir).map_err(failed)?;
        let storage: Arc<dyn Storage> =
            Arc::new(Encrypted::new(directory, options.encryption.clone()));
        let lock = lock(&options.dir)?;
        let limits = options.limits();
        let mut log_id = [0; 16];
        getrandom::fill(&mut log_id)
            .map_err(|error| failed(io::Error::other(error.to_string())))?;
        let durability = limits.durability;
        let (start, mut recovery) =
            recover(&*storage, log_id, limits.segment_bytes_max).map_err(failed)?;
        let notary = notary(&storage, &start.log_id, options)?;
        let mut writer = Writer::start(storage.clone(), limits, start).map_err(failed)?;
        writer.set_signed(notary.signed());
        let now = Now::read().unix_micros;
        writer.mark_open(now).map_err(failed)?;
        writer.settle(now).map_err(failed)?;
        let mut keeper = Keeper::new(notary);
        keeper.sign(&mut writer);
        recovery.signature_broken = keeper.notary.is_broken();
        let synced = Synced {
            sequence: writer.stats().synced_sequence,
            signed: writer.stats().signed_sequence,
            closed: false,
        };
        let shared = Arc::new(Shared {
            storage,
            durability,
            interval: options.sync_interval.max(SYNC_INTERVAL_MIN),
            erasing: Mutex::new(()),
            soundness: Mutex::new(Soundness {
                verified_micros: None,
                bad: recovery.bad(),
            }),
            public_key: keeper.notary.public_key().clone(),
            distress: AtomicU8::new(writer.distress() as u8),
            alarm: Mutex::new(Alarm::new()),
            state: Mutex::new(State {
                writer,
                events_refused: 0,
                hurried: false,
                signature_wanted: false,
                closing: false,
                closed: false,
                directory: Some(lock),
            }),
            work: Condvar::new(),
            synced: watch::Sender::new(synced),
            ids: EventIds::new(Now::read().mono_nanos ^ u64::from(std::process::id()) << 32),
        });
        let background = shared.clone();
        let thread = std::thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || keeper.keep(&background))
            .map_err(failed)?;
        let owner = Owner {
            shared,
            thread: Mutex::new(Some(thread)),
        };
        let log = Self {
            owner: Arc::new(owner),
        };
        Ok((log, recovery))
    }

    /// Appends one event; with `written` and `synced` the kernel has it on return. Does not wait for the disk:
    /// with `synced`, await [`synced`](Self::synced) on the result.
    ///
    /// An event that does not fit a frame (256 KiB) is recorded [clipped](AuditEvent::clipped).
    ///
    /// # Errors
    ///
    /// When the event was not recorded; nothing of it will appear later.
    pub fn append(&self, event: &AuditEvent<'_>) -> Result<Position, AppendError> {
        self.owner.shared.append(event)
    }

    /// Completes when a power cut can no longer take the event at this position.
    ///
    /// # Errors
    ///
    /// When the log closes before that.
    pub async fn synced(&self, position: Position) -> Result<(), AppendError> {
        let shared = &self.owner.shared;
        let mut synced = shared.synced.subscribe();
        if synced.borrow().sequence < position.0 {
            shared.hurry();
        }
        let reached = |synced: &Synced| synced.sequence >= position.0 || synced.closed;
        match synced.wait_for(reached).await {
            Ok(synced) if synced.sequence >= position.0 => Ok(()),
            _ => Err(AppendError::Closed),
        }
    }

    /// Appends one event and completes when it is as durable as the log is configured to be.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append) and [`synced`](Self::synced).
    pub async fn record(&self, event: &AuditEvent<'_>) -> Result<Position, AppendError> {
        let position = self.append(event)?;
        if self.owner.shared.durability == Durability::Synced {
            self.synced(position).await?;
        }
        Ok(position)
    }

    /// Whether a request may be accepted that will have to be recorded. Costs one atomic read.
    ///
    /// # Errors
    ///
    /// When the log is full, failing or too far behind the disk. There is then still room for the events of
    /// requests accepted earlier.
    pub fn writable(&self) -> Result<(), AppendError> {
        match self.standing() {
            Standing::Writable => Ok(()),
            Standing::Full => Err(AppendError::Full),
            Standing::Behind => Err(AppendError::SyncBehind),
            Standing::Closed => Err(AppendError::Closed),
            Standing::Failing => Err(AppendError::Storage(Arc::new(io::Error::other(
                "an earlier write or sync failed",
            )))),
        }
    }

    /// When an append counts as done.
    pub fn durability(&self) -> Durability {
        self.owner.shared.durability
    }

    /// One page of events, newest first.
    ///
    /// # Errors
    ///
    /// When the cursor is not one of ours or the disk cannot be read.
    pub fn search(&self, search: &Search) -> Result<Page, SearchError> {
        let shared = &self.owner.shared;
        let segments = {
            let mut state = shared.lock();
            // With `relaxed` the newest frames may still be in memory; a failure shows at the next append.
            drop(state.writer.flush());
            state.writer.views()
        };
        search_segments(&*shared.storage, &segments, search)
    }

    /// The events after a position, oldest first, at most `events_max` of them.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn tail(&self, after: Position, events_max: usize) -> Result<Tail, SearchError> {
        let shared = &self.owner.shared;
        let segments = {
            let mut state = shared.lock();
            drop(state.writer.flush());
            state.writer.views()
        };
        tail_segments(&*shared.storage, &segments, after, events_max)
    }

    /// What a reader that follows the log may read now.
    pub(super) fn reach(&self) -> Reach {
        let state = self.owner.shared.lock();
        Reach {
            storage: self.owner.shared.storage.clone(),
            segments: state.writer.spans(),
            synced: state.writer.synced_sequence(),
        }
    }

    /// The identity of this log, the same in all of its files and over all of its life.
    pub fn id(&self) -> [u8; 16] {
        self.owner.shared.lock().writer.id()
    }

    /// Completes when the log is synced beyond a position.
    ///
    /// # Errors
    ///
    /// When the log closes before that.
    pub async fn grown(&self, beyond: Position) -> Result<(), AppendError> {
        let mut synced = self.owner.shared.synced.subscribe();
        let grown = |synced: &Synced| synced.sequence > beyond.0 || synced.closed;
        match synced.wait_for(grown).await {
            Ok(synced) if synced.sequence > beyond.0 => Ok(()),
            _ => Err(AppendError::Closed),
        }
    }

    /// The figures of this moment.
    pub fn stats(&self) -> LogStats {
        let state = self.owner.shared.lock();
        LogStats {
            events_refused: state.events_refused,
            ..state.writer.stats()
        }
    }

    /// Syncs what there is and ends; later appends fail. Waits for the disk.
    pub fn close(&self) {
        self.owner.close();
    }
}

/// The value of `Shared::distress` once closed; no [`Distress`] has it.
pub(super) const CLOSED: u8 = u8::MAX;

impl Owner {
    fn close(&self) {
        self.shared.lock().closing = true;
        self.shared.work.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic there was reported by the runtime; the log is closed either way.
            drop(thread.join());
        }
        self.shared.lock().directory = None;
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hurry(&self) {
        self.lock().hurried = true;
        self.work.notify_one();
    }

    pub(super) fn append(&self, event: &AuditEvent<'_>) -> Result<Position, AppendError> {
        let mut buffer = BUFFER.take();
        let appended = serialise(event, &mut buffer).and_then(|(personal_from, traits)| {
            let salt = salt()?;
            let entry = Entry::new(&buffer, personal_from, salt, traits);
            self.append_entry(&entry.making_room(tells_of_dropped(event)))
        });
        if buffer.capacity() <= BUFFER_BYTES_KEPT {
            BUFFER.set(buffer);
        }
        appended
    }

    fn append_entry(&self, entry: &Entry<'_>) -> Result<Position, AppendError> {
        let mut state = self.lock();
        let appended = if state.closed {
            Err(AppendError::Closed)
        } else {
            state.writer.append(entry)
        };
        state.events_refused += u64::from(appended.is_err());
        let behind = state.writer.unsynced_events() > UNSYNCED_EVENTS_MAX / 2
            || matches!(appended, Err(AppendError::Full | AppendError::SyncBehind));
        if !state.hurried && (behind || self.durability == Durability::Synced) {
            state.hurried = true;
            self.work.notify_one();
        }
        if !state.closed {
            let distress = state.writer.distress() as u8;
            if self.distress.load(Ordering::Relaxed) != distress {
                self.distress.store(distress, Ordering::Relaxed);
                let standing = self.standing();
                drop(state);
                self.tell(standing);
            }
        }
        appended
    }
}

/// Whether an event is the record of what the log gives up.
fn tells_of_dropped(event: &AuditEvent<'_>) -> bool {
    event.method == "SYSTEM" && [LOG_DROPPED, RETENTION_DROPPED].contains(&&*event.endpoint)
}

/// Writes an event as one line of JSON, clipped if it would not fit. Answers where its personal part begins, and
/// what a summary is to know of what was written.
fn serialise(event: &AuditEvent<'_>, buffer: &mut Vec<u8>) -> Result<(usize, Traits), AppendError> {
    let mut write = |event: &AuditEvent<'_>| {
        buffer.clear();
        let personal_from = encode(event, buffer).map_err(|_| AppendError::Unserialisable)?;
        let fits = buffer.len() <= PAYLOAD_BYTES_MAX;
        Ok(fits.then(|| (personal_from, Traits::of(event))))
    };
    if let Some(written) = write(event)? {
        return Ok(written);
    }
    write(&event.clipped())?.ok_or(AppendError::TooLarge)
}

/// Random bytes nobody can know again once the event's copy is gone: of a generator each thread seeds for itself.
fn salt() -> Result<[u8; 32], AppendError> {
    SALTS.with_borrow_mut(|salts| {
        let salts = match salts {
            Some(salts) => salts,
            None => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed)
                    .map_err(|error| AppendError::Storage(Arc::new(io::Error::other(error))))?;
                salts.insert(blake3::Hasher::new_keyed(&seed).finalize_xof())
            }
        };
        let mut salt = [0; 32];
        salts.fill(&mut salt);
        Ok(salt)
    })
}

/// What signs the log, with the key of its file.
fn notary(
    storage: &Arc<dyn Storage>,
    log_id: &LogId,
    options: &LogOptions,
) -> Result<Notary, OpenError> {
    let path = &options.signing_key_file;
    let pair = load_or_create(path).map_err(|source| OpenError::SigningKey {
        path: path.clone(),
        source,
    })?;
    let signer = Signer::new(pair, log_id);
    Notary::open(storage.clone(), *log_id, signer).map_err(|source| OpenError::Storage {
        path: options.dir.clone(),
        source,
    })
}

/// Locks the directory for this process.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Storage {
        path: dir.to_owned(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join(LOCK_FILE))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}
