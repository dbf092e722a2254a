//! How much a caller may ask: rates, quotas and concurrency by plan, failures by address.
//!
//! The tables here are the only state of `policy/`. They are bounded, sharded, and never wait for
//! anything but each other's short critical sections; time is an argument. What they hold lives
//! as long as the process: a restart begins every count anew.
//!
//! - requests per second with a burst: GCRA (`gcra.rs`), eight bytes of state a key
//! - requests per minute and per day: sliding windows of 24 cells (`window.rs`). GCRA with a burst of
//!   a whole quota would admit nearly twice the quota in the first window, and so would fixed
//!   windows around their border; a promised "60 a minute" is held in *any* minute here
//! - concurrency: a [`ConcurrencyLease`] that gives its place back when dropped
//!
//! Several limits are all-or-nothing: a refused request uses none of them up.

mod address;
mod gcra;
mod lease;
mod plan;
mod status;
mod table;
mod window;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use address::AddressTable;
pub use lease::ConcurrencyLease;
pub use plan::Plan;
pub use status::{LimitStatus, LimitType, RATELIMIT, RATELIMIT_POLICY};
pub use table::Subject;

use crate::now::Now;
use gcra::{Gcra, Rate};
use table::{Entry, Table};
use window::{DAY, MINUTE, Window};

/// What an admitted request takes along.
#[derive(Debug)]
pub struct Admitted {
    /// The limit with the least left, to be told to the client; `None` where the plan has no rates.
    pub status: Option<LimitStatus>,
    /// The place among the requests in flight, where the plan bounds those. Dropping it frees it.
    pub lease: Option<ConcurrencyLease>,
}

/// A request that found a limit used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit that takes longest to admit the request.
    pub limit: LimitType,
    /// When the same request would be admitted, if no other came in between; at least 1 s for
    /// concurrency, whose end nobody knows.
    pub retry_after: Duration,
    /// The same limit, to be told to the client.
    pub status: LimitStatus,
}

/// The limits of every key seen lately, up to a bound.
///
/// When it is full, the newcomer takes the place of an entry that is back at rest, or of the one
/// nearest to it among sixteen; [`LimitTable::evictions`] counts the latter, whose limits begin
/// anew. Make it as large as the number of keys active within a day and that never happens.
#[derive(Debug)]
pub struct LimitTable {
    table: Table<Spent>,
}

impl LimitTable {
    /// A table of at most `entries_max` keys, at least 1, rounded up by less than 64 to fill its
    /// shards evenly. A key takes about 300 bytes from its first request on.
    pub fn new(entries_max: usize) -> Self {
        Self {
            table: Table::new(entries_max),
        }
    }

    /// Admits a request of `cost` units under all limits of a plan, or refuses it under all.
    ///
    /// `factor` below 1.0 reduces rate, burst and quotas (concurrency stays), to a thousandth at
    /// the least and never below one request. A cost above a burst or a quota counts as the whole
    /// of it, so that a dear request waits for a fresh window instead of for ever.
    ///
    /// # Errors
    ///
    /// [`Exceeded`] names the limit that takes longest to admit it.
    pub fn admit(
        &self,
        subject: Subject,
        plan: &Plan,
        factor: f32,
        cost: u32,
        now: Now,
    ) -> Result<Admitted, Exceeded> {
        let allowance = plan.allowance(factor);
        self.table.with(subject, now, |spent| {
            spent.admit(&allowance, u64::from(cost), now.mono_nanos)
        })
    }

    /// Keys in the table.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True before the first key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries pushed out of a full table before they were back at rest, since the start.
    pub fn evictions(&self) -> u64 {
        self.table.evictions()
    }
}

/// A plan's limits under the reduction of the moment.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    rate: Option<Rate>,
    minute: Option<u64>,
    day: Option<u64>,
    concurrency: Option<u32>,
}

/// What one key has used up.
#[derive(Debug, Default)]
struct Spent {
    second: Gcra,
    minute: Window,
    day: Window,
    in_flight: lease::InFlight,
}

