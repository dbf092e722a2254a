//! Reading behind the writer: the events after a position, oldest first, without reading a byte twice.
//!
//! Only what is synced is read. What a power cut can still take would come back under the same sequence as
//! another event, and whoever remembered that sequence as read would never see it.
//!
//! A follower keeps nothing in the log: segments may be dropped under it. What it then missed, and what is
//! damaged, is told as [`Lost`], never passed over in silence.

use std::io;
use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use super::format::{Frame, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::frames::{Frames, Step, frame_bytes};
use super::segments::segment_name;
use super::storage::{Storage, StorageFile};
use super::{Log, Position};
use crate::audit::{event, timestamp};

/// Bytes read at once; holds more than one frame of any size.
const CHUNK_BYTES: usize = 4 * PAYLOAD_BYTES_MAX;

/// The events one segment is believed for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) ordinal: u64,
    pub(crate) first: u64,
    /// The first sequence that is a later segment's.
    pub(crate) end: u64,
}

/// What may be read at one moment.
pub(crate) struct Reach {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) segments: Vec<Span>,
    pub(super) synced: u64,
}

/// One event on its way out of the log.
#[derive(Clone, Debug)]
pub struct FollowedEvent {
    /// Its place in the log.
    pub position: Position,
    /// Its identity.
    pub event_id: Uuid,
    /// When it happened, in microseconds since 1970.
    pub timestamp: i64,
    /// As it is stored.
    pub json: Arc<str>,
}

/// Events that can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first of them.
    pub first: u64,
    /// The last of them; others between the two may have been read.
    pub last: u64,
    /// How many.
    pub events: u64,
}

/// What one look at the log brought.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// Oldest first.
    pub events: Vec<FollowedEvent>,
    /// What should have been among them.
    pub lost: Option<Lost>,
    /// Everything up to here was read or is lost.
    pub through: Position,
}

impl Followed {
    fn lose(&mut self, first: u64, last: u64) {
        let earlier = self
            .lost
            .map_or((first, 0), |lost| (lost.first, lost.events));
        self.lost = Some(Lost {
            first: earlier.0,
            last,
            events: earlier.1 + (last + 1).saturating_sub(first),
        });
    }
}

/// How much one look may bring; a first event is brought whatever its size.
struct Room {
    events: usize,
    bytes: usize,
}

/// A place in the log that only moves on.
pub struct Follower {
    log: Log,
    next: u64,
    open: Option<Open>,
}

struct Open {
    ordinal: u64,
    file: Arc<dyn StorageFile>,
    /// Where the next frame to look at begins.
    offset: u64,
}

impl Follower {
    /// Begins after a position.
    pub fn after(log: &Log, position: Position) -> Self {
        Self {
            log: log.clone(),
            next: position.0 + 1,
            open: None,
        }
    }

    /// The next events, as many as there are within both bounds. Reads the disk, so it may block.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read; the place stays where it was, or where it got to.
    pub fn read(&mut self, events_max: usize, bytes_max: usize) -> io::Result<Followed> {
        let reach = self.log.reach();
        let mut found = Followed::default();
        let mut room = Room {
            events: events_max,
            bytes: bytes_max,
        };
        while self.next <= reach.synced && room.events > 0 {
            let Some(span) = reach.segments.iter().find(|span| span.end > self.next) else {
                break;
            };
            if span.first > self.next {
                // Dropped to make room before it was read.
                let last = (span.first - 1).min(reach.synced);
                self.lose_through(last, &mut found);
                continue;
            }
            let last = reach.synced.min(span.end - 1);
            if self.read_chunk(&*reach.storage, span, last, &mut room, &mut found)? {
                break;
            }
        }
        found.through = Position(self.next - 1);
        Ok(found)
    }

    fn lose_through(&mut self, last: u64, found: &mut Followed) {
        if self.next <= last {
            found.lose(self.next, last);
            self.next = last + 1;
        }
    }

    /// Reads on in one segment. Answers whether there is no room for the next event.
    fn read_chunk(
        &mut self,
        storage: &dyn Storage,
        span: &Span,
        last: u64,
        room: &mut Room,
        found: &mut Followed,
    ) -> io::Result<bool> {
        let Some((file, offset)) = self.open(storage, span.ordinal)? else {
            self.lose_through(last, found);
            return Ok(false);
        };
        let chunk = file.read_at(offset, CHUNK_BYTES)?;
        let is_tail = chunk.len() < CHUNK_BYTES;
        let mut read_to = chunk.len();
        for step in Frames::new(&chunk, 0) {
            match step {
                Step::Frame { offset, frame } if frame.sequence > last => {
                    self.lose_through(last, found);
                    read_to = offset;
                    break;
                }
                Step::Frame { offset, frame } => {
                    if !self.take(&frame, room, found) {
                        self.move_to(offset);
                        return Ok(true);
                    }
                }
                Step::Damage { offset, bytes, .. } if offset + bytes == chunk.len() => {
                    // Perhaps only cut by the end of the chunk, or not yet written to its end.
                    let cut = offset > 0 || is_tail;
                    let passed = chunk.len().saturating_sub(frame_bytes(PAYLOAD_BYTES_MAX));
                    read_to = if cut { offset } else { passed };
                }
                Step::Damage { .. } => {}
            }
        }
        if is_tail {
            self.lose_through(last, found);
        }
        self.move_to(read_to);
        Ok(false)
    }

    /// Takes one frame, unless there is no room for it.
    fn take(&mut self, frame: &Frame<'_>, room: &mut Room, found: &mut Followed) -> bool {
        if frame.sequence < self.next {
            return true;
        }
        let size = frame.payload.len();
        if room.events == 0 || (size > room.bytes && !found.events.is_empty()) {
            return false;
        }
        self.lose_through(frame.sequence - 1, found);
        self.next = frame.sequence + 1;
        if !frame.kind.is_event() {
            return true;
        }
        room.events -= 1;
        room.bytes = room.bytes.saturating_sub(size);
        match followed(frame) {
            Some(event) => found.events.push(event),
            None => found.lose(frame.sequence, frame.sequence),
        }
        true
    }

    /// The segment's file and the place in it; `None` when it was dropped meanwhile.
    fn open(
        &mut self,
        storage: &dyn Storage,
        ordinal: u64,
    ) -> io::Result<Option<(Arc<dyn StorageFile>, u64)>> {
        if let Some(open) = self.open.as_ref().filter(|open| open.ordinal == ordinal) {
            return Ok(Some((open.file.clone(), open.offset)));
        }
        let file = match storage.open(&segment_name(ordinal)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let offset = HEADER_BYTES as u64;
        self.open = Some(Open {
            ordinal,
            file: file.clone(),
            offset,
        });
        Ok(Some((file, offset)))
    }

    fn move_to(&mut self, bytes: usize) {
        if let Some(open) = &mut self.open {
            open.offset += bytes as u64;
        }
    }
}

/// The event of a frame; `None` when its payload is none.
fn followed(frame: &Frame<'_>) -> Option<FollowedEvent> {
    #[derive(Deserialize)]
    struct Identity {
        #[serde(with = "event::uuid_text")]
        event_id: Uuid,
        #[serde(with = "timestamp::rfc3339")]
        timestamp: i64,
    }
    let identity: Identity = serde_json::from_slice(frame.payload).ok()?;
    Some(FollowedEvent {
        position: Position(frame.sequence),
        event_id: identity.event_id,
        timestamp: identity.timestamp,
        json: std::str::from_utf8(frame.payload).ok()?.into(),
    })
}
