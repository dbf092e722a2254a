//! Spans: recorded off the request path, exported over OTLP in batches.
//!
//! ```text
//!   request ──submit──▶ bounded queue ──▶ worker ──batches──▶ OTLP/HTTP collector
//!                         │ full                   │ refused after its retries
//!                         └────── counted in rg_spans_dropped_total
//! ```
//!
//! Promises: [`SpanExporter::submit`] never waits; at most `queue_max` records and one batch are in
//! memory whatever the collector does; [`SpanExporter::shutdown`] returns by its deadline. Spans
//! are telemetry, not evidence: a lost one is counted and gone.

mod convert;
mod record;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as Export;
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use record::{QueryFacts, SpanRecord, UpstreamCall};

/// Where a collector takes traces, under its base address.
const TRACES_PATH: &str = "/v1/traces";

/// Where and how spans are exported.
///
/// Headers the collector wants, credentials among them, come from `OTEL_EXPORTER_OTLP_HEADERS` in
/// the environment, as OpenTelemetry has it.
#[derive(Clone, Debug)]
pub struct SpanSettings {
    /// The collector's base address, `http://HOST:4318`, or the full address of its traces path.
    pub otlp_endpoint: String,
    /// Names this process among its like (`service.instance.id`).
    pub instance_id: String,
    /// Records waiting to be exported; a record beyond it is dropped and counted.
    pub queue_max: usize,
    /// Records exported together.
    pub batch_max: usize,
    /// How long a batch waits to be filled.
    pub linger: Duration,
    /// How long a batch is offered to the collector, retries included.
    pub export_timeout: Duration,
}

impl SpanSettings {
    /// The defaults for a collector: 4,096 waiting, batches of 512 or a second, 10 s to export.
    pub fn new(otlp_endpoint: impl Into<String>, instance_id: impl Into<String>) -> Self {
        Self {
            otlp_endpoint: otlp_endpoint.into(),
            instance_id: instance_id.into(),
            queue_max: 4_096,
            batch_max: 512,
            linger: Duration::from_secs(1),
            export_timeout: Duration::from_secs(10),
        }
    }
}

/// Why spans cannot be exported as configured.
#[derive(Debug, thiserror::Error)]
pub enum SpanExporterError {
    /// Only cleartext collectors can be spoken to.
    #[error("the collector's address must begin with http://: {0}")]
    Scheme(String),
    /// The address or the client's setup was refused.
    #[error("the OTLP client cannot be built")]
    Client(#[from] ExporterBuildError),
}

/// Takes records from requests and sees to their export.
#[derive(Debug)]
pub struct SpanExporter {
    queue: mpsc::Sender<SpanRecord>,
    dropped: Counter,
    worker: Mutex<Option<Worker>>,
}

#[derive(Debug)]
struct Worker {
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl SpanExporter {
    /// Starts the worker on a runtime that outlives the proxy's own.
    ///
    /// The collector is not contacted yet: one that is down at start is only late. Records lost
    /// are counted in `dropped`.
    pub fn start(
        runtime: &Handle,
        settings: &SpanSettings,
        dropped: Counter,
    ) -> Result<Self, SpanExporterError> {
        // The client's connector wants to find the runtime it will run on.
        let _entered = runtime.enter();
        let client = otlp_client(settings)?;
        Ok(Self::exporting_to(client, runtime, settings, dropped))
    }

    fn exporting_to<E: Export + 'static>(
        client: E,
        runtime: &Handle,
        settings: &SpanSettings,
        dropped: Counter,
    ) -> Self {
        let (queue, records) = mpsc::channel(settings.queue_max.max(1));
        let (close, closing) = oneshot::channel();
        let intake = Intake {
            records,
            closing,
            closed: false,
            batch_max: settings.batch_max.max(1),
            linger: settings.linger,
        };
        let task = runtime.spawn(run(intake, client, dropped.clone()));
        Self {
            queue,
            dropped,
            worker: Mutex::new(Some(Worker { close, task })),
        }
    }

    /// Hands a finished request over. Never waits; a full queue drops the record and counts it.
    pub fn submit(&self, mut record: SpanRecord) {
        record.bound();
        if self.queue.try_send(record).is_err() {
            self.dropped.inc();
        }
    }

