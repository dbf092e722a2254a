//! Erasing events for good, or the personal part of them, so that the history and all other proofs stay valid.
//!
//! An erased event's frame keeps its sequence, its chain and its digest; its payload is gone. A redacted one keeps its
//! public part and the commitment to its personal part, whose salt is gone with it. Only sealed segments are rewritten: under another name, synced, then put in the old one's place. A crash leaves one or the other.
//!
//! First the erasure is planned and recorded, with every sequence it takes, then it is carried out: so `verify` can
//! tell an erasure that was asked for from one that was not. Begun again after a crash, it takes what is left.
//! What was copied elsewhere - sinks, backups, `*.torn` files, the disk's own leftovers - is out of reach here.

use std::io;
use std::sync::{Arc, PoisonError};

use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::dropping::RECORDS;
use super::format::{Frame, HEADER_BYTES, Kind};
use super::frames::{Frames, Step};
use super::live::Log;
use super::report::{AppendError, Position};
use super::segments::{TORN, index_name, segment_name, unfinished_name};
use super::storage::{Storage, read_whole};
use super::summary::Blocks;
use super::writer::{Index, Writer};
use crate::audit::search::{Matcher, Search};

/// The record of an erasure that begins; its details name the sequences.
pub const ERASURE_BEGUN: &str = "audit.erasure.begun";
/// The record of an erasure that is done.
pub const ERASURE_DONE: &str = "audit.erasure.done";
/// How every record of an erasure says what it is. Strings of clients hold no bare quotes.
const RECORD: &[u8] = br#""endpoint":"audit.erasure."#;
/// Runs of sequences one record names, so that it fits a frame.
const RUNS_MAX: usize = 4_000;

/// How much of an event is erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// What may tell of a person: everything from `source_ip` on.
    Personal,
}

/// Why events could not be erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// The log does not take the record.
    #[error("the erasure cannot be recorded: {0}")]
    Record(#[from] AppendError),
    /// The disk failed; what was not erased yet is still there.
    #[error("a segment cannot be rewritten: {0}")]
    Storage(#[from] io::Error),
    /// Nothing says which events are meant.
    #[error("name an organization, a key, an address, a request, an event, a tag or a text")]
    TooBroad,
}

/// The events an erasure will take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasurePlan {
    /// How much of each.
    pub extent: Extent,
    /// How many.
    pub events: u64,
    /// Their sequences, as runs from first to last.
    pub runs: Vec<(u64, u64)>,
    /// The segments that hold them, and where each ends.
    segments: Vec<(u64, u64)>,
    /// Events after it are left alone.
    pub(super) through: u64,
}

impl ErasurePlan {
    pub(super) fn take(&mut self, sequence: u64) {
        self.events += 1;
        match self.runs.last_mut() {
            Some((_, last)) if *last + 1 == sequence => *last = sequence,
            _ => self.runs.push((sequence, sequence)),
        }
    }

    /// What the records say, one value each.
    pub fn records(&self) -> Vec<Value> {
        let runs = self.runs.chunks(RUNS_MAX);
        let record =
            |runs| json!({"events": self.events, "extent": self.extent, "sequences": runs});
        runs.map(record).collect()
    }
}

/// What an erasure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Frames whose payload is gone, or the personal part of it.
    pub events: u64,
    /// Segments that were rewritten.
    pub segments: u64,
    /// Files of unbelieved bytes, which were not looked into.
    pub torn_files: u64,
}

/// Whether a search names events by more than time and kind.
fn is_narrow(search: &Search) -> bool {
    search.organization_id.is_some()
        || search.api_key_id.is_some()
        || search.source_ip.is_some()
        || search.request_id.is_some()
        || search.decision_id.is_some()
        || search.event_id.is_some()
        || search.text.is_some()
        || !search.compliance_tags.is_empty()
}

/// Whether an event is one to erase.
fn is_wanted(matcher: &Matcher<'_>, extent: Extent, frame: &Frame<'_>) -> bool {
    let text = std::str::from_utf8(frame.payload);
    let holds_it = match extent {
        Extent::Whole => frame.kind.is_event(),
        Extent::Personal => frame.kind == Kind::Event && frame.parts().has_personal(frame.payload),
    };
    let is_named = |json: &str| matcher.matches(json) || matcher.was_asked_for(json);
    holds_it && text.is_ok_and(is_named) && !is_record(frame.payload)
}

