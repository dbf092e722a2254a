//! Checks what lies beside the segments: indexes, the checkpoint file, the files of the tree.
//!
//! None of it holds history, and all of it can be made again; but a wrong index hides events from searches, and whoever
//! changes any of these files was in the folder. Of a log that was closed in order every one of them is known to the
//! byte. One that runs or crashed may have a slot half written and leaves that no signature covers yet: that is
//! remarked, not held against it.

use std::io;

use super::{Bad, BadReason, Check, LogFile};
use crate::audit::log::Chain;
use crate::audit::log::format::{Begun, CHECKPOINT_BYTES, HEADER_BYTES};
use crate::audit::log::segments::{CHECKPOINT_FILE, Segment, Slots, index_name};
use crate::audit::log::storage::{Storage, read_whole};
use crate::audit::log::summary::{Blocks, decode_index, encode_index};
use crate::audit::proof::Hash;
use crate::audit::proof::notes::{KEYS_FILE, NOTES_FILE};
use crate::audit::proof::tree::{BLOCK_LEAVES, ROOTS_FILE, TREE, block_name, block_root};

/// Readings of a file that may just be written.
const READINGS: u32 = 3;

/// How an index compares with its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Missing,
    /// Of a segment a crash or a failed write changed: searches do without it.
    Outdated,
    Wrong,
}

/// An index, how it compares, and the last event of its segment.
pub(super) type Indexed = ((u64, Compared), Option<(u64, Chain)>);

/// Reads the checkpoint file; one that is being written is read again.
pub(super) fn slots(storage: &dyn Storage) -> io::Result<Option<Slots>> {
    let mut slots = Slots::read(storage)?;
    for _ in 1..READINGS {
        if slots
            .as_ref()
            .is_some_and(|slots| !slots.unreadable.is_empty())
        {
            slots = Slots::read(storage)?;
        }
    }
    Ok(slots)
}

/// Whether a folder without segments has something else of a log.
pub(super) fn is_log(storage: &dyn Storage) -> io::Result<bool> {
    let ours = [CHECKPOINT_FILE, NOTES_FILE, KEYS_FILE];
    let files = storage.list()?;
    let mut names = files.iter().map(|(name, _)| name.as_str());
    Ok(names.any(|name| ours.contains(&name) || name.starts_with(TREE)))
}

/// Compares the index of a segment with the segment.
pub(super) fn index(
    storage: &dyn Storage,
    segment: &Segment,
    bytes: &[u8],
) -> io::Result<(u64, Compared)> {
    let mut compared = compare(storage, segment, bytes)?;
    for _ in 1..READINGS {
        if compared == Compared::Wrong {
            // Events may have been erased meanwhile, which writes both anew.
            match read_whole(storage, &segment.name) {
                Ok(bytes) => compared = compare(storage, segment, &bytes)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => compared = Compared::Same,
                Err(error) => return Err(error),
            }
        }
    }
    Ok((segment.ordinal, compared))
}

fn compare(storage: &dyn Storage, segment: &Segment, bytes: &[u8]) -> io::Result<Compared> {
    let index = match read_whole(storage, &index_name(segment.ordinal)) {
        Ok(index) => index,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Compared::Missing),
        Err(error) => return Err(error),
    };
    let length = bytes.len() as u64;
    let blocks = Blocks::read(bytes, HEADER_BYTES).all();
    if encode_index(length, &blocks) == index {
        return Ok(Compared::Same);
    }
    let is_whole = decode_index(&index, None).is_ok();
    let changed = segment.end < u64::MAX && segment.ended != Begun::InOrder;
    Ok(match is_whole && changed {
        true => Compared::Outdated,
        false => Compared::Wrong,
    })
}