    /// Exports what is waiting and stops, by the deadline at the latest; later calls do nothing.
    ///
    /// False when the deadline came first; what was not taken by then is counted as dropped.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let worker = {
            let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
            worker.take()
        };
        let Some(Worker { close, mut task }) = worker else {
            return true;
        };
        // A worker that is gone already needs no signal.
        let _ = close.send(());
        if timeout(deadline, &mut task).await.is_ok() {
            return true;
        }
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        self.dropped.inc_by(u64::try_from(waiting).unwrap_or(0));
        task.abort();
        // The batch on its way is counted when the task is gone.
        let _ = task.await;
        false
    }
}

fn otlp_client(
    settings: &SpanSettings,
) -> Result<opentelemetry_otlp::SpanExporter, SpanExporterError> {
    let base = settings.otlp_endpoint.trim_end_matches('/');
    if !base.starts_with("http://") {
        return Err(SpanExporterError::Scheme(settings.otlp_endpoint.clone()));
    }
    let endpoint = if base.ends_with(TRACES_PATH) {
        base.to_owned()
    } else {
        format!("{base}{TRACES_PATH}")
    };
    let mut client = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(settings.export_timeout)
        .with_retry_policy(RetryPolicy::recommended())
        .build()?;
    let resource = Resource::builder_empty()
        .with_service_name("rg-gateway")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new(
            "service.instance.id",
            settings.instance_id.clone(),
        ))
        .build();
    client.set_resource(&resource);
    Ok(client)
}

/// Exports batch after batch until the intake is closed and empty.
async fn run<E: Export>(mut intake: Intake, client: E, dropped: Counter) {
    let mut reachable = true;
    loop {
        let batch = intake.next_batch().await;
        if batch.is_empty() {
            return;
        }
        let offered = Offered {
            count: u64::try_from(batch.len()).unwrap_or(u64::MAX),
            dropped: &dropped,
        };
        let spans = batch.iter().flat_map(convert::spans).collect();
        let answer = client.export(spans).await;
        // Both are said once an outage, not once a batch.
        match &answer {
            Ok(()) if !reachable => tracing::info!("the span collector takes spans again"),
            Err(cause) if reachable => {
                tracing::warn!(%cause, "the span collector does not take spans");
            }
            _ => {}
        }
        reachable = answer.is_ok();
        if reachable {
            offered.taken();
        }
    }
}

/// Records offered to the collector: counted as dropped unless they are taken, also when the
/// worker is stopped meanwhile.
struct Offered<'a> {
    count: u64,
    dropped: &'a Counter,
}

impl Offered<'_> {
    fn taken(mut self) {
        self.count = 0;
    }
}

impl Drop for Offered<'_> {
    fn drop(&mut self) {
        self.dropped.inc_by(self.count);
    }
}

/// Where the worker's records come from.
struct Intake {
    records: mpsc::Receiver<SpanRecord>,
    /// Resolves when no more is wanted: by signal, or because the exporter is gone.
    closing: oneshot::Receiver<()>,
    closed: bool,
    batch_max: usize,
    linger: Duration,
}

impl Intake {
    /// The next records, up to a batch; empty when closed and drained.
    async fn next_batch(&mut self) -> Vec<SpanRecord> {
        let mut batch = Vec::new();
        if !self.receive(&mut batch).await {
            return batch;
        }
        let (linger, batch_max) = (self.linger, self.batch_max);
        let fill = async { while batch.len() < batch_max && self.receive(&mut batch).await {} };
        // A batch that is not full by then goes as it is.
        let _ = timeout(linger, fill).await;
        batch
    }

    /// Waits for records and appends them; false when no more will come.
    async fn receive(&mut self, batch: &mut Vec<SpanRecord>) -> bool {
        loop {
            let room = self.batch_max.saturating_sub(batch.len());
            tokio::select! {
                biased;
                _ = &mut self.closing, if !self.closed => {
                    self.closed = true;
                    self.records.close();
                }
                received = self.records.recv_many(batch, room) => return received > 0,
            }
        }
    }
}

#[cfg(test)]
mod tests;
