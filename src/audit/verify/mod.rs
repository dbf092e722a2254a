//! Checking that a log still says what was written: offline, read-only, with no trust in the writer.
//!
//! Every frame's checksum, sequence, chain and Merkle leaf is recomputed from the first segment kept to the last; the
//! tree must have the root of every signed checkpoint, and the end must reach the newest one; where history does not
//! begin with event 1, a record must tell that the log dropped what was before. The first place where this fails is
//! named. It works beside a running gateway as well: checkpoints are read first, so the log may
//! only be longer than they say.

mod beside;
mod drops;
mod place;

use std::io;
use std::path::Path;

use crate::audit::log::Chain;
use crate::audit::log::encrypted::read_only;
use crate::audit::log::format::{Begun, Frame, HEADER_BYTES, Kind};
use crate::audit::log::frames::{Frames, Step};
use crate::audit::log::segments::{Segment, segments};
use crate::audit::log::storage::Storage;
use crate::audit::proof::check::{Place, SignedCheck, Trust};
use crate::audit::proof::erasures::Erasures;
use crate::audit::proof::{Hash, TreeHead};
use beside::Compared;
use drops::Drops;
pub use place::{Bad, BadReason, LogFile};

/// Bad places and remarks that are listed; all are counted.
const LISTED_MAX: usize = 100;

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
    /// The first hundred, as they were found.
    pub bad: Vec<Bad>,
    /// What is worth knowing and not wrong: what a crash may have left, what is made again.
    pub remarks: Vec<String>,
}

impl Verification {
    /// Whether the log says what was written.
    pub fn is_sound(&self) -> bool {
        self.first_bad.is_none()
    }

    fn add(&mut self, bad: Bad) {
        self.bad_total += 1;
        self.first_bad.get_or_insert(bad);
        if self.bad.len() < LISTED_MAX {
            self.bad.push(bad);
        }
    }

    fn remark(&mut self, remark: String) {
        if self.remarks.len() < LISTED_MAX {
            self.remarks.push(remark);
        }
    }
}

/// Verifies the log in a directory. It changes nothing and takes no lock.
///
/// # Errors
///
/// When the directory or a file of it cannot be read at all.
pub fn verify(dir: &Path, trust: &Trust) -> io::Result<Verification> {
    match verify_storage(&read_only(dir)?, trust) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && trust.was_there => {
            let mut seen = Verification::default();
            seen.add(NO_LOG);
            Ok(seen)
        }
        verified => verified,
    }
}

/// What is said of a folder without a segment, where there must be one.
const NO_LOG: Bad = Bad {
    file: LogFile::Folder,
    offset: 0,
    event_seq: 1,
    reason: BadReason::NoLog,
};

