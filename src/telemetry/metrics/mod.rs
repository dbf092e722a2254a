//! The metrics the gateway exposes, as methods that say what happened.
//!
//! Label values come from closed sets (method, status code, auth type …), from the configuration
//! (endpoint, plan, rule, cluster) or from capped ones (organization, graph, API key). Every
//! family is bounded besides: see [`families`](super::families).
//!
//! [`Metrics::request`] is called for each request and finds all its series with one look-up;
//! the other methods cost a look-up each and allocate nothing.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

pub use super::audit::AuditFigures;
use super::audit::AuditMetrics;
use super::families as table;
use super::process::ProcessCollector;
use super::requests::RequestMetrics;
pub use super::requests::RequestOutcome;
use super::series::{CappedNames, Family, Histogram, Registration, SecondsCounter, nanos};
use super::sinks::SinkFamilies;
pub use super::sinks::SinkMetrics;

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label value of a request nobody was authenticated for.
const UNKNOWN: &str = "unknown";

/// Bounds of the label sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Organizations with a label value of their own, and as many API keys.
    pub organizations_max: usize,
    /// Graphs with a label value of their own.
    pub graphs_max: usize,
    /// Exposed lines of all families together; taken as at least 2,000.
    pub series_max: usize,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self {
            organizations_max: 200,
            graphs_max: 200,
            series_max: 2_200,
        }
    }
}

/// Whether an authentication succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthResult {
    /// The caller is known.
    Success,
    /// It is not.
    Failure,
}

/// What was presented to authenticate with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// A key of our own format.
    ApiKey,
    /// An imported key of an older system.
    Opaque,
    /// Nothing.
    None,
}

/// Whether a gauge counts this one more; it is counted down when dropped.
#[derive(Debug)]
#[must_use = "the gauge is counted down again when this is dropped"]
pub struct Held(Gauge);

impl Held {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Every metric of the process. Clone the `Arc` around it, not this.
pub struct Metrics {
    registry: Registry,
    organizations: CappedNames,
    api_keys: CappedNames,
    graphs: CappedNames,
    requests: RequestMetrics,
    active_keys: [Family<1, Gauge>; 2],
    query_durations: Family<2, Histogram>,
    query_rows: Family<1, Histogram>,
    active_queries: Gauge,
    rate_limit_violations: Family<3, Counter>,
    auth_attempts: Family<2, Counter>,
    suspicious: Family<2, Counter>,
    refusals: Family<1, Counter>,
    protocol_violations: Family<1, Counter>,
    rule_hits: Family<2, Counter>,
    rule_blocks: Family<1, Counter>,
    rule_seconds: Family<1, SecondsCounter>,
    exclusions: Family<1, Gauge>,
    recordings: Family<1, Counter>,
    penalties: Family<2, Counter>,
    penalties_in_force: Family<1, Gauge>,
    verification_codes: Family<1, Counter>,
    inspections: Histogram,
    uninspected: Counter,
    connections: Gauge,
    audit: AuditMetrics,
    geoip_build: Gauge,
    sinks: SinkFamilies,
    config_reloads: Family<1, Counter>,
    config_last_reload: Gauge,
    config_hash: Family<1, Gauge>,
    upstream_health: Family<2, Gauge>,
    upstream_requests: Family<2, Counter>,
    spans_dropped: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Registers every family of the table; series whose labels are few start at zero.
    pub fn new(settings: MetricsSettings) -> Self {
        let mut r = Registration::new(settings.series_max.max(2_000));
        let build: Family<1, Gauge> = r.family(&table::BUILD_INFO);
        build.with([env!("CARGO_PKG_VERSION")]).set(1);
        r.registry.register_collector(Box::new(ProcessCollector));
        let metrics = Self {
            organizations: CappedNames::new(settings.organizations_max),
            api_keys: CappedNames::new(settings.organizations_max),
            graphs: CappedNames::new(settings.graphs_max),
            requests: RequestMetrics::new(&mut r),
            active_keys: [
                r.family(&table::ACTIVE_API_KEYS),
                r.family(&table::ACTIVE_API_KEYS_CURRENT),
            ],
            query_durations: r.family(&table::QUERY_EXECUTION),
            query_rows: r.family(&table::QUERY_RESULT_SIZE),
            active_queries: r.single(&table::ACTIVE_QUERIES),
            rate_limit_violations: r.family(&table::RATE_LIMIT_VIOLATIONS),
            auth_attempts: r.family(&table::AUTH_ATTEMPTS),
            suspicious: r.family(&table::SUSPICIOUS_ACTIVITY),
            refusals: r.family(&table::REFUSALS),
            protocol_violations: r.family(&table::PROTOCOL_VIOLATIONS),
            rule_hits: r.family(&table::RULE_HITS),
            rule_blocks: r.family(&table::RULE_BLOCKS),
            rule_seconds: r.family(&table::RULE_SECONDS),
            exclusions: r.family(&table::EXCLUSIONS),
            recordings: r.family(&table::RECORDINGS),
            penalties: r.family(&table::PENALTIES),
            penalties_in_force: r.family(&table::PENALTIES_IN_FORCE),
            verification_codes: r.family(&table::VERIFICATION_CODES),
            inspections: r.single(&table::INSPECTION),
            uninspected: r.single(&table::UNINSPECTED),
            connections: r.single(&table::CONNECTIONS),
            audit: AuditMetrics::new(&mut r),
            geoip_build: r.single(&table::GEOIP_BUILD),
            sinks: SinkFamilies::new(&mut r),
            config_reloads: r.family(&table::CONFIG_RELOADS),
            config_last_reload: r.single(&table::CONFIG_LAST_RELOAD),
            config_hash: r.family(&table::CONFIG_HASH),
            upstream_health: r.family(&table::UPSTREAM_HEALTH),
            upstream_requests: r.family(&table::UPSTREAM_REQUESTS),
            spans_dropped: r.single(&table::SPANS_DROPPED),
            registry: r.registry,
        };
        metrics.start_at_zero();
        metrics
    }

