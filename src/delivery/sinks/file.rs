//! JSON lines in files of this machine, put aside by size.
//!
//! A batch is synced before it counts as accepted. What a crash or a full disk left of a line is cut off before the
//! next write, so that every line is a whole event.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use super::{json_lines, or_again};
use crate::config::FileSink;
use crate::delivery::{BoxFuture, Delivery, Record, Sink};

/// Mode of the files: their owner only.
const MODE: u32 = 0o600;
/// Bytes read at a time when the end of the last whole line is looked for.
const LOOK_BYTES: usize = 64 << 10;

pub(super) struct Files {
    writer: Arc<Mutex<Writer>>,
    /// A write that nobody waited for; the next begins after it.
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Files {
    pub(super) fn new(settings: &FileSink) -> Self {
        let writer = Writer {
            settings: settings.clone(),
            open: None,
        };
        Self {
            writer: Arc::new(Mutex::new(writer)),
            writing: None,
        }
    }
}

impl Sink for Files {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            if let Some(writing) = &mut self.writing {
                // Its batch was given up and is offered again.
                drop(writing.await);
            }
            let (writer, lines) = (self.writer.clone(), json_lines(batch));
            let work = move || {
                let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
                writer.append(&lines)
            };
            let writing = self.writing.insert(tokio::task::spawn_blocking(work));
            let done = writing.await.map_err(io::Error::other).flatten();
            self.writing = None;
            or_again(done, "file")
        })
    }
}

struct Writer {
    settings: FileSink,
    open: Option<Open>,
}

struct Open {
    file: File,
    /// Where the last whole batch ends.
    end: u64,
}

impl Writer {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        if open.end > 0 && open.end + lines.len() as u64 > self.settings.bytes_max {
            self.put_aside()?;
            open = self.open()?;
        }
        // Kept only when all went well: after an error the file is opened and mended anew.
        open.file.write_all(lines)?;
        open.file.sync_data()?;
        open.end += lines.len() as u64;
        self.open = Some(open);
        Ok(())
    }

    fn open(&self) -> io::Result<Open> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .mode(MODE)
            .open(&self.settings.path)?;
        let length = file.metadata()?.len();
        let end = end_of_whole_lines(&file, length)?;
        if end < length {
            file.set_len(end)?;
        }
        Ok(Open { file, end })
    }

    /// The file becomes `….1`, which became `….2` before, and so on; the oldest is replaced.
    fn put_aside(&self) -> io::Result<()> {
        for older in (1..self.settings.files_max).rev() {
            match fs::rename(self.numbered(older - 1), self.numbered(older)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        if self.settings.files_max == 1 {
            fs::remove_file(&self.settings.path)?;
        }
        Ok(())
    }

    fn numbered(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.settings.path.clone();
        }
        let mut name = self.settings.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// The end of the last line that has one.
fn end_of_whole_lines(file: &File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut bytes = vec![0; LOOK_BYTES];
    while end > 0 {
        let from = end.saturating_sub(LOOK_BYTES as u64);
        let part = usize::try_from(end - from).unwrap_or(LOOK_BYTES);
        let part = bytes.get_mut(..part).unwrap_or_default();
        file.read_exact_at(part, from)?;
        if let Some(newline) = memchr::memrchr(b'\n', part) {
            return Ok(from + newline as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use uuid::Uuid;

    fn batch(numbers: impl Iterator<Item = u64>) -> Vec<Record> {
        let record = |sequence| Record {
            sequence,
            event_id: Uuid::nil(),
            timestamp: 0,
            json: format!("{{\"n\":{sequence:04}}}").into(),
        };
        numbers.map(record).collect()
    }

    fn sink(dir: &Path, bytes_max: u64, files_max: usize) -> Files {
        Files::new(&FileSink {
            path: dir.join("events.jsonl"),
            bytes_max,
            files_max,
        })
    }

    fn lines(dir: &Path, name: &str) -> Vec<String> {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn what_a_crash_left_of_a_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let torn = format!("{{\"n\":0001}}\n{}", "x".repeat(LOOK_BYTES * 2 + 7));
        for (before, expected) in [(torn.as_str(), 3), ("half a line", 2), ("", 2)] {
            fs::write(dir.path().join("events.jsonl"), before).unwrap();
            let mut sink = sink(dir.path(), 1 << 30, 3);
            assert_eq!(sink.deliver(&batch(2..4)).await, Delivery::Accepted);
            let lines = lines(dir.path(), "events.jsonl");
            assert_eq!(lines.len(), expected, "{before:.20}");
            assert!(lines.iter().all(|line| line.starts_with("{\"n\":")));
        }
    }

    #[tokio::test]
    async fn files_are_put_aside_by_size_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        // Each batch is 33 bytes: two of them fit.
        let mut sink = sink(dir.path(), 70, 3);
        for n in 0..8 {
            let batch = batch(n * 3..n * 3 + 3);
            assert_eq!(sink.deliver(&batch).await, Delivery::Accepted);
        }
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]);
        assert_eq!(lines(dir.path(), "events.jsonl.2")[0], "{\"n\":0006}");
        assert_eq!(
            lines(dir.path(), "events.jsonl").last().unwrap(),
            "{\"n\":0023}"
        );
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_asked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("later");
        let mut sink = sink(&folder, 1 << 20, 3);
        let answer = sink.deliver(&batch(0..1)).await;
        assert!(matches!(answer, Delivery::Retry { .. }), "{answer:?}");
        fs::create_dir(&folder).unwrap();
        assert_eq!(sink.deliver(&batch(0..1)).await, Delivery::Accepted);
    }
}
