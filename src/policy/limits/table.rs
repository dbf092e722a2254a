//! A bounded, sharded table of small states, shared by all threads.
//!
//! A subject's state is reached under its shard's lock, for some tens of nanoseconds. A shard is a
//! list of places and an index over it; a full shard looks at sixteen places, beginning where it
//! last stopped, and gives the newcomer one that is at rest, or else the one nearest to rest.
//! So finding a place never costs more than sixteen looks, however full the table is.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::now::Now;

/// Shards at most. Far more than threads, so that two rarely meet in one.
const SHARDS_MAX: usize = 64;
/// Places looked at for one that may be given away.
const LOOKS_MAX: usize = 16;

/// Whose limits. Subjects of one table must be of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subject(u64);

impl Subject {
    /// A key, by its dense index.
    pub fn key(index: u32) -> Self {
        Self(u64::from(index))
    }

    /// An address: an IPv4 address by itself, an IPv6 address by its /64, which is what one
    /// customer is usually given (RFC 6177).
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u64::from(v4.to_bits())),
            // The lowest /64s, which IPv4 addresses fall on here, are not routed (RFC 4291).
            IpAddr::V6(v6) => Self(u64::try_from(v6.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

/// The state of one subject.
pub(super) trait Entry: Default {
    /// When it will be as if new, if nothing more happens.
    fn idle_at_nanos(&self) -> u64;
    /// True while something outside counts on it.
    fn is_held(&self) -> bool;
}

#[derive(Debug)]
pub(super) struct Table<S> {
    shards: Box<[Shard<S>]>,
    evictions: AtomicU64,
}

/// Aligned to a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Shard<S>(Mutex<Places<S>>);

#[derive(Debug)]
struct Places<S> {
    places: Vec<(Subject, S)>,
    index: HashMap<Subject, usize>,
    places_max: usize,
    /// Where the next look for a place begins.
    hand: usize,
}

impl<S: Entry> Table<S> {
    /// A table of `entries_max` entries, at least one; rounded up to fill its shards evenly.
    pub(super) fn new(entries_max: usize) -> Self {
        let shards = (entries_max / SHARDS_MAX).clamp(1, SHARDS_MAX);
        let places_max = entries_max.div_ceil(shards).max(1);
        let shards = (0..shards)
            .map(|_| Shard(Mutex::new(Places::new(places_max))))
            .collect();
        Self {
            shards,
            evictions: AtomicU64::new(0),
        }
    }

    /// Works on a subject's state, new if the subject has none.
    pub(super) fn with<R>(&self, subject: Subject, now: Now, work: impl FnOnce(&mut S) -> R) -> R {
        let Some(mut places) = self.lock(subject) else {
            // Unreachable: there is at least one shard.
            return work(&mut S::default());
        };
        let (state, evicted) = places.entry(subject, now.mono_nanos);
        if evicted {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        match state {
            Some(state) => work(state),
            None => work(&mut S::default()),
        }
    }

    /// Works on a subject's state if it has one.
    pub(super) fn peek<R>(&self, subject: Subject, work: impl FnOnce(&mut S) -> R) -> Option<R> {
        let mut places = self.lock(subject)?;
        let at = *places.index.get(&subject)?;
        places.places.get_mut(at).map(|(_, state)| work(state))
    }

    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().places.len())
            .sum()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    fn lock(&self, subject: Subject) -> Option<MutexGuard<'_, Places<S>>> {
        let shards = u64::try_from(self.shards.len()).ok()?;
        // Keys are dense, and neighbouring addresses differ in their low bits: the rest spreads both.
        let at = usize::try_from(subject.0.checked_rem(shards)?).ok()?;
        self.shards.get(at).map(Shard::lock)
    }
}

impl<S> Shard<S> {
    fn lock(&self) -> MutexGuard<'_, Places<S>> {
        // No code panics under the lock, and the counts would still be sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Entry> Places<S> {
    fn new(places_max: usize) -> Self {
        Self {
            places: Vec::new(),
            index: HashMap::new(),
            places_max,
            hand: 0,
        }
    }

    /// The subject's state, and whether another's was given up early for it.
    fn entry(&mut self, subject: Subject, now_nanos: u64) -> (Option<&mut S>, bool) {
        let (at, evicted) = match self.index.get(&subject) {
            Some(at) => (*at, false),
            None => self.settle(subject, now_nanos),
        };
        (self.places.get_mut(at).map(|(_, state)| state), evicted)
    }

    fn settle(&mut self, subject: Subject, now_nanos: u64) -> (usize, bool) {
        if self.places.len() < self.places_max {
            let at = self.places.len();
            self.places.push((subject, S::default()));
            self.index.insert(subject, at);
            return (at, false);
        }
        let (at, at_rest) = self.vacate(now_nanos);
        if let Some(place) = self.places.get_mut(at) {
            self.index.remove(&place.0);
            *place = (subject, S::default());
        }
        self.index.insert(subject, at);
        (at, !at_rest)
    }

    /// The place to give away, and whether it is at rest.
    fn vacate(&mut self, now_nanos: u64) -> (usize, bool) {
        let count = self.places.len().max(1);
        let mut best = (self.hand % count, (true, u64::MAX));
        for look in 0..LOOKS_MAX.min(count) {
            let at = (self.hand + look) % count;
            let Some((_, state)) = self.places.get(at) else {
                continue;
            };
            let unrest = (state.is_held(), state.idle_at_nanos());
            if unrest < best.1 {
                best = (at, unrest);
            }
            if !unrest.0 && unrest.1 <= now_nanos {
                break;
            }
        }
        let (at, (held, idle_at_nanos)) = best;
        self.hand = (at + 1) % count;
        (at, !held && idle_at_nanos <= now_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Mark {
        count: u32,
        idle_at: u64,
        held: bool,
    }

    impl Entry for Mark {
        fn idle_at_nanos(&self) -> u64 {
            self.idle_at
        }
        fn is_held(&self) -> bool {
            self.held
        }
    }

    fn at(mono_nanos: u64) -> Now {
        Now {
            mono_nanos,
            unix_micros: 0,
        }
    }

    fn mark(table: &Table<Mark>, index: u32, now: u64, idle_at: u64) -> u32 {
        table.with(Subject::key(index), at(now), |mark| {
            mark.count += 1;
            mark.idle_at = idle_at;
            mark.count
        })
    }

    #[test]
    fn a_subject_finds_its_own_state_again() {
        let table = Table::new(1_000);
        for round in 1..=3 {
            for index in 0..900 {
                assert_eq!(mark(&table, index, 0, 100), round);
            }
        }
        assert_eq!((table.len(), table.evictions()), (900, 0));
        assert_eq!(table.peek(Subject::key(7), |mark| mark.count), Some(3));
        assert_eq!(table.peek(Subject::key(901), |mark| mark.count), None);
    }

    #[test]
    fn a_full_table_gives_away_what_is_at_rest_and_keeps_to_its_bound() {
        let table = Table::new(4);
        for index in 0..4 {
            mark(&table, index, 0, if index == 2 { 10 } else { 1_000 });
        }
        assert_eq!(mark(&table, 9, 10, 1_000), 1);
        assert_eq!((table.len(), table.evictions()), (4, 0));
        assert_eq!(table.peek(Subject::key(2), |_| ()), None);
    }

    #[test]
    fn with_none_at_rest_the_nearest_goes_but_never_before_one_that_is_held() {
        let table = Table::new(3);
        mark(&table, 0, 0, 50);
        mark(&table, 1, 0, 900);
        mark(&table, 2, 0, 800);
        table.peek(Subject::key(0), |mark| mark.held = true);
        assert_eq!(mark(&table, 9, 1, 1_000), 1);
        assert_eq!((table.len(), table.evictions()), (3, 1));
        assert_eq!(table.peek(Subject::key(2), |_| ()), None);
        assert!(table.peek(Subject::key(0), |_| ()).is_some());
    }

    #[test]
    fn a_crowd_of_newcomers_never_breaks_the_bound() {
        let table = Table::new(256);
        for index in 0..100_000_u32 {
            mark(
                &table,
                index.wrapping_mul(2_654_435_761),
                u64::from(index),
                u64::MAX,
            );
        }
        assert_eq!(table.len(), 256);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_subject() {
        let subject = |text: &str| Subject::address(text.parse().unwrap());
        assert_eq!(subject("2001:db8:1:2::1"), subject("2001:db8:1:2:ffff::9"));
        assert_ne!(subject("2001:db8:1:2::1"), subject("2001:db8:1:3::1"));
        assert_eq!(subject("10.0.0.1"), subject("::ffff:10.0.0.1"));
        assert_ne!(subject("10.0.0.1"), subject("10.0.0.2"));
    }
}
