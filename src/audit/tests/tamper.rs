//! What somebody with a hex editor does to a log, and what `verify` says to it.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;

use super::{event, options, written};
use crate::audit::log::format::{FRAME_HEADER_BYTES, Frame, HEADER_BYTES};
use crate::audit::log::frames::{Frames, Step};
use crate::audit::{Log, Search, Trust, read_all, verify};

/// How somebody who knows the format tampers with a log.
#[derive(Clone, Copy, Debug)]
enum Tampering {
    Flip,
    Delete,
    Swap,
    Edit,
    Truncate,
}

pub(super) fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    Frames::new(bytes, HEADER_BYTES)
        .filter_map(|step| match step {
            Step::Frame { offset, frame } => Some((offset, offset + frame.size())),
            Step::Damage { .. } => None,
        })
        .collect()
}

/// The bytes after tampering, and the first sequence that may be named; `None` when nothing changed.
fn tamper(bytes: &[u8], how: Tampering, at: usize, bit: u32) -> Option<Vec<u8>> {
    let frames = frames(bytes);
    let (start, end) = *frames.get(at % frames.len())?;
    let mut out = bytes.to_vec();
    match how {
        Tampering::Flip => {
            let at = at % bytes.len();
            // The zero bytes of the header mean nothing yet, but its checksum covers them.
            out[at] ^= 1 << (bit % 8);
        }
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
        Tampering::Edit => {
            let frame = Frame::decode(&bytes[start..]).unwrap();
            let edited = String::from_utf8(frame.payload.to_vec())
                .unwrap()
                .replace("POST", "GETT");
            let mut forged = Vec::new();
            Frame {
                payload: edited.as_bytes(),
                ..frame
            }
            .encode(&mut forged);
            out.splice(start..end, forged);
        }
        Tampering::Truncate => out.truncate(start + bit as usize % FRAME_HEADER_BYTES),
    }
    (out != bytes).then_some(out)
}

#[test]
fn verify_names_every_flip_edit_deletion_swap_and_truncation() {
    let dir = written(250);
    let copy = tempfile::tempdir().unwrap();
    let files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    for file in &files {
        fs::copy(file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    let segments: Vec<_> = files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    assert!(segments.len() > 2);
    let how = prop::sample::select(vec![
        Tampering::Flip,
        Tampering::Delete,
        Tampering::Swap,
        Tampering::Edit,
        Tampering::Truncate,
    ]);
    let mut runner = TestRunner::default();
    let checked = runner.run(
        &(
            how,
            any::<prop::sample::Index>(),
            any::<u32>(),
            any::<u32>(),
        ),
        |(how, segment, at, bit)| {
            let original = segments[segment.index(segments.len())];
            let bytes = fs::read(original).unwrap();
            let Some(tampered) = tamper(&bytes, how, at as usize, bit) else {
                return Ok(());
            };
            let target = copy.path().join(original.file_name().unwrap());
            fs::write(&target, tampered).unwrap();
            let verification = verify(copy.path(), &Trust::default()).unwrap();
            fs::write(&target, &bytes).unwrap();
            let bad = verification.first_bad;
            prop_assert!(bad.is_some(), "{how:?} was not noticed");
            let bad = bad.unwrap();
            let named: u64 = original
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .parse()
                .unwrap();
            // What is cut off the end of a segment is missed where the next one begins.
            prop_assert!(
                bad.segment == named || bad.segment == named + 1,
                "{how:?} in {named}: {bad:?}"
            );
            Ok(())
        },
    );
    checked.unwrap();
    assert!(
        verify(copy.path(), &Trust::default()).unwrap().is_sound(),
        "the untouched copy is sound"
    );
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
        // The removal of the oldest segment looks like the log's own when it is full: history begins later.
        let verification = verify(copy.path(), &Trust::default()).unwrap();
        let sound = verification.is_sound() && verification.first_sequence == 1;
        prop_assert!(
            kept.len() == original.len() || aside || !sound,
            "a silent loss"
        );
        Ok(())
    });
    checked.unwrap();
}
