//! Giving up events that were kept as long as they should be.
//!
//! The oldest segments go whole where everything in them is past. Elsewhere frames are erased as on request: recorded
//! first, with every sequence, then carried out, and history and all other proofs stay valid. One segment is
//! looked at and rewritten at a time.

use std::collections::HashMap;
use std::io;
use std::sync::PoisonError;

use super::dropping::Why;
use super::erase::{Eraser, ErasurePlan, Extent, is_record, read_if_there};
use super::format::{Frame, HEADER_BYTES};
use super::frames::{Frames, Step};
use super::live::Log;
use super::report::{AppendError, Position};
use super::writer::Writer;
use crate::audit::retention::Retention;

/// When to look at which sealed segment again, by its ordinal; as many as there are segments.
#[derive(Debug, Default)]
pub(crate) struct Due(HashMap<u64, i64>);

/// What of one segment is past.
#[derive(Debug)]
pub(crate) struct Expired {
    segment: (u64, u64),
    /// The events to erase.
    pub(crate) plan: ErasurePlan,
    now: i64,
}

/// A segment that goes whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
}

/// What a look at one segment shows.
enum Look {
    /// Nothing to do before this instant.
    Later(i64),
    /// Nothing in it is to be kept; what is not erased yet.
    AllPast(ErasurePlan),
    Some(ErasurePlan),
}

impl Log {
    /// Begins a new segment where the one being written holds events that may be past. Answers with the last event
    /// before it, to be [`synced`](Self::synced).
    ///
    /// # Errors
    ///
    /// When the next segment cannot be begun.
    pub(crate) fn seal_if_past(
        &self,
        retention: &Retention,
        now: i64,
    ) -> Result<Option<Position>, AppendError> {
        let oldest = self.owner.shared.lock().writer.oldest_active();
        let past = oldest.and_then(|oldest| retention.earliest(oldest));
        let is_past = past.is_some_and(|past| past <= now);
        is_past.then(|| self.seal()).transpose()
    }

    /// Gives up the oldest segments of which nothing is to be kept. They go once they are
    /// [recorded](Self::dropped_recorded).
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub(crate) fn drop_expired(
        &self,
        retention: &Retention,
        due: &mut Due,
        now: i64,
    ) -> io::Result<Vec<Gone>> {
        let shared = &self.owner.shared;
        let mut gone = Vec::new();
        loop {
            let (segments, _) = shared.lock().writer.erasable();
            let Some(oldest) = segments.first().copied() else {
                return Ok(gone);
            };
            if due.is_later(oldest.0, now) {
                return Ok(gone);
            }
            match self.look(oldest, retention, now)? {
                Look::AllPast(_) => {}
                Look::Later(at) => {
                    due.0.insert(oldest.0, at);
                    return Ok(gone);
                }
                Look::Some(_) => return Ok(gone),
            }
            match shared.lock().writer.condemn_expired(oldest.0) {
                Some(dropped) => gone.push(dropped),
                // Not signed yet, or dropped by another meanwhile.
                None => return Ok(gone),
            }
        }
    }

    /// Takes note that an event names everything given up through a sequence; once it is synced the segments are
    /// removed.
    pub(crate) fn dropped_recorded(&self, through: u64, record: Position) {
        let shared = &self.owner.shared;
        shared.lock().writer.recorded(through, record.0);
    }

    /// The next segment in which some events are past and others are not.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub(crate) fn next_expired(
        &self,
        retention: &Retention,
        due: &mut Due,
        now: i64,
    ) -> io::Result<Option<Expired>> {
        let (segments, through) = self.owner.shared.lock().writer.erasable();
        due.0
            .retain(|known, _| segments.iter().any(|(ordinal, _)| ordinal == known));
        for segment in segments {
            if due.is_later(segment.0, now) {
                continue;
            }
            match self.look(segment, retention, now)? {
                // One that is not the oldest waits for those before it, empty.
                Look::AllPast(plan) if plan.events == 0 => {}
                Look::Some(mut plan) | Look::AllPast(mut plan) => {
                    plan.through = through;
                    return Ok(Some(Expired { segment, plan, now }));
                }
                Look::Later(at) => {
                    due.0.insert(segment.0, at);
                }
            }
        }
        Ok(None)
    }

    /// Erases what is past in a segment; [recorded](ErasurePlan::records) and synced by now.
    ///
    /// # Errors
    ///
    /// When the segment cannot be rewritten.
    pub(crate) fn expire(&self, expired: &Expired, retention: &Retention) -> io::Result<u64> {
        // Two at once would undo each other's work.
        let one_at_a_time = &self.owner.shared.erasing;
        let _erasing = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let eraser = Eraser {
            extent: Extent::Whole,
            through: expired.plan.through,
            wanted: &|frame| is_erasable(frame, retention, expired.now),
        };
        let erased = self.rewrite(expired.segment, &eraser)?;
        self.owner.shared.storage.sync_directory()?;
        Ok(erased.unwrap_or(0))
    }

    fn look(&self, segment: (u64, u64), retention: &Retention, now: i64) -> io::Result<Look> {
        let Some(bytes) = read_if_there(&*self.owner.shared.storage, segment.0)? else {
            return Ok(Look::Later(i64::MAX));
        };
        let mut plan = ErasurePlan::default();
        let (mut kept, mut next) = (0_u64, i64::MAX);
        for step in Frames::new(&bytes, HEADER_BYTES) {
            let Step::Frame { frame, .. } = step else {
                // What is damaged is for people to look at.
                kept += 1;
                continue;
            };
            if frame.sequence >= segment.1 || !frame.kind.is_event() {
                continue;
            }
            let past = retention.past_from(frame.payload).unwrap_or(i64::MAX);
            if past > now {
                kept += 1;
                next = next.min(past);
            } else if is_erasable(&frame, retention, now) {
                plan.take(frame.sequence);
            }
        }
        Ok(match (kept, plan.events) {
            (0, _) => Look::AllPast(plan),
            (_, 0) => Look::Later(next),
            _ => Look::Some(plan),
        })
    }
}

/// Whether an event is past, and no record of what was erased or dropped: those stay as long as their segment.
fn is_erasable(frame: &Frame<'_>, retention: &Retention, now: i64) -> bool {
    let past = retention.past_from(frame.payload);
    frame.kind.is_event() && past.is_some_and(|past| past <= now) && !is_record(frame.payload)
}

impl Due {
    fn is_later(&self, ordinal: u64, now: i64) -> bool {
        self.0.get(&ordinal).is_some_and(|due| *due > now)
    }
}

impl Writer {
    /// When the oldest event of the segment being written happened.
    fn oldest_active(&self) -> Option<i64> {
        let blocks = self.active.blocks.all();
        blocks.iter().map(|block| block.micros_min).min()
    }

    /// Gives up the oldest segment, if it is this one and all of it is synced and signed.
    fn condemn_expired(&mut self, ordinal: u64) -> Option<Gone> {
        self.sealed
            .first()
            .filter(|oldest| oldest.ordinal == ordinal)?;
        let dropped = self.condemn_oldest(Why::Past)?;
        Some(Gone {
            first_sequence: dropped.first_sequence,
            last_sequence: dropped.last_sequence,
        })
    }
}
