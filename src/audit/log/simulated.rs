//! A disk that fails on demand: lost pages, torn sectors, failed syncs that forget, no space, bit rot.
//!
//! Content and names each live twice: as the kernel shows them and as the platter has them. A sync copies one to
//! the other; a power cut keeps any subset of the sectors and any prefix of the name changes that were not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::segments::RESERVE_FILE;
use super::storage::{Storage, StorageFile};

/// Small, so that a frame spans several sectors and can be torn anywhere.
const SECTOR: usize = 64;

/// SplitMix64: a seed gives a schedule.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// What goes wrong, each in percent of the calls.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) write: u64,
    pub(super) sync: u64,
    pub(super) names: u64,
    /// Every write fails for lack of space, but for what a removed reserve leaves.
    pub(super) full: bool,
}

#[derive(Default)]
struct Inode {
    shown: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum Change {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

struct State {
    random: Random,
    faults: Faults,
    /// Bytes that can be written although the disk is full.
    slack: usize,
    inodes: Vec<Inode>,
    shown: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    changes: Vec<Change>,
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Change::Unlink(name) => {
            names.remove(name);
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("simulated input/output error")
}

/// The simulated directory; clones share it.
#[derive(Clone)]
pub(super) struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: Random(seed),
            faults: Faults::default(),
            slack: 0,
            inodes: Vec::new(),
            shown: BTreeMap::new(),
            durable: BTreeMap::new(),
            changes: Vec::new(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn set_faults(&self, faults: Faults) {
        let mut state = self.state();
        state.faults = faults;
        state.slack = 0;
    }

    /// The power goes: what was not synced survives in part.
    pub(super) fn cut_power(&self) {
        let mut guard = self.state();
        let state = &mut *guard;
        let kept = state.random.below(state.changes.len() + 1);
        for change in &state.changes[..kept] {
            apply(&mut state.durable, change);
        }
        state.changes.clear();
        state.shown = state.durable.clone();
        for inode in &mut state.inodes {
            let (short, long) = (
                inode.shown.len().min(inode.durable.len()),
                inode.shown.len().max(inode.durable.len()),
            );
            let length = match state.random.below(3) {
                0 => inode.durable.len(),
                1 => inode.shown.len(),
                _ => short + state.random.below(long - short + 1),
            };
            let mut survived = vec![0; length];
            for (sector, bytes) in survived.chunks_mut(SECTOR).enumerate() {
                let written_back = inode.dirty.contains(&sector) && state.random.chance(50);
                let from = if written_back {
                    &inode.shown
                } else {
                    &inode.durable
                };
                let from = from.get(sector * SECTOR..).unwrap_or_default();
                let common = from.len().min(bytes.len());
                bytes[..common].copy_from_slice(&from[..common]);
            }
            inode.shown = survived.clone();
            inode.durable = survived;
            inode.dirty.clear();
        }
    }

    /// Flips one bit of one file at rest; names the file.
    pub(super) fn rot(&self, wanted: impl Fn(&str) -> bool) -> Option<(String, usize)> {
        let mut guard = self.state();
        let state = &mut *guard;
        let files: Vec<_> = state
            .shown
            .iter()
            .filter(|(name, inode)| wanted(name) && !state.inodes[**inode].shown.is_empty())
            .map(|(name, inode)| (name.clone(), *inode))
            .collect();
        let (name, inode) = files.get(state.random.below(files.len()))?.clone();
        let at = state.random.below(state.inodes[inode].shown.len());
        let bit = 1 << state.random.below(8);
        let inode = &mut state.inodes[inode];
        for content in [&mut inode.shown, &mut inode.durable] {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= bit;
            }
        }
        Some((name, at))
    }
}

impl Storage for Simulated {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        let size = |inode: &usize| state.inodes[*inode].shown.len() as u64;
        Ok(state
            .shown
            .iter()
            .map(|(name, inode)| (name.clone(), size(inode)))
            .collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.faults.full && state.slack == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.random.chance(state.faults.names) {
            return Err(broken());
        }
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        let change = Change::Link(name.to_owned(), inode);
        apply(&mut state.shown, &change);
        state.changes.push(change);
        let disk = self.clone();
        Ok(Arc::new(SimulatedFile { disk, inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let inode = self.state().shown.get(name).copied();
        let inode = inode.ok_or(io::ErrorKind::NotFound)?;
        let disk = self.clone();
        Ok(Arc::new(SimulatedFile { disk, inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.random.chance(state.faults.names) {
            return Err(broken());
        }
        let change = Change::Rename(from.to_owned(), to.to_owned());
        apply(&mut state.shown, &change);
        state.changes.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        let inode = *state.shown.get(name).ok_or(io::ErrorKind::NotFound)?;
        if name == RESERVE_FILE && state.faults.full {
            state.slack += state.inodes[inode].shown.len();
        }
        let change = Change::Unlink(name.to_owned());
        apply(&mut state.shown, &change);
        state.changes.push(change);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.random.chance(state.faults.sync) {
            return Err(broken());
        }
        for change in std::mem::take(&mut state.changes) {
            apply(&mut state.durable, &change);
        }
        Ok(())
    }
}

struct SimulatedFile {
    disk: Simulated,
    inode: usize,
}

impl StorageFile for SimulatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut guard = self.disk.state();
        let state = &mut *guard;
        let mut outcome = Ok(());
        let mut length = bytes.len();
        if state.faults.full {
            if length > state.slack {
                outcome = Err(io::ErrorKind::StorageFull.into());
                length = state.random.below(length);
            }
            state.slack = state.slack.saturating_sub(length);
        } else if state.random.chance(state.faults.write) {
            outcome = Err(broken());
            length = state.random.below(length + 1);
        }
        let at = usize::try_from(offset).unwrap();
        let inode = &mut state.inodes[self.inode];
        let end = at + length;
        if inode.shown.len() < end {
            inode.shown.resize(end, 0);
        }
        inode.shown[at..end].copy_from_slice(&bytes[..length]);
        inode.dirty.extend(at / SECTOR..end.div_ceil(SECTOR));
        outcome
    }

    fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let state = self.disk.state();
        let rest = state.inodes[self.inode]
            .shown
            .get(usize::try_from(offset).unwrap()..);
        let rest = rest.unwrap_or_default();
        Ok(rest[..rest.len().min(bytes_max)].to_vec())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).unwrap();
        self.disk.state().inodes[self.inode].shown.resize(length, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut guard = self.disk.state();
        let state = &mut *guard;
        let fails = state.random.chance(state.faults.sync);
        let inode = &mut state.inodes[self.inode];
        inode.durable.resize(inode.shown.len(), 0);
        for sector in std::mem::take(&mut inode.dirty) {
            // After a failure the kernel takes every page for clean, written or not.
            if fails && state.random.chance(50) {
                continue;
            }
            let end = ((sector + 1) * SECTOR).min(inode.shown.len());
            if let Some(from) = inode.shown.get(sector * SECTOR..end) {
                inode.durable[sector * SECTOR..end].copy_from_slice(from);
            }
        }
        if fails { Err(broken()) } else { Ok(()) }
    }
}
