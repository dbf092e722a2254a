//! What somebody with a hex editor does to a log, and what `verify` says to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use tempfile::TempDir;

use super::{dropping_oldest, event, options, written};
use crate::audit::log::format::{
    CHECKPOINT_BYTES, Checkpoint, FRAME_HEADER_BYTES, Frame, HEADER_BYTES, SegmentHeader,
};
use crate::audit::log::frames::{Frames, Step};
use crate::audit::{Bad, BadReason, Log, Search, Trust, read_all, verify};

/// How somebody who knows the format tampers with a segment.
#[derive(Clone, Copy, Debug)]
enum Tampering {
    Flip,
    Delete,
    Swap,
    Repeat,
    Edit,
    Truncate,
    /// An event changed, and every hash and checksum after it made right again.
    Rewrite,
    /// An old segment in the place of a newer one.
    Replay,
}

const TAMPERINGS: [Tampering; 8] = [
    Tampering::Flip,
    Tampering::Delete,
    Tampering::Swap,
    Tampering::Repeat,
    Tampering::Edit,
    Tampering::Truncate,
    Tampering::Rewrite,
    Tampering::Replay,
];

pub(super) fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    Frames::new(bytes, HEADER_BYTES)
        .filter_map(|step| match step {
            Step::Frame { offset, frame } => Some((offset, offset + frame.size())),
            Step::Damage { .. } => None,
        })
        .collect()
}

fn edited(frame: &Frame<'_>) -> Vec<u8> {
    let text = String::from_utf8(frame.payload.to_vec()).unwrap();
    text.replace("POST", "GETT").into_bytes()
}

/// One segment after tampering; `None` when nothing changed.
fn tamper(bytes: &[u8], how: Tampering, at: usize, bit: u32) -> Option<Vec<u8>> {
    let frames = frames(bytes);
    let (start, end) = *frames.get(at % frames.len())?;
    let mut out = bytes.to_vec();
    match how {
        Tampering::Flip => out[at % bytes.len()] ^= 1 << (bit % 8),
        Tampering::Delete => {
            out.drain(start..end);
        }
        Tampering::Swap => {
            let (next_start, next_end) = *frames.get(at % frames.len() + 1)?;
            out.splice(
                start..next_end,
                [&bytes[next_start..next_end], &bytes[start..end]].concat(),
            );
        }
        Tampering::Repeat => {
            out.splice(end..end, bytes[start..end].to_vec());
        }
        Tampering::Edit => {
            let frame = Frame::decode(&bytes[start..]).unwrap();
            let payload = &edited(&frame);
            let mut forged = Vec::new();
            Frame { payload, ..frame }.encode(&mut forged);
            out.splice(start..end, forged);
        }
        Tampering::Truncate => out.truncate(start + bit as usize % FRAME_HEADER_BYTES),
        Tampering::Rewrite | Tampering::Replay => return None,
    }
    (out != bytes).then_some(out)
}

/// Changes one event and makes everything right that needs no key: the checksums and the chain of this and all later
/// segments, the unsigned checkpoint and, where asked for, the stored leaves of the tree.
fn rewrite(files: &mut BTreeMap<String, Vec<u8>>, sequence: u64, leaves_too: bool) {
    let mut chain = None;
    let mut last = 0;
    let names: Vec<String> = files
        .keys()
        .filter(|name| name.ends_with(".seg"))
        .cloned()
        .collect();
    for name in names {
        let bytes = files[&name].clone();
        let mut header = SegmentHeader::decode(&bytes).unwrap();
        header.chain = chain.unwrap_or(header.chain);
        let mut before = header.chain;
        let mut out = header.encode();
        for step in Frames::new(&bytes, HEADER_BYTES) {
            let Step::Frame { frame, .. } = step else {
                panic!("a whole log");
            };
            let payload = match frame.sequence == sequence {
                true => edited(&frame),
                false => frame.payload.to_vec(),
            };
            before = before.after(frame.sequence, frame.kind, &frame.parts().digest(&payload));
            let forged = Frame {
                chain: before,
                payload: &payload,
                ..frame
            };
            forged.encode(&mut out);
            last = frame.sequence;
            if leaves_too && frame.sequence == sequence {
                let at = usize::try_from(sequence - 1).unwrap() * 32;
                let tree = files.get_mut("tree-000000000000").unwrap();
                tree[at..at + 32].copy_from_slice(&forged.tree_leaf().0);
            }
        }
        chain = Some(before);
        files.insert(name, out);
    }
    let slots = files.get_mut("checkpoint").unwrap();
    let old = slots
        .chunks(CHECKPOINT_BYTES)
        .find_map(|slot| Checkpoint::decode(slot).ok());
    let forged = Checkpoint {
        sequence: last,
        chain: chain.unwrap(),
        ..old.unwrap()
    };
    *slots = [forged.encode(), forged.encode()].concat();
}

