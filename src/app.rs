//! The composition root: what is shared, how it starts, how a reload swaps it, how it stops.
//!
//! ```text
//! start:  configuration -> rules -> keys -> audit log -> listeners bound -> admin -> workers -> ready
//! stop:   not ready -> drain delay -> listeners closed -> requests end -> sinks -> audit log -> spans -> exit
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::audit::Log;
use crate::config::{self, Config};
use crate::delivery::Sinks;
use crate::diagnostic::{Diagnostic, Place};
use crate::geoip::{self, GeoIp};
use crate::keys::{KeyStore, KeyView, Refreshed};
use crate::listen::Gate;
use crate::notes::Actor;
use crate::now::Now;
use crate::policy::auth::Scope;
use crate::policy::cypher::ComplexityAllowance;
use crate::policy::limits::{AddressTable, LimitTable, Plan};
use crate::policy::threat::{Engine, RuleFile};
use crate::proxy::cluster::Cluster;
use crate::proxy::downstream::WireLimits;
use crate::recording::Recorder;
use crate::rules;
use crate::rules::{InspectedRoute, allowance_of, log_expired};
pub use crate::rules::{configured as configured_rules, rule_files};
pub use crate::state::HeldBytes;
use crate::state::Penalties;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::SpanExporter;
use crate::telemetry::trace::Sampler;

/// Keys whose limits are remembered at once; idle ones make room.
const LIMIT_ENTRIES_MAX: usize = 1 << 20;
/// Addresses whose failed authentications are remembered at once.
const ADDRESS_ENTRIES_MAX: usize = 1 << 16;

/// Everything a request is decided by; immutable, swapped whole.
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// Its rules, compiled.
    pub engine: Engine,
    /// Its plans by name.
    pub plans: HashMap<Arc<str>, Plan>,
    /// What queries may cost, for plans that limit it.
    pub(crate) complexity: HashMap<Arc<str>, ComplexityAllowance>,
    /// The scopes each route needs, by route index.
    pub scopes: Vec<Vec<Scope>>,
    /// Routes that exist to be refused, with the part of their path that is the same for all.
    pub(crate) refused: Vec<(usize, String)>,
    /// What the threat engine is told of each route, by route index.
    pub(crate) inspected: Vec<InspectedRoute>,
    /// What keeps inspected requests.
    pub(crate) recorder: Option<Recorder>,
    /// Its clusters, by the index routes hold.
    pub(crate) clusters: Vec<Cluster>,
    /// What connections are allowed.
    pub(crate) wire: Arc<WireLimits>,
    /// BLAKE3 of configuration and rules in force, for the audit trail.
    pub hash: String,
    /// The certificate authority that upstreams have been checked against since the start.
    upstream_ca: Option<PathBuf>,
    /// Settings that the file has changed and that a start alone reads; those before are in force.
    pub needs_restart: Vec<&'static str>,
}

/// What all requests share.
pub struct App {
    snapshot: ArcSwap<Snapshot>,
    config_path: PathBuf,
    runtime: tokio::runtime::Handle,
    certificates: Mutex<Vec<Arc<crate::tls::Certificate>>>,
    ready: AtomicBool,
    /// Keys on disk.
    pub store: Mutex<KeyStore>,
    /// Keys in memory.
    pub keys: KeyView,
    /// Limits by key.
    pub limits: LimitTable,
    /// Failed authentications by address.
    pub failures: Option<AddressTable>,
    /// Suspensions and reductions by mitigation.
    pub penalties: Penalties,
    /// Bytes of bodies under inspection.
    pub held_bytes: HeldBytes,
    /// Connections.
    pub gate: Arc<Gate>,
    /// The audit log.
    pub audit: Log,
    /// Where clients are.
    pub geoip: GeoIp,
    /// Where its events are delivered.
    pub sinks: Sinks,
    /// Every metric family.
    pub metrics: Metrics,
    /// Which requests leave a span.
    pub sampler: Sampler,
    /// Where spans go.
    pub spans: Option<SpanExporter>,
    /// The endpoint label of requests without a route.
    pub unmatched_endpoint: Arc<str>,
}

impl Snapshot {
    /// Compiles configuration and rules; every wrong value of both is reported.
    ///
    /// # Errors
    ///
    /// The diagnostics, errors first.
    pub fn load(path: &Path, runtime: &tokio::runtime::Handle) -> Result<Self, Vec<Diagnostic>> {
        let loaded = config::load(path)?;
        let files = rules::configured(&loaded.config)?;
        Self::build(loaded.config, &files, runtime)
    }

