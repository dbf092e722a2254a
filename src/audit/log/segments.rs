//! The segments of a directory, in order, and where each one ends.

use std::io;

use super::format::{
    Begun, CHECKPOINT_BYTES, Checkpoint, FormatError, HEADER_BYTES, SegmentHeader,
};
use super::storage::{Storage, read_whole};
use crate::audit::proof::notes::{KEYS_FILE, NOTES_FILE};
use crate::audit::proof::tree::TREE;

/// The file that says how far the log is synced.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint";
/// Space kept back for the last events before a full disk.
pub(crate) const RESERVE_FILE: &str = "reserve";
/// Held by the one process that writes.
pub(crate) const LOCK_FILE: &str = "lock";
/// A segment that is being put together; worthless after a crash.
pub(crate) const UNFINISHED: &str = ".new";
/// What a recovery did not believe.
pub(crate) const TORN: &str = ".torn";
const SEGMENT: &str = ".seg";
const INDEX: &str = ".idx";

pub(crate) fn segment_name(ordinal: u64) -> String {
    format!("{ordinal:012}{SEGMENT}")
}

pub(crate) fn unfinished_name(ordinal: u64) -> String {
    format!("{ordinal:012}{UNFINISHED}")
}

pub(crate) fn index_name(ordinal: u64) -> String {
    format!("{ordinal:012}{INDEX}")
}

/// The ordinal a segment's file name carries.
fn segment_ordinal(name: &str) -> Option<u64> {
    name.strip_suffix(SEGMENT)?.parse().ok()
}

/// One segment file, before its frames are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) ordinal: u64,
    /// Size of the file.
    pub(crate) bytes: u64,
    /// Absent when it cannot be believed.
    pub(crate) header: Option<SegmentHeader>,
    /// The first sequence that is not this segment's, because a later one begins there.
    pub(crate) end: u64,
    /// What that later one says of how this one ends.
    pub(crate) ended: Begun,
}

impl Segment {
    /// Whether every event of it lives in a successor.
    pub(crate) fn is_superseded(&self) -> bool {
        let header = self.header.as_ref();
        header.is_some_and(|header| header.first_sequence >= self.end)
    }
}

/// All segments by ordinal.
///
/// A segment that was abandoned after a failed write or sync is superseded, from the first sequence
/// of its successor on: hence `end`, the least first sequence of all later segments.
pub(crate) fn segments(storage: &dyn Storage) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for (name, bytes) in storage.list()? {
        let Some(ordinal) = segment_ordinal(&name) else {
            continue;
        };
        let header = match storage.open(&name) {
            Ok(file) => header(&name, &file.read_at(0, HEADER_BYTES)?)?,
            // Dropped by the writer since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        found.push(Segment {
            name,
            ordinal,
            bytes,
            header: header.filter(|header| header.ordinal == ordinal),
            end: u64::MAX,
            ended: Begun::default(),
        });
    }
    found.sort_by_key(|segment| segment.ordinal);
    end_where_successors_begin(&mut found);
    Ok(found)
}

/// A segment's header, if it can be believed. A whole one of another version is no damage and must be left alone.
fn header(name: &str, bytes: &[u8]) -> io::Result<Option<SegmentHeader>> {
    match SegmentHeader::decode(bytes) {
        Err(FormatError::Version) => Err(io::Error::other(format!(
            "{name} was written by a version of the gateway with another log format; \
             keep the folder for that version and begin a new one"
        ))),
        decoded => Ok(decoded.ok()),
    }
}

/// Sets every segment's `end`.
pub(crate) fn end_where_successors_begin(segments: &mut [Segment]) {
    let (mut end, mut ended) = (u64::MAX, Begun::default());
    for segment in segments.iter_mut().rev() {
        (segment.end, segment.ended) = (end, ended);
        let Some(header) = &segment.header else {
            continue;
        };
        if header.first_sequence < end {
            (end, ended) = (header.first_sequence, begun(header));
        } else if header.first_sequence == end && begun(header) != Begun::InOrder {
            // Of several that begin at one place the one that allows the most counts.
            ended = begun(header);
        }
    }
}

/// Why a segment was begun. Before it was said, one begun before all was synced could only be one in order.
fn begun(header: &SegmentHeader) -> Begun {
    match header.begun {
        Begun::Unsaid if header.synced_through + 1 < header.first_sequence => Begun::InOrder,
        said => said,
    }
}

/// What the checkpoint file says.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    /// The newest readable checkpoint.
    pub(crate) newest: Option<Checkpoint>,
    /// Where slots begin that cannot be read, in bytes.
    pub(crate) unreadable: Vec<usize>,
    /// Size of the file.
    pub(crate) bytes: usize,
}

impl Slots {
    /// Reads the file; `None` when there is none.
    pub(crate) fn read(storage: &dyn Storage) -> io::Result<Option<Self>> {
        let bytes = match read_whole(storage, CHECKPOINT_FILE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let slots = bytes.get(..bytes.len().min(2 * CHECKPOINT_BYTES));
        let slots = slots.unwrap_or_default().chunks(CHECKPOINT_BYTES);
        let (mut newest, mut closed, mut unreadable) = (None::<Checkpoint>, true, Vec::new());
        for (at, slot) in slots.enumerate() {
            let Ok(checkpoint) = Checkpoint::decode(slot) else {
                unreadable.push(at * CHECKPOINT_BYTES);
                continue;
            };
            let same = newest
                .as_ref()
                .is_none_or(|other| other.sequence == checkpoint.sequence);
            closed &= checkpoint.closed && same;
            if newest
                .as_ref()
                .is_none_or(|other| other.sequence <= checkpoint.sequence)
            {
                newest = Some(checkpoint);
            }
        }
        // One slot alone says that the log was closed only where the other cannot be read.
        if let Some(newest) = &mut newest {
            newest.closed = closed;
        }
        Ok(Some(Self {
            newest,
            unreadable,
            bytes: bytes.len(),
        }))
    }
}

/// The newest readable checkpoint.
pub(crate) fn checkpoint(storage: &dyn Storage) -> io::Result<Option<Checkpoint>> {
    Ok(Slots::read(storage)?.and_then(|slots| slots.newest))
}

/// Bytes of what was moved aside and of strangers' files.
pub(crate) fn other_bytes(storage: &dyn Storage) -> io::Result<u64> {
    let ours = |name: &str| {
        [
            CHECKPOINT_FILE,
            LOCK_FILE,
            RESERVE_FILE,
            NOTES_FILE,
            KEYS_FILE,
        ]
        .contains(&name)
            || name.starts_with(TREE)
            || name.ends_with(".seg")
            || name.ends_with(".idx")
    };
    let files = storage.list()?;
    let strange = files.iter().filter(|(name, _)| !ours(name));
    Ok(strange.map(|(_, bytes)| bytes).sum())
}
