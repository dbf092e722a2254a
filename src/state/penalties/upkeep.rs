//! What the running gateway does about its penalties once a second: takes lifts over, records ends.

use super::{Entry, Penalties, events};
use crate::audit::{AuditEvent, Log};
use crate::now::Now;
use crate::policy::penalty::Terms;
use crate::telemetry::metrics::Metrics;

/// Where what happens to penalties is recorded.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) audit: &'a Log,
    pub(crate) metrics: &'a Metrics,
}

impl Record<'_> {
    /// Somebody took a penalty away.
    pub(crate) fn lifted(&self, entry: &Entry, by: &str, now: Now) {
        self.metrics.penalty(entry.penalty.kind.as_str(), "lifted");
        self.append(&events::lifted(entry, by, now));
    }

    pub(crate) fn append(&self, event: &AuditEvent<'_>) {
        if let Err(error) = self.audit.append(event) {
            self.metrics.audit_error(error.reason());
            tracing::error!(%error, what = %event.endpoint, "audit event not written");
        }
    }
}

/// Takes over what the command line has lifted, and records what has ended.
pub(crate) fn follow(penalties: &Penalties, terms: &Terms, record: Record<'_>, now: Now) {
    match penalties.lifts() {
        Ok(lifts) => {
            for lift in &lifts {
                let gone = penalties.lift(lift.entry.penalty.id);
                let entry = gone.as_ref().map_or(&lift.entry, |(entry, _)| entry);
                record.lifted(entry, &lift.by, now);
            }
            let last = lifts.last().map(|lift| lift.sequence);
            if let Some(Err(error)) = last.map(|last| penalties.forget_lifts(last)) {
                tracing::error!(%error, "lifted penalties will be told again");
            }
        }
        Err(error) => tracing::warn!(%error, "lifted penalties not looked for"),
    }
    for entry in penalties.sweep(terms, now) {
        record.metrics.penalty(entry.penalty.kind.as_str(), "ended");
        record.append(&events::ended(&entry, now));
    }
}

/// States how many penalties of each kind are in force.
pub(crate) fn count(penalties: &Penalties, metrics: &Metrics, now: Now) {
    let in_force = penalties.in_force(now);
    for (kind, count) in in_force {
        metrics.penalties_in_force(kind.as_str(), count);
    }
}
