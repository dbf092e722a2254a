//! The one table of every metric family: name, type, labels, buckets, share of the series, help.
//!
//! The registry is built from it and `docs/metrics.md` is checked against it. Names of the
//! specification are kept exactly, also where they break convention
//! (`rg_active_api_keys_total` is a gauge); ours beside them are `rg_<noun>_<unit>[_total]`.
//!
//! A family may hold only so many series; see [`FamilySpec::sets_max`].

use std::fmt::Write;

/// The type of a family.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations by size.
    Histogram(&'static Buckets),
}

/// Upper bounds of a histogram, in whole base units so that observing needs no floating point.
#[derive(Debug)]
pub struct Buckets {
    /// Inclusive upper bounds, ascending; one bucket beyond the last is implied.
    pub bounds: &'static [u64],
    /// How many base units make one exposed unit: 10⁹ for seconds kept in nanoseconds.
    pub base_units: u64,
}

/// One family of the table.
#[derive(Debug)]
pub struct FamilySpec {
    /// The exposed name, `_total` included.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// Label names, in the order values are given.
    pub labels: &'static [&'static str],
    /// Those of `labels` whose values callers can multiply; they are folded first.
    pub open_labels: &'static [&'static str],
    /// This family's share of all series, in thousandths.
    pub share_permille: u16,
    /// One line, no full stop (the exposition adds it).
    pub help: &'static str,
}

impl FamilySpec {
    /// How many exposed lines one set of label values costs.
    pub fn lines_per_set(&self) -> usize {
        match self.kind {
            Kind::Counter | Kind::Gauge => 1,
            // The buckets, the one beyond them, sum and count.
            Kind::Histogram(buckets) => buckets.bounds.len() + 3,
        }
    }

    /// How many sets of label values this family may hold when all families share `series_max`.
    ///
    /// Never below 4.
    pub fn sets_max(&self, series_max: usize) -> usize {
        let lines = series_max.saturating_mul(usize::from(self.share_permille)) / 1_000;
        (lines / self.lines_per_set()).max(4)
    }

    /// How many of `sets_max` are for values as they come.
    ///
    /// The last set takes everything beyond the bound; where labels are open, a quarter is kept
    /// for sets whose open labels are folded.
    pub(super) fn plain_sets_max(&self, sets_max: usize) -> usize {
        let kept_back = if self.open_labels.is_empty() {
            1
        } else {
            sets_max / 4 + 1
        };
        sets_max.saturating_sub(kept_back)
    }

    /// The name the registry wants: it appends `_total` to counters itself.
    pub(super) fn registry_name(&self) -> &'static str {
        match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(self.name),
            Kind::Gauge | Kind::Histogram(_) => self.name,
        }
    }
}

const fn ms(milliseconds: u64) -> u64 {
    milliseconds * 1_000_000
}

const fn us(microseconds: u64) -> u64 {
    microseconds * 1_000
}

const SECONDS: u64 = 1_000_000_000;

static REQUEST_SECONDS: Buckets = Buckets {
    bounds: &[
        ms(10),
        ms(25),
        ms(50),
        ms(100),
        ms(250),
        ms(500),
        ms(1_000),
        ms(2_500),
        ms(5_000),
        ms(10_000),
    ],
    base_units: SECONDS,
};
static QUERY_SECONDS: Buckets = Buckets {
    bounds: &[
        ms(100),
        ms(500),
        ms(1_000),
        ms(2_000),
        ms(5_000),
        ms(10_000),
        ms(30_000),
        ms(60_000),
        ms(120_000),
    ],
    base_units: SECONDS,
};
static INSPECTION_SECONDS: Buckets = Buckets {
    bounds: &[
        us(5),
        us(10),
        us(25),
        us(50),
        us(100),
        us(250),
        ms(1),
        ms(5),
        ms(30),
    ],
    base_units: SECONDS,
};
static APPEND_SECONDS: Buckets = Buckets {
    bounds: &[us(1), us(5), us(25), us(100), ms(1), ms(5), ms(25), ms(100)],
    base_units: SECONDS,
};
static BODY_BYTES: Buckets = Buckets {
    bounds: &[1 << 10, 16 << 10, 256 << 10, 4 << 20],
    base_units: 1,
};
static RESULT_ROWS: Buckets = Buckets {
    bounds: &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
    base_units: 1,
};

/// Declares the families as statics and lists them in declaration order.
macro_rules! families {
    ($($id:ident: $name:literal, $kind:expr, [$($label:literal),*], open [$($open:literal),*], $share:literal, $help:literal;)*) => {
        $(pub(super) static $id: FamilySpec = FamilySpec {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            open_labels: &[$($open),*],
            share_permille: $share,
            help: $help,
        };)*
        /// Every family, in the order of the documentation: the specification's, then ours.
        pub static FAMILIES: &[&FamilySpec] = &[$(&$id),*];
    };
}

