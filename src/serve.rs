//! Starting and stopping a gateway, in the order [`crate::app`] states.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pingora::server::configuration::ServerConf;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::app::{self, App, Parts, Snapshot};
use crate::audit::{self, Log, LogOptions};
use crate::config::{self, Config};
use crate::delivery::Sinks;
use crate::diagnostic::Diagnostic;
use crate::keys::{KeyStore, KeyView};
use crate::listen::{self, Bound};
use crate::now::Now;
use crate::proxy::{Gateway, HttpGateway};
use crate::random::time_ordered_id;
use crate::signals::{Signals, wait_for_signals};
use crate::state::Penalties;
use crate::state::penalties::upkeep;
use crate::telemetry::metrics::{Metrics, MetricsSettings};
use crate::telemetry::spans::{SpanExporter, SpanSettings};
use crate::telemetry::trace::{Sampler, SamplerSettings};
use crate::{admin, damage, geoip, notes, retention, rules, telemetry};

/// How often changes of the key store are taken in.
const KEYS_REFRESH: Duration = Duration::from_secs(1);
/// How often gauges that nobody pushes are read.
const GAUGES_REFRESH: Duration = Duration::from_secs(5);
/// How often the end of the last requests is looked for.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// How long sinks may take to deliver the rest of the log at the end.
const SINKS_DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long spans may take to leave at the end.
const SPANS_FLUSH_MAX: Duration = Duration::from_secs(3);
/// How long recorded requests may take to be written at the end.
const RECORDING_FLUSH_MAX: Duration = Duration::from_secs(3);
/// Spans a second beyond the sampled share: of callers who ask, and of failures.
const TRACES_PER_SECOND_MAX: u32 = 10;
/// Upstream connections kept for reuse, per worker.
const UPSTREAM_POOL: usize = 512;

/// Why a gateway did not start, or not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Configuration or rules are wrong.
    #[error("{} errors; nothing was started", .0.len())]
    Configuration(Vec<Diagnostic>),
    /// An address, a file or a thread could not be had.
    #[error("{what}: {cause}")]
    Start {
        /// What was being done.
        what: String,
        /// Why it failed.
        cause: String,
    },
}

fn start_error(what: impl Into<String>) -> impl FnOnce(&dyn std::fmt::Display) -> ServeError {
    let what = what.into();
    move |cause| ServeError::Start {
        what,
        cause: cause.to_string(),
    }
}

/// A gateway that has bound its ports and can be run.
pub struct Started {
    app: Arc<App>,
    runtime: Runtime,
    bound: Vec<Bound>,
    admin: std::net::TcpListener,
}

/// Loads, opens and binds everything.
///
/// # Errors
///
/// [`ServeError`]; nothing is left behind but what was written to the data folder.
pub fn start(config_path: &Path) -> Result<Started, ServeError> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("rg-aux")
        .enable_all()
        .build()
        .map_err(|error| start_error("background runtime")(&error))?;
    let snapshot =
        Snapshot::load(config_path, runtime.handle()).map_err(ServeError::Configuration)?;
    let config = &snapshot.config;
    init_logs(&config.telemetry);
    rules::log_expired(&snapshot.engine, Now::read());
    create_private_dir(&config.data_dir)
        .map_err(|error| start_error(config.data_dir.display().to_string())(&error))?;
    let store =
        KeyStore::open(&config.data_dir).map_err(|error| start_error("key store")(&error))?;
    let (keys, loaded) = KeyView::load(&store).map_err(|error| start_error("key store")(&error))?;
    app::log_damage(&loaded);
    let penalties =
        Penalties::open(&config.data_dir).map_err(|error| start_error("penalties")(&error))?;
    let (log, recovery) =
        Log::open(&log_options(config)).map_err(|error| start_error("audit log")(&error))?;
    let sinks =
        Sinks::new(&log, &config.data_dir).map_err(|error| start_error("audit sinks")(&error))?;
    let bound = config
        .listeners
        .iter()
        .map(Bound::bind)
        .collect::<io::Result<Vec<_>>>();
    let bound = bound.map_err(|error| start_error("listener")(&error))?;
    let admin = listen::bind(config.admin.address)
        .map_err(|error| start_error(format!("admin {}", config.admin.address))(&error))?;
    let metrics = Metrics::new(MetricsSettings {
        organizations_max: config.telemetry.organizations_max,
        ..MetricsSettings::default()
    });
    let spans = span_exporter(config, runtime.handle(), &metrics)?;
    let sampler = sampler(config);
    let app = App::new(Parts {
        config_path: config_path.to_owned(),
        runtime: runtime.handle().clone(),
        store,
        keys,
        penalties,
        metrics,
        sampler,
        spans,
        audit: log,
        sinks,
        snapshot,
    });
    app.adopt_certificates(
        bound
            .iter()
            .filter_map(|bound| bound.certificate().cloned())
            .collect(),
    );
    app.count_active_keys();
    app.metrics.config_loaded(&app.snapshot().hash);
    notes::started(&app, &recovery);
    geoip::renew(&app);
    app.start_sinks();
    Ok(Started {
        app,
        runtime,
        bound,
        admin,
    })
}

