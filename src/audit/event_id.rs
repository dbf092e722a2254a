//! Event ids: UUID version 7, ordered by time, made without a system call.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// Makes event ids from the instants it is given.
///
/// The bits after the milliseconds are the microseconds within them and 62 bits of a permuted
/// counter that starts at a random place: ids of one process never repeat, and two processes meet
/// in the same microsecond with a chance of 2^-62. They name events; they are no secret.
#[derive(Debug)]
pub struct EventIds {
    counter: AtomicU64,
}

impl EventIds {
    /// Starts at a place given by the caller, who takes it from the system's random source.
    pub fn new(random: u64) -> Self {
        Self {
            counter: AtomicU64::new(random),
        }
    }

    /// The next id, for an instant in microseconds since 1970 (negative ones count as 0).
    pub fn next(&self, unix_micros: i64) -> Uuid {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(unix_micros).unwrap_or(0);
        let within = u16::try_from(micros % 1000).unwrap_or(0).to_be_bytes();
        let random = permuted(count).to_be_bytes();
        let mut tail = [0; 10];
        for (to, from) in tail.iter_mut().zip(within.iter().chain(&random)) {
            *to = *from;
        }
        uuid::Builder::from_unix_timestamp_millis(micros / 1000, &tail).into_uuid()
    }
}

/// SplitMix64's finaliser over its sequence (Steele, Lea, Flood 2014): a bijection of 64 bits.
fn permuted(count: u64) -> u64 {
    let mut x = count.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_version_7_distinct_and_ordered_by_time() {
        let ids = EventIds::new(7);
        let made: Vec<Uuid> = (0..10_000)
            .map(|t| ids.next(1_700_000_000_000_000 + t))
            .collect();
        assert!(made.iter().all(|id| id.get_version_num() == 7));
        assert_eq!(made.iter().collect::<HashSet<_>>().len(), made.len());
        assert!(made.is_sorted(), "a later microsecond gives a greater id");
    }
}
