//! Reading a log no faster than so many bytes a second, until told to stop.
//!
//! What reads a whole log beside the gateway that writes it must leave the disk and the processor to requests. Little
//! reading is not held up: time is taken once a chunk's worth was read.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::storage::{Storage, StorageFile};

/// Bytes read at once, and between two waits.
const CHUNK_BYTES: usize = 1 << 20;

/// How fast is read.
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// Bytes read that no time was taken for yet.
    owed: AtomicU64,
    /// Nothing is ever sent: that nobody could any more is what ends a wait.
    stop: Mutex<Receiver<Infallible>>,
}

/// Stops the reading when it is dropped.
pub(crate) struct Stop {
    _sender: SyncSender<Infallible>,
}

impl Pace {
    pub(crate) fn of(bytes_per_second: u64) -> (Arc<Self>, Stop) {
        let (sender, stop) = sync_channel(0);
        let pace = Self {
            bytes_per_second: bytes_per_second.max(1),
            owed: AtomicU64::new(0),
            stop: Mutex::new(stop),
        };
        (Arc::new(pace), Stop { _sender: sender })
    }

    /// Waits.
    ///
    /// # Errors
    ///
    /// When told to stop.
    pub(crate) fn wait(&self, time: Duration) -> io::Result<()> {
        let stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        match stop.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => {
                Err(io::Error::other("the reading was stopped"))
            }
        }
    }

    /// Takes the time that bytes cost.
    fn pay(&self, bytes: usize) -> io::Result<()> {
        let owed = self.owed.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if owed < CHUNK_BYTES as u64 {
            return Ok(());
        }
        self.owed.store(0, Ordering::Relaxed);
        self.wait(Duration::from_micros(
            owed.saturating_mul(1_000_000) / self.bytes_per_second,
        ))
    }
}

/// A storage that is read at a pace.
pub(crate) struct Paced {
    inner: Arc<dyn Storage>,
    pace: Arc<Pace>,
}

impl Paced {
    pub(crate) fn new(inner: Arc<dyn Storage>, pace: Arc<Pace>) -> Self {
        Self { inner, pace }
    }
}

impl Storage for Paced {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.inner.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(PacedFile {
            inner: self.inner.open(name)?,
            pace: self.pace.clone(),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }
}

struct PacedFile {
    inner: Arc<dyn StorageFile>,
    pace: Arc<Pace>,
}

impl StorageFile for PacedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if bytes_max < usize::MAX {
            bytes.reserve_exact(bytes_max);
        }
        while bytes.len() < bytes_max {
            let wanted = CHUNK_BYTES.min(bytes_max - bytes.len());
            let chunk = self.inner.read_at(offset + bytes.len() as u64, wanted)?;
            self.pace.pay(chunk.len())?;
            bytes.extend_from_slice(&chunk);
            if chunk.len() < wanted {
                break;
            }
        }
        Ok(bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.inner.truncate(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::super::storage::{Directory, read_whole};
    use super::*;
    use crate::now::Now;

    fn stored(bytes: usize) -> (tempfile::TempDir, Arc<dyn Storage>) {
        let dir = tempfile::tempdir().unwrap();
        let storage = Directory::writable(dir.path()).unwrap();
        let content: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        storage.create("a").unwrap().write_at(0, &content).unwrap();
        (dir, Arc::new(storage))
    }

    #[test]
    fn what_is_read_is_the_same_and_takes_its_time() {
        let (_dir, storage) = stored(3 * CHUNK_BYTES + 7);
        let (pace, _stop) = Pace::of(30 * CHUNK_BYTES as u64);
        let paced = Paced::new(storage.clone(), pace);
        let begun = Now::read();
        let read = read_whole(&paced, "a").unwrap();
        assert!(Now::read().since(begun) >= Duration::from_millis(99));
        assert!(read == read_whole(&*storage, "a").unwrap());
        let part = paced.open("a").unwrap().read_at(5, 10).unwrap();
        assert_eq!(part, (5..15).collect::<Vec<u8>>());
    }

    #[test]
    fn a_reading_that_is_stopped_ends_at_once() {
        let (_dir, storage) = stored(2 * CHUNK_BYTES);
        let (pace, stop) = Pace::of(1);
        drop(stop);
        let paced = Paced::new(storage, pace.clone());
        assert!(read_whole(&paced, "a").is_err());
        assert!(pace.wait(Duration::from_secs(3600)).is_err());
    }
}
