//! What one inspection may do: a bound on its work, whatever the request is made of.

/// Steps of one inspection. What is done by the byte, the token or the pattern is weighed by what it costs, so that a
/// step is 0.5 to 1.5 nanoseconds on the machine of `docs/benchmarks.md`. A mebibyte of prose, code, markup or rows takes
/// no more; one of nothing but signs, in values of a few bytes each, does.
const STEPS_MAX: u32 = 60_000_000;

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    left: u32,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: STEPS_MAX }
    }
}

impl Work {
    /// Takes the steps of something that is done in any case.
    pub(super) fn spend(&mut self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.left = self.left.saturating_sub(steps);
    }

    /// Whether nothing is left: what is not yet looked at stays so, and that is a finding.
    pub(super) fn is_spent(self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_and_stays_ended() {
        let mut work = Work::default();
        work.spend(STEPS_MAX as usize - 1);
        assert!(!work.is_spent());
        work.spend(usize::MAX);
        assert!(work.is_spent());
        work.spend(0);
        assert!(work.is_spent());
    }
}
