//! What `verify` says of a bad place: the file, the byte, the event and what is wrong.

use std::fmt;

use crate::audit::log::segments::{CHECKPOINT_FILE, index_name, segment_name};
use crate::audit::proof::notes::{KEYS_FILE, NOTES_FILE};
use crate::audit::proof::tree::{ROOTS_FILE, block_name};

/// What is wrong at a bad place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadReason {
    /// The bytes are no frame.
    Damaged,
    /// The segment's header is not whole.
    Header,
    /// The segment belongs to another log.
    Foreign,
    /// Events are missing before it.
    Gap,
    /// The event stands out of its order, or twice.
    Order,
    /// The event, or the one before it, is not the one that was written.
    Chain,
    /// The log ends before its checkpoint.
    Truncated,
    /// The chain at the checkpoint is another one.
    Rewritten,
    /// There is no readable checkpoint, so nobody can say where the log ended.
    NoCheckpoint,
    /// The event is not the one whose hash the tree has.
    Leaf,
    /// The tree over the events is not the one that was signed, from this event on.
    Forged,
    /// A signed checkpoint or a public key is damaged, or signed by an unknown key.
    Signature,
    /// A signed checkpoint covers less than one before it.
    Backwards,
    /// No signature covers the events from this one on.
    Unsigned,
    /// The tree of the dropped events is gone, so that signatures cannot be checked.
    Tree,
    /// The event was erased and no record tells that it was asked for.
    Erased,
    /// History begins after this event, and no record tells that the log dropped it.
    Removed,
    /// Bytes follow where the log says that there are none.
    Appended,
    /// The index is not the one of its segment, so that searches would miss events.
    Index,
    /// A slot of the checkpoint file is damaged or gone, although the log was closed in order.
    Slot,
    /// Hashes of events that were signed are gone from the tree's files.
    Leaves,
    /// There is no log where there was one.
    NoLog,
}

impl fmt::Display for BadReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "damaged bytes",
            Self::Header => "damaged segment header",
            Self::Foreign => "segment of another log",
            Self::Gap => "events are missing before this one",
            Self::Order => "event out of order",
            Self::Chain => "event changed, or the one before it",
            Self::Truncated => "the log ends before its checkpoint",
            Self::Rewritten => "history differs from its checkpoint",
            Self::NoCheckpoint => "no readable checkpoint",
            Self::Leaf => "event differs from the hash kept of it",
            Self::Forged => "history differs from what was signed, from this event on",
            Self::Signature => "signed checkpoint damaged, or signed by an unknown key",
            Self::Backwards => "signed checkpoints go back",
            Self::Unsigned => "no signature covers the events from this one on",
            Self::Appended => "bytes were added after the last event",
            Self::Index => {
                "the index is not the one of its segment; remove it, and the next start makes it again"
            }
            Self::Slot => "a slot of the checkpoint is damaged or gone, although the log was closed in order",
            Self::Leaves => "hashes of events are gone from here",
            Self::NoLog => "there is no log where there was one",
            Self::Tree => "the tree of the dropped events is gone",
            Self::Erased => "event erased without a record of it",
            Self::Removed => {
                "the events from this one up to where history begins were removed, without a record of it"
            }
        })
    }
}

/// A file of a log's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFile {
    /// A segment, by its ordinal.
    Segment(u64),
    /// The index of a segment.
    Index(u64),
    /// How far the log was synced.
    Checkpoint,
    /// The signed checkpoints.
    Signatures,
    /// The public keys.
    Keys,
    /// The hashes of a block of events.
    Tree(u64),
    /// The roots of blocks.
    TreeRoots,
    /// The folder itself.
    Folder,
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(ordinal) => f.write_str(&segment_name(*ordinal)),
            Self::Index(ordinal) => f.write_str(&index_name(*ordinal)),
            Self::Checkpoint => f.write_str(CHECKPOINT_FILE),
            Self::Signatures => f.write_str(NOTES_FILE),
            Self::Keys => f.write_str(KEYS_FILE),
            Self::Tree(block) => f.write_str(&block_name(*block)),
            Self::TreeRoots => f.write_str(ROOTS_FILE),
            Self::Folder => f.write_str("the folder"),
        }
    }
}

/// A bad place of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The file.
    pub file: LogFile,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The event that is bad, or the first one that is missing; of other files than segments, one that they are about.
    pub event_seq: u64,
    /// What is wrong.
    pub reason: BadReason,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (event, file, offset) = (self.event_seq, self.file, self.offset);
        write!(f, "event {event}, {file}, byte {offset}: {}", self.reason)
    }
}
