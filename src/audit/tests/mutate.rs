//! Ten thousand seeded changes to the files of a closed log: `verify` names each, in the file that was changed.
//!
//! `RG_MUTATIONS` sets how many are made; `RG_MUTATION` names one alone.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;

use super::tamper::frames;
use super::{event, options};
use crate::audit::log::encrypted::{Encrypted, KeyRing};
use crate::audit::log::storage::{Storage, StorageFile};
use crate::audit::verify::verify_storage;
use crate::audit::{BadReason, Log, LogOptions, Trust, Verification};

type Files = BTreeMap<String, Vec<u8>>;

/// Files that hold no history: one is locked, the other is room.
const NO_HISTORY: [&str; 2] = ["lock", "reserve"];
const MUTATIONS: u64 = 300;
const KEY: [u8; 32] = [4; 32];

/// A folder in memory, to be read.
struct Folder(Arc<Files>);

struct Content(Arc<Files>, String);

fn read_only() -> io::Error {
    io::ErrorKind::ReadOnlyFilesystem.into()
}

impl Storage for Folder {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let size = |(name, bytes): (&String, &Vec<u8>)| (name.clone(), bytes.len() as u64);
        Ok(self.0.iter().map(size).collect())
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        Err(read_only())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.0.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Content(self.0.clone(), name.to_owned())))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Err(read_only())
    }
}

impl StorageFile for Content {
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).unwrap();
        let rest = self.0[&self.1].get(from..).unwrap_or_default();
        Ok(rest[..rest.len().min(bytes_max)].to_vec())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The files of a log that was opened, signed and closed four times; some of it was erased.
fn closed(keys: &KeyRing) -> Files {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit");
    let options = LogOptions {
        signing_key_file: dir.path().join("audit-signing.key"),
        encryption: keys.clone(),
        ..options(&audit)
    };
    let mut n = 0;
    for through in [90, 180, 270, 360] {
        let (log, _) = Log::open(&options).unwrap();
        while n < through {
            n += 1;
            log.append(&event(n)).unwrap();
        }
        log.close();
    }
    let entries = fs::read_dir(&audit).unwrap().map(|entry| entry.unwrap());
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    let mut files: Files = entries.map(file).collect();
    files.retain(|name, _| !NO_HISTORY.contains(&name.as_str()));
    let segments = files.keys().filter(|name| name.ends_with(".seg"));
    assert!(segments.count() > 3);
    files
}

fn verified(files: Files, keys: &KeyRing) -> Verification {
    let storage = Encrypted::new(Folder(Arc::new(files)), keys.clone());
    let trust = Trust {
        was_there: true,
        ..Trust::default()
    };
    verify_storage(&storage, &trust).unwrap()
}

