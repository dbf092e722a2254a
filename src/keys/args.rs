//! What the command line takes: durations, times, and the terms of a key.

use std::time::Duration;

use super::record::KeyTerms;
use super::{KeysError, Result};
use crate::now::Now;

/// A point in time as people write it: `2027-01-31T12:00:00Z`, or `90d` from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Microseconds since 1970.
    At(i64),
    /// From now on.
    In(Duration),
}

impl When {
    /// In microseconds since 1970.
    pub(super) fn unix_micros(self, now: Now) -> i64 {
        match self {
            Self::At(micros) => micros,
            Self::In(duration) => now.plus(duration).unix_micros,
        }
    }
}

/// Reads a duration such as `7d`, `24h`, `30m`, `45s`; at most 100 years.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a duration such as 7d, 24h, 30m or 45s: {text:?}");
    let unit_secs = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let digits = text.strip_suffix(['s', 'm', 'h', 'd']).unwrap_or_default();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    count
        .checked_mul(unit_secs)
        .filter(|secs| *secs <= 36_525 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("longer than 100 years: {text:?}"))
}

/// Reads a time (RFC 3339), or a duration from now.
pub(super) fn when(text: &str) -> Result<When, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(When::At(at.as_microsecond()));
    }
    duration(text).map(When::In).map_err(|_| {
        format!("neither a time such as 2027-01-31T12:00:00Z nor a duration such as 90d: {text:?}")
    })
}

/// The terms of a new key, or the defaults of imported ones.
#[derive(Clone, Debug, clap::Args)]
pub struct TermsArgs {
    /// The plan whose limits apply
    #[arg(long, default_value = "free")]
    pub plan: String,
    /// Scopes `resource:action`, parted by commas; `*` for any half or all
    #[arg(long, default_value = "graph:*")]
    pub scopes: String,
    /// Graphs it reaches, parted by commas; `*` for all
    #[arg(long, default_value = "*")]
    pub graphs: String,
    /// Addresses or networks it may come from, parted by commas; `*` for any
    #[arg(long, default_value = "*")]
    pub networks: String,
    /// The organization's trade
    #[arg(long)]
    pub industry: Option<String>,
    /// When it ends: a time (RFC 3339) or a duration such as 90d
    #[arg(long, value_parser = when)]
    pub expires: Option<When>,
    /// Not touched by limits and suspensions
    #[arg(long)]
    pub limits_exempt: bool,
    /// Who does this, for the audit log
    #[arg(long, env = "USER", default_value = "operator")]
    pub by: String,
}

impl TermsArgs {
    /// The terms for an organization.
    pub(super) fn terms(&self, organization_id: &str, name: &str, now: Now) -> Result<KeyTerms> {
        let grant = |field| move |source| KeysError::Grant { field, source };
        Ok(KeyTerms {
            organization_id: organization_id.to_owned(),
            plan: self.plan.clone(),
            scopes: self.scopes.parse().map_err(grant("scopes"))?,
            graphs: self.graphs.parse().map_err(grant("graphs"))?,
            networks: self.networks.parse().map_err(grant("networks"))?,
            industry: self.industry.clone(),
            expires_at_micros: self.expires.map(|when| when.unix_micros(now)),
            name: name.to_owned(),
            created_by: self.by.clone(),
            limits_exempt: self.limits_exempt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(duration("24h"), duration("1d"));
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1_800)));
        for text in [
            "",
            "d",
            "7",
            "7w",
            "-1d",
            "+1d",
            "1.5h",
            "1d2h",
            "99999999999999999999d",
            "40000d",
            "7é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_is_a_date_or_a_duration_from_now() {
        let now = Now {
            mono_nanos: 0,
            unix_micros: 1_000_000,
        };
        assert_eq!(
            when("1970-01-01T00:00:05Z").unwrap().unix_micros(now),
            5_000_000
        );
        assert_eq!(when("5s").unwrap().unix_micros(now), 6_000_000);
        assert!(when("tomorrow").is_err() && when("2027-01-31").is_err());
    }
}