    /// Makes the series alerts and dashboards ask for before anything happened.
    fn start_at_zero(&self) {
        for result in ["success", "failure"] {
            self.config_reloads.with([result]);
            for auth_type in ["api_key", "opaque", "none"] {
                self.auth_attempts.with([result, auth_type]);
            }
        }
    }

    /// The OpenMetrics text of every series; serve it as [`CONTENT_TYPE`].
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(64 * 1024);
        // Writing to a `String` cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts one answered request in all of its families.
    pub fn request(&self, outcome: &RequestOutcome<'_>) {
        self.requests
            .count(outcome, |name| self.organization_label(name));
    }

    fn organization_label<'a>(&self, organization: Option<&'a str>) -> &'a str {
        organization.map_or(UNKNOWN, |name| self.organizations.cap(name))
    }

    /// Counts one authentication.
    pub fn auth_attempt(&self, result: AuthResult, auth_type: AuthType) {
        let result = match result {
            AuthResult::Success => "success",
            AuthResult::Failure => "failure",
        };
        let auth_type = match auth_type {
            AuthType::ApiKey => "api_key",
            AuthType::Opaque => "opaque",
            AuthType::None => "none",
        };
        self.auth_attempts.with([result, auth_type]).inc();
    }

    /// Counts one request over a limit; `limit_type` names the limit (`second`, `day` …).
    ///
    /// Without a key (a limit per address) the key and organization are `unknown`.
    pub fn rate_limit_violation(
        &self,
        api_key_id: Option<&str>,
        limit_type: &'static str,
        organization: Option<&str>,
    ) {
        let api_key_id = api_key_id.map_or(UNKNOWN, |id| self.api_keys.cap(id));
        let organization = self.organization_label(organization);
        self.rate_limit_violations
            .with([api_key_id, limit_type, organization])
            .inc();
    }

    /// Counts one indicator; both values come from closed sets.
    pub fn suspicious_activity(&self, activity_type: &str, severity: &str) {
        self.suspicious.with([activity_type, severity]).inc();
    }

    /// Counts one query the upstream answered; `rows` where it stated them.
    ///
    /// Refused and unanswered ones are left out: a made-up graph id must not take a label value.
    pub fn query(&self, graph_id: &str, complexity: &str, duration: Duration, rows: Option<u64>) {
        let graph_id = self.graphs.cap(graph_id);
        self.query_durations
            .with([graph_id, complexity])
            .observe(nanos(duration));
        if let Some(rows) = rows {
            self.query_rows.with([graph_id]).observe(rows);
        }
    }

    /// One query more is waiting for the upstream, until the guard is dropped.
    pub fn active_query(&self) -> Held {
        Held::new(&self.active_queries)
    }

    /// One connection more is open, until the guard is dropped.
    pub fn connection(&self) -> Held {
        Held::new(&self.connections)
    }

    /// States how many keys of a plan are active.
    pub fn active_api_keys(&self, plan: &str, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        for family in &self.active_keys {
            family.with([plan]).set(count);
        }
    }

    /// Counts one refusal by its code.
    pub fn refusal(&self, code: &'static str) {
        self.refusals.with([code]).inc();
    }

    /// Counts one request that broke the protocol, by its code.
    pub fn protocol_violation(&self, code: &'static str) {
        self.protocol_violations.with([code]).inc();
    }

    /// Counts one match of a rule in its mode (`enforce`, `shadow`, `excluded`).
    pub fn rule_hit(&self, rule: &str, mode: &'static str) {
        self.rule_hits.with([rule, mode]).inc();
    }

    /// Counts one finding of a rule that was part of what blocked a request.
    pub fn rule_block(&self, rule: &str) {
        self.rule_blocks.with([rule]).inc();
    }

    /// Counts time spent on a rule's patterns.
    pub fn rule_time(&self, rule: &str, nanos: u64) {
        let seconds = Duration::from_nanos(nanos).as_secs_f64();
        self.rule_seconds.with([rule]).inc_by(seconds);
    }

    /// States how many exclusions hold, and how many have expired.
    pub fn exclusions(&self, in_force: usize, expired: usize) {
        for (state, count) in [("in_force", in_force), ("expired", expired)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.exclusions.with([state]).set(count);
        }
    }

    /// Counts one thing that happened to a penalty of a kind.
    pub fn penalty(&self, kind: &'static str, change: &'static str) {
        self.penalties.with([kind, change]).inc();
    }

    /// States how many penalties of a kind are in force.
    pub fn penalties_in_force(&self, kind: &'static str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.penalties_in_force.with([kind]).set(count);
    }

    /// Counts one presented one-time code (`accepted`, `wrong`, `locked`).
    pub fn verification_code(&self, result: &'static str) {
        self.verification_codes.with([result]).inc();
    }

    /// Counts one request handed over to be recorded; false when there was no room.
    pub fn recording(&self, taken: bool) {
        let result = if taken { "taken" } else { "dropped" };
        self.recordings.with([result]).inc();
    }

    /// Counts one inspection and the time it took.
    pub fn inspection(&self, duration: Duration) {
        self.inspections.observe(nanos(duration));
    }

    /// Counts one request forwarded without full inspection.
    pub fn uninspected(&self) {
        self.uninspected.inc();
    }

    /// Counts one audit event written, and how long the request waited for it.
    pub fn audit_event(&self, waited: Duration) {
        self.audit.event(waited);
    }

    /// Counts one audit event that could not be written, by the word for why.
    pub fn audit_error(&self, reason: &'static str) {
        self.audit.error(reason);
    }

    /// States how the audit log fares.
    pub fn audit_log(&self, figures: &AuditFigures) {
        self.audit.read(figures);
    }

    /// States when the database of places was made, seconds since 1970; 0 when there is none.
    pub fn geoip_build(&self, epoch: u64) {
        self.geoip_build
            .set(i64::try_from(epoch).unwrap_or(i64::MAX));
    }

    /// The series of one sink, for its worker.
    pub fn sink(&self, name: &str) -> SinkMetrics {
        self.sinks.of(name)
    }

    /// A sink left the configuration: its gauges go, its counters stay.
    pub fn forget_sink(&self, name: &str) {
        self.sinks.forget(name);
    }

    /// Counts one load of the configuration; a taken one names its hash.
    pub fn config_loaded(&self, hash: &str) {
        self.config_reloads.with(["success"]).inc();
        self.config_last_reload.set(1);
        self.config_hash.only([hash]).set(1);
    }

    /// Counts one refused load; the configuration before still serves.
    pub fn config_refused(&self) {
        self.config_reloads.with(["failure"]).inc();
        self.config_last_reload.set(0);
    }

    /// States an upstream endpoint's health; `None` when it left the configuration.
    pub fn upstream_health(&self, cluster: &str, endpoint: &str, healthy: Option<bool>) {
        match healthy {
            Some(healthy) => {
                let gauge = self.upstream_health.with([cluster, endpoint]);
                gauge.set(i64::from(healthy));
            }
            None => self.upstream_health.remove([cluster, endpoint]),
        }
    }

    /// Counts one attempt at an upstream, by how it ended (`answered`, `connect_failed` …).
    pub fn upstream_request(&self, cluster: &str, outcome: &'static str) {
        self.upstream_requests.with([cluster, outcome]).inc();
    }

    /// The counter of spans that never reached the collector, for whoever exports them.
    pub fn spans_dropped(&self) -> Counter {
        self.spans_dropped.clone()
    }
}

#[cfg(test)]
mod tests;