pub(crate) fn verify_storage(storage: &dyn Storage, trust: &Trust) -> io::Result<Verification> {
    let signed = SignedCheck::open(storage, trust)?;
    let slots = beside::slots(storage)?;
    let checkpoint = slots.as_ref().and_then(|slots| slots.newest.as_ref());
    let mut segments = segments(storage)?;
    segments.retain(|segment| !segment.is_superseded());
    let first = segments.first().and_then(|segment| segment.header.as_ref());
    let log_id = checkpoint
        .map(|checkpoint| checkpoint.log_id)
        .or_else(|| first.map(|header| header.log_id));
    let mut check = Check {
        log_id,
        anchor: checkpoint.map(|c| (c.sequence, c.chain)),
        closed: checkpoint.is_some_and(|checkpoint| checkpoint.closed),
        last: None,
        seen: Verification {
            checkpoint_sequence: checkpoint.map(|checkpoint| checkpoint.sequence),
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
    let mut indexes = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let bytes = match read_segment(storage, segment) {
            Ok(bytes) => bytes,
            // Dropped by the writer since it was listed: history now begins later.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let bad = check.seen.bad_total;
        check.segment(segment, &bytes, at + 1 == segments.len());
        // Of a segment that is changed itself the index must differ, and may be the better witness.
        let index = if check.seen.bad_total == bad {
            beside::index(storage, segment, &bytes)?
        } else {
            (segment.ordinal, Compared::Same)
        };
        indexes.push((index, check.last));
    }
    let last = LogFile::Segment(segments.last().map_or(0, |segment| segment.ordinal));
    check.end(last);
    check.beside(storage, slots.as_ref(), indexes)?;
    if segments.is_empty() && (trust.was_there || beside::is_log(storage)?) {
        check.seen.add(NO_LOG);
    }
    Ok(check.seen)
}

/// Reads what a segment held when segments were listed. What is appended to the last one during a long look is not
/// covered by the signatures read before it, and would count as unsigned.
fn read_segment(storage: &dyn Storage, segment: &Segment) -> io::Result<Vec<u8>> {
    let bytes = usize::try_from(segment.bytes).unwrap_or(usize::MAX);
    storage.open(&segment.name)?.read_at(0, bytes)
}

struct Check<'s> {
    log_id: Option<[u8; 16]>,
    /// What the checkpoint vouches for.
    anchor: Option<(u64, Chain)>,
    /// Whether the log was closed in order, so that nothing may be unfinished.
    closed: bool,
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

    /// Takes over what the signatures showed. A forgery, or an event that is not the one whose hash is kept, shows only at
    /// the next signature, after other bad places of the same stretch.
    fn take_findings(&mut self) {
        for (place, reason) in std::mem::take(&mut self.signed.findings) {
            let later = |bad: &Bad| bad.event_seq > place.sequence;
            if matches!(reason, BadReason::Forged | BadReason::Leaf) {
                self.seen.first_bad.take_if(|bad| later(bad));
            }
            self.bad(place.file, place.offset, place.sequence, reason);
        }
    }

    fn bad(&mut self, file: LogFile, offset: usize, event_seq: u64, reason: BadReason) {
        self.seen.add(Bad {
            file,
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
        let file = LogFile::Segment(segment.ordinal);
        // A segment without a header is bad once it holds part of the history: a power cut also leaves the
        // empty shell of one that was superseded before it was ever synced.
        let mut headless = segment.header.is_none() && self.last.is_some();
        if headless && self.closed {
            headless = false;
            self.bad(file, 0, self.next(), BadReason::Header);
        }
        self.header(segment);
        // Damage counts once it is followed by an event, or the segment ends short of its successor.
        let mut damage = None;
        for step in Frames::new(bytes, HEADER_BYTES) {
            match step {
                Step::Damage { offset, .. } => damage = damage.or(Some(offset)),
                Step::Frame { offset, frame } if frame.sequence >= segment.end => {
                    damage = damage.or(Some(offset));
                    break;
                }
                Step::Frame { offset, frame } => {
                    if std::mem::take(&mut headless) {
                        self.bad(file, 0, self.next(), BadReason::Header);
                    }
                    let damaged = damage.take();
                    if let Some(at) = damaged {
                        self.bad(file, at, self.next(), BadReason::Damaged);
                    }
                    self.place(file, offset, &frame, damaged.is_some());
                }
            }
        }
        if let Some(at) = damage {
            self.rest(segment, at, bytes.len(), is_last);
        }
    }

    /// Judges the bytes after a segment's last event.
    fn rest(&mut self, segment: &Segment, at: usize, end: usize, is_last: bool) {
        let file = LogFile::Segment(segment.ordinal);
        let vouched = self.anchor.is_some_and(|(last, _)| last >= self.next());
        let complete = self.next() >= segment.end;
        if is_last && !vouched {
            self.seen.tail_bytes = (end - at) as u64;
            if self.closed {
                self.bad(file, at, self.next(), BadReason::Appended);
            }
        } else if !complete {
            self.bad(file, at, self.next(), BadReason::Damaged);
        } else if segment.ended == Begun::InOrder {
            self.bad(file, at, self.next(), BadReason::Appended);
        } else {
            let bytes = end - at;
            self.seen.remark(format!(
                "{file}: {bytes} bytes after its last event, which a crash or a failed write may have left"
            ));
        }
    }

    fn header(&mut self, segment: &Segment) {
        let file = LogFile::Segment(segment.ordinal);
        let Some(header) = &segment.header else {
            if self.last.is_none() {
                self.bad(file, 0, 1, BadReason::Header);
            }
            return;
        };
        if self.log_id.is_some_and(|log_id| log_id != header.log_id) {
            return self.bad(file, 0, header.first_sequence, BadReason::Foreign);
        }
        let before = header.first_sequence.saturating_sub(1);
        match self.last {
            None => {
                self.last = Some((before, header.chain));
                self.seen.first_sequence = header.first_sequence;
                self.begins = segment.ordinal;
            }
            Some((last, _)) if last < before => {
                self.bad(file, 0, last + 1, BadReason::Gap);
                self.last = Some((before, header.chain));
            }
            Some((last, chain)) if last == before && chain != header.chain => {
                self.bad(file, 0, last, BadReason::Chain);
                self.last = Some((before, header.chain));
            }
            Some(_) => {}
        }
    }

    /// Puts one frame in its place. After damage a gap before it is part of that damage.
    fn place(&mut self, file: LogFile, offset: usize, frame: &Frame<'_>, after_damage: bool) {
        let next = self.next();
        let sequence = frame.sequence;
        let digest = frame.digest();
        if sequence < next && self.last.is_some() {
            return self.bad(file, offset, sequence, BadReason::Order);
        }
        if sequence > next {
            if !after_damage {
                self.bad(file, offset, next, BadReason::Gap);
            }
        } else if let Some((_, chain)) = self.last
            && chain.after(sequence, frame.kind, &digest) != frame.chain
        {
            self.bad(file, offset, sequence, BadReason::Chain);
        }
        self.last = Some((sequence, frame.chain));
        self.seen.events += u64::from(frame.kind.is_event());
        let place = Place {
            file,
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
            self.bad(file, offset, sequence, BadReason::Rewritten);
        }
    }

    fn end(&mut self, file: LogFile) {
        self.seen.last_sequence = self.last.map_or(0, |(sequence, _)| sequence);
        self.seen.chain = self.last.map(|(_, chain)| chain);
        let last = Place {
            file,
            offset: 0,
            sequence: self.seen.last_sequence,
        };
        self.signed.end(last, self.closed);
        self.take_findings();
        for place in self.erasures.unrecorded() {
            self.bad(place.file, place.offset, place.sequence, BadReason::Erased);
        }
        if let Some(first) = self.drops.unrecorded(self.seen.first_sequence) {
            // It comes before whatever else is wrong.
            self.seen.first_bad.take_if(|bad| bad.event_seq > first);
            self.bad(LogFile::Segment(self.begins), 0, first, BadReason::Removed);
        }
        match self.anchor {
            None if self.seen.segments > 0 => {
                self.bad(file, 0, self.next(), BadReason::NoCheckpoint);
            }
            Some((vouched, _)) if vouched > self.seen.last_sequence => {
                self.bad(file, 0, self.next(), BadReason::Truncated);
            }
            _ => {}
        }
    }
}
