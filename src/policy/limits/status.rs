//! Where a caller stands, in the words of draft-ietf-httpapi-ratelimit-headers-11.
//!
//! ```text
//! RateLimit-Policy: "minute";q=1000;w=60
//! RateLimit: "minute";r=998;t=12
//! ```
//!
//! One item each, for the limit with the least left: that is the one a client has to pace itself by.

use http::header::HeaderName;

/// The header of [`LimitStatus::write_state`].
pub static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The header of [`LimitStatus::write_policy`].
pub static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The largest integer of a structured field (RFC 9651, section 3.3.1).
const FIELD_INTEGER_MAX: u64 = 999_999_999_999_999;

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitType {
    /// Requests per second with a burst.
    PerSecond,
    /// Requests in any minute.
    PerMinute,
    /// Requests in any 24 hours.
    PerDay,
    /// Requests in flight.
    Concurrency,
    /// Failed authentications of an address in any minute.
    Address,
}

impl LimitType {
    /// The label of metrics and audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PerSecond => "per_second",
            Self::PerMinute => "per_minute",
            Self::PerDay => "per_day",
            Self::Concurrency => "concurrency",
            Self::Address => "address",
        }
    }

    /// The policy's name in the RateLimit fields.
    pub fn policy_name(self) -> &'static str {
        match self {
            Self::PerSecond => "second",
            Self::PerMinute => "minute",
            Self::PerDay => "day",
            Self::Concurrency => "concurrency",
            Self::Address => "address",
        }
    }
}

/// Where a caller stands with one limit. Small and cheap to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitStatus {
    /// Which limit.
    pub limit: LimitType,
    /// Requests in a window; for a rate per second, the burst.
    pub quota: u64,
    /// Requests that would be admitted now.
    pub remaining: u64,
    /// Seconds until `remaining` grows, rounded up; 0 when nothing is spent.
    pub reset_secs: u64,
    /// The window in seconds, rounded up; for a rate per second, the time in which its burst
    /// refills; 0 for concurrency, which has none.
    pub window_secs: u64,
}

impl LimitStatus {
    pub(super) fn new(
        limit: LimitType,
        quota: u64,
        remaining: u64,
        reset_secs: u64,
        window_secs: u64,
    ) -> Self {
        Self {
            limit,
            quota,
            remaining,
            reset_secs,
            window_secs,
        }
    }

    /// Appends the value of `RateLimit-Policy`, at most 64 bytes.
    pub fn write_policy(&self, out: &mut String) {
        self.write_name(out);
        out.push_str(";q=");
        push_decimal(out, self.quota);
        if self.limit == LimitType::Concurrency {
            out.push_str(";qu=\"concurrent-requests\"");
        } else {
            out.push_str(";w=");
            push_decimal(out, self.window_secs);
        }
    }

    /// Appends the value of `RateLimit`, at most 64 bytes.
    pub fn write_state(&self, out: &mut String) {
        self.write_name(out);
        out.push_str(";r=");
        push_decimal(out, self.remaining);
        out.push_str(";t=");
        push_decimal(out, self.reset_secs);
    }

    fn write_name(&self, out: &mut String) {
        out.push('"');
        out.push_str(self.limit.policy_name());
        out.push('"');
    }
}

/// Appends a number of at most 15 digits; every answer has four of them, hence not `write!`.
fn push_decimal(out: &mut String, number: u64) {
    let mut rest = number.min(FIELD_INTEGER_MAX);
    let mut digits = [b'0'; 15];
    let mut count = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let written = digits.get(digits.len() - count..).unwrap_or_default();
    out.push_str(std::str::from_utf8(written).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(status: LimitStatus) -> (String, String) {
        let (mut policy, mut state) = (String::new(), String::new());
        status.write_policy(&mut policy);
        status.write_state(&mut state);
        (policy, state)
    }

    #[test]
    fn the_fields_are_those_of_the_draft() {
        let minute = LimitStatus::new(LimitType::PerMinute, 1_000, 998, 12, 60);
        assert_eq!(
            fields(minute),
            (
                "\"minute\";q=1000;w=60".into(),
                "\"minute\";r=998;t=12".into()
            )
        );
        let concurrency = LimitStatus::new(LimitType::Concurrency, 4, 0, 1, 0);
        assert_eq!(
            fields(concurrency),
            (
                "\"concurrency\";q=4;qu=\"concurrent-requests\"".into(),
                "\"concurrency\";r=0;t=1".into()
            )
        );
    }

    #[test]
    fn the_longest_fields_keep_to_their_bound() {
        let most = |limit| LimitStatus::new(limit, u64::MAX, u64::MAX, u64::MAX, u64::MAX);
        for limit in [LimitType::PerSecond, LimitType::Concurrency] {
            let (policy, state) = fields(most(limit));
            assert!(policy.len() <= 64 && state.len() <= 64, "{policy} {state}");
        }
    }

    proptest! {
        #[test]
        fn decimals_are_those_of_the_standard_library(number in 0..=FIELD_INTEGER_MAX) {
            let mut out = String::new();
            push_decimal(&mut out, number);
            prop_assert_eq!(out, number.to_string());
        }
    }
}