/// Tampers with a whole log; answers with the first event that may be named and the last.
fn tamper_with_log(
    files: &mut BTreeMap<String, Vec<u8>>,
    how: Tampering,
    (segment, at, bit): (prop::sample::Index, u32, u32),
) -> Option<(u64, u64)> {
    let names: Vec<String> = files
        .keys()
        .filter(|name| name.ends_with(".seg"))
        .cloned()
        .collect();
    let chosen = segment.index(names.len());
    let name = &names[chosen];
    let header = SegmentHeader::decode(&files[name]).unwrap();
    let end = match names.get(chosen + 1) {
        Some(next) => SegmentHeader::decode(&files[next]).unwrap().first_sequence,
        None => EVENTS + 1,
    };
    let first = header.first_sequence;
    match how {
        Tampering::Rewrite => {
            let sequence = first + u64::from(at) % (end - first);
            rewrite(files, sequence, bit % 2 == 0);
            // Without a stored leaf to contradict it, the stretch since the last good signature is named.
            let signed = SIGNED_AT.iter().rev().find(|signed| **signed < sequence);
            Some((signed.unwrap_or(&0) + 1, sequence))
        }
        Tampering::Replay => {
            let older = names
                .get((at as usize) % names.len())
                .filter(|older| *older != name)?;
            let bytes = files[older].clone();
            files.insert(name.clone(), bytes);
            Some((1, EVENTS + 1))
        }
        _ => {
            let tampered = tamper(&files[name], how, at as usize, bit)?;
            files.insert(name.clone(), tampered);
            Some((first.saturating_sub(1), end))
        }
    }
}

const EVENTS: u64 = 250;
/// How much of the log was signed, in order.
const SIGNED_AT: [u64; 4] = [60, 120, 180, 250];

/// A closed log that was signed several times as it grew.
fn signed_in_steps() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut n = 0;
    for through in SIGNED_AT {
        let (log, _) = Log::open(&options(dir.path())).unwrap();
        while n < through {
            n += 1;
            log.append(&event(n)).unwrap();
        }
        log.close();
    }
    dir
}

fn mutations() -> u32 {
    let asked = std::env::var("RG_MUTATIONS").ok();
    asked.map_or(1_000, |text| {
        text.parse().expect("RG_MUTATIONS is a number")
    })
}

#[test]
fn verify_names_whatever_is_done_to_the_segments_without_the_key() {
    let dir = signed_in_steps();
    let mut original = BTreeMap::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        original.insert(name, fs::read(path).unwrap());
    }
    assert!(
        original
            .keys()
            .filter(|name| name.ends_with(".seg"))
            .count()
            > 2
    );
    let copy = tempfile::tempdir().unwrap();
    let put = |files: &BTreeMap<String, Vec<u8>>, only: &dyn Fn(&str) -> bool| {
        for (name, bytes) in files.iter().filter(|(name, _)| only(name)) {
            fs::write(copy.path().join(name), bytes).unwrap();
        }
    };
    put(&original, &|_| true);
    let how = prop::sample::select(TAMPERINGS.to_vec());
    let place = (any::<prop::sample::Index>(), any::<u32>(), any::<u32>());
    let mut runner = TestRunner::new(ProptestConfig::with_cases(mutations()));
    let checked = runner.run(&(how, place), |(how, place)| {
        let mut files = original.clone();
        let Some((first, last)) = tamper_with_log(&mut files, how, place) else {
            return Ok(());
        };
        let changed = |name: &str| files[name] != original[name];
        put(&files, &changed);
        let found = verify(copy.path(), &Trust::default()).unwrap();
        put(&original, &changed);
        let Some(bad) = found.first_bad else {
            return Err(TestCaseError::fail(format!("{how:?} was not noticed")));
        };
        prop_assert!(
            (first..=last).contains(&bad.event_seq),
            "{how:?}: expected {first} to {last}: {bad:?}"
        );
        Ok(())
    });
    checked.unwrap();
    let untouched = verify(copy.path(), &Trust::default()).unwrap();
    assert!(untouched.is_sound(), "{untouched:?}");
    assert_eq!(untouched.signed.unwrap().size, EVENTS);
}

fn segment_files(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".seg")).collect();
    names.sort();
    names
}

/// The first bad place once the oldest segments are gone, and the first event that is left.
fn without_oldest(dir: &Path, count: usize) -> (Bad, u64) {
    for name in segment_files(dir).iter().take(count) {
        fs::remove_file(dir.join(name)).unwrap();
        fs::remove_file(dir.join(name.replace(".seg", ".idx"))).unwrap();
    }
    let oldest = segment_files(dir).remove(0);
    let header = SegmentHeader::decode(&fs::read(dir.join(&oldest)).unwrap()).unwrap();
    let bad = verify(dir, &Trust::default()).unwrap().first_bad.unwrap();
    assert_eq!(bad.file.to_string(), oldest);
    (bad, header.first_sequence)
}

#[test]
fn removed_oldest_segments_are_named_by_their_first_event() {
    for count in [1, 2] {
        let dir = signed_in_steps();
        let (bad, first) = without_oldest(dir.path(), count);
        assert!(first > 1);
        assert_eq!((bad.event_seq, bad.reason), (1, BadReason::Removed));
    }
}

