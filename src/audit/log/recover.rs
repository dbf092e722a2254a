//! Opening a log after whatever happened to it: what is believed, what is moved aside.
//!
//! The rules are stated on [the log's page](super). Recovery only ever adds: it copies what it does not believe
//! to `*.torn` files, renames segments nothing of which can be placed, and leaves it to the writer to begin a
//! segment that supersedes the rest. So it can be interrupted anywhere and begun again.
//!
//! A segment that supersedes another may itself be torn, while the old one is whole on disk. Hence the walk takes
//! every frame it can chain, and a later segment replaces an earlier one's frames only where it has its own.

use std::io;

use super::format::{Begun, Chain, FormatError, Frame, HEADER_BYTES, LogId, SegmentHeader};
use super::frames::{Frames, Step};
use super::report::{Damage, Recovery};
use super::segments::{
    Segment, TORN, UNFINISHED, checkpoint, end_where_successors_begin, index_name, other_bytes,
    segments,
};
use super::storage::{Storage, read_whole};
use super::summary::Blocks;
use super::writer::{Active, Index, Mark, Sealed, Start};
use crate::audit::proof::note::origin;
use crate::audit::proof::notes::newest;

/// Most damaged places that are listed; the rest is counted.
const DAMAGES_MAX: usize = 1000;

/// Reads the state of a log off its files.
///
/// `random` becomes the identity of a log that has none yet.
pub(crate) fn recover(
    storage: &dyn Storage,
    random: LogId,
    segment_bytes_max: u64,
) -> io::Result<(Start, Recovery)> {
    let listed = storage.list()?;
    for (name, _) in listed.iter().filter(|(name, _)| name.ends_with(UNFINISHED)) {
        storage.remove(name)?;
    }
    let checkpoint = checkpoint(storage)?;
    let mut found = segments(storage)?;
    let of_header = |segment: &Segment| segment.header.as_ref().map(|header| header.log_id);
    let log_id = checkpoint
        .as_ref()
        .map(|checkpoint| checkpoint.log_id)
        .or_else(|| found.iter().rev().find_map(of_header))
        .unwrap_or(random);
    for segment in &mut found {
        segment.header.take_if(|header| header.log_id != log_id);
    }
    end_where_successors_begin(&mut found);

    let claimed = checkpoint.map(|checkpoint| Mark {
        sequence: checkpoint.sequence,
        chain: checkpoint.chain,
    });
    // A signed checkpoint is synced by itself, so it may be the newer one after a power cut.
    let signed = newest(storage)?.filter(|head| head.origin == origin(&log_id));
    let signed = signed.and_then(|head| {
        Some(Mark {
            sequence: head.size,
            chain: head.chain?,
        })
    });
    let claimed = claimed
        .into_iter()
        .chain(signed)
        .max_by_key(|mark| mark.sequence);
    let mut walk = Walk::new(storage, log_id, &found, claimed);
    let holds_limit = |segment: &Segment| {
        let header = segment.header.as_ref();
        header.is_some_and(|header| header.first_sequence <= walk.limit)
    };
    let begin = found.iter().rposition(holds_limit).unwrap_or(0);
    let suspect = found.split_off(begin);
    let mut settled = found;
    walk.clear_shells(&mut settled)?;
    walk.begin(&suspect);
    for segment in &suspect {
        walk.segment(segment)?;
    }
    let ordinals = listed
        .iter()
        .filter_map(|(name, _)| name.get(..12)?.parse::<u64>().ok())
        .max();
    let (mut start, recovery) = walk.finish(segment_bytes_max)?;
    for walked in &start.sealed {
        // A crash may have taken some of what its index speaks of: it is made again.
        drop(storage.remove(&index_name(walked.ordinal)));
    }
    let listed = storage.list()?;
    start.log_id = log_id;
    start.ordinal_next = ordinals.unwrap_or(0) + 1;
    start.sealed.splice(
        0..0,
        settled.iter().map(|segment| sealed(segment, segment.bytes)),
    );
    for sealed in &mut start.sealed {
        let index = index_name(sealed.ordinal);
        if listed.iter().any(|(listed, _)| *listed == index) {
            sealed.index = Index::Settled;
        }
    }
    if let Some(active) = &start.active {
        // It grows again: what the last close wrote of it would be out of date.
        drop(storage.remove(&index_name(active.ordinal)));
    }
    start.other_bytes = other_bytes(storage)?;
    Ok((start, recovery))
}

