//! A worker before a real log and a scripted sink, on paused time: what a store holds in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cursor::Cursor;
use super::dead_letters::DeadLetters;
use super::worker::{Order, Progress, Worker};
use super::*;
use crate::audit::{
    AppendError, AuditEvent, EventType, Log, LogOptions, Search, Severity, WhenFull,
};
use crate::config::StartAt;
use crate::now::Now;
use crate::random::time_ordered_id;
use crate::telemetry::metrics::{Metrics, MetricsSettings};

/// Events that a slow sink answers in time.
const FEW: usize = 3;

/// What a scripted sink does with one offer.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Takes,
    /// Takes nothing.
    Down,
    /// Takes all and says nothing: the answer is lost.
    Mute,
    /// Answers in time only where there are few events, and takes all of them in any case.
    Slow,
    /// Takes all but every third, which it asks for again.
    Picky,
    /// Asks for a long wait.
    Busy,
}

/// What has reached the store, and how.
#[derive(Debug, Default)]
struct Store {
    /// How often each event came.
    events: BTreeMap<Uuid, u32>,
    /// First arrivals, in order.
    order: Vec<u64>,
    offers: usize,
}

impl Store {
    fn take(&mut self, record: &Record) {
        let times = self.events.entry(record.event_id).or_default();
        *times += 1;
        if *times == 1 {
            self.order.push(record.sequence);
        }
    }
}

struct Scripted {
    store: Arc<Mutex<Store>>,
    moods: VecDeque<Mood>,
    /// Sequences that make a whole batch unacceptable.
    poison: BTreeSet<u64>,
}

impl Sink for Scripted {
    fn deliver<'a>(&'a mut self, batch: &'a [Record]) -> BoxFuture<'a, Delivery> {
        Box::pin(async move {
            let mood = self.moods.pop_front().unwrap_or(Mood::Takes);
            self.store.lock().unwrap().offers += 1;
            let down = |after| Delivery::Retry {
                after,
                cause: "down".to_owned(),
            };
            match mood {
                Mood::Down => return down(None),
                Mood::Busy => return down(Some(Duration::from_secs(120))),
                _ => {}
            }
            if batch
                .iter()
                .any(|record| self.poison.contains(&record.sequence))
            {
                return Delivery::Reject {
                    cause: "poison".to_owned(),
                };
            }
            let is_picked = |index: &usize| matches!(mood, Mood::Picky) && index.is_multiple_of(3);
            for (index, record) in batch.iter().enumerate() {
                if !is_picked(&index) {
                    self.store.lock().unwrap().take(record);
                }
            }
            let is_too_much = matches!(mood, Mood::Slow) && batch.len() > FEW;
            if matches!(mood, Mood::Mute) || is_too_much {
                std::future::pending::<()>().await;
            }
            Delivery::Partly {
                rejected: Vec::new(),
                again: (0..batch.len()).filter(is_picked).collect(),
                after: None,
                cause: "picky".to_owned(),
            }
        })
    }
}

/// A log with one sink's worker.
struct Bench {
    folder: TempDir,
    log: Log,
    metrics: Metrics,
    store: Arc<Mutex<Store>>,
    appended: u64,
}

/// A worker at work.
struct AtWork {
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
    progress: Arc<Progress>,
}

impl Bench {
    fn new() -> Self {
        Self::with(|options| options)
    }

    fn with(change: impl FnOnce(LogOptions) -> LogOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = LogOptions {
            segment_bytes_max: 64 << 10,
            sync_interval: Duration::from_millis(1),
            ..LogOptions::new(folder.path().join("audit"))
        };
        let (log, _) = Log::open(&change(options)).unwrap();
        Self {
            folder,
            log,
            metrics: Metrics::new(MetricsSettings::default()),
            store: Arc::default(),
            appended: 0,
        }
    }

    /// Appends events; their sequences are theirs in order.
    fn append(&mut self, events: u64) {
        for _ in 0..events {
            let now = Now::read();
            let event = AuditEvent {
                endpoint: "/v1/graphs/g/query".into(),
                ..AuditEvent::new(
                    time_ordered_id(now),
                    now.unix_micros,
                    EventType::ApiRequest,
                    Severity::Info,
                )
            };
            // A log that drops its oldest events does so once they are synced and signed, and is waited for.
            self.appended = loop {
                match self.log.append(&event) {
                    Err(AppendError::Full) => std::thread::yield_now(),
                    appended => break appended.unwrap().0,
                }
            };
        }
    }

