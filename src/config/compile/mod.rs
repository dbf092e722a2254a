//! What the file's values mean: addresses, references, files, contradictions.
//!
//! Each part reports whatever is wrong with it and goes on with the next; a configuration comes
//! out only where nothing was reported. Ranges and types are checked before, by `shape`.

mod access;
mod enrichment;
mod notifications;
mod penalties;
mod retention;
mod routes;
mod rules;
mod sinks;
mod stores;
mod text;
mod upstreams;

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::file::by_default;
use super::file::{AuditShape, FileShape, InspectionShape, ProtocolShape, TelemetryShape};
use super::findings::{Findings, Spot, shown};
use super::model::{
    AuditSettings, AuthSettings, Config, Inspection, ProtocolLimits, ShutdownSettings,
    TelemetrySettings, TracesSettings,
};
use super::placed::Placed;
use crate::audit::KeyRing;

/// Compiles a file of the right shape; `None` where something was reported.
pub(super) fn compile(file: FileShape, base_dir: &Path, findings: &mut Findings) -> Option<Config> {
    let mut compiler = Compiler { findings, base_dir };
    let protocol = protocol(&file.protocol.value);
    let listeners = compiler.listeners(&file.listeners.value);
    let admin = compiler.admin(&file.admin);
    compiler.addresses_are_unique(&file);
    let trusted_proxies = compiler.networks(&file.trusted_proxies.value);
    let plans = compiler.plans(&file.plans.value);
    let clusters = compiler.clusters(&file.clusters.value);
    compiler.upstreams_are_not_listeners(&file);
    let inspection = compiler.inspection(&file.inspection, &protocol);
    let routes = compiler.routes(&file, inspection, &protocol);
    let rules = compiler.rules(&file);
    let penalties = compiler.penalties(&file.penalties.value);
    let audit = compiler.audit_and_notifications(&file);
    compiler.sinks_leave_the_log_alone(&file);
    let telemetry = compiler.telemetry(&file.telemetry.value);
    let threads = match count(&file.threads) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let (routes, router) = routes?;
    let mut config = Config {
        data_dir: compiler.path(&file.data_dir),
        threads,
        listeners: listeners?,
        admin: admin?,
        trusted_proxies: trusted_proxies?,
        protocol,
        auth: AuthSettings {
            opaque_keys: file.auth.value.opaque_keys.value,
            failures_per_minute_max: match narrow(&file.auth.value.failures_per_minute_max) {
                0 => None,
                failures => Some(failures),
            },
        },
        plans: plans?,
        clusters: clusters?,
        routes,
        router: Arc::new(router),
        inspection,
        rules: rules?,
        audit: audit?,
        geoip: compiler.geoip(file.geoip.as_ref()),
        penalties,
        telemetry: telemetry?,
        shutdown: ShutdownSettings {
            drain_delay: millis(&file.shutdown.value.drain_delay_ms),
            drain_timeout: millis(&file.shutdown.value.drain_timeout_ms),
        },
        effective: Arc::new(file),
    };
    fill_in(&mut config);
    Some(config)
}

/// Puts what defaults became into the file that is printed.
fn fill_in(config: &mut Config) {
    let mut file = FileShape::clone(&config.effective);
    file.threads.value = u64::try_from(config.threads).unwrap_or(u64::MAX);
    for (shape, plan) in file.plans.value.iter_mut().zip(&config.plans) {
        let burst = plan.burst.map(by_default::<u64>);
        shape.value.burst = shape.value.burst.take().or(burst);
    }
    for (shape, route) in file.routes.value.iter_mut().zip(&config.routes) {
        let shape = &mut shape.value;
        if !route.refuse && shape.upstream.is_none() {
            let cluster = config.clusters.get(route.cluster);
            shape.upstream = cluster.map(|cluster| by_default(cluster.name.to_string()));
        }
        if let Some(own) = &mut shape.inspection {
            let (own, of_file) = (&mut own.value, &file.inspection.value);
            own.body_bytes_max
                .get_or_insert_with(|| of_file.body_bytes_max.clone());
            own.on_oversize
                .get_or_insert_with(|| of_file.on_oversize.clone());
            own.on_undecodable
                .get_or_insert_with(|| of_file.on_undecodable.clone());
            own.pii.get_or_insert_with(|| of_file.pii.clone());
            own.pii_response_ratio
                .get_or_insert_with(|| of_file.pii_response_ratio.clone());
        }
    }
    config.effective = Arc::new(file);
}