fn sealed(segment: &Segment, bytes: u64) -> Sealed {
    let header = segment.header.as_ref();
    Sealed {
        ordinal: segment.ordinal,
        first: header.map_or(0, |header| header.first_sequence),
        end: segment.end,
        bytes,
        index: Index::Absent,
    }
}

/// The walk over the segments a crash may have touched.
struct Walk<'s> {
    storage: &'s dyn Storage,
    /// How far frames were synced once.
    limit: u64,
    /// The furthest place up to the limit whose chain some file attests.
    attested: Mark,
    /// The last frame found up to the limit.
    synced: Mark,
    /// The frames after the limit that are believed, each with its mark and where its bytes begin.
    tail: Vec<(Mark, usize)>,
    unsynced: Vec<u8>,
    kept: Vec<Sealed>,
    /// The last segment kept, if it is whole and the log ends with it.
    open: Option<Segment>,
    recovery: Recovery,
}

/// Where the walk stands inside one segment.
struct Place {
    at: Mark,
    /// Damage met since the last frame taken.
    damage: Option<(usize, FormatError)>,
    /// The end of the last frame taken.
    believed: usize,
    taken: u64,
}

impl<'s> Walk<'s> {
    fn new(
        storage: &'s dyn Storage,
        log_id: LogId,
        found: &[Segment],
        claimed: Option<Mark>,
    ) -> Self {
        let headers = || found.iter().filter_map(|segment| segment.header.as_ref());
        let oldest = found.iter().find(|segment| !segment.is_superseded());
        let oldest = oldest.and_then(|segment| segment.header.as_ref());
        let limit = headers()
            .map(|header| header.synced_through)
            .chain(claimed.map(|mark| mark.sequence))
            // Only what was synced is ever dropped.
            .chain(oldest.map(before))
            .max()
            .unwrap_or(0);
        let begins = |header: &SegmentHeader| Mark {
            sequence: before(header),
            chain: header.chain,
        };
        let genesis = Mark {
            sequence: 0,
            chain: Chain::genesis(&log_id),
        };
        let attested = headers().map(begins).chain(claimed).chain([genesis]);
        let attested = attested
            .filter(|mark| mark.sequence <= limit)
            .max_by_key(|mark| mark.sequence)
            .unwrap_or(genesis);
        Self {
            storage,
            limit,
            attested,
            synced: genesis,
            tail: Vec::new(),
            unsynced: Vec::new(),
            kept: Vec::new(),
            open: None,
            recovery: Recovery::default(),
        }
    }

    /// Starts before the first segment that begins within the limit; what was before it is settled.
    fn begin(&mut self, suspect: &[Segment]) {
        let headers = suspect.iter().filter_map(|segment| segment.header.as_ref());
        let mut within = headers.filter(|header| before(header) <= self.limit);
        if let Some(header) = within.next() {
            self.synced = Mark {
                sequence: before(header),
                chain: header.chain,
            };
        }
    }

    /// Sets aside segments without header and without a frame of their own: the remains of one that was superseded before
    /// it was ever synced, or a file somebody emptied.
    fn clear_shells(&mut self, settled: &mut Vec<Segment>) -> io::Result<()> {
        for segment in settled
            .extract_if(.., |segment| segment.header.is_none())
            .collect::<Vec<_>>()
        {
            let bytes = read_whole(self.storage, &segment.name)?;
            let mut frames = Frames::new(&bytes, 0);
            let own =
                |step| matches!(step, Step::Frame { frame, .. } if frame.sequence < segment.end);
            if frames.any(own) {
                settled.push(segment);
            } else {
                self.set_aside(&segment, &bytes)?;
            }
        }
        settled.sort_by_key(|segment| segment.ordinal);
        Ok(())
    }

    fn last(&self) -> Mark {
        self.tail.last().map_or(self.synced, |(mark, _)| *mark)
    }

