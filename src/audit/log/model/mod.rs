//! The log against a list: seeded schedules of appends, syncs, faults, crashes and power cuts.
//!
//! After each crash the reopened log must be the list up to some point: everything acknowledged at its
//! durability, in order, nothing invented. A failure prints its seed; `RG_SEEDS` sets how many are tried.

mod erasing;
mod keeping;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::sync::Arc;

use ring::signature::Ed25519KeyPair;
use uuid::Uuid;

use super::encrypted::{Encrypted, HEAD_BYTES, KeyRing};
use super::format::HEADER_BYTES;
use super::options::{Durability, WhenFull};
use super::recover::recover;
use super::report::Recovery;
use super::segments::checkpoint;
use super::simulated::{Faults, Random, Simulated};
use super::storage::Storage;
use super::summary::Traits;
use super::upkeep::SyncJob;
use super::writer::{Entry, Limits, Writer};
use crate::audit::event::{AuditEvent, EventType, Severity};
use crate::audit::proof::Trust;
use crate::audit::proof::notary::Notary;
use crate::audit::proof::note::Signer;
use crate::audit::read::ReadAll;
use crate::audit::verify::{BadReason, LogFile, verify_storage};
use crate::audit::{AppendError, Position};

const SEEDS: u64 = 10_000;

/// How a record of what was dropped begins.
const DROPPED: &str =
    r#"{"endpoint":"audit.log.dropped","method":"SYSTEM","details":{"last_sequence":"#;

/// An event as the model knows it: its sequence and its JSON.
type Events = Vec<(u64, String)>;

