//! How long to wait after a failed attempt: exponential, with full jitter, bounded.

use std::time::Duration;

/// The longest wait after the first failure.
const FIRST_MAX: Duration = Duration::from_millis(200);
/// The longest wait of all, unless the receiver asks for more.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest a receiver is listened to.
const ASKED_MAX: Duration = Duration::from_secs(300);
/// Doublings after which the longest wait is reached in any case.
const DOUBLINGS_MAX: u32 = 16;

/// The failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure; `random` is 0 to 1. A receiver that names a wait gets at least that.
    pub(super) fn next(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let doubled = FIRST_MAX.saturating_mul(1 << self.failures.min(DOUBLINGS_MAX));
        self.failures = self.failures.saturating_add(1);
        let jittered = doubled.min(WAIT_MAX).mul_f64(random.clamp(0.0, 1.0));
        jittered.max(asked.unwrap_or_default().min(ASKED_MAX))
    }

    /// Something was taken: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_is_bounded_and_never_shorter_than_asked(
            failures in 0_u32..100, random in 0.0..=1.0_f64, asked in prop::option::of(0_u64..1_000)
        ) {
            let mut backoff = Backoff { failures };
            let asked = asked.map(Duration::from_secs);
            let wait = backoff.next(asked, random);
            let least = asked.unwrap_or_default().min(ASKED_MAX);
            prop_assert!(wait >= least && wait <= WAIT_MAX.max(least));
        }
    }

    #[test]
    fn waits_double_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..10)
            .map(|_| backoff.next(None, 1.0).as_millis())
            .collect();
        assert_eq!(
            longest,
            [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]
        );
        assert_eq!(backoff.next(None, 0.0), Duration::ZERO);
        backoff.reset();
        assert_eq!(backoff.next(None, 1.0), FIRST_MAX);
    }
}
