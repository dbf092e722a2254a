//! What a mitigation lays upon a key, and how it grows and ends: pure arithmetic over findings and time.
//!
//! ```text
//!  finding ──> strike ──┬─ temporary_suspension     noted, then suspended; each further one twice as long
//!                       ├─ rate_limit_reduction     limits halved; one halving is given back at a time
//!                       ├─ additional_verification  a one-time code is demanded, and clears it for a time
//!                       └─ monitoring_increase      everything is traced and recorded in detail
//! ```
//!
//! Times are microseconds since 1970 of the wall clock, for penalties outlive the process.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::now::Now;
use crate::policy::threat::Mitigation;

/// The mitigations that last beyond the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The key is refused.
    TemporarySuspension,
    /// The limits of its plan are halved, once or more.
    RateLimitReduction,
    /// It has to present a one-time code.
    AdditionalVerification,
    /// Its requests are traced and recorded in detail.
    MonitoringIncrease,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [
        Self::TemporarySuspension,
        Self::RateLimitReduction,
        Self::AdditionalVerification,
        Self::MonitoringIncrease,
    ];

    /// The mitigation that lays it.
    pub fn mitigation(self) -> Mitigation {
        match self {
            Self::TemporarySuspension => Mitigation::TemporarySuspension,
            Self::RateLimitReduction => Mitigation::RateLimitReduction,
            Self::AdditionalVerification => Mitigation::AdditionalVerification,
            Self::MonitoringIncrease => Mitigation::MonitoringIncrease,
        }
    }

    /// The mitigation's word.
    pub fn as_str(self) -> &'static str {
        self.mitigation().name()
    }

    /// Whether it holds for the key wherever it is used from, rather than for one network.
    pub fn is_key_wide(self) -> bool {
        self == Self::MonitoringIncrease
    }

    /// Whether a key that is exempt from limits is spared.
    pub fn spares_exempt_keys(self) -> bool {
        self != Self::MonitoringIncrease
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(got: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == got);
        known.ok_or_else(|| format!("no penalty is called {got}"))
    }
}

/// How long penalties last and how they grow; nothing is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long the first suspension lasts.
    pub suspension: Duration,
    /// How long any suspension lasts at most.
    pub suspension_max: Duration,
    /// Findings that lead from noted to suspended.
    pub suspension_strikes: u32,
    /// After how long without a finding one halving of the limits is given back.
    pub reduction: Duration,
    /// Halvings at most.
    pub reduction_steps_max: u32,
    /// How long a code is demanded after the last finding.
    pub verification: Duration,
    /// How long a code clears.
    pub verified: Duration,
    /// Wrong codes in a row after which no code of the key is looked at for a time.
    pub wrong_codes_max: u32,
    /// That time; doubles with each further row of wrong codes.
    pub wrong_codes_lock: Duration,
    /// How long monitoring lasts after the last finding.
    pub monitoring: Duration,
    /// How long strikes are remembered after the last finding or the end of the suspension.
    pub memory: Duration,
}

/// What a finding did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is remembered; nothing is laid yet.
    Noted,
    /// The penalty comes into force.
    Laid,
    /// It was in force and weighs more now.
    Raised,
    /// It was in force and lasts longer now.
    Prolonged,
    /// It was in force and stays as it is.
    Unchanged,
}

/// One penalty of a key, in force or only noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Penalty {
    /// Names it for whoever lifts it.
    #[serde(with = "uuid_text")]
    pub id: Uuid,
    /// What it does.
    pub kind: Kind,
    /// Findings that asked for it.
    pub strikes: u32,
    /// Of a suspension: how many there were. Of a reduction: halvings when the last finding came.
    pub level: u32,
    /// The first finding.
    pub since_micros: i64,
    /// The last finding.
    pub last_micros: i64,
    /// The end; `None` while it is only noted.
    pub until_micros: Option<i64>,
    /// Until when a one-time code has cleared it.
    pub verified_until_micros: Option<i64>,
    /// The rules that asked for it last, parted by commas.
    pub rules: String,
    /// The audit event of the last finding.
    #[serde(with = "uuid_text")]
    pub event_id: Uuid,
    /// Whether its end was recorded.
    pub end_told: bool,
}

impl Penalty {
    /// A penalty without any strike yet.
    pub fn begin(id: Uuid, kind: Kind, now: Now) -> Self {
        Self {
            id,
            kind,
            strikes: 0,
            level: 0,
            since_micros: now.unix_micros,
            last_micros: now.unix_micros,
            until_micros: None,
            verified_until_micros: None,
            rules: String::new(),
            event_id: Uuid::nil(),
            end_told: false,
        }
    }

