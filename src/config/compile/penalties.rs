//! What mitigations lay upon keys.

use std::time::Duration;

use super::{Compiler, narrow};
use crate::config::file::PenaltiesShape;
use crate::config::placed::Placed;
use crate::policy::penalty::Terms;

impl Compiler<'_> {
    pub(super) fn penalties(&mut self, shape: &PenaltiesShape) -> Terms {
        let (first, max) = (&shape.suspension_secs, &shape.suspension_secs_max);
        let reported = ["penalties.suspension_secs", "penalties.suspension_secs_max"]
            .iter()
            .any(|path| self.findings.names(path));
        if max.value < first.value && !reported {
            let at = if max.stands_in_file() { max } else { first };
            let reason = format!(
                "suspension_secs_max must be at least suspension_secs, {}: {}",
                first.value, max.value
            );
            self.error(at, reason);
        }
        Terms {
            suspension: secs(first),
            suspension_max: secs(max),
            suspension_strikes: narrow(&shape.suspension_strikes),
            memory: secs(&shape.memory_secs),
            reduction: secs(&shape.reduction_secs),
            reduction_steps_max: narrow(&shape.reduction_steps_max),
            verification: secs(&shape.verification_secs),
            verified: secs(&shape.verified_secs),
            wrong_codes_max: narrow(&shape.wrong_codes_max),
            wrong_codes_lock: secs(&shape.wrong_codes_lock_secs),
            monitoring: secs(&shape.monitoring_secs),
        }
    }
}

fn secs(value: &Placed<u64>) -> Duration {
    Duration::from_secs(value.value)
}
