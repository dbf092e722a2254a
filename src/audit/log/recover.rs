//! Opening a log after whatever happened to it: what is believed, what is moved aside.
//!
//! The rules are stated on [the log's page](super). Everything up to the newest checkpoint was synced
//! once: a hole there is damage, and what follows it is still believed. After the checkpoint the kernel
//! may have written back any subset of pages, so belief ends at the first frame that is not whole, not
//! next in sequence or not chained to its predecessor. Nothing is deleted: bytes that are not believed
//! move to `*.torn` files.

use std::io;

use super::format::{Chain, Frame, FormatError, HEADER_BYTES, Kind, LogId};
use super::frames::{Frames, Step};
use super::segments::{
    CHECKPOINT_FILE, LOCK_FILE, RESERVE_FILE, Segment, TORN, UNFINISHED, checkpoint,
    end_where_successors_begin, index_name, segments,
};
use super::storage::{Storage, read_whole};
use super::summary::Blocks;
use super::writer::{Active, Index, Mark, Sealed, Start};
use super::{Damage, Recovery};

/// Reads the state of a log off its files and mends what a crash left.
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
    let mut walk = Walk::new(storage, log_id, &found, claimed);
    let begin = walk.begin(&found);
    let (settled, suspect) = found.split_at(begin);
    for segment in suspect {
        walk.segment(segment)?;
    }
    let ordinals = listed.iter().filter_map(|(name, _)| name.get(..12)?.parse::<u64>().ok());
    let ordinal_next = ordinals.max().unwrap_or(0) + 1;
    let indexed = |ordinal: u64| {
        let name = index_name(ordinal);
        listed.iter().any(|(listed, _)| *listed == name)
    };
    let mut sealed: Vec<Sealed> = settled
        .iter()
        .map(|segment| Sealed {
            ordinal: segment.ordinal,
            first: segment.header.as_ref().map_or(1, |header| header.first_sequence),
            end: segment.end,
            bytes: segment.bytes,
            index: if indexed(segment.ordinal) { Index::Settled } else { Index::Absent },
        })
        .collect();
    let (mut start, recovery) = walk.finish(log_id, ordinal_next, segment_bytes_max)?;
    sealed.append(&mut start.sealed);
    start.sealed = sealed;
    start.other_bytes = other_bytes(storage)?;
    Ok((start, recovery))
}

/// Bytes of what was moved aside and of strangers' files.
fn other_bytes(storage: &dyn Storage) -> io::Result<u64> {
    let ours = |name: &str| {
        [CHECKPOINT_FILE, LOCK_FILE, RESERVE_FILE].contains(&name)
            || name.ends_with(".seg")
            || name.ends_with(".idx")
    };
    let files = storage.list()?;
    Ok(files
        .iter()
        .filter(|(name, _)| !ours(name))
        .map(|(_, bytes)| bytes)
        .sum())
}

/// The walk over the segments a crash may have touched.
struct Walk<'s> {
    storage: &'s dyn Storage,
    /// The last frame believed.
    last: Mark,
    /// The last one believed that was synced; `limit` is how far synced frames go.
    synced: Mark,
    limit: u64,
    /// Whether belief has ended; the rest is moved aside.
    cut: bool,
    /// The furthest mark any file attests.
    furthest: Mark,
    unsynced: Vec<u8>,
    sealed: Vec<Sealed>,
    /// The last believed segment: its bytes believed, and whether it can be written on.
    tail: Option<(Segment, usize, bool)>,
    recovery: Recovery,
}

