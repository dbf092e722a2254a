//! Reading a whole log, oldest event first, beside or without the gateway that writes it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::log::FormatError;
use super::log::encrypted::read_only;
use super::log::format::HEADER_BYTES;
use super::log::frames::{Frames, Step};
use super::log::segments::{Segment, checkpoint, segments};
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
    /// Events are gone that once were there.
    #[error("events {first} to {last} are missing")]
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
}

/// All events of the log in a directory, oldest first. It changes nothing, takes no lock, and ends at the last
/// whole event: what is being written while it reads is left out.
///
/// One segment is held in memory at a time. Damage is an item of its own, after which reading goes on.
pub fn read_all(dir: &Path) -> ReadAll {
    match read_only(dir) {
        Ok(storage) => ReadAll::over(Box::new(storage)),
        Err(error) => ReadAll {
            failed: Some(error),
            segments: VecDeque::new(),
            ..ReadAll::over(Box::new(Directory::read_only(dir)))
        },
    }
}

/// The iterator of [`read_all`].
pub struct ReadAll {
    storage: Box<dyn Storage>,
    segments: VecDeque<Segment>,
    failed: Option<io::Error>,
    current: Option<Open>,
    /// The last event read, and damage after it that may have cost others.
    last: u64,
    damage: Option<ReadError>,
    /// How far the log once was synced; `None` once that was compared.
    synced: Option<u64>,
    /// Whether a segment was dropped by the log while it was read, so that a jump is none of its damage.
    dropped: bool,
}

struct Open {
    segment: Segment,
    bytes: Vec<u8>,
    at: usize,
}

impl ReadAll {
    pub(crate) fn over(storage: Box<dyn Storage>) -> Self {
        // Before the segments: they may only reach further.
        let synced = checkpoint(&*storage).ok().flatten();
        let (segments, failed) = match segments(&*storage) {
            Ok(mut segments) => {
                segments.retain(|segment| !segment.is_superseded());
                (VecDeque::from(segments), None)
            }
            Err(error) => (VecDeque::new(), Some(error)),
        };
        // What was before the first segment was dropped, not damaged.
        let first = segments.front().and_then(|segment| segment.header.as_ref());
        Self {
            last: first.map_or(0, |header| header.first_sequence.saturating_sub(1)),
            storage,
            segments,
            failed,
            current: None,
            damage: None,
            synced: synced.map(|checkpoint| checkpoint.sequence),
            dropped: false,
        }
    }

    /// The next step of the open segment: an item, or nothing of interest.
    fn step(&mut self) -> Option<Option<Result<RawEvent, ReadError>>> {
        let open = self.current.as_mut()?;
        match Frames::new(&open.bytes, open.at).next()? {
            Step::Frame { offset, frame } => {
                let ours = frame.sequence > self.last && frame.sequence < open.segment.end;
                if !ours {
                    open.at = offset + frame.size();
                    return Some(None);
                }
                let adjoins = frame.sequence == self.last + 1;
                if let Some(damage) = self.damage.take().filter(|_| !adjoins) {
                    // The frame is walked to again, with the damage told.
                    self.last = frame.sequence - 1;
                    return Some(Some(Err(damage)));
                }
                if !adjoins && !std::mem::take(&mut self.dropped) {
                    let first = self.last + 1;
                    self.last = frame.sequence - 1;
                    let last = self.last;
                    return Some(Some(Err(ReadError::Missing { first, last })));
                }
                open.at = offset + frame.size();
                self.last = frame.sequence;
                let event = raw_event(&frame).filter(|_| frame.kind.is_event());
                Some(event.map(Ok))
            }
            Step::Damage {
                offset,
                bytes,
                reason,
            } => {
                open.at = offset + bytes;
                // Damage that costs no event is the remains of a crash.
                self.damage.get_or_insert(ReadError::Damaged {
                    segment: open.segment.ordinal,
                    offset: offset as u64,
                    reason,
                });
                Some(None)
            }
        }
    }

    /// What is missing at the end; told once.
    fn end(&mut self) -> Option<Result<RawEvent, ReadError>> {
        let synced = self.synced.take().filter(|synced| *synced > self.last)?;
        let first = self.last + 1;
        let missing = ReadError::Missing {
            first,
            last: synced,
        };
        Some(Err(self.damage.take().unwrap_or(missing)))
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
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.dropped = true;
                None
            }
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
                    match self.advance() {
                        Some(Ok(())) => {}
                        Some(Err(error)) => return Some(Err(error.into())),
                        None => return self.end(),
                    }
                }
            }
        }
    }
}
