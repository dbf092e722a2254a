//! Checking that a log still says what was written: offline, read-only, with no trust in the writer.
//!
//! Every frame's checksum, sequence, chain and Merkle leaf is recomputed from the first segment kept to the last; the
//! tree must have the root of every signed checkpoint, and the end must reach the newest one; where history does not
//! begin with event 1, a record must tell that the log dropped what was before. The first place where this fails is
//! named. It works beside a running gateway as well: checkpoints are read first, so the log may
//! only be longer than they say.

mod drops;

use std::fmt;
use std::io;
use std::path::Path;

use crate::audit::log::Chain;
use crate::audit::log::encrypted::read_only;
use crate::audit::log::format::{Frame, HEADER_BYTES, Kind};
use crate::audit::log::frames::{Frames, Step};
use crate::audit::log::segments::{Segment, checkpoint, segments};
use crate::audit::log::storage::{Storage, read_whole};
use crate::audit::proof::check::{Place, SignedCheck, Trust};
use crate::audit::proof::erasures::Erasures;
use crate::audit::proof::{Hash, TreeHead};
use drops::Drops;

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
            Self::Tree => "the tree of the dropped events is gone",
            Self::Erased => "event erased without a record of it",
            Self::Removed => {
                "the events from this one up to where history begins were removed, without a record of it"
            }
        })
    }
}

/// The first bad place of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The segment's ordinal, which is its file name; 0 for the file of signed checkpoints.
    pub segment: u64,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The event that is bad, or the first one that is missing.
    pub event_seq: u64,
    /// What is wrong.
    pub reason: BadReason,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Segments read.
    pub segments: u64,
    /// Events that are part of the history.
    pub events: u64,
    /// Events whose payload was erased, as a record tells.
    pub erased: u64,
    /// Events whose personal part was erased; they count among the events.
    pub redacted: u64,
    /// The oldest of them; what was before was dropped, as a record tells, or there was nothing.
    pub first_sequence: u64,
    /// The newest of them.
    pub last_sequence: u64,
    /// The chain after the newest.
    pub chain: Option<Chain>,
    /// How far the checkpoint vouches for it.
    pub checkpoint_sequence: Option<u64>,
    /// What the newest signature covers.
    pub signed: Option<TreeHead>,
    /// Signed checkpoints found.
    pub signatures: u64,
    /// Bytes after the last event: a crash left them, or an event is being written.
    pub tail_bytes: u64,
    /// Bad places in all.
    pub bad_total: u64,
    /// The first of them.
    pub first_bad: Option<Bad>,
}

impl Verification {
    /// Whether the log says what was written.
    pub fn is_sound(&self) -> bool {
        self.first_bad.is_none()
    }
}

/// Verifies the log in a directory. It changes nothing and takes no lock.
///
/// # Errors
///
/// When the directory or a file of it cannot be read at all.
pub fn verify(dir: &Path, trust: &Trust) -> io::Result<Verification> {
    verify_storage(&read_only(dir)?, trust)
}

pub(crate) fn verify_storage(storage: &dyn Storage, trust: &Trust) -> io::Result<Verification> {
    let signed = SignedCheck::open(storage, trust)?;
    let checkpoint = checkpoint(storage)?;
    let mut segments = segments(storage)?;
    segments.retain(|segment| !segment.is_superseded());
    let first = segments.first().and_then(|segment| segment.header.as_ref());
    let log_id = checkpoint
        .as_ref()
        .map(|checkpoint| checkpoint.log_id)
        .or_else(|| first.map(|header| header.log_id));
    let mut check = Check {
        log_id,
        anchor: checkpoint.as_ref().map(|c| (c.sequence, c.chain)),
        last: None,
        seen: Verification {
            checkpoint_sequence: checkpoint.as_ref().map(|checkpoint| checkpoint.sequence),
            signed: signed.newest.clone(),
            signatures: signed.signatures,
            ..Verification::default()
        },
        signed,
        erasures: Erasures::default(),
        drops: Drops::default(),
        begins: 0,
    };
    check.begin(first.map_or(1, |header| header.first_sequence));
    for (at, segment) in segments.iter().enumerate() {
        let bytes = match read_whole(storage, &segment.name) {
            Ok(bytes) => bytes,
            // Dropped by the writer since it was listed: history now begins later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        check.segment(segment, &bytes, at + 1 == segments.len());
    }
    check.end(segments.last().map_or(0, |segment| segment.ordinal));
    Ok(check.seen)
}

struct Check<'s> {
    log_id: Option<[u8; 16]>,
    /// What the checkpoint vouches for.
    anchor: Option<(u64, Chain)>,
    /// The newest event seen and the chain after it.
    last: Option<(u64, Chain)>,
    signed: SignedCheck<'s>,
    erasures: Erasures,
    drops: Drops,
    /// The segment history begins with.
    begins: u64,
    seen: Verification,
}