fn sampler(config: &Config) -> Sampler {
    let traces = config.telemetry.traces.as_ref();
    Sampler::new(SamplerSettings {
        ratio: traces.map_or(0.0, |traces| traces.sample_ratio),
        inbound_per_second_max: TRACES_PER_SECOND_MAX,
        failures_per_second_max: TRACES_PER_SECOND_MAX,
    })
}

fn log_options(config: &Config) -> LogOptions {
    LogOptions {
        durability: match config.audit.durability {
            config::Durability::Relaxed => audit::Durability::Relaxed,
            config::Durability::Written => audit::Durability::Written,
            config::Durability::Synced => audit::Durability::Synced,
        },
        when_full: match config.audit.when_full {
            config::WhenFull::Refuse => audit::WhenFull::Refuse,
            config::WhenFull::DropOldest => audit::WhenFull::DropOldest,
        },
        signing_key_file: match &config.audit.signing_key_file {
            Some(file) => file.clone(),
            None => config.data_dir.join(audit::SIGNING_KEY_FILE),
        },
        encryption: config.audit.encryption.clone(),
        segment_bytes_max: config.audit.segment_bytes_max,
        total_bytes_max: config.audit.total_bytes_max,
        ..LogOptions::new(config.data_dir.join("audit"))
    }
}

fn span_exporter(
    config: &Config,
    runtime: &tokio::runtime::Handle,
    metrics: &Metrics,
) -> Result<Option<SpanExporter>, ServeError> {
    let Some(traces) = &config.telemetry.traces else {
        return Ok(None);
    };
    let instance = time_ordered_id(Now::read()).to_string();
    let settings = SpanSettings::new(&*traces.otlp_endpoint, instance);
    SpanExporter::start(runtime, &settings, metrics.spans_dropped())
        .map(Some)
        .map_err(|error| start_error("span exporter")(&error))
}

fn init_logs(settings: &config::TelemetrySettings) {
    use telemetry::logs::{LogFormat, LogLevel};
    let format = match settings.log_format {
        config::LogFormat::Json => LogFormat::Json,
        config::LogFormat::Text => LogFormat::Text,
    };
    let level = match settings.log_level {
        config::LogLevel::Error => LogLevel::Error,
        config::LogLevel::Warn => LogLevel::Warn,
        config::LogLevel::Info => LogLevel::Info,
        config::LogLevel::Debug => LogLevel::Debug,
    };
    // A second gateway in one process shares the logs of the first.
    drop(telemetry::logs::init(format, level));
}

/// As the configuration writes it.
fn protocol_word(protocol: config::Protocol) -> &'static str {
    match protocol {
        config::Protocol::Http1 => "http1",
        config::Protocol::H2c => "h2c",
        config::Protocol::Https => "https",
    }
}

