//! Events a sink will never take, with the reason, as JSON lines for people.
//!
//! They are copies: the events stay in the audit log. So the file is bounded by giving up the oldest: at its
//! size it becomes `….1`, which replaces the one before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::Record;
use super::workers::FOLDER;
use crate::now::Now;

/// Size at which a file is put aside, in bytes; two are kept.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Longest reason kept, in bytes.
const REASON_BYTES_MAX: usize = 1024;
/// Mode of the file: its owner only.
const MODE: u32 = 0o600;

#[derive(Serialize)]
struct Line<'a> {
    /// Seconds since 1970 at which it was given up.
    rejected_at: i64,
    sink: &'a str,
    reason: &'a str,
    sequence: u64,
    event: &'a RawValue,
}

/// The dead letters of one sink.
#[derive(Debug)]
pub(super) struct DeadLetters {
    sink: Arc<str>,
    path: PathBuf,
    before: PathBuf,
    bytes_max: u64,
}

impl DeadLetters {
    pub(super) fn new(folder: &Path, sink: &Arc<str>) -> Self {
        Self {
            sink: sink.clone(),
            path: folder.join(format!("{sink}.dead.jsonl")),
            before: folder.join(format!("{sink}.dead.jsonl.1")),
            bytes_max: FILE_BYTES_MAX,
        }
    }

    /// Writes events down durably. After an error some may be there; writing them again repeats those.
    pub(super) fn write(&self, rejected: &[(Record, String)], now: Now) -> io::Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for (record, reason) in rejected {
            let line = Line {
                rejected_at: now.unix_secs(),
                sink: &self.sink,
                reason: reason
                    .get(..reason.floor_char_boundary(REASON_BYTES_MAX))
                    .unwrap_or_default(),
                sequence: record.sequence,
                event: serde_json::from_str(&record.json)?,
            };
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
        let mut file = self.open()?;
        if file.metadata()?.len() + lines.len() as u64 > self.bytes_max {
            fs::rename(&self.path, &self.before)?;
            file = self.open()?;
        }
        file.write_all(&lines)?;
        file.sync_data()
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .create(true)
            .append(true)
            .mode(MODE)
            .open(&self.path)
    }
}

/// How many files of dead letters in a data folder hold any.
pub(crate) fn dead_letter_files(data_dir: &Path) -> u64 {
    let entries = fs::read_dir(data_dir.join(FOLDER)).into_iter().flatten();
    let holds_any = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            let is_one = name.to_string_lossy().contains(".dead.jsonl");
            is_one && entry.metadata().is_ok_and(|file| file.len() > 0)
        })
    };
    entries.map(holds_any).filter(|holds| *holds).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use uuid::Uuid;

    fn rejected(sequence: u64, reason: &str) -> (Record, String) {
        let record = Record {
            sequence,
            event_id: Uuid::nil(),
            timestamp: 0,
            json: format!("{{\"n\":{sequence}}}").into(),
        };
        (record, reason.to_owned())
    }

    #[test]
    fn a_dead_letter_has_reason_sink_place_and_event() {
        let dir = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(dir.path(), &"siem".into());
        letters
            .write(&[rejected(7, "bad \"field\"")], Now::default())
            .unwrap();
        let text = fs::read_to_string(dir.path().join("siem.dead.jsonl")).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({"rejected_at": 0, "sink": "siem", "reason": "bad \"field\"",
            "sequence": 7, "event": {"n": 7}});
        assert_eq!(line, expected);
    }

    #[test]
    fn two_files_are_kept_and_the_newest_letters_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let mut letters = DeadLetters::new(dir.path(), &"siem".into());
        letters.bytes_max = 1_000;
        for sequence in 0..100 {
            letters
                .write(&[rejected(sequence, &"é".repeat(600))], Now::default())
                .unwrap();
        }
        let files = fs::read_dir(dir.path()).unwrap().count();
        let newest = fs::read_to_string(dir.path().join("siem.dead.jsonl")).unwrap();
        assert_eq!(files, 2);
        assert!(
            newest.ends_with("\"sequence\":99,\"event\":{\"n\":99}}\n"),
            "{newest}"
        );
    }
}