families! {
    HTTP_REQUESTS: "rg_http_requests_total", Kind::Counter,
        ["method", "endpoint", "status_code", "organization_id"], open ["organization_id"], 159,
        "Requests answered, refusals included";
    HTTP_REQUEST_DURATION: "rg_http_request_duration_seconds", Kind::Histogram(&REQUEST_SECONDS),
        ["method", "endpoint"], open ["method"], 213,
        "Time from the request head to the last byte of the answer";
    HTTP_REQUEST_SIZE: "rg_http_request_size_bytes", Kind::Histogram(&BODY_BYTES),
        ["method", "endpoint"], open ["method"], 108,
        "Request body bytes received";
    HTTP_RESPONSE_SIZE: "rg_http_response_size_bytes", Kind::Histogram(&BODY_BYTES),
        ["method", "endpoint"], open ["method"], 108,
        "Response body bytes sent";
    ACTIVE_API_KEYS: "rg_active_api_keys_total", Kind::Gauge,
        ["plan_type"], open [], 4,
        "Active API keys (a gauge in spite of its name, as the specification has it)";
    QUERY_EXECUTION: "rg_query_execution_duration_seconds", Kind::Histogram(&QUERY_SECONDS),
        ["graph_id", "query_complexity"], open ["graph_id"], 88,
        "Graph query time, as the gateway sees the upstream take it";
    QUERY_RESULT_SIZE: "rg_query_result_size_rows", Kind::Histogram(&RESULT_ROWS),
        ["graph_id"], open ["graph_id"], 37,
        "Rows of a query's answer, where the upstream states them";
    ACTIVE_QUERIES: "rg_active_queries_current", Kind::Gauge,
        [], open [], 1,
        "Queries waiting for the upstream now";
    ERRORS: "rg_errors_total", Kind::Counter,
        ["error_type", "endpoint", "organization_id"], open ["organization_id"], 37,
        "Requests that ended in an error, by its code";
    RATE_LIMIT_VIOLATIONS: "rg_rate_limit_violations_total", Kind::Counter,
        ["api_key_id", "limit_type", "organization_id"], open ["api_key_id", "organization_id"], 28,
        "Requests over a limit";
    AUTH_ATTEMPTS: "rg_auth_attempts_total", Kind::Counter,
        ["result", "auth_type"], open [], 4,
        "Authentication attempts";
    SUSPICIOUS_ACTIVITY: "rg_suspicious_activity_total", Kind::Counter,
        ["activity_type", "severity"], open [], 18,
        "Indicators found, in shadow mode too";

    ACTIVE_API_KEYS_CURRENT: "rg_active_api_keys", Kind::Gauge,
        ["plan_type"], open [], 4,
        "Active API keys; the conventional name of rg_active_api_keys_total";
    REFUSALS: "rg_refusals_total", Kind::Counter,
        ["code"], open [], 18,
        "Requests refused by the gateway, by the code in the answer";
    PROTOCOL_VIOLATIONS: "rg_protocol_violations_total", Kind::Counter,
        ["code"], open [], 10,
        "Requests that broke HTTP or our limits on it";
    RULE_HITS: "rg_rule_hits_total", Kind::Counter,
        ["rule", "mode"], open ["rule"], 30,
        "Rules that matched";
    RULE_BLOCKS: "rg_rule_blocks_total", Kind::Counter,
        ["rule"], open ["rule"], 20,
        "Rules that were part of what blocked a request";
    RULE_SECONDS: "rg_rule_seconds_total", Kind::Counter,
        ["rule"], open ["rule"], 20,
        "Time spent on a rule's patterns, in one request of 64";
    EXCLUSIONS: "rg_exclusions", Kind::Gauge,
        ["state"], open [], 2,
        "Exclusions of the configuration: in force, or expired and doing nothing";
    PENALTIES: "rg_penalties_total", Kind::Counter,
        ["kind", "change"], open [], 11,
        "What happened to penalties: laid, raised, ended, lifted, no_room";
    PENALTIES_IN_FORCE: "rg_penalties_current", Kind::Gauge,
        ["kind"], open [], 3,
        "Penalties in force now";
    VERIFICATION_CODES: "rg_verification_codes_total", Kind::Counter,
        ["result"], open [], 2,
        "One-time codes presented: accepted, wrong, or locked and not looked at";
    RECORDINGS: "rg_recordings_total", Kind::Counter,
        ["result"], open [], 2,
        "Requests handed over to be recorded, or dropped because too many waited";
    INSPECTION: "rg_inspection_seconds", Kind::Histogram(&INSPECTION_SECONDS),
        [], open [], 6,
        "Time spent deciding about one request's content";
    UNINSPECTED: "rg_uninspected_total", Kind::Counter,
        [], open [], 1,
        "Requests forwarded with a body that was not fully inspected";
    CONNECTIONS: "rg_connections_current", Kind::Gauge,
        [], open [], 1,
        "Downstream connections open now";
    AUDIT_EVENTS: "rg_audit_events_total", Kind::Counter,
        [], open [], 1,
        "Audit events written to the log";
    AUDIT_APPEND: "rg_audit_append_seconds", Kind::Histogram(&APPEND_SECONDS),
        [], open [], 6,
        "Time a request waited for its audit event to be as durable as configured";
    AUDIT_LOG_BYTES: "rg_audit_log_bytes", Kind::Gauge,
        [], open [], 1,
        "Bytes of all audit segments on disk";
    AUDIT_LOG_FULL: "rg_audit_log_full", Kind::Gauge,
        [], open [], 1,
        "1 while the audit log has its size or the disk is full, so that requests are refused";
    AUDIT_LOG_FAILING: "rg_audit_log_failing", Kind::Gauge,
        [], open [], 1,
        "1 while the audit log cannot be written for another reason, so that requests are refused";
    AUDIT_ERRORS: "rg_audit_errors_total", Kind::Counter,
        ["reason"], open [], 3,
        "Audit events that could not be written";
    AUDIT_DROPPED: "rg_audit_events_dropped_total", Kind::Counter,
        [], open [], 1,
        "Oldest audit events given up to make room (drop_oldest)";
    AUDIT_SYNC_FAILURES: "rg_audit_sync_failures_total", Kind::Counter,
        [], open [], 1,
        "Syncs of the audit log that failed; what was not durable was written anew";
    AUDIT_SIGN_FAILURES: "rg_audit_sign_failures_total", Kind::Counter,
        [], open [], 1,
        "Attempts to sign the audit log that failed";
    AUDIT_UNSIGNED: "rg_audit_unsigned_events", Kind::Gauge,
        [], open [], 1,
        "Audit events no signature covers yet";
    AUDIT_HISTORY_BROKEN: "rg_audit_history_broken", Kind::Gauge,
        [], open [], 1,
        "1 when the audit events on disk are not those that were signed";
    AUDIT_DAMAGED: "rg_audit_damaged_places", Kind::Gauge,
        [], open [], 1,
        "Damaged places of the audit log that a start or a verification found, 100 at most";
    AUDIT_VERIFIED: "rg_audit_verified_seconds", Kind::Gauge,
        [], open [], 1,
        "When all of the audit log was last verified, in seconds since 1970; 0 before that";
    GEOIP_BUILD: "rg_geoip_build_seconds", Kind::Gauge,
        [], open [], 1,
        "When the GeoIP database that answers was made, in seconds since 1970; 0 without one";
    SINK_EVENTS: "rg_audit_sink_events_total", Kind::Counter,
        ["sink", "outcome"], open [], 13,
        "Audit events settled by a sink: delivered, rejected into its dead letters, or lost to it before it took them";
    SINK_RETRIES: "rg_audit_sink_retries_total", Kind::Counter,
        ["sink"], open [], 5,
        "Offers a sink did not take in full, so that they were or will be repeated";
    SINK_UP: "rg_audit_sink_up", Kind::Gauge,
        ["sink"], open [], 5,
        "1 while a sink takes events, 0 since its last offer failed";
    SINK_LAG_EVENTS: "rg_audit_sink_lag_events", Kind::Gauge,
        ["sink"], open [], 5,
        "Audit events in the log that a sink has not settled";
    SINK_LAG_SECONDS: "rg_audit_sink_lag_seconds", Kind::Gauge,
        ["sink"], open [], 5,
        "Age of the oldest event a sink is being offered";
    CONFIG_RELOADS: "rg_config_reloads_total", Kind::Counter,
        ["result"], open [], 2,
        "Reloads of the configuration";
    CONFIG_LAST_RELOAD: "rg_config_last_reload_successful", Kind::Gauge,
        [], open [], 1,
        "1 when the last load of the configuration was taken, 0 when the one before still serves";
    CONFIG_HASH: "rg_config_hash", Kind::Gauge,
        ["hash"], open [], 1,
        "Always 1; the label names the configuration that serves";
    UPSTREAM_HEALTH: "rg_upstream_health", Kind::Gauge,
        ["cluster", "endpoint"], open [], 8,
        "1 when the health check takes the upstream endpoint for healthy";
    UPSTREAM_REQUESTS: "rg_upstream_requests_total", Kind::Counter,
        ["cluster", "outcome"], open [], 8,
        "Attempts to have a request answered by an upstream";
    SPANS_DROPPED: "rg_spans_dropped_total", Kind::Counter,
        [], open [], 1,
        "Sampled requests whose spans never reached the collector";
    SERIES_OVERFLOW: "rg_metrics_series_overflow_total", Kind::Counter,
        ["family"], open [], 11,
        "Times a new set of label values was folded into __overflow__";
    BUILD_INFO: "rg_build_info", Kind::Gauge,
        ["version"], open [], 1,
        "Always 1; the label names the running version";
    PROCESS_CPU: "process_cpu_seconds_total", Kind::Counter,
        [], open [], 1,
        "User and system CPU time of this process";
    PROCESS_MEMORY: "process_resident_memory_bytes", Kind::Gauge,
        [], open [], 1,
        "Resident memory of this process";
    PROCESS_FDS: "process_open_fds", Kind::Gauge,
        [], open [], 1,
        "Open file descriptors of this process";
    PROCESS_START: "process_start_time_seconds", Kind::Gauge,
        [], open [], 1,
        "When this process started, in seconds since 1970";
}

