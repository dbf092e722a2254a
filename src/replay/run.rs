//! Streams recorded requests through all cores.
//!
//! One thread reads lines into batches, a bounded queue hands them to the workers, and each worker keeps a
//! tally of its own. A full queue makes the reader wait, so memory stays bounded whatever the files hold.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use super::request::{Parts, Unplayable};
use super::side::Side;
use super::tally::{Labels, Tally};
use crate::recording::Recorded;

/// Lines handed over at once.
const BATCH_LINES: usize = 128;
/// Batches that wait for a worker.
const BATCHES_MAX: usize = 32;
/// A longer line is no recorded request.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Judges every request of some files by one or two sets of rules.
///
/// # Errors
///
/// A file cannot be read to its end.
pub(crate) fn replay(
    files: &mut dyn Iterator<Item = io::Result<Box<dyn BufRead>>>,
    now: &Side,
    before: Option<&Side>,
    threads: usize,
    unix_micros: i64,
) -> io::Result<Tally> {
    let (sender, receiver) = sync_channel(BATCHES_MAX);
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| scope.spawn(|| work(&receiver, now, before, unix_micros)))
            .collect();
        let read = read_all(files, &sender);
        drop(sender);
        let mut tally = Tally::default();
        for worker in workers {
            let counted = worker.join();
            tally.add(counted.map_err(|_| io::Error::other("a worker broke off"))?);
        }
        tally.unreadable += read?;
        Ok(tally)
    })
}

/// Reads every line; how many were too long.
fn read_all(
    files: &mut dyn Iterator<Item = io::Result<Box<dyn BufRead>>>,
    sender: &SyncSender<Vec<Vec<u8>>>,
) -> io::Result<u64> {
    let mut too_long = 0;
    let mut batch = Vec::with_capacity(BATCH_LINES);
    for file in files {
        let mut file = file?;
        while let Some(line) = next_line(&mut *file, &mut too_long)? {
            batch.push(line);
            if batch.len() == BATCH_LINES {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_LINES));
                sender.send(full).map_err(io::Error::other)?;
            }
        }
    }
    sender.send(batch).map_err(io::Error::other)?;
    Ok(too_long)
}

/// The next line that is neither empty nor too long; `None` at the end.
fn next_line(file: &mut dyn BufRead, too_long: &mut u64) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut line = Vec::new();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let length = Read::take(&mut *file, limit).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        if length > LINE_BYTES_MAX {
            *too_long += 1;
            file.skip_until(b'\n')?;
        } else if !line.trim_ascii().is_empty() {
            return Ok(Some(line));
        }
    }
}

fn work(
    receiver: &Mutex<Receiver<Vec<Vec<u8>>>>,
    now: &Side,
    before: Option<&Side>,
    unix_micros: i64,
) -> Tally {
    let mut tally = Tally::default();
    loop {
        let batch = receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = batch else {
            return tally;
        };
        for line in batch {
            one(&line, now, before, unix_micros, &mut tally);
        }
    }
}

fn one(line: &[u8], now: &Side, before: Option<&Side>, unix_micros: i64, tally: &mut Tally) {
    let Ok(recorded) = serde_json::from_slice::<Recorded>(line) else {
        tally.unreadable += 1;
        return;
    };
    let parts = match Parts::try_from(&recorded) {
        Ok(parts) => parts,
        Err(Unplayable::Malformed) => {
            tally.unreadable += 1;
            return;
        }
        Err(Unplayable::Path) => {
            tally.refused_before_rules += 1;
            return;
        }
    };
    let found = now.judge(&parts, unix_micros);
    let found_before = before.map(|side| side.judge(&parts, unix_micros));
    let of = Labels {
        id: &recorded.id,
        key: recorded.key.as_deref(),
        label: recorded.label.as_deref(),
    };
    tally.note(&of, &found, found_before.as_ref());
}
