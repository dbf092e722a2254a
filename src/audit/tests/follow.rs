//! A reader behind the writer sees every synced event once, in order, and is told of what it cannot see.

use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::tamper::frames;
use super::{event, options};
use crate::audit::{Followed, Follower, Log, LogOptions, Position, WhenFull};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

fn sequences(found: &Followed) -> Vec<u64> {
    found.events.iter().map(|event| event.position.0).collect()
}

/// Appends events and waits until they can be followed.
fn append(log: &Log, numbers: impl Iterator<Item = u64>) {
    let last = numbers.map(|n| log.append(&event(n)).unwrap()).last();
    if let Some(last) = last {
        block_on(log.synced(last)).unwrap();
    }
}

#[test]
fn whatever_the_bounds_each_event_is_followed_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    append(&log, 1..=400);
    assert!(log.stats().segments > 3, "{:?}", log.stats());
    let bounds = (1_usize..90, 1_usize..40_000, 0_u64..300, 0_u64..3);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(40));
    let all = std::cell::Cell::new(400_u64);
    runner
        .run(&bounds, |(events, bytes, after, more)| {
            append(&log, all.get() + 1..=all.get() + more);
            all.set(all.get() + more);
            let mut follower = Follower::after(&log, Position(after));
            let mut seen = Vec::new();
            loop {
                let found = follower.read(events, bytes).unwrap();
                prop_assert!(found.events.len() <= events && found.lost.is_none());
                if found.events.is_empty() {
                    break;
                }
                let size: usize = found.events.iter().map(|event| event.json.len()).sum();
                prop_assert!(size <= bytes || found.events.len() == 1);
                seen.extend(sequences(&found));
                prop_assert_eq!(found.through.0, *seen.last().unwrap());
            }
            prop_assert_eq!(seen, (after + 1..=all.get()).collect::<Vec<_>>());
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_a_power_cut_could_take_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let rarely = LogOptions {
        sync_interval: Duration::from_secs(3600),
        ..options(dir.path())
    };
    let (log, _) = Log::open(&rarely).unwrap();
    append(&log, 1..=1);
    let last = log.append(&event(2)).unwrap();
    let mut follower = Follower::after(&log, Position(0));
    assert_eq!(sequences(&follower.read(10, 1 << 20).unwrap()), [1]);
    assert_eq!(follower.read(10, 1 << 20).unwrap().events.len(), 0);
    block_on(log.synced(last)).unwrap();
    block_on(log.grown(Position(1))).unwrap();
    assert_eq!(sequences(&follower.read(10, 1 << 20).unwrap()), [2]);
    log.close();
    assert!(block_on(log.grown(Position(2))).is_err());
}

#[test]
fn events_dropped_before_they_were_read_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let small = LogOptions {
        total_bytes_max: 256 << 10,
        when_full: WhenFull::DropOldest,
        ..options(dir.path())
    };
    let (log, _) = Log::open(&small).unwrap();
    append(&log, 1..=20);
    let mut follower = Follower::after(&log, Position(0));
    assert_eq!(sequences(&follower.read(5, 1 << 20).unwrap()).len(), 5);
    for n in (21..=900).step_by(20) {
        append(&log, n..n + 20);
    }
    let stats = log.stats();
    assert!(stats.events_dropped > 100, "{stats:?}");
    let found = follower.read(2_000, 64 << 20).unwrap();
    let lost = found.lost.unwrap();
    // The file it had open is read to its end, whether or not it was dropped meanwhile.
    assert_eq!(lost.last + 1, stats.first_sequence);
    let read = found.events.len() as u64;
    assert_eq!(5 + read + lost.events, found.through.0);
    assert!(found.through.0 >= 900, "{}", found.through.0);
}

#[test]
fn a_damaged_event_is_lost_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    append(&log, 1..=300);
    let path = dir.path().join("000000000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    let (start, end) = frames(&bytes)[7];
    bytes[(start + end) / 2] ^= 1;
    fs::write(&path, bytes).unwrap();
    let found = Follower::after(&log, Position(0)).read(1_000, 64 << 20);
    let found = found.unwrap();
    let lost = found.lost.unwrap();
    assert_eq!((lost.first, lost.last, lost.events), (8, 8, 1));
    let expected: Vec<u64> = (1..=300).filter(|sequence| *sequence != 8).collect();
    assert_eq!(sequences(&found), expected);
}

#[test]
fn a_segment_cut_short_loses_the_events_that_stood_there() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(&options(dir.path())).unwrap();
    append(&log, 1..=300);
    let path = dir.path().join("000000000001.seg");
    let bytes = fs::read(&path).unwrap();
    let frames = frames(&bytes);
    let (start, _) = frames[10];
    fs::write(&path, &bytes[..start + 9]).unwrap();
    let found = Follower::after(&log, Position(0)).read(1_000, 64 << 20);
    let found = found.unwrap();
    let lost = found.lost.unwrap();
    assert_eq!((lost.first, lost.last), (11, frames.len() as u64));
    assert_eq!(found.events.len() as u64 + lost.events, 300);
}
