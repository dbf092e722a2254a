//! The closed sets of words that rules, indicators and verdicts use.

use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $kind:ident { $($(#[$item:meta])* $name:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $kind { $($(#[$item])* $name),* }

        impl $kind {
            /// Every value, in order.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$name),*];

            /// The word in rules, metrics and audit events.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

words! {
    /// How bad a finding is if true.
    Severity {
        /// A curiosity.
        Low = "low",
        /// Worth a look.
        Medium = "medium",
        /// An attack on one account or table.
        High = "high",
        /// An attack on the system.
        Critical = "critical",
    }
}

words! {
    /// Whether a rule's findings count.
    Mode {
        /// They count.
        Enforce = "enforce",
        /// They are recorded and do not count.
        Shadow = "shadow",
        /// The rule is not run.
        Off = "off",
        /// They are recorded and do not count, because an exclusion says so. No rule may say it.
        Excluded = "excluded",
    }
}

impl Mode {
    /// What a rule may say.
    pub const OF_RULES: [Self; 3] = [Self::Enforce, Self::Shadow, Self::Off];
}

words! {
    /// What may follow from a finding.
    Mitigation {
        /// The request is refused with 403.
        BlockRequest = "block_request",
        /// The caller's limit is reduced for a time.
        RateLimitReduction = "rate_limit_reduction",
        /// The key is suspended for a time.
        TemporarySuspension = "temporary_suspension",
        /// The security team is told.
        AlertSecurityTeam = "alert_security_team",
        /// The key has to present a one-time code.
        AdditionalVerification = "additional_verification",
        /// The organization is told.
        Notification = "notification",
        /// The key is traced and audited in detail for a time.
        MonitoringIncrease = "monitoring_increase",
        /// The value is rewritten before it is forwarded.
        SanitizeInput = "sanitize_input",
    }
}

/// The sum of an inspection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that counts suffices.
    #[default]
    Pass,
    /// The request is refused.
    Block,
}

/// A set of mitigations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mitigations(u8);

impl Mitigations {
    /// With one more.
    #[must_use]
    pub fn with(self, mitigation: Mitigation) -> Self {
        Self(self.0 | 1 << mitigation as u8)
    }

    /// With all of another set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether one is in it.
    pub fn has(self, mitigation: Mitigation) -> bool {
        self.0 & (1 << mitigation as u8) != 0
    }

    /// Whether none is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Mitigation> {
        Mitigation::ALL.into_iter().filter(move |m| self.has(*m))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set = Mitigations::default()
            .with(Mitigation::BlockRequest)
            .with(Mitigation::SanitizeInput);
        assert!(set.has(Mitigation::BlockRequest) && !set.has(Mitigation::Notification));
        assert_eq!(
            set.iter().map(Mitigation::name).collect::<Vec<_>>(),
            ["block_request", "sanitize_input"]
        );
    }
}