    fn work(&self, moods: &[Mood], poison: &[u64], start: StartAt) -> AtWork {
        let (orders, receiver) = watch::channel(Order::Run);
        let progress = Arc::new(Progress::default());
        let name: Arc<str> = "scripted".into();
        let worker = Worker {
            name: name.clone(),
            limits: Limits {
                events_max: 16,
                bytes_max: 1 << 20,
                linger: Duration::from_secs(1),
                timeout: Duration::from_secs(10),
            },
            start,
            sink: Box::new(Scripted {
                store: self.store.clone(),
                moods: moods.iter().copied().collect(),
                poison: poison.iter().copied().collect(),
            }),
            log: self.log.clone(),
            cursor: Cursor::new(self.folder.path(), &name, self.log.id()),
            dead_letters: DeadLetters::new(self.folder.path(), &name),
            metrics: self.metrics.sink(&name),
            progress: progress.clone(),
            orders: receiver,
        };
        AtWork {
            orders,
            task: tokio::spawn(worker.run()),
            progress,
        }
    }

    fn dead(&self) -> Vec<u64> {
        let path = self.folder.path().join("scripted.dead.jsonl");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let sequence = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["sequence"].as_u64().unwrap()
        };
        text.lines().map(sequence).collect()
    }

    fn order(&self) -> Vec<u64> {
        self.store.lock().unwrap().order.clone()
    }
}

