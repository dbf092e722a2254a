//! How far a sink came, kept on disk: a file that is replaced as a whole.
//!
//! A cursor is written after a batch is settled, so a crash offers the last batch again and leaves nothing out.
//! It names the log it belongs to: another log's sequences mean other events.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Mode of the file: its owner only.
const MODE: u32 = 0o600;

#[derive(Serialize, Deserialize)]
struct Stored {
    /// The log's identity, in hex.
    log: String,
    /// Everything up to here is settled.
    sequence: u64,
}

/// The file of one sink.
#[derive(Debug)]
pub(super) struct Cursor {
    folder: PathBuf,
    path: PathBuf,
    unfinished: PathBuf,
    log: String,
}

impl Cursor {
    pub(super) fn new(folder: &Path, sink: &str, log: [u8; 16]) -> Self {
        Self {
            folder: folder.to_owned(),
            path: folder.join(format!("{sink}.cursor")),
            unfinished: folder.join(format!("{sink}.cursor.new")),
            log: crate::hex::text(&log),
        }
    }

    /// The place that was stored; `None` when there is none for this log.
    ///
    /// What is not a cursor counts as none: the sink begins anew, which repeats events and loses none.
    pub(super) fn load(&self) -> io::Result<Option<u64>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stored: Option<Stored> = serde_json::from_slice(&bytes).ok();
        let stored = stored.filter(|stored| stored.log == self.log);
        Ok(stored.map(|stored| stored.sequence))
    }

    /// Makes a place durable.
    pub(super) fn store(&self, sequence: u64) -> io::Result<()> {
        let stored = Stored {
            log: self.log.clone(),
            sequence,
        };
        let mut bytes = serde_json::to_vec(&stored)?;
        bytes.push(b'\n');
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(MODE)
            .open(&self.unfinished)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&self.unfinished, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_for_its_own_log_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let cursor = Cursor::new(dir.path(), "siem", [7; 16]);
        assert_eq!(cursor.load().unwrap(), None);
        for sequence in [3, 9, u64::MAX] {
            cursor.store(sequence).unwrap();
            assert_eq!(cursor.load().unwrap(), Some(sequence));
        }
        assert_eq!(
            Cursor::new(dir.path(), "siem", [8; 16]).load().unwrap(),
            None
        );
        assert_eq!(
            Cursor::new(dir.path(), "other", [7; 16]).load().unwrap(),
            None
        );
    }

    #[test]
    fn what_is_no_cursor_counts_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let cursor = Cursor::new(dir.path(), "siem", [7; 16]);
        for text in ["", "{", "12", "{\"log\":\"07\"}"] {
            fs::write(dir.path().join("siem.cursor"), text).unwrap();
            assert_eq!(cursor.load().unwrap(), None, "{text}");
        }
    }
}
