//! Time, read once a request and passed as an argument.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
///
/// Limits and deadlines use the monotonic part, expiry and timestamps the wall part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since the process first read the clock; never goes back.
    pub mono_nanos: u64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub unix_micros: i64,
}

impl Now {
    /// Reads both clocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the clocks are read"
    )]
    pub fn read() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let mono = START.get_or_init(Instant::now).elapsed();
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            mono_nanos: u64::try_from(mono.as_nanos()).unwrap_or(u64::MAX),
            unix_micros: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// Time passed since an earlier reading, by the monotonic clock.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.mono_nanos.saturating_sub(earlier.mono_nanos))
    }

    /// This instant moved forward on both clocks; tests step time with it.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Self {
            mono_nanos: self.mono_nanos.saturating_add(nanos),
            unix_micros: self.unix_micros.saturating_add(micros),
        }
    }

    /// Whole seconds since 1970.
    pub fn unix_secs(self) -> i64 {
        self.unix_micros.div_euclid(1_000_000)
    }
}
