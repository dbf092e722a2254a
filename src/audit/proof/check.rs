//! Compares a history, read event by event, with what was signed of it.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use super::key::SIGNING_KEY_FILE;
use super::merkle::{Frontier, Hash};
use super::note::{PublicKey, TreeHead, origin};
use super::notes::{NOTES_FILE, kept, keys, read};
use super::tree::{BLOCK_LEAVES, Reader, edge, is_complete, over_blocks};
use crate::audit::log::Chain;
use crate::audit::log::format::LogId;
use crate::audit::log::storage::Storage;
use crate::audit::verify::{BadReason, LogFile};

/// Most events that are not signed yet after a crash: those of one interval, those being synced, and those not synced.
const UNSIGNED_EVENTS_MAX: u64 = 40_000;
/// Events that differ from their stored hash and are kept until the next signature.
const DIFFER_MAX: usize = 1_000;
/// Readings of a file whose end may just be written.
const READINGS: u32 = 3;

/// What the one who verifies knows from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The only keys that count; without them those beside the log do.
    pub keys: Option<Vec<PublicKey>>,
    /// Checkpoints kept elsewhere, already opened.
    pub checkpoints: Vec<TreeHead>,
    /// Something else tells that there was a log here, and that it was signed.
    pub was_there: bool,
}

impl Trust {
    /// What a gateway's data folder tells of its log: the signing key is made with it, and sinks note how far they have
    /// read it.
    pub fn of_data_folder(data_dir: &Path) -> Self {
        let has_key = data_dir.join(SIGNING_KEY_FILE).is_file();
        let cursors = std::fs::read_dir(data_dir.join(SINKS_FOLDER)).into_iter();
        let cursors = cursors.flatten().flatten();
        let mut names = cursors.map(|entry| entry.file_name());
        let was_read = names.any(|name| name.to_string_lossy().ends_with(CURSOR));
        Self {
            was_there: has_key || was_read,
            ..Self::default()
        }
    }
}

/// Where sinks note how far they have read, and how those files' names end.
const SINKS_FOLDER: &str = "sinks";
const CURSOR: &str = ".cursor";

/// One event at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: LogFile,
    pub(crate) offset: usize,
    pub(crate) sequence: u64,
}

/// Something that is wrong at a place.
pub(crate) type Finding = (Place, BadReason);

/// The check as it goes from event to event.
pub(crate) struct SignedCheck<'s> {
    storage: &'s dyn Storage,
    reader: Reader<'s>,
    heads: VecDeque<TreeHead>,
    /// `None` once the tree cannot be followed.
    edge: Option<Frontier>,
    /// The stored roots of blocks, up to the edge; `None` once one is wrong or missing.
    blocks: Option<Frontier>,
    /// The first event after the last signature that was confirmed.
    since: Option<Place>,
    /// Events of that stretch that differ from the hash stored of them: which of the two is wrong, the next signature
    /// tells.
    differ: Vec<Place>,
    /// Whether there must be signatures.
    expected: bool,
    /// How much the newest signature beside the log covers.
    beside: u64,
    pub(crate) newest: Option<TreeHead>,
    pub(crate) signatures: u64,
    pub(crate) findings: Vec<Finding>,
}

fn of_notes(offset: usize, sequence: u64) -> Place {
    Place {
        file: LogFile::Signatures,
        offset,
        sequence,
    }
}

/// Where the hash of an event is stored.
fn of_tree(place: Place) -> Place {
    let index = place.sequence.saturating_sub(1);
    let offset = usize::try_from(index % BLOCK_LEAVES).unwrap_or(usize::MAX);
    Place {
        file: LogFile::Tree(index / BLOCK_LEAVES),
        offset: offset.saturating_mul(Hash::BYTES),
        sequence: place.sequence,
    }
}