struct World {
    random: Random,
    disk: Simulated,
    /// Half of the logs are encrypted.
    keys: KeyRing,
    limits: Limits,
    /// What the writer writes to.
    storage: Arc<dyn Storage>,
    writer: Option<Writer>,
    notary: Option<Notary>,
    job: Option<(SyncJob, Option<io::Result<()>>)>,
    /// What was acknowledged, by sequence; and how far at least the kernel and the disk have it.
    acknowledged: HashMap<u64, String>,
    last: u64,
    written: u64,
    synced: u64,
    /// What was offered for a sequence and not acknowledged.
    offered: HashMap<u64, HashSet<String>>,
    /// What an erasure may have taken: a whole event, or its personal part and what is then left of it.
    gone: BTreeSet<u64>,
    redacted: HashMap<u64, String>,
    /// What was meant to be erased by an erasure that did not come to its end.
    left_over: HashMap<u64, String>,
    count: u64,
    faulty: bool,
    /// Whether the disk was ever full, where segments go before they are recorded.
    was_full: bool,
    /// Whether the log was signed since it was opened, which mends the file of signatures.
    signed: bool,
    traits: Traits,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let durability =
            [Durability::Relaxed, Durability::Written, Durability::Synced][random.below(3)];
        let drops = random.chance(20);
        let limits = Limits {
            durability,
            segment_bytes_max: 600 + random.below(4000) as u64,
            total_bytes_max: if drops { 12_000 } else { 1 << 30 },
            reserve_bytes: 1000,
            when_full: if drops {
                WhenFull::DropOldest
            } else {
                WhenFull::Refuse
            },
        };
        let event = AuditEvent::new(Uuid::nil(), 0, EventType::SystemEvent, Severity::Info);
        let keys: &[[u8; 32]] = if random.chance(50) { &[[6; 32]] } else { &[] };
        let (disk, keys) = (Simulated::new(random.next()), KeyRing::of(keys));
        Self {
            storage: Arc::new(Encrypted::new(disk.clone(), keys.clone())),
            disk,
            keys,
            random,
            limits,
            writer: None,
            notary: None,
            job: None,
            acknowledged: HashMap::new(),
            last: 0,
            written: 0,
            synced: 0,
            offered: HashMap::new(),
            gone: BTreeSet::new(),
            redacted: HashMap::new(),
            left_over: HashMap::new(),
            count: 0,
            faulty: false,
            was_full: false,
            signed: false,
            traits: Traits::of(&event),
        }
    }

    fn append(&mut self) {
        self.count += 1;
        let pad = "x".repeat(self.random.below(200));
        self.append_json(format!("{{\"n\":{},\"pad\":\"{pad}\"}}", self.count));
    }

    fn append_json(&mut self, json: String) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let personal_from = json.find(",\"pad\"").unwrap_or(json.len());
        let entry = Entry::new(json.as_bytes(), personal_from, [5; 32], self.traits.clone());
        let entry = entry.making_room(json.starts_with(DROPPED));
        match writer.append(&entry) {
            Ok(position) => {
                assert_eq!(position.0, self.last + 1, "sequences have no gaps");
                self.last = position.0;
                self.acknowledged.insert(position.0, json);
                if self.limits.durability != Durability::Relaxed {
                    self.written = position.0;
                }
            }
            Err(_) => {
                self.offered.entry(self.last + 1).or_default().insert(json);
            }
        }
    }

    fn sync_step(&mut self) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        match self.job.take() {
            None => {
                if let Some(job) = writer.begin_sync() {
                    self.written = self.last;
                    self.job = Some((job, None));
                }
            }
            Some((job, None)) => {
                let result = job.run(&*self.storage);
                self.job = Some((job, Some(result)));
            }
            Some((job, Some(result))) => {
                let events = writer.finish_sync(job, result, 0);
                let synced = writer.synced_sequence();
                if let (Ok(events), Some(notary)) = (events, &mut self.notary) {
                    notary.absorb(&events);
                }
                assert!(synced >= self.synced, "synced never goes back");
                self.synced = synced;
            }
        }
    }

    fn sign(&mut self) {
        if let (Some(writer), Some(notary)) = (&mut self.writer, &mut self.notary) {
            let mark = writer.synced_mark();
            if notary.is_behind(mark.sequence) {
                let signed = notary.sign(mark, 0);
                self.signed |= signed.is_ok();
                writer.count_signature(&signed);
            }
            assert!(!notary.is_broken(), "what was signed is what is there");
        }
    }

    fn faults(&mut self) {
        let faults = match self.random.below(6) {
            0 => Faults {
                write: 30,
                ..Faults::default()
            },
            1 => Faults {
                sync: 50,
                ..Faults::default()
            },
            2 => Faults {
                full: true,
                ..Faults::default()
            },
            3 => Faults {
                write: 10,
                sync: 20,
                names: 20,
                full: false,
            },
            _ => Faults::default(),
        };
        self.set_faults(faults);
    }

    fn set_faults(&mut self, faults: Faults) {
        self.faulty = faults != Faults::default();
        self.was_full |= faults.full;
        self.disk.set_faults(faults);
    }

    /// Opens the log as the gateway does: recover, sync, go on.
    fn open(&mut self) -> io::Result<Recovery> {
        let storage: Arc<dyn Storage> = Arc::new(self.fresh());
        self.storage = storage.clone();
        let (start, recovery) = recover(&*storage, [9; 16], self.limits.segment_bytes_max)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap();
        let log_id = start.log_id;
        let notary = Notary::open(storage.clone(), log_id, Signer::new(pair, &log_id))?;
        let mut writer = Writer::start(storage.clone(), self.limits.clone(), start)?;
        writer.set_signed(notary.signed());
        writer.mark_open(0)?;
        writer.settle(0)?;
        self.signed = !notary.is_behind(writer.synced_sequence());
        self.notary = Some(notary);
        self.writer = Some(writer);
        if self.random.chance(80) {
            self.sign();
        }
        Ok(recovery)
    }

    /// The disk, as a process that just began sees it.
    fn fresh(&self) -> Encrypted<Simulated> {
        Encrypted::new(self.disk.clone(), self.keys.clone())
    }

    fn events(&self) -> Events {
        ReadAll::over(Box::new(self.fresh()))
            .map_while(Result::ok)
            .map(|event| (event.position.0, event.json.get().to_owned()))
            .collect()
    }

    /// The writer is gone; the log is opened again and compared with the list.
    fn reopen(&mut self, required: u64) {
        self.writer = None;
        self.notary = None;
        self.job = None;
        if self.random.chance(70) {
            self.set_faults(Faults::default());
        }
        if let Ok(recovery) = self.open() {
            return self.compare(required, &recovery);
        }
        // Opening itself may be cut short, and must not make things worse.
        let mut required = required;
        if self.random.chance(50) {
            self.disk.cut_power();
            required = required.min(self.synced);
        }
        self.set_faults(Faults::default());
        let recovery = self.open().expect("a sound disk can be opened");
        self.compare(required, &recovery);
    }

    fn compare(&mut self, required: u64, recovery: &Recovery) {
        assert_eq!(
            (recovery.damages, recovery.missing_events),
            (0, 0),
            "no damage without rot"
        );
        let events = self.events();
        let first = events
            .first()
            .map_or(self.last + 1, |(sequence, _)| *sequence);
        if self.limits.when_full == WhenFull::Refuse {
            assert!(
                self.all_gone(1, first) || events.is_empty(),
                "nothing is dropped"
            );
        }
        let mut next = first;
        for (sequence, json) in &events {
            assert!(*sequence >= next, "no reordering");
            assert!(self.all_gone(next, *sequence), "no gaps");
            next = sequence + 1;
            let acknowledged = self.acknowledged.get(sequence) == Some(json)
                || self.redacted.get(sequence) == Some(json);
            let offered = self
                .offered
                .get(sequence)
                .is_some_and(|offered| offered.contains(json));
            assert!(
                acknowledged || (offered && *sequence > required),
                "invented: {sequence} {json}"
            );
        }
        // A log that drops may have dropped all but an empty segment.
        let last = recovery.last_sequence;
        assert!(events.is_empty() || self.all_gone(next, last + 1));
        let may_be_empty = self.limits.when_full == WhenFull::DropOldest;
        assert!(!events.is_empty() || self.all_gone(1, last + 1) || may_be_empty);
        assert!(last >= required, "lost: has {last}, must have {required}");
        // Their sequences are given to other events.
        self.gone.retain(|sequence| *sequence <= last);
        self.redacted.retain(|sequence, _| *sequence <= last);
        for sequence in last + 1..=self.last {
            let lost = self.acknowledged.remove(&sequence);
            self.offered.entry(sequence).or_default().extend(lost);
        }
        for (sequence, json) in events {
            self.acknowledged.insert(sequence, json);
        }
        (self.last, self.written, self.synced) = (last, last, last);
        let verification = verify_storage(&self.fresh(), &Trust::default()).unwrap();
        let mut bad = verification.bad.iter();
        let bad = bad.find(|bad| {
            // Its events are none, so that its indexes cannot be compared.
            bad.reason != BadReason::Index &&
            // Where even the checkpoint cannot be written, none can be asked for.
            (bad.reason != BadReason::NoCheckpoint || !self.faulty)
                && (bad.reason != BadReason::Signature || self.signed)
                && (bad.reason != BadReason::Removed || !self.was_full)
        });
        assert_eq!(bad, None, "verify is clean after recovery");
        assert_eq!(verification.last_sequence, last);
    }

    /// Whether this stood on the disk and may still do so where nobody reads.
    fn was_once(&self, (sequence, json): &(u64, String)) -> bool {
        let offered = self.offered.get(sequence);
        offered.is_some_and(|offered| offered.contains(json))
            || self.left_over.get(sequence) == Some(json)
            // An erasure that was asked for and cut short may have left its copy behind.
            || self.redacted.get(sequence) == Some(json)
    }

    /// Whether all of these were erased.
    fn all_gone(&self, from: u64, to: u64) -> bool {
        (from..to).all(|sequence| self.gone.contains(&sequence))
    }

    /// A bit flips while the log is closed: it is noticed, located, and no wrong event is accepted.
    fn rot(&mut self) {
        self.writer = None;
        self.notary = None;
        self.set_faults(Faults::default());
        let vouched = checkpoint(&self.fresh())
            .unwrap()
            .map_or(0, |checkpoint| checkpoint.sequence);
        let before = self.events();
        let tail_before = verify_storage(&self.fresh(), &Trust::default())
            .unwrap()
            .tail_bytes;
        let Some((name, at)) = self.disk.rot(|name| name.ends_with(".seg")) else {
            return;
        };
        let after: Vec<_> = ReadAll::over(Box::new(self.fresh()))
            .filter_map(Result::ok)
            .map(|event| (event.position.0, event.json.get().to_owned()))
            .collect();
        // With its successor's header gone, a superseded segment may show an event that was offered and refused.
        let known = |event: &(u64, String)| self.was_once(event) || before.contains(event);
        assert!(after.iter().all(known), "a wrong event was read");
        let verification = verify_storage(&self.fresh(), &Trust::default()).unwrap();
        let noticed = !verification.is_sound() || verification.tail_bytes > tail_before;
        assert!(
            after == before || noticed,
            "rot in {name} at {at} went unseen"
        );
        if let Some(bad) = &verification.first_bad
            && verification.bad_total == 1
            && matches!(bad.file, LogFile::Segment(_))
            // What was damaged may be the record of a drop or an erasure: then that is what is missing.
            && !matches!(bad.reason, BadReason::Removed | BadReason::Erased)
            && at >= HEAD_BYTES + HEADER_BYTES
            && after != before
        {
            assert_eq!(bad.file.to_string(), name, "located in the wrong segment");
        }
        let recovery = self.open().expect("a damaged log still opens");
        let kept: Vec<_> = ReadAll::over(Box::new(self.fresh()))
            .filter_map(Result::ok)
            .map(|event| (event.position.0, event.json.get().to_owned()))
            .collect();
        let known = |event: &(u64, String)| self.was_once(event) || before.contains(event);
        assert!(kept.iter().all(known), "a wrong event was believed");
        assert!(
            kept.len() == before.len() || noticed || !recovery.is_clean(),
            "a silent loss"
        );
        let mut next = self.append_after_rot();
        if let Err(AppendError::SyncBehind) = next {
            // What is to be dropped first waits for its record to be synced.
            self.last = recovery.last_sequence;
            self.synced = self.synced.min(self.last);
            self.keep_house();
            (0..6).for_each(|_| self.sync_step());
            next = self.append_after_rot();
        }
        if let Err(AppendError::Full) = next {
            // Nobody signs here, and what is not signed is not dropped.
            return;
        }
        let next = next.unwrap();
        assert!(
            next.0 > vouched,
            "a synced sequence was given to another event"
        );
    }
}