/// SplitMix64: a seed gives a change.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn one_of<'n>(&mut self, names: &[&'n String]) -> &'n String {
        names[self.below(names.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// What was done, and to which files.
struct Done {
    what: String,
    files: Vec<String>,
}

/// Changes the files in one way.
fn change(files: &mut Files, plain: bool, random: &mut Random) -> Done {
    let original = files.clone();
    let names: Vec<&String> = original.keys().collect();
    let ending = |end: &str| -> Vec<&String> {
        names
            .iter()
            .copied()
            .filter(|name| name.ends_with(end))
            .collect()
    };
    let segments = ending(".seg");
    let name = match random.below(2) {
        0 => random.one_of(&segments),
        _ => random.one_of(&names),
    };
    let kind = random.below(if plain { 14 } else { 11 });
    let mut touched = vec![name.clone()];
    let bytes = files.get_mut(name).unwrap();
    let at = random.below(bytes.len());
    match kind {
        0..4 => bytes[at] ^= 1 << random.below(8),
        4 => bytes[at] = bytes[at].wrapping_add(u8::try_from(1 + random.below(255)).unwrap()),
        5 => bytes.truncate(at),
        6 => {
            let count = 1 + random.below(200);
            bytes.extend(random.bytes(count));
        }
        7 => {
            let end = (at + 1 + random.below(512)).min(bytes.len());
            bytes[at..end].fill(0);
        }
        8 => {
            files.remove(name);
        }
        9 => {
            let end = (at + 1 + random.below(300)).min(bytes.len());
            bytes.drain(at..end);
        }
        10 => {
            // Another file of the kind in its place, or an old segment once more.
            let kind = name.rsplit('.').next().unwrap();
            let others = ending(kind);
            let other = random.one_of(&others);
            let copy = original[other].clone();
            let into = match (random.below(3), name.ends_with(".seg")) {
                (0, true) => format!("{:012}.seg", 20 + random.below(3)),
                _ => name.clone(),
            };
            touched.push(into.clone());
            files.insert(into, copy);
        }
        _ => {
            let name = random.one_of(&segments);
            touched = vec![name.clone()];
            files.insert(name.clone(), reordered(&original[name], kind, random));
        }
    }
    Done {
        what: format!("change {kind} at {at}"),
        files: touched,
    }
}

/// A segment with an event taken out, moved or repeated.
fn reordered(bytes: &[u8], kind: usize, random: &mut Random) -> Vec<u8> {
    let places = frames(bytes);
    let (start, end) = places[random.below(places.len())];
    let event = bytes[start..end].to_vec();
    let mut out = bytes.to_vec();
    let to = places[random.below(places.len())].1;
    match kind {
        11 => drop(out.drain(start..end)),
        12 => {
            out.splice(to..to, event);
        }
        _ if to <= start => {
            out.drain(start..end);
            out.splice(to..to, event);
        }
        _ => {
            out.splice(to..to, event);
            out.drain(start..end);
        }
    }
    out
}

/// Whether `verify` has named a change, in one of the files that were changed.
fn names(found: &Verification, done: &Done) -> bool {
    let is_named = |file: &String| {
        let told = found.bad.iter().any(|bad| bad.file.to_string() == *file);
        // An index that is gone is made again: worth telling, and no reason to distrust the log.
        told || file.ends_with(".idx")
            && found
                .remarks
                .iter()
                .any(|said| said.starts_with(file.as_str()))
    };
    let gone_with = |bad: &crate::audit::Bad| {
        matches!(
            bad.reason,
            BadReason::Gap
                | BadReason::Truncated
                | BadReason::Removed
                | BadReason::Unsigned
                | BadReason::Order
                | BadReason::Chain
                | BadReason::Signature
                | BadReason::NoCheckpoint
        )
    };
    done.files.iter().any(is_named) || found.bad.iter().any(gone_with)
}

fn mutations() -> (std::ops::Range<u64>, bool) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    match number("RG_MUTATION") {
        Some(only) => (only..only + 1, true),
        None => (0..number("RG_MUTATIONS").unwrap_or(MUTATIONS), false),
    }
}

fn every_change_is_named(keys: &KeyRing, plain: bool) {
    let original = closed(keys);
    let untouched = verified(original.clone(), keys);
    assert!(untouched.is_sound(), "{untouched:?}");
    assert_eq!(untouched.remarks, [""; 0]);
    let (seeds, _) = mutations();
    let (mut made, mut remarked) = (0, 0);
    for seed in seeds {
        let mut files = original.clone();
        let done = change(&mut files, plain, &mut Random(seed));
        if files == original {
            continue;
        }
        made += 1;
        let found = verified(files, keys);
        let what = &done.what;
        assert!(
            names(&found, &done),
            "seed {seed}: {what} of {:?} was not named: {:?} {:?}",
            done.files,
            found.bad,
            found.remarks
        );
        remarked += u64::from(found.is_sound());
    }
    // To be seen with --nocapture, where somebody counts them.
    println!("{made} changes, all named; {remarked} of them only remarked: an index removed");
}

#[test]
fn every_change_to_any_file_of_a_plain_log_is_named() {
    every_change_is_named(&KeyRing::default(), true);
}

#[test]
fn every_change_to_any_file_of_an_encrypted_log_is_named() {
    every_change_is_named(&KeyRing::of(&[KEY]), false);
}

#[test]
fn what_is_gone_altogether_is_named() {
    let keys = KeyRing::default();
    let original = closed(&keys);
    let reasons = |gone: &dyn Fn(&str) -> bool| {
        let mut files = original.clone();
        files.retain(|name, _| !gone(name));
        let found = verified(files, &keys);
        found.bad.iter().map(|bad| bad.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(&|_| true), [BadReason::Unsigned, BadReason::NoLog]);
    let signatures = |name: &str| ["checkpoints.signed", "keys.pub"].contains(&name);
    assert_eq!(reasons(&signatures), [BadReason::Unsigned]);
    let segments = |name: &str| name.ends_with(".seg") || name.ends_with(".idx");
    assert!(reasons(&segments).contains(&BadReason::NoLog));
    let checkpoint = |name: &str| name == "checkpoint";
    assert_eq!(reasons(&checkpoint), [BadReason::NoCheckpoint]);
}

#[test]
fn a_closed_log_without_its_newest_signature_is_named() {
    let keys = KeyRing::default();
    let mut files = closed(&keys);
    let text = String::from_utf8(files["checkpoints.signed"].clone()).unwrap();
    // Where each begins; its own name is in the signature line as well. A slow machine signs in between, too.
    let names = text.match_indices("rg-gateway/audit/").map(|(at, _)| at);
    let begins: Vec<usize> = names.step_by(2).collect();
    let newest = begins[begins.len() - 1];
    let before = &text[begins[begins.len() - 2]..newest];
    let signed: u64 = before.lines().nth(1).unwrap().parse().unwrap();
    files.insert(
        "checkpoints.signed".to_owned(),
        text.as_bytes()[..newest].to_vec(),
    );
    let bad = verified(files, &keys).first_bad.unwrap();
    assert_eq!(
        (bad.event_seq, bad.reason),
        (signed + 1, BadReason::Unsigned)
    );
    assert!(signed >= 270, "each run signs at its end");
}

#[tokio::test]
async fn a_log_that_crashed_may_have_a_torn_slot_and_a_torn_event() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    for n in 1..=5 {
        let position = log.append(&event(n)).unwrap();
        log.synced(position).await.unwrap();
    }
    // As it lies there while the gateway runs, and so as a crash leaves it.
    let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let mut slots = read("checkpoint");
    slots[17] ^= 4;
    fs::write(dir.path().join("checkpoint"), slots).unwrap();
    let mut segment = read("000000000001.seg");
    segment.extend([7; 30]);
    fs::write(dir.path().join("000000000001.seg"), segment).unwrap();
    let found = crate::audit::verify(dir.path(), &Trust::default()).unwrap();
    assert!(found.is_sound(), "{found:?}");
    assert_eq!(found.tail_bytes, 30);
    assert!(
        found.remarks[0].contains("torn by a crash"),
        "{:?}",
        found.remarks
    );
}