/// The table as Markdown, as it stands in `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text =
        String::from("| name | type | labels | buckets | help |\n|---|---|---|---|---|\n");
    for family in FAMILIES {
        let (kind, buckets) = match family.kind {
            Kind::Counter => ("counter", String::new()),
            Kind::Gauge => ("gauge", String::new()),
            Kind::Histogram(buckets) => ("histogram", bounds_text(buckets)),
        };
        let labels: Vec<String> = family.labels.iter().map(|l| format!("`{l}`")).collect();
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {kind} | {} | {buckets} | {} |",
            family.name,
            labels.join(", "),
            family.help
        );
    }
    text
}

/// A bound in its exposed unit.
pub(super) fn exposed(base: u64, buckets: &Buckets) -> f64 {
    base as f64 / buckets.base_units as f64
}

fn bounds_text(buckets: &Buckets) -> String {
    let bounds: Vec<String> = buckets
        .bounds
        .iter()
        .map(|bound| exposed(*bound, buckets).to_string())
        .collect();
    bounds.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_holds_exactly_this_table() {
        let page = include_str!("../../docs/metrics.md");
        assert!(
            page.contains(&markdown()),
            "docs/metrics.md differs from the table; it should contain:\n{}",
            markdown()
        );
    }

    #[test]
    fn all_families_together_stay_within_the_series_bound() {
        for series_max in [2_000, 20_000] {
            let lines: usize = FAMILIES
                .iter()
                .map(|family| {
                    let sets = if family.labels.is_empty() {
                        1
                    } else {
                        family.sets_max(series_max)
                    };
                    sets * family.lines_per_set()
                })
                .sum();
            assert!(lines <= series_max, "{lines} > {series_max}");
        }
    }

    #[test]
    fn names_follow_the_types_but_for_the_one_the_specification_fixes() {
        for family in FAMILIES {
            let counter = matches!(family.kind, Kind::Counter);
            let total = family.name.ends_with("_total");
            let fixed = family.name == "rg_active_api_keys_total";
            assert!(counter == total || fixed, "{}", family.name);
            for open in family.open_labels {
                assert!(family.labels.contains(open), "{}: {open}", family.name);
            }
        }
    }

    #[test]
    fn every_name_and_label_of_the_specification_is_there() {
        let specified: &[(&str, &[&str])] = &[
            (
                "rg_http_requests_total",
                &["method", "endpoint", "status_code", "organization_id"],
            ),
            ("rg_http_request_duration_seconds", &["method", "endpoint"]),
            ("rg_http_request_size_bytes", &["method", "endpoint"]),
            ("rg_http_response_size_bytes", &["method", "endpoint"]),
            ("rg_active_api_keys_total", &["plan_type"]),
            (
                "rg_query_execution_duration_seconds",
                &["graph_id", "query_complexity"],
            ),
            ("rg_query_result_size_rows", &["graph_id"]),
            ("rg_active_queries_current", &[]),
            (
                "rg_errors_total",
                &["error_type", "endpoint", "organization_id"],
            ),
            (
                "rg_rate_limit_violations_total",
                &["api_key_id", "limit_type", "organization_id"],
            ),
            ("rg_auth_attempts_total", &["result", "auth_type"]),
            (
                "rg_suspicious_activity_total",
                &["activity_type", "severity"],
            ),
        ];
        for (name, labels) in specified {
            assert!(
                FAMILIES
                    .iter()
                    .any(|family| family.name == *name && family.labels == *labels),
                "{name}"
            );
        }
    }
}