#[test]
fn one_segment_more_than_the_log_dropped_is_named() {
    let dir = tempfile::tempdir().unwrap();
    dropping_oldest(dir.path(), 1200);
    let untouched = verify(dir.path(), &Trust::default()).unwrap();
    assert!(
        untouched.is_sound() && untouched.first_sequence > 1,
        "{untouched:?}"
    );
    let (bad, first) = without_oldest(dir.path(), 1);
    assert!(first > untouched.first_sequence);
    assert_eq!(
        (bad.event_seq, bad.reason),
        (untouched.first_sequence, BadReason::Removed)
    );
}

#[test]
fn no_byte_of_signatures_keys_or_tree_can_be_changed_unnoticed() {
    let dir = signed_in_steps();
    let sound = || verify(dir.path(), &Trust::default()).unwrap().is_sound();
    assert!(sound());
    for name in ["checkpoints.signed", "keys.pub", "tree-000000000000"] {
        let path = dir.path().join(name);
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, changed).unwrap();
            assert!(!sound(), "byte {at} of {name}");
        }
        for length in [0, 1, bytes.len() - 10] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(
                !sound() || name == "tree-000000000000",
                "{name} cut to {length}"
            );
        }
        fs::write(&path, bytes).unwrap();
    }
    assert!(sound());
}

/// Damage without intent: to any file, the checkpoint and the indexes as well.
#[derive(Clone, Copy, Debug)]
enum Accident {
    Flip,
    Cut,
    Empty,
    Append,
    Zero,
    Repeat,
    Remove,
}

fn befall(bytes: &[u8], how: Accident, at: usize, bit: u32) -> Option<Vec<u8>> {
    let at = at % bytes.len().max(1);
    let sector = at / 512 * 512..(at / 512 * 512 + 512).min(bytes.len());
    let mut out = bytes.to_vec();
    match how {
        Accident::Flip if !bytes.is_empty() => out[at] ^= 1 << (bit % 8),
        Accident::Cut => out.truncate(at),
        Accident::Empty => out.clear(),
        Accident::Append => out.extend_from_slice(&bit.to_le_bytes().repeat(at % 100)),
        Accident::Zero => out[sector].fill(0),
        Accident::Repeat => {
            let copy = bytes[sector.clone()].to_vec();
            out.splice(sector.start..sector.start, copy);
        }
        Accident::Remove => return None,
        Accident::Flip => {}
    }
    Some(out)
}

fn read(dir: &Path) -> Vec<(u64, String)> {
    let events = read_all(dir).filter_map(Result::ok);
    events
        .map(|event| (event.position.0, event.json.get().to_owned()))
        .collect()
}

/// A copy of a log of which one file had an accident.
fn damaged(dir: &Path, how: Accident, file: prop::sample::Index, at: u32, bit: u32) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(dir.join("signing.key"), copy.path().join("signing.key")).unwrap();
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    // A signing key that is no key is refused at the start, for somebody to decide about.
    names.retain(|name| name != "signing.key");
    names.sort();
    for name in &names {
        fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    let target = copy.path().join(&names[file.index(names.len())]);
    match befall(&fs::read(&target).unwrap(), how, at as usize, bit) {
        Some(bytes) => fs::write(&target, bytes).unwrap(),
        None => fs::remove_file(&target).unwrap(),
    }
    copy
}

#[test]
fn a_damaged_log_opens_and_shows_nothing_that_was_not_written() {
    let dir = written(150);
    let original = read(dir.path());
    let how = prop::sample::select(vec![
        Accident::Flip,
        Accident::Cut,
        Accident::Empty,
        Accident::Append,
        Accident::Zero,
        Accident::Repeat,
        Accident::Remove,
    ]);
    let accidents = (
        how,
        any::<prop::sample::Index>(),
        any::<u32>(),
        any::<u32>(),
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(200));
    let checked = runner.run(&accidents, |(how, file, at, bit)| {
        let copy = damaged(dir.path(), how, file, at, bit);
        prop_assert!(
            read(copy.path())
                .iter()
                .all(|event| original.contains(event))
        );
        let (log, _) = Log::open(&options(copy.path())).unwrap();
        let position = log.append(&event(1000)).unwrap();
        prop_assert_eq!(
            log.search(&Search::default()).unwrap().events.is_empty(),
            false
        );
        log.close();
        let mut kept = read(copy.path());
        prop_assert_eq!(kept.pop().unwrap().0, position.0);
        prop_assert!(kept.iter().all(|event| original.contains(event)));
        // What was lost is named by `verify`, or was moved aside.
        let aside = fs::read_dir(copy.path()).unwrap().any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().ends_with(".torn")
        });
        let verification = verify(copy.path(), &Trust::default()).unwrap();
        prop_assert!(
            kept.len() == original.len() || aside || !verification.is_sound(),
            "a silent loss"
        );
        Ok(())
    });
    checked.unwrap();
}