impl World {
    fn append_after_rot(&mut self) -> Result<Position, AppendError> {
        let entry = Entry::new(b"{\"new\":true}", 1, [5; 32], self.traits.clone());
        self.writer.as_mut().unwrap().append(&entry)
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    world.open().expect("an empty disk can be opened");
    for _ in 0..world.random.below(60) + 10 {
        match world.random.below(100) {
            0..45 => world.append(),
            45..48 => world.erase(),
            48..71 => world.sync_step(),
            71..75 => world.sign(),
            75..80 => world.faults(),
            80..85 => {
                world.keep_house();
            }
            85..88 => {
                if let Some(job) = world.writer.as_mut().and_then(Writer::index_job) {
                    job.run(&*world.storage);
                }
            }
            88..93 => {
                let written = world.written;
                world.reopen(written);
            }
            93..98 => {
                world.disk.cut_power();
                let synced = world.synced;
                world.reopen(synced);
            }
            _ => {
                for _ in 0..6 {
                    world.sync_step();
                }
                if world.random.chance(50) {
                    world.close();
                }
                let written = world.written;
                world.reopen(written);
            }
        }
    }
    if world.random.chance(50) {
        world.rot();
    }
}

#[test]
fn acknowledged_events_survive_every_schedule() {
    let seeds = std::env::var("RG_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(SEEDS);
    let only: Option<u64> = std::env::var("RG_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    let failed: Vec<u64> = std::thread::scope(|scope| {
        let worker = move |thread: u64| {
            scope.spawn(move || {
                let seeds = only.map_or(0..seeds, |only| only..only + 1);
                let mut seeds = seeds.filter(|seed| seed % threads == thread);
                seeds.find(|seed| std::panic::catch_unwind(|| run(*seed)).is_err())
            })
        };
        let workers: Vec<_> = (0..threads).map(worker).collect();
        workers
            .into_iter()
            .filter_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert!(
        failed.is_empty(),
        "failing seeds: {failed:?}; RG_SEED=<seed> runs one alone"
    );
}