/// Whether an event tells what was erased or dropped; without it `verify` could not tell it from tampering.
pub(super) fn is_record(payload: &[u8]) -> bool {
    let mut records = RECORDS.iter().copied().chain([RECORD]);
    records.any(|record| memmem::find(payload, record).is_some())
}

impl Log {
    /// Closes the segment being written, so that everything recorded so far can be erased. Await
    /// [`synced`](Self::synced) on the answer before planning.
    ///
    /// # Errors
    ///
    /// When the next segment cannot be begun.
    pub fn seal(&self) -> Result<Position, AppendError> {
        self.owner.shared.lock().writer.seal()
    }

    /// Finds the events an erasure would take, in everything that is synced and sealed.
    ///
    /// # Errors
    ///
    /// When the search is too broad, or the disk cannot be read.
    pub fn plan_erasure(&self, search: &Search, extent: Extent) -> Result<ErasurePlan, EraseError> {
        if !is_narrow(search) {
            return Err(EraseError::TooBroad);
        }
        let shared = &self.owner.shared;
        let (segments, through) = shared.lock().writer.erasable();
        let matcher = Matcher::of(search);
        let mut plan = ErasurePlan {
            extent,
            through,
            ..ErasurePlan::default()
        };
        for (ordinal, end) in segments {
            let Some(bytes) = read_if_there(&*shared.storage, ordinal)? else {
                continue;
            };
            let mut holds_any = false;
            for step in Frames::new(&bytes, HEADER_BYTES) {
                let Step::Frame { frame, .. } = step else {
                    continue;
                };
                if !is_wanted(&matcher, extent, &frame) {
                    continue;
                }
                // Past its end a segment holds copies of what a failed sync moved to the next one.
                holds_any = true;
                if frame.sequence < end {
                    plan.take(frame.sequence);
                }
            }
            if holds_any {
                plan.segments.push((ordinal, end));
            }
        }
        Ok(plan)
    }

    /// Carries out what was planned with the same search. Its [records](ErasurePlan::records) are synced by now.
    ///
    /// # Errors
    ///
    /// When a segment cannot be rewritten; those before it are.
    pub fn carry_out(&self, plan: &ErasurePlan, search: &Search) -> Result<Erasure, EraseError> {
        let storage = &self.owner.shared.storage;
        // Two at once would undo each other's work.
        let one_at_a_time = &self.owner.shared.erasing;
        let _erasing = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let matcher = Matcher::of(search);
        let eraser = Eraser {
            extent: plan.extent,
            through: plan.through,
            wanted: &|frame| is_wanted(&matcher, plan.extent, frame),
        };
        let mut done = Erasure::default();
        for segment in &plan.segments {
            if let Some(erased) = self.rewrite(*segment, &eraser)? {
                done.events += erased;
                done.segments += 1;
            }
        }
        storage.sync_directory()?;
        let files = storage.list()?;
        let torn = files.iter().filter(|(name, _)| name.ends_with(TORN));
        done.torn_files = torn.count() as u64;
        Ok(done)
    }

    /// Puts a segment without the wanted events in the place of the one with them.
    pub(super) fn rewrite(
        &self,
        segment: (u64, u64),
        eraser: &Eraser<'_>,
    ) -> io::Result<Option<u64>> {
        let shared = &self.owner.shared;
        let Some((rewritten, erased)) = eraser.prepare(&*shared.storage, segment)? else {
            return Ok(None);
        };
        if shared.lock().writer.replace(segment.0, &rewritten)? {
            return Ok(Some(erased));
        }
        shared.storage.remove(&unfinished_name(segment.0))?;
        Ok(None)
    }
}

/// What becomes of the frames of a segment.
pub(super) struct Eraser<'a> {
    pub(super) extent: Extent,
    /// Events after it are left alone.
    pub(super) through: u64,
    pub(super) wanted: &'a dyn Fn(&Frame<'_>) -> bool,
}