/// Reports what is wrong while it compiles.
struct Compiler<'a> {
    findings: &'a mut Findings,
    base_dir: &'a Path,
}

impl Compiler<'_> {
    /// Reports a wrong value.
    fn error<T>(&mut self, at: &Placed<T>, reason: impl Into<String>) {
        self.findings.error(at.spot(), &at.path, reason);
    }

    /// Reports a wrong value and what to do about it.
    fn error_with_hint<T>(
        &mut self,
        at: &Placed<T>,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let spot = at.spot();
        self.findings.error_with_hint(spot, &at.path, reason, hint);
    }

    /// Parses a text. A required one that is missing was reported before, and is passed over.
    fn parsed<T, E: Display>(
        &mut self,
        text: &Placed<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if is_missing(text) {
            return None;
        }
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(cause) => {
                self.error(text, format!("{cause}: {}", shown(&text.value)));
                None
            }
        }
    }

    /// Parses a text, and says what to do about one that is wrong.
    fn parsed_or_hint<T, E: Display>(
        &mut self,
        text: &Placed<String>,
        parse: impl FnOnce(&str) -> Result<T, E>,
        hint: &str,
    ) -> Option<T> {
        if is_missing(text) {
            return None;
        }
        let parsed = parse(&text.value);
        let wrong =
            |cause| self.error_with_hint(text, format!("{cause}: {}", shown(&text.value)), hint);
        parsed.map_err(wrong).ok()
    }

    /// An address to listen on or connect to.
    fn address(&mut self, text: &Placed<String>) -> Option<SocketAddr> {
        if is_missing(text) {
            return None;
        }
        match text.value.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let reason = format!("must be an IP address and a port: {}", shown(&text.value));
                self.error_with_hint(text, reason, text::address_hint(&text.value));
                None
            }
        }
    }

    /// A path as the process must open it.
    fn path(&self, text: &Placed<String>) -> PathBuf {
        self.base_dir.join(&text.value)
    }

    fn inspection(
        &mut self,
        shape: &Placed<InspectionShape>,
        protocol: &ProtocolLimits,
    ) -> Inspection {
        let body_bytes_max = &shape.value.body_bytes_max;
        self.inspection_fits_memory(body_bytes_max, protocol);
        Inspection {
            body_bytes_max: count(body_bytes_max),
            on_oversize: shape.value.on_oversize.value,
            on_undecodable: shape.value.on_undecodable.value,
            pii: shape.value.pii.value,
            pii_response_ratio: shape.value.pii_response_ratio.value,
        }
    }

    /// A body that is held back must fit the memory of all that are.
    fn inspection_fits_memory(&mut self, body_bytes_max: &Placed<u64>, protocol: &ProtocolLimits) {
        let memory = protocol.body_memory_bytes_max;
        if body_bytes_max.value > memory && !self.findings.names("protocol.body_memory_bytes_max") {
            let got = body_bytes_max.value;
            self.error(
                body_bytes_max,
                format!("must be at most protocol.body_memory_bytes_max, {memory}: {got}"),
            );
        }
    }

    fn audit(&mut self, shape: &AuditShape) -> Option<AuditSettings> {
        let (segment, total) = (&shape.segment_bytes_max, &shape.total_bytes_max);
        let reported = ["audit.segment_bytes_max", "audit.total_bytes_max"]
            .iter()
            .any(|path| self.findings.names(path));
        if total.value / 2 < segment.value && !reported {
            let at = if total.stands_in_file() {
                total
            } else {
                segment
            };
            let needed = segment.value.saturating_mul(2);
            let reason = format!(
                "total_bytes_max must be at least two segments, {needed}: {}",
                total.value
            );
            self.error(at, reason);
        }
        let encryption = match &shape.encryption_key_file {
            Some(file) => self.key_ring(file)?,
            None => KeyRing::default(),
        };
        Some(AuditSettings {
            durability: shape.durability.value,
            encryption,
            signing_key_file: shape.signing_key_file.as_ref().map(|file| self.path(file)),
            segment_bytes_max: segment.value,
            total_bytes_max: total.value,
            when_full: shape.when_full.value,
            retention: self.retention(shape.retention.as_ref()),
            graphs: self.graphs(&shape.graphs.value)?,
            sinks: self.sinks(&shape.sinks.value)?,
        })
    }

    fn telemetry(&mut self, shape: &TelemetryShape) -> Option<TelemetrySettings> {
        let traces = match &shape.traces {
            None => None,
            Some(traces) => {
                let endpoint = &traces.value.otlp_endpoint;
                if endpoint.value.contains('@') {
                    let reason = "must have no user or password in it: [redacted]";
                    self.error(endpoint, reason);
                    return None;
                }
                let endpoint = self.parsed(endpoint, text::http_endpoint);
                Some(TracesSettings {
                    otlp_endpoint: endpoint?,
                    sample_ratio: traces.value.sample_ratio.value,
                })
            }
        };
        Some(TelemetrySettings {
            log_level: shape.log_level.value,
            log_format: shape.log_format.value,
            organizations_max: count(&shape.organizations_max),
            traces,
        })
    }
}