impl<'s> SignedCheck<'s> {
    /// Reads the signatures. Do so before the events are read: the log may only be longer than they say.
    pub(crate) fn open(storage: &'s dyn Storage, trust: &Trust) -> io::Result<Self> {
        let (beside, damaged) = keys(storage)?;
        let expected = trust.was_there || trust.keys.is_some() || !beside.is_empty() || damaged > 0;
        let mut check = Self {
            storage,
            reader: Reader::new(storage)?,
            heads: VecDeque::new(),
            edge: None,
            blocks: None,
            since: None,
            differ: Vec::new(),
            expected,
            beside: 0,
            newest: None,
            signatures: 0,
            findings: Vec::new(),
        };
        if damaged > 0 {
            let place = Place {
                file: LogFile::Keys,
                ..of_notes(0, 1)
            };
            check.find(place, BadReason::Signature);
        }
        let keys = trust.keys.clone().unwrap_or(beside);
        check.read_notes(&keys)?;
        // After the signatures: whatever they cover is in the tree's files by now.
        check.reader = Reader::new(storage)?;
        check.beside = check.heads.back().map_or(0, |head| head.size);
        let known = trust.checkpoints.iter().cloned();
        let mut heads: Vec<TreeHead> = check.heads.drain(..).chain(known).collect();
        heads.sort_by_key(|head| head.size);
        check.newest = heads.last().cloned();
        check.signatures = heads.len() as u64;
        check.heads = heads.into();
        Ok(check)
    }

    /// How much the newest signature beside the log covers.
    pub(crate) fn beside(&self) -> u64 {
        self.beside
    }

    /// The stored root of a block.
    pub(crate) fn stored_root(&self, block: u64) -> Option<Hash> {
        self.reader.block_root(block)
    }

    fn find(&mut self, place: Place, reason: BadReason) {
        self.findings.push((place, reason));
    }

    fn read_notes(&mut self, keys: &[PublicKey]) -> io::Result<()> {
        let mut text = read(self.storage, NOTES_FILE)?.unwrap_or_default();
        let is_torn = |text: &str| kept(text).last().is_some_and(|kept| kept.note.is_none());
        for _ in 1..READINGS {
            if is_torn(&text) {
                text = read(self.storage, NOTES_FILE)?.unwrap_or_default();
            }
        }
        let mut last = 0;
        for kept in kept(&text) {
            match kept.open(keys) {
                Ok(head) if head.size < last => {
                    self.find(of_notes(kept.offset, head.size + 1), BadReason::Backwards);
                }
                Ok(head) => {
                    last = head.size;
                    self.heads.push_back(head);
                }
                Err(_) => self.find(of_notes(kept.offset, last + 1), BadReason::Signature),
            }
        }
        Ok(())
    }

    /// The history begins with this event.
    pub(crate) fn begin(&mut self, log_id: Option<&LogId>, first_sequence: u64) {
        if self.heads.is_empty() && !self.expected {
            return;
        }
        let name = log_id.map(origin);
        let foreign = |head: &&TreeHead| name.as_ref().is_some_and(|name| *name != head.origin);
        if let Some(head) = self.heads.iter().find(foreign) {
            let place = of_notes(0, head.size);
            self.find(place, BadReason::Foreign);
        }
        let before = first_sequence.saturating_sub(1);
        self.edge = edge(self.storage, before).ok().flatten();
        self.blocks = self.reader.blocks_before(before);
        if self.edge.is_none() {
            self.find(of_notes(0, first_sequence), BadReason::Tree);
        }
        while self.heads.front().is_some_and(|head| head.size < before) {
            self.heads.pop_front();
        }
        self.confirm(of_notes(0, before), None);
    }