impl AtWork {
    /// Waits until everything up to here is settled.
    async fn settles(&self, through: u64) {
        use std::sync::atomic::Ordering;
        while self.progress.through.load(Ordering::Relaxed) < through {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn drains(self) {
        self.orders.send_replace(Order::Drain);
        self.task.await.unwrap();
    }
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}

fn stored_cursor(folder: &Path, log: &Log) -> Option<u64> {
    Cursor::new(folder, "scripted", log.id()).load().unwrap()
}

#[test]
fn whatever_a_sink_does_nothing_is_lost_and_exactly_the_poison_is_dead() {
    let mood = prop_oneof![
        4 => Just(Mood::Takes),
        2 => Just(Mood::Down),
        1 => Just(Mood::Mute),
        1 => Just(Mood::Slow),
        1 => Just(Mood::Picky),
        1 => Just(Mood::Busy),
    ];
    // Events of each wave, after which the worker may be killed as by a crash.
    let waves = prop::collection::vec((1_u64..60, any::<bool>()), 1..4);
    let script = (
        waves,
        prop::collection::vec(mood, 0..30),
        prop::collection::vec(1_u64..120, 0..3),
    );
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    let outcome = runner.run(&script, |(waves, moods, poison)| {
        let mut bench = Bench::new();
        paused(async {
            for (events, crashes) in waves {
                bench.append(events);
                let at_work = bench.work(&moods, &poison, StartAt::Oldest);
                if crashes {
                    // Somewhere in the middle, wherever that is.
                    tokio::time::sleep(Duration::from_secs(events)).await;
                    at_work.task.abort();
                    drop(at_work.task.await);
                } else {
                    at_work.settles(bench.appended).await;
                    at_work.drains().await;
                }
            }
            let last = bench.work(&[], &poison, StartAt::Oldest);
            last.settles(bench.appended).await;
            last.drains().await;
        });
        // What the workers append themselves, of dead letters, comes among the others or after them.
        let ours = |sequence: &u64| *sequence <= bench.appended;
        let dead: BTreeSet<u64> = bench.dead().into_iter().filter(ours).collect();
        let expected_dead: BTreeSet<u64> = poison.into_iter().filter(ours).collect();
        let stored: BTreeSet<u64> = bench.order().into_iter().filter(ours).collect();
        let expected: BTreeSet<u64> = (1..=bench.appended)
            .filter(|n| !expected_dead.contains(n))
            .collect();
        prop_assert_eq!(&dead, &expected_dead);
        prop_assert_eq!(stored, expected);
        prop_assert!(stored_cursor(bench.folder.path(), &bench.log) >= Some(bench.appended));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_sink_that_was_down_gets_everything_in_the_order_of_the_log() {
    let mut bench = Bench::new();
    bench.append(100);
    paused(async {
        let moods = [Mood::Down, Mood::Down, Mood::Takes, Mood::Down, Mood::Busy];
        let at_work = bench.work(&moods, &[], StartAt::Oldest);
        at_work.settles(100).await;
        at_work.drains().await;
    });
    assert_eq!(bench.order(), (1..=100).collect::<Vec<_>>());
    let text = bench.metrics.render();
    for line in [
        r#"rg_audit_sink_events_total{sink="scripted",outcome="delivered"} 100"#,
        r#"rg_audit_sink_events_total{sink="scripted",outcome="rejected"} 0"#,
        r#"rg_audit_sink_retries_total{sink="scripted"} 4"#,
        r#"rg_audit_sink_up{sink="scripted"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn an_outage_of_minutes_is_in_the_trail_once_and_so_is_its_end() {
    let mut bench = Bench::new();
    bench.append(10);
    paused(async {
        let at_work = bench.work(&[Mood::Down; 40], &[], StartAt::Oldest);
        at_work.settles(10).await;
        // The event of its end comes last, and is delivered as any other.
        at_work.settles(12).await;
        at_work.drains().await;
    });
    for (what, sequence) in [("audit.sink.down", 11), ("audit.sink.up", 12)] {
        let search = Search {
            text: Some(format!("\"{what}\"")),
            ..Search::default()
        };
        let page = bench.log.search(&search).unwrap();
        assert_eq!(page.events.len(), 1, "{what}");
        assert!(bench.order().contains(&sequence));
    }
}

#[test]
fn a_receiver_too_slow_for_whole_batches_gets_them_in_parts() {
    let mut bench = Bench::new();
    bench.append(100);
    paused(async {
        let at_work = bench.work(&[Mood::Slow; 10_000], &[], StartAt::Oldest);
        let a_day = Duration::from_secs(86_400);
        let settled = tokio::time::timeout(a_day, at_work.settles(100)).await;
        settled.expect("an end");
        at_work.drains().await;
    });
    assert_eq!(bench.order(), (1..=100).collect::<Vec<_>>());
}

#[test]
fn a_receiver_that_asks_for_a_wait_gets_it() {
    let mut bench = Bench::new();
    bench.append(1);
    paused(async {
        let begun = tokio::time::Instant::now();
        let at_work = bench.work(&[Mood::Busy], &[], StartAt::Oldest);
        at_work.settles(1).await;
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(120), "{waited:?}");
        at_work.drains().await;
    });
}

#[test]
fn a_frozen_sink_delays_no_other() {
    let mut bench = Bench::new();
    bench.append(50);
    paused(async {
        let frozen = bench.work(&[Mood::Mute; 1000], &[], StartAt::Oldest);
        let other = Bench {
            folder: tempfile::tempdir().unwrap(),
            log: bench.log.clone(),
            metrics: Metrics::new(MetricsSettings::default()),
            store: Arc::default(),
            appended: bench.appended,
        };
        let well = other.work(&[], &[], StartAt::Oldest);
        well.settles(50).await;
        assert_eq!(other.order().len(), 50);
        assert!(bench.order().len() <= 16);
        well.drains().await;
        frozen.task.abort();
    });
}

#[test]
fn a_new_sink_may_begin_with_the_next_event() {
    let mut bench = Bench::new();
    bench.append(30);
    paused(async {
        bench.log.synced(crate::audit::Position(30)).await.unwrap();
        let at_work = bench.work(&[], &[], StartAt::Newest);
        at_work.settles(30).await;
        bench.append(5);
        at_work.settles(35).await;
        at_work.drains().await;
        // Its cursor counts from now on, not where a new sink would begin.
        bench.append(5);
        bench.log.synced(crate::audit::Position(40)).await.unwrap();
        let again = bench.work(&[], &[], StartAt::Newest);
        again.settles(40).await;
        again.drains().await;
    });
    assert_eq!(bench.order(), (31..=40).collect::<Vec<_>>());
}

#[test]
fn at_the_end_a_sink_that_takes_nothing_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.append(40);
    paused(async {
        let at_work = bench.work(&[Mood::Down; 1000], &[], StartAt::Oldest);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let begun = tokio::time::Instant::now();
        at_work.drains().await;
        assert!(begun.elapsed() < Duration::from_secs(1));
    });
    assert_eq!(stored_cursor(bench.folder.path(), &bench.log), Some(0));
}

#[test]
fn events_dropped_before_the_sink_took_them_are_counted_and_told() {
    let mut bench = Bench::with(|options| LogOptions {
        total_bytes_max: 256 << 10,
        when_full: WhenFull::DropOldest,
        ..options
    });
    bench.append(10);
    let dropped = paused(async {
        let at_work = bench.work(&[], &[], StartAt::Oldest);
        at_work.settles(10).await;
        at_work.task.abort();
        drop(at_work.task.await);
        while bench.log.stats().events_dropped < 50 {
            bench.append(100);
            bench
                .log
                .synced(crate::audit::Position(bench.appended))
                .await
                .unwrap();
        }
        let again = bench.work(&[], &[], StartAt::Oldest);
        again.settles(bench.appended).await;
        again.drains().await;
        bench.log.stats().events_dropped
    });
    let text = bench.metrics.render();
    let lost = format!(
        r#"rg_audit_sink_events_total{{sink="scripted",outcome="lost"}} {}"#,
        dropped - 10
    );
    assert!(text.contains(&lost), "{lost}\n{text}");
    let search = Search {
        text: Some("audit.sink.lost".to_owned()),
        ..Search::default()
    };
    assert_eq!(bench.log.search(&search).unwrap().events.len(), 1);
}
