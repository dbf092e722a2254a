//! The series of the audit log: what is appended, what is not, and how the log fares.

use std::sync::atomic::Ordering;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::families as table;
use super::series::{Family, Histogram, Registration, nanos};

/// How an audit log fares at this moment; totals are since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditFigures {
    /// Bytes of all segments.
    pub bytes: u64,
    /// It takes no new requests because it has its size or the disk is full.
    pub full: bool,
    /// It takes no new requests because the disk fails.
    pub failing: bool,
    /// Events given up to make room.
    pub events_dropped: u64,
    /// Group commits that failed.
    pub sync_failures: u64,
    /// Attempts to sign that failed.
    pub sign_failures: u64,
    /// Events no signature covers yet.
    pub unsigned_events: u64,
    /// History differs from what was signed.
    pub history_broken: bool,
    /// Damaged places that were found.
    pub damaged_places: u64,
    /// When all of it was last verified, in seconds since 1970; 0 for never.
    pub verified_secs: i64,
}

/// The families.
pub(super) struct AuditMetrics {
    events: Counter,
    appends: Histogram,
    errors: Family<1, Counter>,
    bytes: Gauge,
    full: Gauge,
    failing: Gauge,
    dropped: Counter,
    sync_failures: Counter,
    sign_failures: Counter,
    unsigned: Gauge,
    broken: Gauge,
    damaged: Gauge,
    verified: Gauge,
}

impl AuditMetrics {
    pub(super) fn new(r: &mut Registration) -> Self {
        let metrics = Self {
            events: r.single(&table::AUDIT_EVENTS),
            appends: r.single(&table::AUDIT_APPEND),
            errors: r.family(&table::AUDIT_ERRORS),
            bytes: r.single(&table::AUDIT_LOG_BYTES),
            full: r.single(&table::AUDIT_LOG_FULL),
            failing: r.single(&table::AUDIT_LOG_FAILING),
            dropped: r.single(&table::AUDIT_DROPPED),
            sync_failures: r.single(&table::AUDIT_SYNC_FAILURES),
            sign_failures: r.single(&table::AUDIT_SIGN_FAILURES),
            unsigned: r.single(&table::AUDIT_UNSIGNED),
            broken: r.single(&table::AUDIT_HISTORY_BROKEN),
            damaged: r.single(&table::AUDIT_DAMAGED),
            verified: r.single(&table::AUDIT_VERIFIED),
        };
        // Alerts ask for them before anything happened.
        for reason in ["full", "behind", "storage"] {
            metrics.errors.with([reason]);
        }
        metrics
    }

    pub(super) fn event(&self, waited: Duration) {
        self.events.inc();
        self.appends.observe(nanos(waited));
    }

    pub(super) fn error(&self, reason: &'static str) {
        self.errors.with([reason]).inc();
    }

    pub(super) fn read(&self, figures: &AuditFigures) {
        let gauge = |gauge: &Gauge, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        gauge(&self.bytes, figures.bytes);
        gauge(&self.full, u64::from(figures.full));
        gauge(&self.failing, u64::from(figures.failing));
        gauge(&self.unsigned, figures.unsigned_events);
        gauge(&self.broken, u64::from(figures.history_broken));
        gauge(&self.damaged, figures.damaged_places);
        self.verified.set(figures.verified_secs);
        // Counted where they happen; only mirrored here.
        let mirror = |counter: &Counter, total: u64| {
            counter.inner().fetch_max(total, Ordering::Relaxed);
        };
        mirror(&self.dropped, figures.events_dropped);
        mirror(&self.sync_failures, figures.sync_failures);
        mirror(&self.sign_failures, figures.sign_failures);
    }
}