impl<'s> Walk<'s> {
    fn new(
        storage: &'s dyn Storage,
        log_id: LogId,
        found: &[Segment],
        claimed: Option<Mark>,
    ) -> Self {
        let genesis = Mark {
            sequence: 0,
            chain: Chain::genesis(&log_id),
        };
        let headers = || found.iter().filter_map(|segment| segment.header.as_ref());
        let limit = headers()
            .map(|header| header.synced_through)
            .chain(claimed.map(|mark| mark.sequence))
            .max()
            .unwrap_or(0);
        // A header attests the place it begins at; only what was synced may not be reused.
        let furthest = headers()
            .filter(|header| header.first_sequence <= limit + 1)
            .map(|header| Mark {
                sequence: header.first_sequence - 1,
                chain: header.chain,
            })
            .chain(claimed)
            .max_by_key(|mark| mark.sequence)
            .unwrap_or(genesis);
        Self {
            storage,
            last: genesis,
            synced: genesis,
            limit,
            cut: false,
            furthest,
            unsynced: Vec::new(),
            sealed: Vec::new(),
            tail: None,
            recovery: Recovery::default(),
        }
    }

    /// Where unsynced frames may begin: the last segment that begins at or before the limit. Every
    /// frame of an earlier segment was synced, or is superseded.
    fn begin(&mut self, found: &[Segment]) -> usize {
        let begins = |segment: &Segment| {
            let header = segment.header.as_ref()?;
            (header.first_sequence <= self.limit + 1).then(|| Mark {
                sequence: header.first_sequence.saturating_sub(1),
                chain: header.chain,
            })
        };
        let start = found.iter().enumerate().rev().find_map(|(at, segment)| Some((at, begins(segment)?)));
        let Some((at, mark)) = start else {
            return 0;
        };
        self.last = mark;
        self.synced = mark;
        at
    }

    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        let bytes = read_whole(self.storage, &segment.name)?;
        self.recovery.bytes_read += bytes.len() as u64;
        if self.cut {
            return self.set_aside_whole(segment, &bytes);
        }
        let before = self.last.sequence;
        let mut believed = HEADER_BYTES;
        let mut pending: Option<(usize, FormatError)> =
            segment.header.is_none().then_some((0, FormatError::Checksum));
        let damages = self.recovery.damaged.len();
        for step in Frames::new(&bytes, HEADER_BYTES) {
            let (offset, frame) = match step {
                Step::Damage { offset, reason, .. } => {
                    pending.get_or_insert((offset, reason));
                    continue;
                }
                Step::Frame { frame, .. } if frame.sequence >= segment.end => break,
                Step::Frame { offset, frame } => (offset, frame),
            };
            if !self.believes(&frame, pending.is_none()) {
                if frame.sequence <= self.last.sequence && self.last.sequence < self.limit {
                    pending.get_or_insert((offset, FormatError::Shape));
                    continue;
                }
                self.cut = true;
                break;
            }
            if let Some((offset, reason)) = pending.take() {
                self.damage(segment, offset, reason);
            } else if frame.sequence != self.last.sequence + 1 {
                self.damage(segment, offset, FormatError::Short);
            }
            self.take(&frame, &bytes, offset);
            believed = offset + frame.size();
        }
        self.close(segment, &bytes, believed, before, damages)
    }

    /// Whether a whole frame is part of the history. `adjoining` says that no damage lies between it
    /// and the frame believed last.
    fn believes(&self, frame: &Frame<'_>, adjoining: bool) -> bool {
        let next = self.last.sequence + 1;
        if frame.sequence < next {
            return false;
        }
        let chained = frame.sequence == next
            && frame.chain == self.last.chain.after(frame.sequence, frame.kind, &frame.leaf());
        // Up to the limit all frames were synced, so what is missing or unchained there is damage,
        // not the mark of a crash.
        let missing_were_synced = frame.sequence - 1 <= self.limit;
        (chained && adjoining) || (missing_were_synced && (chained || next <= self.limit))
    }

    fn take(&mut self, frame: &Frame<'_>, bytes: &[u8], offset: usize) {
        self.last = Mark {
            sequence: frame.sequence,
            chain: frame.chain,
        };
        if frame.sequence <= self.limit {
            self.synced = self.last;
        } else {
            let whole = bytes.get(offset..offset + frame.size());
            self.unsynced.extend_from_slice(whole.unwrap_or_default());
        }
        self.recovery.events += u64::from(frame.kind == Kind::Event);
    }

    fn damage(&mut self, segment: &Segment, offset: usize, reason: FormatError) {
        // Bounded: a log of nothing but damage must not fill memory.
        const DAMAGES_MAX: usize = 1000;
        self.recovery.damages += 1;
        if self.recovery.damaged.len() < DAMAGES_MAX {
            self.recovery.damaged.push(Damage {
                segment: segment.ordinal,
                offset: offset as u64,
                after_sequence: self.last.sequence,
                reason,
            });
        }
    }

    /// Settles a segment: its believed part stays, the rest moves aside unless it is superseded.
    fn close(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        believed: usize,
        before: u64,
        damages: usize,
    ) -> io::Result<()> {
        let complete = self.last.sequence + 1 >= segment.end;
        let rest = bytes.get(believed..).unwrap_or_default();
        if self.last.sequence == before && segment.header.is_none() {
            // Nothing of it can be placed, and no header says what it should hold.
            return self.set_aside_whole(segment, bytes);
        }
        let ends_here = self.cut || self.last.sequence >= self.limit;
        if !complete && !rest.is_empty() && ends_here {
            self.cut = true;
            self.quarantine(rest);
            self.copy_aside(&format!("{:012}-{believed}", segment.ordinal), rest)?;
            self.storage.open(&segment.name)?.truncate(believed as u64)?;
        }
        let clean = self.recovery.damaged.len() == damages && segment.header.is_some();
        if let Some((previous, length, _)) = self.tail.take() {
            self.seal(&previous, length);
        }
        self.tail = Some((segment.clone(), believed, clean));
        Ok(())
    }

    fn seal(&mut self, segment: &Segment, length: usize) {
        let header = segment.header.as_ref();
        self.sealed.push(Sealed {
            ordinal: segment.ordinal,
            first: header.map_or(self.synced.sequence, |header| header.first_sequence),
            end: segment.end,
            bytes: length as u64,
            index: Index::Absent,
        });
    }

    fn set_aside_whole(&mut self, segment: &Segment, bytes: &[u8]) -> io::Result<()> {
        self.quarantine(bytes);
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
        let names = (0_u32..).map(|attempt| format!("{stem}-{attempt}{TORN}"));
        let name = names.into_iter().find(is_free).unwrap_or_default();
        let file = self.storage.create(&name)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        self.storage.sync_directory()
    }

    fn finish(
        mut self,
        log_id: LogId,
        ordinal_next: u64,
        segment_bytes_max: u64,
    ) -> io::Result<(Start, Recovery)> {
        let missing = self.furthest.sequence > self.last.sequence;
        if missing {
            // Numbers once acknowledged are never given to other events.
            self.recovery.missing_events = self.furthest.sequence - self.last.sequence;
            self.last = self.furthest;
            self.synced = self.furthest;
        }
        let mut active = None;
        if let Some((segment, length, clean)) = self.tail.take() {
            let writable = clean && !missing && self.unsynced.is_empty();
            if writable && segment.end == u64::MAX && (length as u64) < segment_bytes_max {
                let file = self.storage.open(&segment.name)?;
                let bytes = file.read_at(0, length)?;
                file.truncate(length as u64)?;
                active = Some(Active {
                    ordinal: segment.ordinal,
                    first: segment.header.as_ref().map_or(1, |header| header.first_sequence),
                    file,
                    end: length as u64,
                    blocks: Blocks::read(&bytes, HEADER_BYTES),
                });
            } else {
                self.seal(&segment, length);
            }
        }
        self.recovery.last_sequence = self.last.sequence;
        let start = Start {
            log_id,
            last: self.last,
            synced: self.synced,
            unsynced: self.unsynced,
            sealed: self.sealed,
            active,
            ordinal_next,
            other_bytes: 0,
        };
        Ok((start, self.recovery))
    }
}
