//! Reading a whole log, oldest event first, beside or without the gateway that writes it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::log::FormatError;
use super::log::format::{HEADER_BYTES, Kind};
use super::log::frames::{Frames, Step};
use super::log::segments::{Segment, segments};
use super::log::storage::{Directory, Storage, read_whole};
use super::search::{RawEvent, raw_event};

/// Why an event could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory or a file of it cannot be read.
    #[error("the audit log cannot be read")]
    Storage(#[from] io::Error),
    /// A place in the log is damaged; reading goes on after it.
    #[error("segment {segment} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// The segment's ordinal, which is its file name.
        segment: u64,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        reason: FormatError,
    },
}

/// All events of the log in a directory, oldest first. It changes nothing, takes no lock, and ends at the last
/// whole event: what is being written while it reads is left out.
///
/// One segment is held in memory at a time. Damage is an item of its own, after which reading goes on.
pub fn read_all(dir: &Path) -> ReadAll {
    ReadAll::over(Box::new(Directory::read_only(dir)))
}

/// The iterator of [`read_all`].
pub struct ReadAll {
    storage: Box<dyn Storage>,
    segments: VecDeque<Segment>,
    failed: Option<io::Error>,
    current: Option<Open>,
    last: u64,
}

struct Open {
    segment: Segment,
    bytes: Vec<u8>,
    at: usize,
}

impl ReadAll {
    pub(crate) fn over(storage: Box<dyn Storage>) -> Self {
        let (segments, failed) = match segments(&*storage) {
            Ok(segments) => (segments.into(), None),
            Err(error) => (VecDeque::new(), Some(error)),
        };
        Self {
            storage,
            segments,
            failed,
            current: None,
            last: 0,
        }
    }

    /// The next step of the open segment: an item, or nothing of interest.
    fn step(&mut self) -> Option<Option<Result<RawEvent, ReadError>>> {
        let open = self.current.as_mut()?;
        match Frames::new(&open.bytes, open.at).next()? {
            Step::Frame { offset, frame } => {
                open.at = offset + frame.size();
                let ours = frame.sequence > self.last && frame.sequence < open.segment.end;
                if !ours {
                    return Some(None);
                }
                self.last = frame.sequence;
                let event = raw_event(&frame).filter(|_| frame.kind == Kind::Event);
                Some(event.map(Ok))
            }
            Step::Damage { offset, bytes, reason } => {
                open.at = offset + bytes;
                let complete = self.last + 1 >= open.segment.end;
                let torn = self.segments.is_empty() && open.at >= open.bytes.len();
                Some((!complete && !torn).then_some(Err(ReadError::Damaged {
                    segment: open.segment.ordinal,
                    offset: offset as u64,
                    reason,
                })))
            }
        }
    }

    /// Opens the next segment; `None` after the last.
    fn advance(&mut self) -> Option<io::Result<()>> {
        let segment = self.segments.pop_front()?;
        self.current = match read_whole(&*self.storage, &segment.name) {
            Ok(bytes) => Some(Open {
                segment,
                bytes,
                at: HEADER_BYTES,
            }),
            // Dropped since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(()))
    }
}

impl Iterator for ReadAll {
    type Item = Result<RawEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error.into()));
        }
        loop {
            match self.step() {
                Some(Some(item)) => return Some(item),
                Some(None) => {}
                None => {
                    self.current = None;
                    if let Err(error) = self.advance()? {
                        return Some(Err(error.into()));
                    }
                }
            }
        }
    }
}
