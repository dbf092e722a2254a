//! The series of audit sinks: found once by name, then counted without a look-up.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::families as table;
use super::series::{Family, Registration};

/// The families; `sink` is a configured name, `outcome` one of three words.
pub(super) struct SinkFamilies {
    events: Family<2, Counter>,
    retries: Family<1, Counter>,
    up: Family<1, Gauge>,
    lag_events: Family<1, Gauge>,
    lag_seconds: Family<1, Gauge>,
}

/// The series of one sink.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    delivered: Counter,
    rejected: Counter,
    lost: Counter,
    retries: Counter,
    up: Gauge,
    lag_events: Gauge,
    lag_seconds: Gauge,
}

impl SinkFamilies {
    pub(super) fn new(r: &mut Registration) -> Self {
        Self {
            events: r.family(&table::SINK_EVENTS),
            retries: r.family(&table::SINK_RETRIES),
            up: r.family(&table::SINK_UP),
            lag_events: r.family(&table::SINK_LAG_EVENTS),
            lag_seconds: r.family(&table::SINK_LAG_SECONDS),
        }
    }

    pub(super) fn of(&self, sink: &str) -> SinkMetrics {
        SinkMetrics {
            delivered: self.events.with([sink, "delivered"]),
            rejected: self.events.with([sink, "rejected"]),
            lost: self.events.with([sink, "lost"]),
            retries: self.retries.with([sink]),
            up: self.up.with([sink]),
            lag_events: self.lag_events.with([sink]),
            lag_seconds: self.lag_seconds.with([sink]),
        }
    }

    pub(super) fn forget(&self, sink: &str) {
        for gauge in [&self.up, &self.lag_events, &self.lag_seconds] {
            gauge.remove([sink]);
        }
    }
}

impl SinkMetrics {
    /// Counts events that arrived.
    pub fn delivered(&self, events: usize) {
        self.delivered.inc_by(events as u64);
    }

    /// Counts events among the dead letters.
    pub fn rejected(&self, events: usize) {
        self.rejected.inc_by(events as u64);
    }

    /// Counts events that were gone from the log before the sink took them.
    pub fn lost(&self, events: u64) {
        self.lost.inc_by(events);
    }

    /// Counts one offer that was not taken in full.
    pub fn retry(&self) {
        self.retries.inc();
    }

    /// States whether the sink takes events.
    pub fn up(&self, is_up: bool) {
        self.up.set(i64::from(is_up));
    }

    /// States how far the sink is behind.
    pub fn lag(&self, events: u64, seconds: i64) {
        self.lag_events
            .set(i64::try_from(events).unwrap_or(i64::MAX));
        self.lag_seconds.set(seconds);
    }
}