impl Spent {
    fn admit(
        &mut self,
        allowed: &Allowance,
        cost: u64,
        now_nanos: u64,
    ) -> Result<Admitted, Exceeded> {
        self.minute.advance(MINUTE, now_nanos);
        self.day.advance(DAY, now_nanos);
        if let Some(exceeded) = self.longest_wait(allowed, cost, now_nanos) {
            return Err(exceeded);
        }
        let lease = match allowed.concurrency {
            None => None,
            Some(max) => Some(self.in_flight.lease(max).ok_or_else(|| {
                let status = LimitStatus::new(LimitType::Concurrency, u64::from(max), 0, 1, 0);
                Exceeded {
                    limit: LimitType::Concurrency,
                    retry_after: Duration::from_secs(1),
                    status,
                }
            })?),
        };
        self.spend(allowed, cost, now_nanos);
        Ok(Admitted {
            status: self.tightest(allowed, now_nanos),
            lease,
        })
    }

    /// The limit that would have the request wait longest, if any would.
    fn longest_wait(&self, allowed: &Allowance, cost: u64, now_nanos: u64) -> Option<Exceeded> {
        let second = allowed.rate.map(|rate| {
            (
                LimitType::PerSecond,
                self.second.wait(rate, cost, now_nanos),
            )
        });
        let minute = allowed.minute.map(|q| {
            (
                LimitType::PerMinute,
                self.minute.wait(MINUTE, q, cost, now_nanos),
            )
        });
        let day = allowed
            .day
            .map(|q| (LimitType::PerDay, self.day.wait(DAY, q, cost, now_nanos)));
        let (limit, wait_nanos) = [second, minute, day]
            .into_iter()
            .flatten()
            .filter(|(_, wait_nanos)| *wait_nanos > 0)
            .max_by_key(|(_, wait_nanos)| *wait_nanos)?;
        let status = self.status(limit, allowed, now_nanos)?;
        Some(Exceeded {
            limit,
            retry_after: Duration::from_nanos(wait_nanos),
            status,
        })
    }

    fn spend(&mut self, allowed: &Allowance, cost: u64, now_nanos: u64) {
        if let Some(rate) = allowed.rate {
            self.second.spend(rate, cost, now_nanos);
        }
        if let Some(quota) = allowed.minute {
            self.minute.spend(cost.min(quota));
        }
        if let Some(quota) = allowed.day {
            self.day.spend(cost.min(quota));
        }
    }

    /// The limit with the least left; the shorter window where two have the same.
    fn tightest(&self, allowed: &Allowance, now_nanos: u64) -> Option<LimitStatus> {
        let second = allowed
            .rate
            .map(|rate| (LimitType::PerSecond, self.second.remaining(rate, now_nanos)));
        let minute = allowed
            .minute
            .map(|quota| (LimitType::PerMinute, self.minute.remaining(quota)));
        let day = allowed
            .day
            .map(|quota| (LimitType::PerDay, self.day.remaining(quota)));
        let (limit, _) = [second, minute, day]
            .into_iter()
            .flatten()
            .min_by_key(|(_, remaining)| *remaining)?;
        self.status(limit, allowed, now_nanos)
    }

    fn status(&self, limit: LimitType, allowed: &Allowance, now_nanos: u64) -> Option<LimitStatus> {
        let (quota, remaining, window_nanos, reset_nanos) = match limit {
            LimitType::PerSecond => {
                let rate = allowed.rate?;
                let left = self.second.remaining(rate, now_nanos);
                (
                    rate.burst(),
                    left,
                    rate.refill_nanos(),
                    self.second.next_gain(rate, now_nanos),
                )
            }
            LimitType::PerMinute => {
                let quota = allowed.minute?;
                let gain = self.minute.next_gain(MINUTE, now_nanos);
                (
                    quota,
                    self.minute.remaining(quota),
                    MINUTE.window_nanos(),
                    gain,
                )
            }
            LimitType::PerDay => {
                let quota = allowed.day?;
                let gain = self.day.next_gain(DAY, now_nanos);
                (quota, self.day.remaining(quota), DAY.window_nanos(), gain)
            }
            LimitType::Concurrency | LimitType::Address => return None,
        };
        let (reset_secs, window_secs) = (whole_secs(reset_nanos), whole_secs(window_nanos));
        Some(LimitStatus::new(
            limit,
            quota,
            remaining,
            reset_secs,
            window_secs,
        ))
    }
}

impl Entry for Spent {
    fn idle_at_nanos(&self) -> u64 {
        let windows = self.minute.idle_at(MINUTE).max(self.day.idle_at(DAY));
        self.second.idle_at().max(windows)
    }

    fn is_held(&self) -> bool {
        self.in_flight.is_held()
    }
}

/// Nanoseconds as seconds, rounded up: nobody is told to come back too early.
fn whole_secs(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}