impl Eraser<'_> {
    /// Builds the segment without the wanted events, durably, under the name of one that is unfinished. Answers with
    /// its bytes and how many events of its own those were; `None` when it holds none of them.
    pub(super) fn prepare(
        &self,
        storage: &dyn Storage,
        (ordinal, end): (u64, u64),
    ) -> io::Result<Option<(Vec<u8>, u64)>> {
        let Some(bytes) = read_if_there(storage, ordinal)? else {
            return Ok(None);
        };
        let (rewritten, erased) = self.without(&bytes, end);
        if rewritten == bytes {
            return Ok(None);
        }
        let file = storage.create(&unfinished_name(ordinal))?;
        file.write_at(0, &rewritten)?;
        file.sync()?;
        Ok(Some((rewritten, erased)))
    }

    /// A segment's bytes without the wanted events, and how many of its own there were. What is damaged stays as it is.
    fn without(&self, bytes: &[u8], end: u64) -> (Vec<u8>, u64) {
        let mut out = bytes.get(..HEADER_BYTES).unwrap_or(bytes).to_vec();
        let mut erased = 0;
        for step in Frames::new(bytes, HEADER_BYTES) {
            let (offset, length) = match step {
                Step::Damage { offset, bytes, .. } => (offset, bytes),
                Step::Frame { frame, .. }
                    if frame.sequence <= self.through && (self.wanted)(&frame) =>
                {
                    leave(&frame, self.extent, &mut out);
                    erased += u64::from(frame.sequence < end);
                    continue;
                }
                Step::Frame { offset, frame } => (offset, frame.size()),
            };
            out.extend_from_slice(bytes.get(offset..offset + length).unwrap_or_default());
        }
        (out, erased)
    }
}

pub(super) fn read_if_there(storage: &dyn Storage, ordinal: u64) -> io::Result<Option<Vec<u8>>> {
    match read_whole(storage, &segment_name(ordinal)) {
        // Dropped since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Writes what stays of a frame; one without a personal part stays as it is.
fn leave(frame: &Frame<'_>, extent: Extent, out: &mut Vec<u8>) {
    match extent {
        Extent::Whole => frame.erased(&frame.digest()).encode(out),
        Extent::Personal => match frame.parts().redacted(frame.payload) {
            Some((payload, parts)) => frame.redacted(&payload, &parts).encode(out),
            None => frame.encode(out),
        },
    }
}

impl Writer {
    /// Goes on in a new segment, if this one holds anything.
    fn seal(&mut self) -> Result<Position, AppendError> {
        if self.broken {
            self.abandon()?;
        }
        if self.last.sequence >= self.active.first {
            self.rotate()?;
        }
        Ok(Position(self.last.sequence))
    }

    /// The sealed segments of which every event is synced, with their ends, and the last of those events.
    pub(super) fn erasable(&self) -> (Vec<(u64, u64)>, u64) {
        let synced = self.synced.sequence;
        let settled = self.sealed.iter().filter(|sealed| sealed.end <= synced + 1);
        let segments: Vec<(u64, u64)> =
            settled.map(|sealed| (sealed.ordinal, sealed.end)).collect();
        let through = segments.iter().map(|(_, end)| end - 1).max();
        (segments, through.unwrap_or(0))
    }

    /// Lets the rewritten segment take the place of the old one. False when that one was dropped meanwhile.
    pub(super) fn replace(&mut self, ordinal: u64, new: &[u8]) -> io::Result<bool> {
        let storage = Arc::clone(&self.storage);
        let mut sealed = self.sealed.iter_mut();
        let Some(sealed) = sealed.find(|sealed| sealed.ordinal == ordinal) else {
            return Ok(false);
        };
        // One that is missing is made again; one of another segment would only be refused by its size.
        drop(storage.remove(&index_name(ordinal)));
        storage.rename(&unfinished_name(ordinal), &segment_name(ordinal))?;
        sealed.bytes = new.len() as u64;
        sealed.index = Index::Pending(Blocks::read(new, HEADER_BYTES));
        self.directory_dirty = true;
        self.count_sealed();
        Ok(true)
    }
}
