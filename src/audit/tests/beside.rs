//! A log is verified beside its writer, whatever the writer does meanwhile.

use std::io;
use std::sync::{Arc, Mutex};

use super::*;
use crate::audit::log::Pace;
use crate::audit::log::storage::{Directory, Storage, StorageFile};
use crate::audit::proof::Trust;
use crate::audit::verify::verify_storage;

/// Events appended at once; with so many no signature covers them all.
const MANY: u64 = 41_000;

type Work = Box<dyn FnOnce() + Send>;

/// A folder in which somebody works once the first segment is read.
struct Busy {
    inner: Directory,
    opened: Mutex<u32>,
    work: Mutex<Option<Work>>,
}

impl Storage for Busy {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.inner.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        if name == "000000000001.seg" {
            let mut opened = self.opened.lock().unwrap();
            *opened += 1;
            // Its header is read first, with those of the others.
            if *opened == 2
                && let Some(work) = self.work.lock().unwrap().take()
            {
                work();
            }
        }
        self.inner.open(name)
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

#[test]
fn events_that_are_appended_while_it_is_verified_are_none_of_its_business() {
    let dir = written(100);
    let (log, _) = Log::open(&LogOptions::new(dir.path())).unwrap();
    let writer = log.clone();
    let append = move || {
        for n in 1..=MANY {
            // One that is behind its disk is waited for.
            while writer.append(&event(100 + n)).is_err() {
                std::thread::yield_now();
            }
        }
        while writer.stats().synced_sequence < 100 + MANY {
            std::thread::yield_now();
        }
    };
    let busy = Busy {
        inner: Directory::read_only(dir.path()),
        opened: Mutex::new(0),
        work: Mutex::new(Some(Box::new(append))),
    };
    let seen = verify_storage(&busy, &Trust::default()).unwrap();
    assert!(busy.work.lock().unwrap().is_none(), "it was at work");
    assert_eq!(seen.first_bad, None);
    assert_eq!(seen.last_sequence, 100);
    log.close();
    assert!(verify(dir.path(), &Trust::default()).unwrap().is_sound());
}

#[test]
fn what_a_log_finds_in_itself_is_what_both_of_two_looks_find() {
    let dir = written(1_000);
    let segment = dir.path().join("000000000002.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[HEADER_BYTES + 200] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    assert_eq!(log.soundness(), Soundness::default());
    let (pace, stop) = Pace::of(u64::MAX);
    let bad = log.verify(&Trust::default(), &pace).unwrap();
    assert_eq!(bad.len(), 1, "{bad:?}");
    assert_eq!(bad[0].file, LogFile::Segment(2));
    assert_eq!(log.soundness().bad, bad);
    assert!(log.soundness().verified_micros.is_some());
    drop(stop);
    assert!(log.verify(&Trust::default(), &pace).is_err());
}

/// Verifies a log again and again until its writer is done; it must never be taken for damaged.
fn never_looks_damaged(log: &Log, work: impl FnOnce() + Send + 'static) {
    let (pace, _stop) = Pace::of(u64::MAX);
    let writer = std::thread::spawn(work);
    let mut looks = 0;
    while !writer.is_finished() || looks == 0 {
        let bad = log.verify(&Trust::default(), &pace).unwrap();
        assert_eq!(bad, [], "after {looks} looks");
        looks += 1;
    }
    writer.join().unwrap();
}

#[test]
fn a_log_that_drops_its_oldest_events_does_not_look_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let dropping = LogOptions {
        total_bytes_max: 1 << 20,
        when_full: WhenFull::DropOldest,
        ..options(dir.path())
    };
    let (log, _) = Log::open(&dropping).unwrap();
    let writer = log.clone();
    never_looks_damaged(&log, move || {
        for n in 1..=20_000 {
            while writer.append(&event(n)).is_err() {
                std::thread::yield_now();
            }
        }
    });
    assert!(log.stats().segments_dropped > 10, "{:?}", log.stats());
}

#[test]
fn a_log_that_events_are_erased_from_does_not_look_damaged() {
    let dir = written(2_000);
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    let eraser = log.clone();
    never_looks_damaged(&log, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        for n in 0..40 {
            eraser.append(&event(2_000 + n)).unwrap();
            let text = format!("\"request-{}\"", 50 * n + 1);
            let request = erase::of_text(&text);
            let done = runtime.block_on(erase::erase(&eraser, request)).unwrap();
            assert!(done.erased > 0, "{text}: {done:?}");
        }
    });
}
