//! What mitigations have laid upon callers: suspensions and reduced limits, each with its end.
//!
//! A penalty is bound to a key *and* the network it came from, so that one attacker behind a shared
//! key does not silence the others. It escalates by strikes and expires by itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::now::Now;
use crate::policy::auth::Caller;
use crate::policy::refusal::Refusal;
use crate::policy::threat::{Mitigation, Mitigations};

/// Penalties remembered at once. When full, expired ones go; if none has expired, new ones are not
/// laid, which is counted (the request itself is still blocked).
const PENALTIES_MAX: usize = 65_536;
/// How long a suspension lasts (the specification's `duration=3600`).
const SUSPENSION: Duration = Duration::from_secs(3_600);
/// Findings within a penalty's life that lead from "noted" to "suspended".
const SUSPENSION_STRIKES: u32 = 2;
/// How long one strike halves the limits.
const REDUCTION: Duration = Duration::from_secs(600);
/// Strikes beyond which limits are not reduced further (1/16).
const REDUCTION_STRIKES_MAX: u32 = 4;

type Subject = (Arc<str>, IpAddr);

/// All penalties in force.
#[derive(Debug, Default)]
pub struct Penalties {
    entries: Mutex<HashMap<Subject, Penalty>>,
    /// Spares the lock while nobody is penalised.
    count: AtomicUsize,
}

/// The penalties of one key from one network.
#[derive(Clone, Debug, Default)]
pub struct Penalty {
    /// Findings that asked for a suspension.
    pub suspension_strikes: u32,
    /// Refused until then.
    pub suspended_until: Option<Now>,
    /// Findings that asked for a reduction.
    pub reduction_strikes: u32,
    /// Limits are reduced until then.
    pub reduced_until: Option<Now>,
    /// When the last finding came.
    last: Now,
}

impl Penalties {
    /// Refuses a caller that is suspended.
    ///
    /// # Errors
    ///
    /// [`Refusal::Suspended`] with the rest of the suspension.
    pub fn check(&self, caller: &Caller, address: IpAddr, now: Now) -> Result<(), Refusal> {
        let until = self
            .find(caller, address)
            .and_then(|penalty| penalty.suspended_until);
        match until {
            Some(until) if until.mono_nanos > now.mono_nanos => Err(Refusal::Suspended {
                retry_after: until.since(now),
            }),
            _ => Ok(()),
        }
    }

    /// What the caller's limits are multiplied with: 1 without a penalty, halved by each strike.
    pub fn factor(&self, caller: &Caller, address: IpAddr, now: Now) -> f32 {
        match self.find(caller, address) {
            Some(Penalty {
                reduced_until: Some(until),
                reduction_strikes,
                ..
            }) if until.mono_nanos > now.mono_nanos => {
                let strikes = reduction_strikes.min(REDUCTION_STRIKES_MAX);
                0.5_f32.powi(strikes.cast_signed())
            }
            _ => 1.0,
        }
    }

    /// Lays what a verdict asks for.
    pub fn apply(&self, caller: &Caller, address: IpAddr, asked: Mitigations, now: Now) {
        let suspend = asked.has(Mitigation::TemporarySuspension);
        let reduce = asked.has(Mitigation::RateLimitReduction);
        if caller.limits_exempt || !(suspend || reduce) {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= PENALTIES_MAX {
            entries.retain(|_, penalty| penalty.is_live(now));
            if entries.len() >= PENALTIES_MAX {
                return;
            }
        }
        let penalty = entries.entry(subject(caller, address)).or_default();
        if !penalty.is_live(now) {
            *penalty = Penalty::default();
        }
        penalty.last = now;
        if suspend {
            penalty.suspension_strikes += 1;
            if penalty.suspension_strikes >= SUSPENSION_STRIKES {
                penalty.suspended_until = Some(now.plus(SUSPENSION));
            }
        }
        if reduce {
            penalty.reduction_strikes += 1;
            penalty.reduced_until = Some(now.plus(REDUCTION));
        }
        self.count.store(entries.len(), Ordering::Release);
    }

    fn find(&self, caller: &Caller, address: IpAddr) -> Option<Penalty> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(&subject(caller, address)).cloned()
    }
}

impl Penalty {
    fn is_live(&self, now: Now) -> bool {
        now.since(self.last) < SUSPENSION
    }
}

/// The key and the network (/24 or /64) it was used from.
fn subject(caller: &Caller, address: IpAddr) -> Subject {
    let network = match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & 0xffff_ff00).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
    };
    (caller.key_id.clone(), network)
}
