//! The workers of all configured sinks: started, changed by a reload, drained at the end.
//!
//! They run on threads of their own, so a sink costs requests nothing but its share of the processor.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cursor::Cursor;
use super::dead_letters::DeadLetters;
use super::worker::{Order, Progress, Worker};
use super::{Limits, sinks};
use crate::audit::Log;
use crate::config::SinkSettings;
use crate::now::Now;
use crate::telemetry::metrics::{Metrics, SinkMetrics};

/// The folder of cursors and dead letters, below the data folder.
pub(super) const FOLDER: &str = "sinks";
/// How long a sink that a reload changed may finish what it is doing.
const HANDOVER_MAX: Duration = Duration::from_secs(2);

/// The sinks of one gateway.
pub struct Sinks {
    log: Log,
    folder: PathBuf,
    /// Gone once drained.
    runtime: Mutex<Option<Runtime>>,
    workers: Mutex<Workers>,
}

#[derive(Default)]
struct Workers {
    running: Vec<Running>,
    /// Told to end, and perhaps not there yet.
    leaving: Vec<(Arc<str>, JoinHandle<()>)>,
}

impl Drop for Sinks {
    fn drop(&mut self) {
        let runtime = self
            .runtime
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Wherever this is dropped, nobody waits for a sink.
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Running {
    settings: SinkSettings,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
    progress: Arc<Progress>,
    metrics: SinkMetrics,
}

impl Sinks {
    /// None yet; they are started by [`apply`](Self::apply).
    ///
    /// # Errors
    ///
    /// When the folder or the threads cannot be had.
    pub fn new(log: &Log, data_dir: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = data_dir.join(FOLDER);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rg-sinks")
            .enable_all()
            .build()?;
        Ok(Self {
            log: log.clone(),
            folder,
            runtime: Mutex::new(Some(runtime)),
            workers: Mutex::default(),
        })
    }

    /// Makes these the sinks that run. One that is unchanged goes on undisturbed; one that changed begins where
    /// it stopped, for its cursor is kept by its name.
    pub fn apply(&self, wanted: &[SinkSettings], metrics: &Metrics) {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(runtime) = &*runtime else {
            return;
        };
        let mut workers = self.workers();
        workers.leaving.retain(|(_, task)| !task.is_finished());
        let running = std::mem::take(&mut workers.running);
        let (kept, gone): (Vec<_>, Vec<_>) = running
            .into_iter()
            .partition(|sink| wanted.contains(&sink.settings));
        workers.running = kept;
        for sink in gone {
            let name = sink.settings.name;
            sink.orders.send_replace(Order::End);
            if wanted.iter().all(|settings| settings.name != name) {
                metrics.forget_sink(&name);
            }
            workers.leaving.push((name, runtime.spawn(end(sink.task))));
        }
        for settings in wanted {
            if workers
                .running
                .iter()
                .all(|sink| sink.settings != *settings)
            {
                let is_before = |(name, _): &(Arc<str>, _)| *name == settings.name;
                let before = workers.leaving.iter().position(is_before);
                let before = before.map(|position| workers.leaving.swap_remove(position).1);
                let started = self.start(runtime, settings, metrics, before);
                workers.running.push(started);
            }
        }
    }

    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a sink, after its predecessor of that name has ended: a cursor has one writer.
    fn start(
        &self,
        runtime: &Runtime,
        settings: &SinkSettings,
        metrics: &Metrics,
        before: Option<JoinHandle<()>>,
    ) -> Running {
        let (orders, receiver) = watch::channel(Order::Run);
        let progress = Arc::new(Progress::default());
        let metrics = metrics.sink(&settings.name);
        let worker = Worker {
            name: settings.name.clone(),
            limits: Limits::of(settings),
            start: settings.start,
            sink: sinks::build(settings),
            log: self.log.clone(),
            cursor: Cursor::new(&self.folder, &settings.name, self.log.id()),
            dead_letters: DeadLetters::new(&self.folder, &settings.name),
            metrics: metrics.clone(),
            progress: progress.clone(),
            orders: receiver,
        };
        let task = runtime.spawn(async move {
            if let Some(before) = before {
                // It ends in any case, and its end was reported if it was a panic.
                drop(before.await);
            }
            worker.run().await;
        });
        Running {
            settings: settings.clone(),
            orders,
            task,
            progress,
            metrics,
        }
    }

    /// States how far behind each sink is.
    pub fn read_gauges(&self, now: Now) {
        let synced = self.log.stats().synced_sequence;
        for sink in &self.workers().running {
            let through = sink.progress.through.load(Ordering::Relaxed);
            let oldest = sink.progress.oldest_micros.load(Ordering::Relaxed);
            let age = match oldest {
                0 => 0,
                oldest => now.unix_micros.saturating_sub(oldest).max(0) / 1_000_000,
            };
            sink.metrics.lag(synced.saturating_sub(through), age);
        }
    }

    /// Delivers what the log holds to every sink that takes it, within a bound; then all of them end. What is
    /// left is delivered after the next start.
    pub fn drain(&self, within: Duration) {
        let runtime = self
            .runtime
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(runtime) = runtime else {
            return;
        };
        let running = std::mem::take(&mut self.workers().running);
        runtime.block_on(async {
            for sink in &running {
                sink.orders.send_replace(Order::Drain);
            }
            let all = async {
                for sink in running {
                    // A panic in a sink was reported when it happened.
                    drop(sink.task.await);
                }
            };
            if tokio::time::timeout(within, all).await.is_err() {
                tracing::warn!("sinks still behind, the rest is delivered after the next start");
            }
        });
        runtime.shutdown_timeout(Duration::from_millis(200));
    }
}

/// Waits for a worker that was told to end, but not for long.
async fn end(mut task: JoinHandle<()>) {
    if tokio::time::timeout(HANDOVER_MAX, &mut task).await.is_err() {
        task.abort();
        // Cancelled or not, it no longer runs.
        drop(task.await);
    }
}