fn protocol(shape: &ProtocolShape) -> ProtocolLimits {
    ProtocolLimits {
        header_timeout: millis(&shape.header_timeout_ms),
        keepalive_timeout: millis(&shape.keepalive_timeout_ms),
        body_stall_timeout: millis(&shape.body_stall_timeout_ms),
        body_timeout: millis(&shape.body_timeout_ms),
        write_stall_timeout: millis(&shape.write_stall_timeout_ms),
        header_bytes_max: count(&shape.header_bytes_max),
        header_count_max: count(&shape.header_count_max),
        uri_bytes_max: count(&shape.uri_bytes_max),
        body_bytes_max: shape.body_bytes_max.value,
        connections_max: count(&shape.connections_max),
        connections_per_address_max: count(&shape.connections_per_address_max),
        body_memory_bytes_max: shape.body_memory_bytes_max.value,
    }
}

/// Where each name was first used.
#[derive(Default)]
struct Seen(HashMap<String, Spot>);

impl Seen {
    /// Reports a name that was used before.
    fn once(&mut self, name: &Placed<String>, findings: &mut Findings) {
        if is_missing(name) {
            return;
        }
        if let Some(first) = self.0.get(&name.value) {
            let reason = format!("must be unique: {}", shown(&name.value));
            let hint = format!("already used at line {}", first.line);
            findings.error_with_hint(name.spot(), &name.path, reason, hint);
        } else {
            self.0.insert(name.value.clone(), name.spot());
        }
    }
}

/// Whether a required text is not there, which was reported with its type or its absence.
fn is_missing(text: &Placed<String>) -> bool {
    text.value.is_empty() && !text.stands_in_file()
}

/// Every value, if each is there; looks at all of them in any case.
fn all<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let values: Vec<Option<T>> = values.collect();
    values.into_iter().collect()
}

fn millis(value: &Placed<u64>) -> Duration {
    Duration::from_millis(value.value)
}

/// A number the schema bounds far below `usize`.
fn count(value: &Placed<u64>) -> usize {
    usize::try_from(value.value).unwrap_or(usize::MAX)
}

/// A number the schema bounds below `u32`.
fn narrow(value: &Placed<u64>) -> u32 {
    u32::try_from(value.value).unwrap_or(u32::MAX)
}