    /// Counts one finding.
    ///
    /// A finding of a request that was under way when the suspension began does not make it longer.
    pub fn strike(&mut self, terms: &Terms, now: Now) -> Effect {
        let was_in_force = self.is_in_force(now);
        let halvings = self.halvings(terms, now);
        if was_in_force && self.kind == Kind::TemporarySuspension {
            return Effect::Unchanged;
        }
        if self.is_forgotten(terms, now) {
            (self.strikes, self.level, self.since_micros) = (0, 0, now.unix_micros);
        }
        self.strikes = self.strikes.saturating_add(1);
        self.last_micros = now.unix_micros;
        match self.kind {
            Kind::TemporarySuspension => {
                if self.strikes < terms.suspension_strikes {
                    return Effect::Noted;
                }
                self.level = self.level.saturating_add(1);
                let doubled = doubled(terms.suspension, self.level - 1);
                self.last_until(doubled.min(terms.suspension_max), now);
            }
            Kind::RateLimitReduction => {
                self.level = (halvings + 1).min(terms.reduction_steps_max.max(1));
                self.last_until(terms.reduction.saturating_mul(self.level), now);
                if was_in_force && self.level > halvings {
                    return Effect::Raised;
                }
            }
            Kind::AdditionalVerification => {
                if !was_in_force {
                    self.verified_until_micros = None;
                }
                self.last_until(terms.verification, now);
            }
            Kind::MonitoringIncrease => self.last_until(terms.monitoring, now),
        }
        if was_in_force {
            Effect::Prolonged
        } else {
            Effect::Laid
        }
    }

    /// Whether it weighs on the key now.
    pub fn is_in_force(&self, now: Now) -> bool {
        self.until_micros
            .is_some_and(|until| until > now.unix_micros)
    }

    /// How often a reduction halves the limits now.
    pub fn halvings(&self, terms: &Terms, now: Now) -> u32 {
        let left = match self.until_micros {
            Some(until) if self.kind == Kind::RateLimitReduction => until - now.unix_micros,
            _ => return 0,
        };
        let step = micros(terms.reduction).max(1);
        let steps = left.max(0).saturating_add(step - 1) / step;
        u32::try_from(steps).unwrap_or(u32::MAX).min(self.level)
    }

    /// Whether a one-time code is demanded now.
    pub fn demands_code(&self, now: Now) -> bool {
        let cleared = self
            .verified_until_micros
            .is_some_and(|until| until > now.unix_micros);
        self.kind == Kind::AdditionalVerification && self.is_in_force(now) && !cleared
    }

    /// A right code was presented.
    pub fn clear(&mut self, terms: &Terms, now: Now) {
        self.verified_until_micros = Some(now.plus(terms.verified).unix_micros);
    }

    /// Whether it has ended and nobody has recorded that yet.
    pub fn has_ended_untold(&self, now: Now) -> bool {
        !self.end_told && self.until_micros.is_some() && !self.is_in_force(now)
    }

    /// Whether nothing of it needs to be remembered.
    pub fn is_forgotten(&self, terms: &Terms, now: Now) -> bool {
        let end = self.last_micros.max(self.until_micros.unwrap_or(i64::MIN));
        let memory = match self.kind {
            Kind::TemporarySuspension => micros(terms.memory),
            _ => 0,
        };
        now.unix_micros >= end.saturating_add(memory)
    }

    fn last_until(&mut self, duration: Duration, now: Now) {
        self.until_micros = Some(now.plus(duration).unix_micros);
        self.end_told = false;
    }
}

/// A UUID as its hyphenated text.
mod uuid_text {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;

    pub(super) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Uuid, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        Uuid::parse_str(&text).map_err(D::Error::custom)
    }
}