    /// The same beside a running one, whose start-only settings stay in force.
    fn load_beside(
        running: &Self,
        path: &Path,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut config = config::load(path)?.config;
        let mut needs_restart = config.keep_started(&running.config);
        if upstream_ca(&config)? != running.upstream_ca.as_deref() {
            needs_restart.push("clusters.tls.ca_file");
        }
        let files = rules::configured(&config)?;
        Ok(Self {
            needs_restart,
            upstream_ca: running.upstream_ca.clone(),
            ..Self::build(config, &files, runtime)?
        })
    }

    /// Builds a snapshot from checked parts.
    ///
    /// # Errors
    ///
    /// What is wrong with the rules, or with the clusters.
    pub fn build(
        config: Config,
        files: &[RuleFile],
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, Vec<Diagnostic>> {
        let upstream_ca = upstream_ca(&config)?.map(Path::to_owned);
        let engine = rules::engine(files, &config.rules)?;
        let plans = config
            .plans
            .iter()
            .map(|plan| (plan.name.clone(), plan_of(plan)))
            .collect();
        let complexity = config.plans.iter().filter_map(allowance_of).collect();
        // Checked with the configuration; a scope that is none would admit nobody.
        let scopes = config
            .routes
            .iter()
            .map(|route| {
                route
                    .scopes
                    .iter()
                    .filter_map(|scope| scope.parse().ok())
                    .collect()
            })
            .collect();
        let refused = config
            .routes
            .iter()
            .enumerate()
            .filter(|(_, route)| route.refuse && route.host.is_none() && route.methods.is_none())
            .filter_map(|(index, route)| Some((index, fixed_prefix(&route.endpoint)?)))
            .collect();
        let inspected = config.routes.iter().map(InspectedRoute::of).collect();
        let recorder = rules::recorder(&config)?;
        let mut clusters = Vec::with_capacity(config.clusters.len());
        for settings in &config.clusters {
            let cluster = Cluster::start(settings, runtime).map_err(|error| {
                let reason = format!("cluster {} cannot start: {error}", settings.name);
                vec![Diagnostic::error(
                    whole_file("gateway.yaml"),
                    "clusters",
                    reason,
                )]
            })?;
            clusters.push(cluster);
        }
        let mut hash = blake3::Hasher::new();
        hash.update(config::print(&config).as_bytes());
        for file in files {
            hash.update(file.text.as_bytes());
        }
        Ok(Self {
            wire: Arc::new(wire_limits(&config)),
            hash: hash
                .finalize()
                .to_hex()
                .as_str()
                .get(..16)
                .unwrap_or_default()
                .to_owned(),
            config,
            engine,
            plans,
            complexity,
            scopes,
            refused,
            inspected,
            recorder,
            clusters,
            upstream_ca,
            needs_restart: Vec::new(),
        })
    }
}

/// What of a template comes before its first parameter; `None` when nothing does.
fn fixed_prefix(template: &str) -> Option<String> {
    let fixed = template
        .split('{')
        .next()
        .unwrap_or(template)
        .trim_end_matches('/');
    (!fixed.is_empty()).then(|| fixed.to_owned())
}

/// The certificate authority that upstreams are checked against; `None` is the system's.
///
/// # Errors
///
/// Clusters with TLS name different ones: the connector knows one for all.
pub(crate) fn upstream_ca(config: &Config) -> Result<Option<&Path>, Vec<Diagnostic>> {
    let mut named = config
        .clusters
        .iter()
        .filter_map(|cluster| cluster.tls.as_ref())
        .map(|tls| tls.ca_file.as_deref());
    let first = named.next().flatten();
    if named.all(|other| other == first) {
        return Ok(first);
    }
    let reason = "clusters with tls must name the same ca_file, or none";
    Err(vec![Diagnostic::error(
        whole_file("gateway.yaml"),
        "clusters.tls.ca_file",
        reason,
    )])
}

fn plan_of(settings: &config::PlanSettings) -> Plan {
    Plan {
        name: settings.name.clone(),
        requests_per_second: settings.requests_per_second,
        burst: settings.burst,
        requests_per_minute: settings.requests_per_minute,
        requests_per_day: settings.requests_per_day,
        concurrency: settings.concurrency,
    }
}

pub(crate) fn whole_file(name: &str) -> Place {
    Place {
        file: Arc::from(name),
        line: 0,
        column: 0,
    }
}

fn wire_limits(config: &Config) -> WireLimits {
    let protocol = &config.protocol;
    WireLimits {
        header_timeout: protocol.header_timeout,
        keepalive_timeout: protocol.keepalive_timeout,
        body_stall_timeout: protocol.body_stall_timeout,
        body_timeout: protocol.body_timeout,
        write_stall_timeout: protocol.write_stall_timeout,
        head: crate::policy::hygiene::HeadLimits {
            head_bytes_max: protocol.header_bytes_max,
            fields_max: protocol.header_count_max,
            uri_bytes_max: protocol.uri_bytes_max,
        },
    }
}

/// Says which keys cannot be read; they are unknown to requests.
pub(crate) fn log_damage(refreshed: &Refreshed) {
    for error in &refreshed.damaged {
        tracing::error!(%error, "key not usable");
    }
}

/// What an [`App`] is put together from.
pub(crate) struct Parts {
    pub(crate) snapshot: Snapshot,
    pub(crate) config_path: PathBuf,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) store: KeyStore,
    pub(crate) keys: KeyView,
    pub(crate) penalties: Penalties,
    pub(crate) audit: Log,
    pub(crate) sinks: Sinks,
    pub(crate) metrics: Metrics,
    pub(crate) sampler: Sampler,
    pub(crate) spans: Option<SpanExporter>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let protocol = &parts.snapshot.config.protocol;
        Arc::new(Self {
            gate: Gate::new(
                protocol.connections_max,
                protocol.connections_per_address_max,
            ),
            failures: parts
                .snapshot
                .config
                .auth
                .failures_per_minute_max
                .map(|max| AddressTable::new(ADDRESS_ENTRIES_MAX, max)),
            held_bytes: HeldBytes::budget(protocol.body_memory_bytes_max),
            snapshot: ArcSwap::from_pointee(parts.snapshot),
            config_path: parts.config_path,
            runtime: parts.runtime,
            certificates: Mutex::new(Vec::new()),
            ready: AtomicBool::new(false),
            store: Mutex::new(parts.store),
            keys: parts.keys,
            limits: LimitTable::new(LIMIT_ENTRIES_MAX),
            penalties: parts.penalties,
            audit: parts.audit,
            geoip: GeoIp::default(),
            sinks: parts.sinks,
            metrics: parts.metrics,
            sampler: parts.sampler,
            spans: parts.spans,
            unmatched_endpoint: Arc::from("unmatched"),
        })
    }

    /// The snapshot of this instant; a request keeps the one it began with.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    pub(crate) fn wire_limits(&self) -> Arc<WireLimits> {
        self.snapshot.load().wire.clone()
    }

    /// Certificates that a reload renews.
    pub(crate) fn adopt_certificates(&self, certificates: Vec<Arc<crate::tls::Certificate>>) {
        *self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    /// Compiles the files anew and swaps them in, for whoever asked; what is wrong with them changes nothing.
    ///
    /// # Errors
    ///
    /// The diagnostics; the old snapshot goes on serving.
    pub(crate) fn reload(&self, actor: &Actor) -> Result<Arc<Snapshot>, Vec<Diagnostic>> {
        let running = self.snapshot.load_full();
        let result = Snapshot::load_beside(&running, &self.config_path, &self.runtime);
        let certificates = self
            .certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let result = result.and_then(|snapshot| {
            for certificate in &certificates {
                certificate.renew().map_err(|error| {
                    vec![Diagnostic::error(
                        whole_file(&self.config_path.display().to_string()),
                        "listeners.tls",
                        error.to_string(),
                    )]
                })?;
            }
            Ok(Arc::new(snapshot))
        });
        match &result {
            Ok(snapshot) => {
                let before = self.snapshot.swap(snapshot.clone());
                self.forget_health(&before);
                self.start_sinks();
                self.metrics.config_loaded(&snapshot.hash);
                geoip::renew(self);
                log_expired(&snapshot.engine, Now::read());
            }
            Err(_) => self.metrics.config_refused(),
        }
        crate::notes::reloaded(&self.audit, actor, result.as_deref().map_err(Vec::as_slice));
        result
    }

    /// Makes the sinks of the snapshot those that run.
    pub(crate) fn start_sinks(&self) {
        let wanted = &self.snapshot.load().config.audit.sinks;
        self.sinks.apply(wanted, &self.metrics);
    }

    /// Health of endpoints that may have left the configuration; those that stay are stated anew.
    fn forget_health(&self, before: &Snapshot) {
        for cluster in &before.clusters {
            for (endpoint, _) in cluster.health() {
                self.metrics
                    .upstream_health(&cluster.name, &endpoint.to_string(), None);
            }
        }
    }

    /// Whether new work is welcome.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.audit.writable().is_ok()
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// States how many keys of each plan are active.
    pub fn count_active_keys(&self) {
        for (plan, count) in self.keys.active_by_plan(Now::read()) {
            self.metrics.active_api_keys(&plan, count);
        }
    }

    /// Takes in what other processes changed in the key store.
    pub fn refresh_keys(&self) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = crate::notes::take_key_journal(&mut store, &self.audit) {
            tracing::error!(%error, "key changes not taken over into the audit log");
        }
        match self.keys.refresh(&store) {
            Ok(refreshed) => log_damage(&refreshed),
            Err(error) => tracing::warn!(%error, "keys not refreshed"),
        }
    }
}