impl Check<'_> {
    /// Takes over what is wrong beside the segments, after everything that is wrong in them.
    pub(super) fn beside(
        &mut self,
        storage: &dyn Storage,
        slots: Option<&Slots>,
        indexes: Vec<Indexed>,
    ) -> io::Result<()> {
        let segments = indexes.len();
        for (at, ((ordinal, compared), last)) in indexes.into_iter().enumerate() {
            let file = LogFile::Index(ordinal);
            let growing = at + 1 == segments && !self.closed;
            match compared {
                Compared::Same => {}
                Compared::Missing if growing => {}
                Compared::Missing => self
                    .seen
                    .remark(format!("{file}: missing; the next start makes it again")),
                Compared::Outdated => self.seen.remark(format!(
                    "{file}: older than its segment, which a crash or a failed write changed; searches do without it"
                )),
                Compared::Wrong => {
                    let sequence = last.map_or(0, |(sequence, _)| sequence);
                    self.bad(file, 0, sequence, BadReason::Index);
                }
            }
        }
        if let Some(slots) = slots {
            self.slots(slots);
        }
        self.tree(storage)
    }

    fn slots(&mut self, slots: &Slots) {
        let whole = 2 * CHECKPOINT_BYTES;
        let sequence = self.seen.checkpoint_sequence.unwrap_or(0);
        if slots.bytes > whole {
            self.bad(LogFile::Checkpoint, whole, sequence, BadReason::Appended);
        }
        let mut wrong = slots.unreadable.clone();
        if self.closed && slots.bytes < whole && wrong.is_empty() {
            wrong.push(slots.bytes);
        }
        for offset in wrong {
            if self.closed {
                self.bad(LogFile::Checkpoint, offset, sequence, BadReason::Slot);
            } else if slots.newest.is_some() {
                self.seen.remark(format!(
                    "checkpoint: the slot at byte {offset} cannot be read: torn by a crash, or changed; the log is not closed, so this is not told apart"
                ));
            }
        }
    }

    /// Every leaf a signature covers must be stored, and nothing else in a log that was closed.
    fn tree(&mut self, storage: &dyn Storage) -> io::Result<()> {
        let last = self.seen.last_sequence;
        let signed = self.signed.beside().min(last);
        let files = storage.list()?;
        let size = |name: &str| {
            files
                .iter()
                .find(|(file, _)| file == name)
                .map(|(_, size)| *size)
        };
        let first_block = self.seen.first_sequence.saturating_sub(1) / BLOCK_LEAVES;
        let mut kept = false;
        for block in 0..last.div_ceil(BLOCK_LEAVES) {
            let name = block_name(block);
            // Leaves of events that were dropped may be given up as well, oldest first.
            if block < first_block && !kept && size(&name).is_none() {
                continue;
            }
            kept = true;
            let of = |count: u64| count.saturating_sub(block * BLOCK_LEAVES).min(BLOCK_LEAVES);
            let stored = size(&name).unwrap_or(0);
            self.lengths(
                LogFile::Tree(block),
                stored,
                (of(signed), of(last)),
                block * BLOCK_LEAVES,
            );
            if block < first_block {
                self.old_block(storage, block)?;
            }
        }
        let blocks = |count: u64| count / BLOCK_LEAVES;
        let stored = size(ROOTS_FILE).unwrap_or(0);
        self.lengths(
            LogFile::TreeRoots,
            stored,
            (blocks(signed), blocks(last)),
            0,
        );
        Ok(())
    }

    /// Compares the leaves of a block all of whose events were dropped with its root.
    fn old_block(&mut self, storage: &dyn Storage, block: u64) -> io::Result<()> {
        let root = self.signed.stored_root(block);
        let same = block_root(storage, block)?.is_none_or(|leaves| Some(leaves) == root);
        if !same {
            let first = block * BLOCK_LEAVES + 1;
            self.bad(LogFile::Tree(block), 0, first, BadReason::Leaf);
        }
        Ok(())
    }

    /// Judges the length of a file of hashes: at least those of what was signed, of a closed log exactly all.
    fn lengths(&mut self, file: LogFile, bytes: u64, (least, all): (u64, u64), before: u64) {
        let hash = Hash::BYTES as u64;
        let most = match self.closed {
            true => all,
            false => BLOCK_LEAVES.max(all),
        };
        let least = if self.closed { all } else { least };
        let (offset, reason) = if bytes < least * hash {
            (bytes, BadReason::Leaves)
        } else if bytes > most * hash {
            (most * hash, BadReason::Appended)
        } else {
            return;
        };
        self.seen.add(Bad {
            file,
            offset,
            event_seq: before + offset / hash + 1,
            reason,
        });
    }
}