/// A duration doubled so often; saturates.
pub(super) fn doubled(duration: Duration, times: u32) -> Duration {
    let factor = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
    duration.saturating_mul(factor)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn terms() -> Terms {
        Terms {
            suspension: secs(3_600),
            suspension_max: secs(86_400),
            suspension_strikes: 2,
            reduction: secs(600),
            reduction_steps_max: 4,
            verification: secs(86_400),
            verified: secs(3_600),
            wrong_codes_max: 5,
            wrong_codes_lock: secs(900),
            monitoring: secs(3_600),
            memory: secs(3_600),
        }
    }

    pub(crate) fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn start() -> Now {
        Now {
            mono_nanos: 1,
            unix_micros: 1_800_000_000_000_000,
        }
    }

    fn penalty(kind: Kind) -> Penalty {
        Penalty::begin(Uuid::nil(), kind, start())
    }

    #[test]
    fn the_second_strike_suspends_for_an_hour_and_the_next_for_two() {
        let (terms, mut now) = (terms(), start());
        let mut penalty = penalty(Kind::TemporarySuspension);
        assert_eq!(penalty.strike(&terms, now), Effect::Noted);
        assert!(!penalty.is_in_force(now));
        now = now.plus(secs(10));
        assert_eq!(penalty.strike(&terms, now), Effect::Laid);
        assert_eq!(penalty.strike(&terms, now), Effect::Unchanged);
        assert!(penalty.is_in_force(now.plus(secs(3_599))));
        now = now.plus(secs(3_600));
        assert!(!penalty.is_in_force(now) && penalty.has_ended_untold(now));
        assert!(!penalty.is_forgotten(&terms, now));
        assert_eq!(penalty.strike(&terms, now), Effect::Laid);
        assert!(penalty.is_in_force(now.plus(secs(7_199))));
        assert!(!penalty.is_in_force(now.plus(secs(7_200))));
    }

    #[test]
    fn strikes_far_apart_are_forgotten() {
        let (terms, now) = (terms(), start());
        let mut penalty = penalty(Kind::TemporarySuspension);
        penalty.strike(&terms, now);
        assert!(!penalty.is_forgotten(&terms, now.plus(secs(3_599))));
        assert!(penalty.is_forgotten(&terms, now.plus(secs(3_600))));
    }

    #[test]
    fn limits_are_halved_by_each_strike_and_given_back_one_by_one() {
        let (terms, now) = (terms(), start());
        let mut penalty = penalty(Kind::RateLimitReduction);
        assert_eq!(penalty.strike(&terms, now), Effect::Laid);
        assert_eq!(penalty.halvings(&terms, now), 1);
        assert_eq!(penalty.strike(&terms, now), Effect::Raised);
        penalty.strike(&terms, now);
        assert_eq!(penalty.strike(&terms, now), Effect::Raised);
        assert_eq!(penalty.strike(&terms, now), Effect::Prolonged);
        assert_eq!(penalty.halvings(&terms, now), 4);
        let after = |count| penalty.halvings(&terms, now.plus(secs(count)));
        assert_eq!(
            [after(599), after(600), after(1_800), after(2_399)],
            [4, 3, 1, 1]
        );
        assert_eq!(after(2_400), 0);
        assert!(penalty.is_forgotten(&terms, now.plus(secs(2_400))));
    }

    #[test]
    fn a_code_clears_for_a_while_and_is_then_demanded_again() {
        let (terms, now) = (terms(), start());
        let mut penalty = penalty(Kind::AdditionalVerification);
        assert_eq!(penalty.strike(&terms, now), Effect::Laid);
        assert!(penalty.demands_code(now));
        penalty.clear(&terms, now);
        assert!(!penalty.demands_code(now.plus(secs(3_599))));
        assert_eq!(
            penalty.strike(&terms, now.plus(secs(60))),
            Effect::Prolonged
        );
        assert!(!penalty.demands_code(now.plus(secs(61))));
        assert!(penalty.demands_code(now.plus(secs(3_600))));
        assert!(!penalty.demands_code(now.plus(secs(86_460))));
    }

    #[test]
    fn monitoring_ends_a_time_after_the_last_finding() {
        let (terms, now) = (terms(), start());
        let mut penalty = penalty(Kind::MonitoringIncrease);
        assert_eq!(penalty.strike(&terms, now), Effect::Laid);
        assert_eq!(
            penalty.strike(&terms, now.plus(secs(600))),
            Effect::Prolonged
        );
        assert!(penalty.is_in_force(now.plus(secs(4_199))));
        assert!(!penalty.is_in_force(now.plus(secs(4_200))));
    }

    proptest! {
        /// Whatever the findings, every penalty ends, and no later than its terms allow.
        #[test]
        fn every_penalty_ends_within_its_terms(
            kind in 0..4_usize,
            gaps in prop::collection::vec(0..20_000_u64, 1..40),
        ) {
            let (terms, mut now) = (terms(), start());
            let mut penalty = penalty(Kind::ALL[kind]);
            for gap in gaps {
                now = now.plus(secs(gap));
                penalty.strike(&terms, now);
                let left = penalty.until_micros.map_or(0, |until| until - now.unix_micros);
                prop_assert!(left <= 86_400_000_000, "{left}");
                prop_assert!(penalty.halvings(&terms, now) <= 4);
            }
            let later = now.plus(secs(86_400 + 3_600));
            prop_assert!(!penalty.is_in_force(later));
            prop_assert!(penalty.is_forgotten(&terms, later));
        }
    }
}
