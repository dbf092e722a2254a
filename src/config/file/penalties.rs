//! The part of the shape that says what mitigations lay upon keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use crate::config::placed::Placed;

/// What mitigations lay upon keys, and for how long.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct PenaltiesShape {
    /// How long the first `temporary_suspension` lasts; each further one twice as long.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(in crate::config) suspension_secs: Placed<u64>,
    /// How long any suspension lasts at most.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(in crate::config) suspension_secs_max: Placed<u64>,
    /// Findings that lead from noted to suspended.
    #[schemars(range(min = 1, max = 1_000))]
    pub(in crate::config) suspension_strikes: Placed<u64>,
    /// How long findings are remembered: after the last one, or after the end of the suspension.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(in crate::config) memory_secs: Placed<u64>,
    /// After how long without a finding one halving of `rate_limit_reduction` is given back.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(in crate::config) reduction_secs: Placed<u64>,
    /// Halvings of the limits at most; each finding is one.
    #[schemars(range(min = 1, max = 10))]
    pub(in crate::config) reduction_steps_max: Placed<u64>,
    /// How long `additional_verification` is demanded after the last finding.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(in crate::config) verification_secs: Placed<u64>,
    /// How long a one-time code clears it.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(in crate::config) verified_secs: Placed<u64>,
    /// Wrong codes in a row after which no code of the key is looked at for a time.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) wrong_codes_max: Placed<u64>,
    /// That time; doubles with each further row of wrong codes, up to a day.
    #[schemars(range(min = 1, max = 86_400))]
    pub(in crate::config) wrong_codes_lock_secs: Placed<u64>,
    /// How long `monitoring_increase` lasts after the last finding.
    #[schemars(range(min = 1, max = 31_536_000))]
    pub(in crate::config) monitoring_secs: Placed<u64>,
}

impl Default for PenaltiesShape {
    fn default() -> Self {
        Self {
            suspension_secs: by_default(3_600_u64),
            suspension_secs_max: by_default(86_400_u64),
            suspension_strikes: by_default(2_u64),
            memory_secs: by_default(3_600_u64),
            reduction_secs: by_default(600_u64),
            reduction_steps_max: by_default(4_u64),
            verification_secs: by_default(86_400_u64),
            verified_secs: by_default(3_600_u64),
            wrong_codes_max: by_default(5_u64),
            wrong_codes_lock_secs: by_default(900_u64),
            monitoring_secs: by_default(3_600_u64),
        }
    }
}
