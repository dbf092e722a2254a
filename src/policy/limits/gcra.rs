//! The generic cell rate algorithm: a rate with a burst in one number.
//!
//! Source: ITU-T I.371 annex A (also ATM Forum Traffic Management 4.0), in its virtual scheduling
//! form. Kept is the theoretical arrival time: the instant at which everything spent so far is
//! earned back. A request of cost `c` is admitted when `c` more intervals end within `burst`
//! intervals from now. Hence in any span of time `w`, at most `burst + w / interval` is admitted.

/// A rate with its burst, ready for arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Time in which one request is earned back; rounded up, so that the rate is never exceeded.
    interval_nanos: u64,
    burst: u64,
}

impl Rate {
    /// A rate of at least one request an hour, with a burst of at least 1.
    pub(super) fn new(interval_nanos: u64, burst: u64) -> Self {
        Self {
            interval_nanos: interval_nanos.clamp(1, 3_600_000_000_000),
            burst: burst.max(1),
        }
    }

    pub(super) fn burst(self) -> u64 {
        self.burst
    }

    /// Time from nothing left to the whole burst.
    pub(super) fn refill_nanos(self) -> u64 {
        self.interval_nanos.saturating_mul(self.burst)
    }

    fn nanos_of(self, cost: u64) -> u64 {
        self.interval_nanos.saturating_mul(cost.min(self.burst))
    }
}

/// What one subject has spent of a rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gcra {
    /// When all that was spent is earned back.
    whole_at_nanos: u64,
}

impl Gcra {
    /// Time until a request of `cost` is admitted; 0 when it is now.
    pub(super) fn wait(&self, rate: Rate, cost: u64, now_nanos: u64) -> u64 {
        let debt = self.whole_at_nanos.saturating_sub(now_nanos);
        debt.saturating_add(rate.nanos_of(cost))
            .saturating_sub(rate.refill_nanos())
    }

    /// Spends `cost`. Only after `wait` said 0.
    pub(super) fn spend(&mut self, rate: Rate, cost: u64, now_nanos: u64) {
        let from = self.whole_at_nanos.max(now_nanos);
        self.whole_at_nanos = from.saturating_add(rate.nanos_of(cost));
    }

    /// Requests of cost 1 that would be admitted now.
    pub(super) fn remaining(&self, rate: Rate, now_nanos: u64) -> u64 {
        let debt = self.whole_at_nanos.saturating_sub(now_nanos);
        rate.refill_nanos().saturating_sub(debt) / rate.interval_nanos
    }

    /// Time until `remaining` grows; 0 when nothing is spent.
    pub(super) fn next_gain(&self, rate: Rate, now_nanos: u64) -> u64 {
        let debt = self.whole_at_nanos.saturating_sub(now_nanos);
        let owed_whole = debt.div_ceil(rate.interval_nanos).saturating_sub(1);
        debt.saturating_sub(owed_whole.saturating_mul(rate.interval_nanos))
    }

    /// When it is as if never used.
    pub(super) fn idle_at(&self) -> u64 {
        self.whole_at_nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn admit(gcra: &mut Gcra, rate: Rate, cost: u64, now: u64) -> bool {
        let admitted = gcra.wait(rate, cost, now) == 0;
        if admitted {
            gcra.spend(rate, cost, now);
        }
        admitted
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let rate = Rate::new(SECOND / 5, 3);
        let mut gcra = Gcra::default();
        assert_eq!(
            (0..9).filter(|_| admit(&mut gcra, rate, 1, SECOND)).count(),
            3
        );
        assert_eq!(gcra.wait(rate, 1, SECOND), SECOND / 5);
        assert_eq!(gcra.remaining(rate, SECOND), 0);
        assert_eq!(gcra.next_gain(rate, SECOND), SECOND / 5);
        assert_eq!(gcra.remaining(rate, SECOND + SECOND / 5), 1);
        assert!(!admit(&mut gcra, rate, 2, SECOND + SECOND / 5));
        assert!(admit(&mut gcra, rate, 1, SECOND + SECOND / 5));
        assert_eq!(gcra.idle_at(), SECOND + 4 * SECOND / 5);
    }

    #[test]
    fn a_cost_above_the_burst_waits_for_a_full_bucket() {
        let rate = Rate::new(SECOND, 2);
        let mut gcra = Gcra::default();
        assert!(admit(&mut gcra, rate, 100, SECOND));
        assert_eq!(gcra.wait(rate, 100, SECOND), 2 * SECOND);
        assert!(admit(&mut gcra, rate, 100, 3 * SECOND));
    }

    proptest! {
        /// The whole promise, against a log of all that was admitted.
        #[test]
        fn no_window_holds_more_than_burst_plus_rate(
            interval in 1_u64..2_000, burst in 1_u64..20,
            steps in prop::collection::vec((0_u64..3_000, 1_u64..4), 1..120),
        ) {
            let rate = Rate::new(interval, burst);
            let (mut gcra, mut now, mut log) = (Gcra::default(), 0, Vec::new());
            for (step, cost) in steps {
                now += step;
                let cost = cost.min(burst);
                let wait = gcra.wait(rate, cost, now);
                if admit(&mut gcra, rate, cost, now) {
                    log.push((now, cost));
                } else {
                    prop_assert!(gcra.wait(rate, cost, now + wait - 1) > 0);
                    prop_assert_eq!(gcra.wait(rate, cost, now + wait), 0);
                }
                for (at, &(from, _)) in log.iter().enumerate() {
                    let sum: u64 = log[at..].iter().map(|(_, cost)| cost).sum();
                    prop_assert!(sum <= burst + (now - from) / interval);
                }
            }
        }

        #[test]
        fn remaining_is_what_would_pass(interval in 1_u64..500, burst in 1_u64..20, spent in 0_u64..20, later in 0_u64..5_000) {
            let rate = Rate::new(interval, burst);
            let mut gcra = Gcra::default();
            for _ in 0..spent.min(burst) {
                gcra.spend(rate, 1, 0);
            }
            let remaining = gcra.remaining(rate, later);
            let gain = gcra.next_gain(rate, later);
            if gain > 0 {
                prop_assert_eq!(gcra.remaining(rate, later + gain), remaining + 1);
                prop_assert_eq!(gcra.remaining(rate, later + gain - 1), remaining);
            } else {
                prop_assert_eq!(remaining, burst);
            }
            let passing = (0..=burst).take_while(|_| admit(&mut gcra, rate, 1, later)).count() as u64;
            prop_assert_eq!(passing, remaining);
        }
    }
}