    /// The chain at a place of the tail, or where it begins.
    fn chain_at(&self, sequence: u64) -> Option<Chain> {
        if sequence == self.synced.sequence {
            return Some(self.synced.chain);
        }
        let index = usize::try_from(sequence.checked_sub(self.limit + 1)?).ok()?;
        self.tail.get(index).map(|(mark, _)| mark.chain)
    }

    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        let bytes = read_whole(self.storage, &segment.name)?;
        self.recovery.bytes_read += bytes.len() as u64;
        self.open = None;
        let damages = self.recovery.damages;
        let Some(mut place) = self.enter(segment) else {
            return self.set_aside(segment, &bytes);
        };
        for step in Frames::new(&bytes, HEADER_BYTES) {
            match step {
                Step::Damage { offset, reason, .. } => {
                    place.damage.get_or_insert((offset, reason));
                }
                Step::Frame { offset, frame } => {
                    if !self.take(segment, &mut place, &frame, offset, &bytes) {
                        break;
                    }
                }
            }
        }
        if segment.header.is_none() && place.taken == 0 {
            return self.set_aside(segment, &bytes);
        }
        let rest = bytes.get(place.believed..).unwrap_or_default();
        // What stands after the last frame of a segment that was superseded there is of no interest.
        if !rest.is_empty()
            && place.at.sequence >= self.limit
            && place.at.sequence + 1 < segment.end
        {
            self.quarantine(rest);
            self.copy_aside(&format!("{:012}-{}", segment.ordinal, place.believed), rest)?;
        }
        let whole = rest.is_empty() && self.recovery.damages == damages;
        if whole && segment.header.is_some() && place.at == self.last() {
            self.open = Some(segment.clone());
        }
        self.kept.push(sealed(segment, bytes.len() as u64));
        Ok(())
    }

    /// Where a segment joins what is known; `None` when nothing leads to it.
    fn enter(&mut self, segment: &Segment) -> Option<Place> {
        let at = match &segment.header {
            None => self.last(),
            Some(header) => {
                let at = Mark {
                    sequence: before(header),
                    chain: header.chain,
                };
                let joins = self.chain_at(at.sequence) == Some(at.chain);
                if !joins && at.sequence >= self.limit && self.synced.sequence == self.limit {
                    return None;
                }
                if at.sequence > self.limit && !joins {
                    return None;
                }
                if at.sequence > self.synced.sequence && at.sequence <= self.limit {
                    self.damage(segment, 0, FormatError::Short);
                    self.synced = at;
                }
                at
            }
        };
        Some(Place {
            at,
            damage: segment
                .header
                .is_none()
                .then_some((0, FormatError::Checksum)),
            believed: HEADER_BYTES,
            taken: 0,
        })
    }

    /// Takes one frame into the history. False when belief ends before it.
    fn take(
        &mut self,
        segment: &Segment,
        place: &mut Place,
        frame: &Frame<'_>,
        offset: usize,
        bytes: &[u8],
    ) -> bool {
        let next = place.at.sequence + 1;
        let chained = frame.sequence == next
            && frame.chain
                == place
                    .at
                    .chain
                    .after(frame.sequence, frame.kind, &frame.digest());
        let adjoins = chained && place.damage.is_none();
        // Up to the limit all frames were synced, so what is missing or changed there is damage, not the mark of
        // a crash, and what follows it stands.
        if !adjoins && (next > self.limit || frame.sequence > self.limit + 1) {
            return false;
        }
        if frame.sequence < next {
            place.damage.get_or_insert((offset, FormatError::Shape));
            return true;
        }
        if !adjoins {
            let (offset, reason) = place
                .damage
                .take()
                .unwrap_or((offset, FormatError::Checksum));
            self.damage(segment, offset, reason);
        }
        place.at = Mark {
            sequence: frame.sequence,
            chain: frame.chain,
        };
        place.believed = offset + frame.size();
        place.taken += 1;
        self.recovery.events += u64::from(frame.kind.is_event());
        if frame.sequence <= self.limit {
            self.synced = place.at;
        } else {
            self.take_unsynced(
                place.at,
                bytes.get(offset..place.believed).unwrap_or_default(),
            );
        }
        true
    }

    /// Puts a frame at its place of the tail; one that was there, and all after it, gives way unless it is the same.
    fn take_unsynced(&mut self, mark: Mark, bytes: &[u8]) {
        if self.chain_at(mark.sequence) == Some(mark.chain) {
            return;
        }
        let index = usize::try_from(mark.sequence - self.limit - 1).unwrap_or(usize::MAX);
        if let Some((_, start)) = self.tail.get(index) {
            self.unsynced.truncate(*start);
            self.tail.truncate(index);
        }
        self.tail.push((mark, self.unsynced.len()));
        self.unsynced.extend_from_slice(bytes);
    }

    fn damage(&mut self, segment: &Segment, offset: usize, reason: FormatError) {
        self.recovery.damages += 1;
        if self.recovery.damaged.len() < DAMAGES_MAX {
            self.recovery.damaged.push(Damage {
                segment: segment.ordinal,
                offset: offset as u64,
                after_sequence: self.last().sequence,
                reason,
            });
        }
    }

    fn set_aside(&mut self, segment: &Segment, bytes: &[u8]) -> io::Result<()> {
        self.quarantine(bytes);
        self.recovery.segments_set_aside += 1;
        let name = format!("{}{TORN}", segment.name);
        self.storage.rename(&segment.name, &name)
    }

    /// Counts what is not believed.
    fn quarantine(&mut self, bytes: &[u8]) {
        let whole = Frames::new(bytes, 0).filter(|step| matches!(step, Step::Frame { .. }));
        self.recovery.quarantined_events += whole.count() as u64;
        self.recovery.torn_bytes += bytes.len() as u64;
    }

    /// Keeps bytes under a name no earlier recovery used.
    fn copy_aside(&self, stem: &str, bytes: &[u8]) -> io::Result<()> {
        let taken = self.storage.list()?;
        let is_free = |name: &String| taken.iter().all(|(taken, _)| taken != name);
        let mut names = (0_u32..).map(|attempt| format!("{stem}-{attempt}{TORN}"));
        let name = names.find(is_free).unwrap_or_default();
        self.storage.create(&name)?.write_at(0, bytes)
    }

    fn finish(mut self, segment_bytes_max: u64) -> io::Result<(Start, Recovery)> {
        let missing = self.limit.saturating_sub(self.last().sequence);
        if missing > 0 {
            // Numbers once acknowledged are never given to other events.
            self.recovery.missing_events = missing;
            self.synced = Mark {
                sequence: self.limit,
                chain: self.attested.chain,
            };
        }
        if !self.tail.is_empty() {
            self.synced.sequence = self.limit;
        }
        let last = self.last();
        // A file is written on only when a sync of it is known to have succeeded: one that failed, perhaps in a
        // process before this, may have left it damaged in ways no later sync repairs.
        let is_synced = |header: &SegmentHeader| header.first_sequence <= self.limit;
        let writable = |segment: &Segment| {
            let is_last = segment.end == u64::MAX && missing == 0 && self.tail.is_empty();
            let synced = segment.header.as_ref().is_some_and(is_synced);
            is_last && synced && segment.bytes < segment_bytes_max
        };
        // What precedes a segment begun now ends with its last event only where that was just read as the end.
        let ends_whole = self.tail.is_empty()
            && missing == 0
            && self.open.as_ref().is_some_and(|open| {
                let header = open.header.as_ref();
                header.is_some_and(|header| header.first_sequence <= last.sequence)
            });
        let active = match self.open.take().filter(writable) {
            None => None,
            Some(segment) => {
                self.kept.pop();
                Some(continued(self.storage, &segment)?)
            }
        };
        self.recovery.last_sequence = last.sequence;
        let start = Start {
            log_id: LogId::default(),
            last,
            synced: self.synced,
            unsynced: self.unsynced,
            sealed: self.kept,
            active,
            begun: match ends_whole {
                true => Begun::InOrder,
                false => Begun::AfterFailure,
            },
            ordinal_next: 0,
            other_bytes: 0,
        };
        Ok((start, self.recovery))
    }
}

/// A whole segment opened to be written on.
fn continued(storage: &dyn Storage, segment: &Segment) -> io::Result<Active> {
    let file = storage.open(&segment.name)?;
    let bytes = file.read_at(0, usize::MAX)?;
    Ok(Active {
        ordinal: segment.ordinal,
        first: segment
            .header
            .as_ref()
            .map_or(1, |header| header.first_sequence),
        file,
        end: bytes.len() as u64,
        blocks: Blocks::read(&bytes, HEADER_BYTES),
    })
}

/// The sequence before a segment's first.
fn before(header: &SegmentHeader) -> u64 {
    header.first_sequence.saturating_sub(1)
}
