//! The time each rule's patterns take, measured where somebody hands in a clock.

/// What was spent on which rule; without a clock, nothing is measured.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    clock: Option<fn() -> u64>,
    spent: Vec<(usize, u64)>,
}

impl Timer {
    pub(crate) fn new(clock: Option<fn() -> u64>) -> Self {
        Self {
            clock,
            spent: Vec::new(),
        }
    }

    /// Does some work for a rule.
    pub(crate) fn measure<T>(&mut self, rule: usize, work: impl FnOnce() -> T) -> T {
        let Some(clock) = self.clock else {
            return work();
        };
        let began = clock();
        let result = work();
        let nanos = clock().saturating_sub(began);
        match self.spent.iter_mut().find(|(known, _)| *known == rule) {
            Some((_, spent)) => *spent += nanos,
            None => self.spent.push((rule, nanos)),
        }
        result
    }

    /// Rules and nanoseconds, at most one entry a rule.
    pub(crate) fn spent(&self) -> &[(usize, u64)] {
        &self.spent
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn time_adds_up_by_rule_and_only_with_a_clock() {
        static TICKS: AtomicU64 = AtomicU64::new(0);
        let mut timer = Timer::new(Some(|| TICKS.fetch_add(5, Ordering::Relaxed)));
        for rule in [3, 7, 3] {
            assert_eq!(timer.measure(rule, || rule), rule);
        }
        assert_eq!(timer.spent(), [(3, 10), (7, 5)]);
        let mut idle = Timer::new(None);
        idle.measure(3, || ());
        assert!(idle.spent().is_empty());
    }
}
