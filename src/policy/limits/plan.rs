//! A plan's limits, and what a reduction makes of them.

use std::sync::Arc;
use std::time::Duration;

use super::Allowance;
use super::gcra::Rate;

const SECOND_NANOS: u64 = 1_000_000_000;
/// One, in the fixed point of reductions.
const ONE: u64 = 1_000_000_000;
/// The strongest reduction: a thousandth.
const LEAST: u64 = ONE / 1_000;

/// The limits of one plan, for each of its keys. `None` is no limit; 0 counts as 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// As keys name it.
    pub name: Arc<str>,
    /// Requests per second in the long run.
    pub requests_per_second: Option<u32>,
    /// Requests at once after a rest; without it, one second's worth. Only with a rate per second.
    pub burst: Option<u32>,
    /// Requests in any 60 s.
    pub requests_per_minute: Option<u32>,
    /// Requests in any 24 h.
    pub requests_per_day: Option<u64>,
    /// Requests in flight.
    pub concurrency: Option<u32>,
}

impl Plan {
    /// A plan without limits.
    pub fn unlimited(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            requests_per_second: None,
            burst: None,
            requests_per_minute: None,
            requests_per_day: None,
            concurrency: None,
        }
    }

    /// The limits under a reduction; see [`super::LimitTable::admit`].
    pub(super) fn allowance(&self, factor: f32) -> Allowance {
        let factor = fixed_point(factor);
        Allowance {
            rate: self.requests_per_second.map(|per_second| {
                let per_second = u64::from(per_second.max(1));
                let burst = self.burst.map_or(per_second, u64::from);
                // At most 2^32 * 10^9: no overflow.
                let interval_nanos = (ONE * SECOND_NANOS).div_ceil(per_second * factor);
                Rate::new(interval_nanos, reduced(burst, factor))
            }),
            minute: self
                .requests_per_minute
                .map(|quota| reduced(u64::from(quota), factor)),
            day: self.requests_per_day.map(|quota| reduced(quota, factor)),
            concurrency: self.concurrency.map(|max| max.max(1)),
        }
    }
}

/// A factor in thousand-millionths, within a thousandth and one. What is no number reduces most.
fn fixed_point(factor: f32) -> u64 {
    if factor >= 1.0 {
        return ONE;
    }
    let fraction = Duration::try_from_secs_f32(factor.max(0.0)).unwrap_or_default();
    u64::from(fraction.subsec_nanos()).max(LEAST)
}

fn reduced(quota: u64, factor: u64) -> u64 {
    if factor == ONE {
        return quota.max(1);
    }
    let reduced = u128::from(quota) * u128::from(factor) / u128::from(ONE);
    u64::try_from(reduced).unwrap_or(quota).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_held_between_a_thousandth_and_one() {
        assert_eq!(fixed_point(1.0), ONE);
        assert_eq!(fixed_point(7.5), ONE);
        assert_eq!(fixed_point(0.5), ONE / 2);
        for factor in [0.0, -3.0, f32::NAN, f32::NEG_INFINITY, 1e-30] {
            assert_eq!(fixed_point(factor), LEAST, "{factor}");
        }
        assert_eq!(fixed_point(f32::INFINITY), ONE);
    }

    #[test]
    fn a_quota_is_reduced_but_never_to_nothing() {
        assert_eq!(reduced(1_000, ONE / 2), 500);
        assert_eq!(reduced(1, LEAST), 1);
        assert_eq!(reduced(u64::MAX, ONE), u64::MAX);
        assert_eq!(reduced(0, ONE), 1);
    }
}