/// Creates a directory only its owner can enter.
fn create_private_dir(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

impl Started {
    /// The application, for callers that seed it.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Every listener's name, address and protocol; the admin listener last.
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr, &'static str)> {
        let admin = self
            .admin
            .local_addr()
            .map(|address| (Arc::from("admin"), address, "http1"));
        self.bound
            .iter()
            .map(|bound| {
                (
                    bound.name.clone(),
                    bound.address,
                    protocol_word(bound.protocol),
                )
            })
            .chain(admin)
            .collect()
    }

    /// Says on `out` where it listens.
    ///
    /// # Errors
    ///
    /// `out` cannot be written.
    pub fn announce(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, address, protocol) in self.addresses() {
            writeln!(
                out,
                "listening name={name} address={address} protocol={protocol}"
            )?;
        }
        Ok(())
    }

    /// Serves until SIGTERM or SIGINT; says `ready` on `out` once it does.
    ///
    /// # Errors
    ///
    /// [`ServeError::Start`] when a worker cannot be started.
    pub fn run(mut self, out: &mut dyn Write) -> Result<(), ServeError> {
        let (stop, stopped) = watch::channel(false);
        let bound = std::mem::take(&mut self.bound);
        self.start_workers(&bound, &stopped)?;
        drop(bound);
        let app = self.app.clone();
        let admin = self
            .admin
            .try_clone()
            .map_err(|error| start_error("admin")(&error))?;
        self.runtime
            .spawn(admin::serve(admin, app.clone(), stopped.clone()));
        self.runtime.spawn(refresh(app.clone()));
        self.runtime.spawn(geoip::watch(app.clone()));
        self.runtime.spawn(retention::keep(app.clone()));
        let data_dir = app.snapshot().config.data_dir.clone();
        let verifying = damage::watch(&app.audit, data_dir)
            .map_err(|error| start_error("audit verification")(&error))?;
        // Whoever reads `ready` may send a signal at once, which must not find its default.
        let signals = self.runtime.block_on(async { Signals::received() });
        app.set_ready(true);
        let said = writeln!(out, "ready").and_then(|()| out.flush());
        said.map_err(|error| start_error("standard output")(&error))?;
        self.runtime.block_on(async {
            let asked = wait_for_signals(&app, signals).await;
            drain(&app, &stop, asked).await;
        });
        drop(verifying);
        self.finish();
        Ok(())
    }

    /// One thread, one event loop, one pool of upstream connections each.
    fn start_workers(
        &self,
        bound: &[Bound],
        stopped: &watch::Receiver<bool>,
    ) -> Result<(), ServeError> {
        for index in 0..self.app.snapshot().config.threads {
            let listeners = bound
                .iter()
                .map(Bound::share)
                .collect::<io::Result<Vec<_>>>();
            let listeners = listeners.map_err(|error| start_error("listener")(&error))?;
            let app = self.app.clone();
            let stopped = stopped.clone();
            // Workers end with the process.
            std::thread::Builder::new()
                .name(format!("rg-worker-{index}"))
                .spawn(move || work(listeners, &app, &stopped))
                .map_err(|error| start_error("worker thread")(&error))?;
        }
        Ok(())
    }

    fn finish(self) {
        self.app.penalties.close();
        notes::stopped(&self.app.audit);
        self.runtime.block_on(all_synced(&self.app.audit));
        self.app.sinks.drain(SINKS_DRAIN_MAX);
        self.app.audit.close();
        if let Some(recorder) = &self.app.snapshot().recorder
            && !recorder.flush(RECORDING_FLUSH_MAX)
        {
            tracing::warn!("the last recorded requests were not written");
        }
        if let Some(spans) = &self.app.spans {
            self.runtime.block_on(spans.shutdown(SPANS_FLUSH_MAX));
        }
        self.runtime.shutdown_timeout(Duration::from_millis(200));
    }
}