    /// The next event; gaps are filled with what is stored of their events.
    pub(crate) fn event(&mut self, place: Place, leaf: impl FnOnce() -> Hash, chain: Chain) {
        self.skip_to(place);
        let Some(edge) = &mut self.edge else {
            return;
        };
        if edge.size() + 1 != place.sequence {
            return;
        }
        let leaf = leaf();
        edge.push(leaf);
        self.compare_block();
        self.since.get_or_insert(place);
        // What is stored beyond the newest signature may be what a power cut left.
        let signed = self.newest.as_ref().map_or(0, |head| head.size);
        let stored = match place.sequence <= signed {
            true => self.reader.leaf(place.sequence - 1).ok().flatten(),
            false => None,
        };
        if stored.is_some_and(|stored| stored != leaf) && self.differ.len() < DIFFER_MAX {
            self.differ.push(place);
        }
        self.confirm(place, Some(chain));
    }

    fn skip_to(&mut self, place: Place) {
        while let Some(edge) = &mut self.edge
            && edge.size() + 1 < place.sequence
        {
            let lost = edge.size();
            match self.reader.leaf(lost).ok().flatten() {
                Some(leaf) => edge.push(leaf),
                // What was not kept cannot be followed; the gap itself is named by its own check.
                None => self.edge = None,
            }
            let at = Place {
                sequence: lost + 1,
                ..place
            };
            self.confirm(at, None);
        }
    }

    /// Compares the stored root of a block that is complete with its events.
    fn compare_block(&mut self) {
        let Some(edge) = self.edge.as_ref().filter(|edge| is_complete(edge.size())) else {
            return;
        };
        let signed = self.newest.as_ref().map_or(0, |head| head.size);
        let Some(mut blocks) = self.blocks.take().filter(|_| edge.size() <= signed) else {
            return;
        };
        let at = blocks.size();
        let stored = self.reader.block_root(at);
        stored.into_iter().for_each(|root| blocks.push(root));
        if stored.is_some() && over_blocks(&blocks).root() == edge.root() {
            self.blocks = Some(blocks);
            return;
        }
        let place = Place {
            file: LogFile::TreeRoots,
            offset: usize::try_from(at)
                .unwrap_or(usize::MAX)
                .saturating_mul(Hash::BYTES),
            sequence: edge.size(),
        };
        self.find(place, BadReason::Leaf);
    }

    /// Compares the tree and the chain with every signature over exactly this much.
    fn confirm(&mut self, place: Place, chain: Option<Chain>) {
        while let Some(edge) = &self.edge
            && let Some(head) = self.heads.pop_front_if(|head| head.size == place.sequence)
        {
            let other_chain = chain.is_some_and(|chain| head.chain.is_some_and(|of| of != chain));
            if edge.root() != head.root {
                let since = self.since.unwrap_or(place);
                if self.differ.is_empty() {
                    self.find(since, BadReason::Forged);
                }
                let events = std::mem::take(&mut self.differ).into_iter();
                self.findings
                    .extend(events.map(|place| (place, BadReason::Leaf)));
                // Everything after it differs as well.
                self.edge = None;
            } else if other_chain {
                self.find(place, BadReason::Rewritten);
            }
            self.since = None;
            // The events are those that were signed: the hashes are not theirs.
            let hashes = std::mem::take(&mut self.differ).into_iter().map(of_tree);
            self.findings
                .extend(hashes.map(|place| (place, BadReason::Leaf)));
        }
    }

    /// The history ends with this event; of a closed log everything is signed.
    pub(crate) fn end(&mut self, last: Place, closed: bool) {
        let after = Place {
            sequence: last.sequence + 1,
            ..last
        };
        let events = std::mem::take(&mut self.differ).into_iter();
        self.findings
            .extend(events.map(|place| (place, BadReason::Leaf)));
        let signed = self.newest.as_ref().map(|head| head.size);
        match signed {
            Some(signed) if signed > last.sequence => self.find(after, BadReason::Truncated),
            Some(signed)
                if last.sequence - signed > if closed { 0 } else { UNSIGNED_EVENTS_MAX } =>
            {
                let place = of_notes(0, signed + 1);
                self.find(place, BadReason::Unsigned);
            }
            None if self.expected || closed => self.find(of_notes(0, 1), BadReason::Unsigned),
            _ => {}
        }
    }
}