impl Check<'_> {
    fn begin(&mut self, first_sequence: u64) {
        self.signed.begin(self.log_id.as_ref(), first_sequence);
        self.take_findings();
    }

    /// Takes over what the signatures showed. A forgery shows only at the next signature, after other bad places
    /// of the same stretch.
    fn take_findings(&mut self) {
        for (place, reason) in std::mem::take(&mut self.signed.findings) {
            let later = |bad: &Bad| bad.event_seq > place.sequence;
            if reason == BadReason::Forged {
                self.seen.first_bad.take_if(|bad| later(bad));
            }
            self.bad(place.segment, place.offset, place.sequence, reason);
        }
    }

    fn bad(&mut self, segment: u64, offset: usize, event_seq: u64, reason: BadReason) {
        self.seen.bad_total += 1;
        self.seen.first_bad.get_or_insert(Bad {
            segment,
            offset: offset as u64,
            event_seq,
            reason,
        });
    }

    fn next(&self) -> u64 {
        self.last.map_or(1, |(sequence, _)| sequence + 1)
    }

    fn segment(&mut self, segment: &Segment, bytes: &[u8], is_last: bool) {
        self.seen.segments += 1;
        // A segment without a header is bad once it holds part of the history: a power cut also leaves the
        // empty shell of one that was superseded before it was ever synced.
        let mut headless = segment.header.is_none() && self.last.is_some();
        self.header(segment);
        // Damage counts once it is followed by an event, or the segment ends short of its successor.
        let mut damage = None;
        for step in Frames::new(bytes, HEADER_BYTES) {
            match step {
                Step::Damage { offset, bytes, .. } => damage = damage.or(Some((offset, bytes))),
                Step::Frame { frame, .. } if frame.sequence >= segment.end => break,
                Step::Frame { offset, frame } => {
                    if std::mem::take(&mut headless) {
                        self.bad(segment.ordinal, 0, self.next(), BadReason::Header);
                    }
                    if let Some((at, _)) = damage.take() {
                        self.bad(segment.ordinal, at, self.next(), BadReason::Damaged);
                        self.place(segment.ordinal, offset, &frame, true);
                    } else {
                        self.place(segment.ordinal, offset, &frame, false);
                    }
                }
            }
        }
        let complete = self.next() >= segment.end;
        let Some((at, length)) = damage else {
            return;
        };
        let vouched = self
            .anchor
            .is_some_and(|(sequence, _)| sequence >= self.next());
        if is_last && !vouched {
            self.seen.tail_bytes = length as u64;
        } else if !complete {
            self.bad(segment.ordinal, at, self.next(), BadReason::Damaged);
        }
    }

    fn header(&mut self, segment: &Segment) {
        let Some(header) = &segment.header else {
            if self.last.is_none() {
                self.bad(segment.ordinal, 0, 1, BadReason::Header);
            }
            return;
        };
        if self.log_id.is_some_and(|log_id| log_id != header.log_id) {
            return self.bad(
                segment.ordinal,
                0,
                header.first_sequence,
                BadReason::Foreign,
            );
        }
        let before = header.first_sequence.saturating_sub(1);
        match self.last {
            None => {
                self.last = Some((before, header.chain));
                self.seen.first_sequence = header.first_sequence;
                self.begins = segment.ordinal;
            }
            Some((last, _)) if last < before => {
                self.bad(segment.ordinal, 0, last + 1, BadReason::Gap);
                self.last = Some((before, header.chain));
            }
            Some((last, chain)) if last == before && chain != header.chain => {
                self.bad(segment.ordinal, 0, last, BadReason::Chain);
                self.last = Some((before, header.chain));
            }
            Some(_) => {}
        }
    }

    /// Puts one frame in its place. After damage a gap before it is part of that damage.
    fn place(&mut self, segment: u64, offset: usize, frame: &Frame<'_>, after_damage: bool) {
        let next = self.next();
        let sequence = frame.sequence;
        let digest = frame.digest();
        if sequence < next && self.last.is_some() {
            return self.bad(segment, offset, sequence, BadReason::Order);
        }
        if sequence > next {
            if !after_damage {
                self.bad(segment, offset, next, BadReason::Gap);
            }
        } else if let Some((_, chain)) = self.last
            && chain.after(sequence, frame.kind, &digest) != frame.chain
        {
            self.bad(segment, offset, sequence, BadReason::Chain);
        }
        self.last = Some((sequence, frame.chain));
        self.seen.events += u64::from(frame.kind.is_event());
        let place = Place {
            segment,
            offset,
            sequence,
        };
        self.signed
            .event(place, || Hash::of_leaf(&digest.0), frame.chain);
        self.erasures.take(place, frame);
        self.drops.take(frame);
        self.seen.erased += u64::from(frame.kind == Kind::Erased);
        self.seen.redacted += u64::from(frame.kind == Kind::Redacted);
        self.take_findings();
        if let Some((vouched, chain)) = self.anchor
            && vouched == sequence
            && chain != frame.chain
        {
            self.bad(segment, offset, sequence, BadReason::Rewritten);
        }
    }

    fn end(&mut self, segment: u64) {
        self.seen.last_sequence = self.last.map_or(0, |(sequence, _)| sequence);
        self.seen.chain = self.last.map(|(_, chain)| chain);
        self.signed.end(Place {
            segment,
            offset: 0,
            sequence: self.seen.last_sequence,
        });
        self.take_findings();
        for place in self.erasures.unrecorded() {
            self.bad(
                place.segment,
                place.offset,
                place.sequence,
                BadReason::Erased,
            );
        }
        if let Some(first) = self.drops.unrecorded(self.seen.first_sequence) {
            // It comes before whatever else is wrong.
            self.seen.first_bad.take_if(|bad| bad.event_seq > first);
            self.bad(self.begins, 0, first, BadReason::Removed);
        }
        match self.anchor {
            None if self.seen.segments > 0 => {
                self.bad(segment, 0, self.next(), BadReason::NoCheckpoint);
            }
            Some((vouched, _)) if vouched > self.seen.last_sequence => {
                self.bad(segment, 0, self.next(), BadReason::Truncated);
            }
            _ => {}
        }
    }
}