/// Waits until sinks may have all of the log; a disk that fails is not waited for.
async fn all_synced(log: &Log) {
    let last = audit::Position(log.stats().last_sequence);
    // Either way the log is closed next, which syncs once more.
    drop(tokio::time::timeout(SINKS_DRAIN_MAX, log.synced(last)).await);
}

fn work(listeners: Vec<Bound>, app: &Arc<App>, stopped: &watch::Receiver<bool>) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "worker not started");
            return;
        }
    };
    let gateway = gateway(app);
    runtime.block_on(async {
        for bound in listeners {
            let (gateway, app, stopped) = (gateway.clone(), app.clone(), stopped.clone());
            tokio::spawn(async move {
                if let Err(error) = listen::accept(bound, gateway, app, stopped).await {
                    tracing::error!(%error, "listener stopped");
                }
            });
        }
        // The process ends when the last request does; until then the worker serves.
        std::future::pending::<()>().await;
    });
}

fn gateway(app: &Arc<App>) -> Arc<HttpGateway> {
    // Compiling the snapshot has made sure that there is one answer.
    let upstream_ca = app::upstream_ca(&app.snapshot().config)
        .ok()
        .flatten()
        .map(|path| path.display().to_string());
    let conf = ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        ca_file: upstream_ca,
        ..ServerConf::default()
    };
    let mut gateway = HttpGateway::new(Gateway::new(app.clone()), Arc::new(conf));
    let mut options = pingora::apps::HttpServerOptions::default();
    options.h2_idle_timeout = Some(app.wire_limits().keepalive_timeout);
    gateway.server_options = Some(options);
    gateway.handle_init_modules();
    Arc::new(gateway)
}

/// Keeps what is only read now and then up to date.
async fn refresh(app: Arc<App>) {
    let mut keys = tokio::time::interval(KEYS_REFRESH);
    let mut gauges = tokio::time::interval(GAUGES_REFRESH);
    loop {
        tokio::select! {
            _ = keys.tick() => {
                app.refresh_keys();
                let terms = &app.snapshot().config.penalties;
                let record = upkeep::Record { audit: &app.audit, metrics: &app.metrics };
                upkeep::follow(&app.penalties, terms, record, Now::read());
                notes::take_spool(&app.snapshot().config.data_dir, &app.audit);
            }
            _ = gauges.tick() => read_gauges(&app),
        }
    }
}

/// Sets the gauges that mirror state held elsewhere.
pub(crate) fn read_gauges(app: &App) {
    rules::count_exclusions(app, Now::read());
    app.metrics.audit_log(&admin::audit_figures(&app.audit));
    app.count_active_keys();
    upkeep::count(&app.penalties, &app.metrics, Now::read());
    app.sinks.read_gauges(Now::read());
    for cluster in &app.snapshot().clusters {
        for (endpoint, healthy) in cluster.health() {
            app.metrics
                .upstream_health(&cluster.name, &endpoint.to_string(), Some(healthy));
        }
    }
}

/// Not ready; then no new connections; then the last requests end, or their time does.
async fn drain(app: &App, stop: &watch::Sender<bool>, signals: Option<(Signal, Signal)>) {
    app.set_ready(false);
    let settings = app.snapshot().config.shutdown.clone();
    tracing::info!("stopping");
    let orderly = async {
        tokio::time::sleep(settings.drain_delay).await;
        // Nobody listening means that every worker is gone already.
        let _ = stop.send(true);
        while app.gate.open() > 0 {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    let second_signal = async {
        match signals {
            Some((mut term, mut int)) => {
                tokio::select! {
                    _ = term.recv() => (),
                    _ = int.recv() => (),
                }
            }
            None => std::future::pending().await,
        }
    };
    let bound = settings.drain_delay + settings.drain_timeout;
    tokio::select! {
        () = orderly => tracing::info!("all requests ended"),
        () = second_signal => tracing::warn!("second signal, requests in flight are cut"),
        () = tokio::time::sleep(bound) => tracing::warn!("drain timeout, requests in flight are cut"),
    }
}
