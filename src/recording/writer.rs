//! Writes recorded requests, off the request path and within bounds.
//!
//! A bounded queue leads to one thread, which redacts and writes. What does not fit the queue is not recorded,
//! and counted. Files are named by the time they were begun; the oldest go when all together grow too large.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use uuid::Uuid;

use super::Recorded;
use super::redact::redact;
use crate::config::RecordingSettings;
use crate::now::Now;

/// Requests that wait to be written.
const QUEUE_MAX: usize = 256;
/// A file is closed at this part of all of them.
const FILES: u64 = 8;

/// Takes requests to record; its thread ends with it, once everything is written.
#[derive(Debug)]
pub(crate) struct Recorder {
    settings: RecordingSettings,
    sender: SyncSender<Message>,
}

/// What the thread is told.
enum Message {
    /// Write this.
    Request(Box<Recorded>),
    /// Say when everything before is written.
    Flush(SyncSender<()>),
}

impl Recorder {
    /// Makes the folder and starts the thread that writes.
    pub(crate) fn start(settings: &RecordingSettings) -> io::Result<Self> {
        let folder = &settings.directory;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let (sender, receiver) = sync_channel(QUEUE_MAX);
        let files = Files::new(settings);
        std::thread::Builder::new()
            .name("rg-recording".to_owned())
            .spawn(move || files.write_all(&receiver))?;
        Ok(Self {
            settings: settings.clone(),
            sender,
        })
    }

    /// What is recorded.
    pub(crate) fn settings(&self) -> &RecordingSettings {
        &self.settings
    }

    /// Whether a request is of the share that is recorded.
    pub(crate) fn wants(&self, id: Uuid) -> bool {
        // These bits of the id are random.
        let bytes = id.as_bytes();
        let random = bytes.last_chunk().copied().map_or(0, u32::from_be_bytes);
        f64::from(random) < self.settings.sample * f64::from(u32::MAX)
    }

    /// Hands a request over; false when there is no room for it.
    pub(crate) fn record(&self, recorded: Recorded) -> bool {
        let message = Message::Request(Box::new(recorded));
        self.sender.try_send(message).is_ok()
    }

    /// Waits until everything handed over is written, but no longer than this; false when it is not.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        let (done, written) = sync_channel(1);
        let asked = self.sender.try_send(Message::Flush(done));
        asked.is_ok() && written.recv_timeout(within).is_ok()
    }
}

/// The files of one recorder.
struct Files {
    folder: PathBuf,
    redact: Vec<String>,
    bytes_max: u64,
    open: Option<BufWriter<File>>,
    /// When the open file was begun, in microseconds since 1970.
    begun: i64,
    /// Bytes in the open file.
    written: u64,
    failing: bool,
}

impl Files {
    fn new(settings: &RecordingSettings) -> Self {
        Self {
            folder: settings.directory.clone(),
            redact: settings.redact.clone(),
            bytes_max: settings.bytes_max,
            open: None,
            begun: 0,
            written: 0,
            failing: false,
        }
    }

    fn write_all(mut self, receiver: &Receiver<Message>) {
        loop {
            let next = match receiver.try_recv() {
                Ok(message) => Ok(message),
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.report(Self::flush);
                    receiver.recv()
                }
            };
            match next {
                Ok(Message::Request(recorded)) => self.report(|files| files.write(*recorded)),
                Ok(Message::Flush(done)) => {
                    self.report(Self::flush);
                    // Whoever asked may have stopped waiting.
                    let _ = done.try_send(());
                }
                Err(_) => break,
            }
        }
        self.report(Self::flush);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    /// Says the first of a row of failures; a request that cannot be written is lost.
    fn report(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) {
        match work(self) {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, folder = %self.folder.display(), "requests are not recorded");
                }
                self.open = None;
            }
        }
    }

    fn write(&mut self, mut recorded: Recorded) -> io::Result<()> {
        redact(&mut recorded, &self.redact);
        let mut line = serde_json::to_vec(&recorded)?;
        line.push(b'\n');
        let length = line.len() as u64;
        if self.open.is_none() || self.written + length > self.bytes_max / FILES {
            self.open = None;
            make_room(&self.folder, self.bytes_max - self.bytes_max / FILES)?;
            // No two files of a recorder have one name, and names are in the order of time.
            self.begun = Now::read().unix_micros.max(self.begun.saturating_add(1));
            let name = format!("requests-{:017}.jsonl", self.begun);
            let mut options = OpenOptions::new();
            let options = options.create_new(true).append(true).mode(0o600);
            self.open = Some(BufWriter::new(options.open(self.folder.join(name))?));
            self.written = 0;
        }
        self.written += length;
        let Some(file) = &mut self.open else {
            return Ok(());
        };
        file.write_all(&line)
    }
}

/// Removes the oldest recordings until the rest takes at most so many bytes.
fn make_room(folder: &Path, bytes_max: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("requests-") && name.ends_with(".jsonl"));
        if ours {
            files.push((name, entry.metadata()?.len()));
        }
    }
    // Names begin with the time, so their order is that of age.
    files.sort();
    let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    for (name, bytes) in files {
        if total <= bytes_max {
            break;
        }
        fs::remove_file(folder.join(name))?;
        total -= bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(folder: &Path, bytes_max: u64) -> RecordingSettings {
        RecordingSettings {
            directory: folder.join("in/side"),
            sample: 1.0,
            bytes_max,
            body_bytes_max: 1_000,
            headers: Vec::new(),
            redact: vec!["password".into()],
        }
    }

    #[test]
    fn files_rotate_and_the_oldest_go_at_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), 16_000);
        fs::create_dir_all(&settings.directory).unwrap();
        let mut files = Files::new(&settings);
        for round in 0..100 {
            let recorded = Recorded {
                id: format!("{round:03}"),
                body: Some("x".repeat(900)),
                ..Recorded::default()
            };
            files.write(recorded).unwrap();
        }
        drop(files);
        let mut names: Vec<PathBuf> = fs::read_dir(&settings.directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        let texts: Vec<String> = names
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let total: usize = texts.iter().map(String::len).sum();
        assert!(
            total <= 16_000 && names.len() > 2,
            "{total} bytes, {} files",
            names.len()
        );
        let last: Recorded =
            serde_json::from_str(texts.last().unwrap().lines().last().unwrap()).unwrap();
        assert_eq!(last.id, "099");
        assert!(!texts[0].contains("\"000\""), "the oldest are gone");
    }

    #[test]
    fn the_share_that_is_recorded_is_the_one_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path(), 16_000);
        settings.sample = 0.25;
        let recorder = Recorder::start(&settings).unwrap();
        let wanted = (0..8_000)
            .filter(|_| recorder.wants(Uuid::new_v4()))
            .count();
        // Ten standard deviations around 2,000.
        assert!((1_613..=2_387).contains(&wanted), "{wanted}");
        settings.sample = 0.0;
        assert!(recorder.record(Recorded::default()));
        assert!(recorder.flush(Duration::from_secs(60)));
        let kept = fs::read_dir(&settings.directory)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert!(kept.metadata().unwrap().len() > 0);
        let never = Recorder::start(&settings).unwrap();
        assert!(!(0..1_000).any(|_| never.wants(Uuid::new_v4())));
    }
}
