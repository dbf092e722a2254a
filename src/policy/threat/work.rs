//! What one inspection may do: a bound on its work, whatever the request is made of.

/// Steps of one inspection. What is done by the byte, the token or the pattern is weighed by what it costs, so that a
/// step is about eight instructions, or 0.8 nanoseconds on the machine of `docs/benchmarks.md`.
const STEPS: u32 = 8_000_000;

/// More of them for each byte of a body. Prose, code, markup or rows take no more; nothing but signs, in values of a few
/// bytes each, does.
const BYTE_STEPS: usize = 30;

/// What is left of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    left: u32,
}

impl Default for Work {
    fn default() -> Self {
        Self { left: STEPS }
    }
}

impl Work {
    /// Adds what a body of so many bytes may take.
    pub(super) fn grant(&mut self, bytes: usize) {
        let steps = u32::try_from(bytes.saturating_mul(BYTE_STEPS)).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(steps);
    }

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
        work.grant(3);
        work.spend(STEPS as usize + 3 * BYTE_STEPS - 1);
        assert!(!work.is_spent());
        work.spend(usize::MAX);
        assert!(work.is_spent());
        work.spend(0);
        assert!(work.is_spent());
    }

    #[test]
    fn no_body_is_too_large_to_grant_for() {
        let mut work = Work::default();
        work.grant(usize::MAX);
        work.spend(1 << 20);
        assert!(!work.is_spent());
    }
}
