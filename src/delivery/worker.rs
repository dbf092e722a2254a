//! One sink's worker: gathers a batch, offers it until it is settled, remembers how far it came.
//!
//! ```text
//! gather ─► offer ─► accepted ─► store the cursor ─► gather
//!             │ ▲
//!             ▼ │ wait: exponential, jittered, as long as the receiver asks
//!           not now      never: to the dead letters
//! ```
//!
//! The order of writes is the promise: dead letters before the cursor, the cursor after the sink. A crash in
//! between repeats, and leaves nothing out.

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::cursor::Cursor;
use super::dead_letters::DeadLetters;
use super::outage::{self, Outage};
use super::outstanding::{Outstanding, Pause};
use super::pace::Pace;
use super::untold::{DEAD_LETTERS, Letters, Untold};
use super::{Delivery, Limits, Record, Sink};
use crate::audit::{AuditEvent, FollowedEvent, Follower, Log, Lost, Position, Severity};
use crate::config::StartAt;
use crate::now::Now;
use crate::random::time_ordered_id;
use crate::telemetry::metrics::SinkMetrics;

/// Wait after the local disk failed.
const DISK_RETRY: Duration = Duration::from_secs(1);

/// What is asked of a running worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Deliver.
    Run,
    /// Deliver what the log holds, give up at the first failure, and end.
    Drain,
    /// End; what is being offered may still be settled.
    End,
}

/// How far a worker is, for gauges read elsewhere.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Everything up to here is settled.
    pub(super) through: AtomicU64,
    /// When the oldest event of the batch on offer happened; 0 for none.
    pub(super) oldest_micros: AtomicI64,
}

/// What a worker is made of.
pub(super) struct Worker {
    pub(super) name: Arc<str>,
    pub(super) limits: Limits,
    pub(super) start: StartAt,
    pub(super) sink: Box<dyn Sink>,
    pub(super) log: Log,
    pub(super) cursor: Cursor,
    pub(super) dead_letters: DeadLetters,
    pub(super) metrics: SinkMetrics,
    pub(super) progress: Arc<Progress>,
    pub(super) orders: watch::Receiver<Order>,
}

/// What touches the disk; used from blocking threads only.
struct Disk {
    follower: Follower,
    cursor: Cursor,
    dead_letters: DeadLetters,
}

struct Running {
    name: Arc<str>,
    limits: Limits,
    sink: Box<dyn Sink>,
    log: Log,
    disk: Arc<Mutex<Disk>>,
    metrics: SinkMetrics,
    progress: Arc<Progress>,
    orders: watch::Receiver<Order>,
    backoff: Backoff,
    pace: Pace,
    untold: Untold,
    outage: Outage,
    is_up: bool,
    /// Everything up to here was read.
    through: u64,
    /// That was all there is.
    caught_up: bool,
}

/// The worker was told to end.
struct Ended;

impl Worker {
    /// Delivers until told to end.
    pub(super) async fn run(mut self) {
        let Ok(begin) = self.begin().await else {
            return;
        };
        self.progress.through.store(begin, Ordering::Relaxed);
        let disk = Disk {
            follower: Follower::after(&self.log, Position(begin)),
            cursor: self.cursor,
            dead_letters: self.dead_letters,
        };
        let mut running = Running {
            name: self.name,
            limits: self.limits,
            sink: self.sink,
            log: self.log,
            disk: Arc::new(Mutex::new(disk)),
            metrics: self.metrics,
            progress: self.progress,
            orders: self.orders,
            backoff: Backoff::default(),
            pace: Pace::of(self.limits.events_max),
            untold: Untold::default(),
            outage: Outage::default(),
            is_up: true,
            through: begin,
            caught_up: false,
        };
        running.metrics.up(true);
        while let Ok(batch) = running.gather().await {
            if running.offer(batch).await.is_err() {
                break;
            }
        }
        let letters = running.untold.take(Instant::now());
        running.tell_of_dead(letters);
    }

    /// The stored place, or the one a new sink begins at.
    async fn begin(&mut self) -> Result<u64, Ended> {
        loop {
            match self.stored_place() {
                Ok(place) => return Ok(place),
                Err(error) => {
                    tracing::error!(sink = %self.name, %error, "cursor not readable, the sink waits");
                }
            }
            wait(&mut self.orders, DISK_RETRY).await?;
        }
    }

    fn stored_place(&self) -> io::Result<u64> {
        let synced = self.log.stats().synced_sequence;
        let stored = self.cursor.load()?;
        // A log that was put back from a copy is behind its sinks: all of it is there already.
        let place = match (stored, self.start) {
            (Some(place), _) => place.min(synced),
            (None, StartAt::Oldest) => self
                .log
                .stats()
                .first_sequence
                .saturating_sub(1)
                .min(synced),
            (None, StartAt::Newest) => synced,
        };
        if stored != Some(place) {
            self.cursor.store(place)?;
        }
        Ok(place)
    }
}

impl Running {
    /// The next batch, waiting for one to fill up within the linger time.
    async fn gather(&mut self) -> Result<Vec<Record>, Ended> {
        loop {
            let order = *self.orders.borrow_and_update();
            match order {
                Order::End => return Err(Ended),
                Order::Run if self.caught_up => self.wait_for_events().await?,
                Order::Run | Order::Drain => {}
            }
            let (events, bytes) = (self.pace.events(), self.limits.bytes_max);
            let read = move |disk: &mut Disk| disk.follower.read(events, bytes);
            let followed = self.on_disk(read).await?;
            self.through = followed.through.0;
            self.caught_up = self.log.stats().synced_sequence <= self.through;
            if let Some(lost) = followed.lost {
                self.tell_of(lost);
            }
            if !followed.events.is_empty() {
                return Ok(followed.events.into_iter().map(Record::from).collect());
            }
            self.settled_through().await?;
            if order == Order::Drain && self.caught_up {
                return Err(Ended);
            }
        }
    }

    /// Waits for the log to grow, then for a whole batch or the linger time. An order cuts it short, and so do dead
    /// letters to tell of.
    async fn wait_for_events(&mut self) -> Result<(), Ended> {
        let first = self.log.grown(Position(self.through));
        let due = self.untold.due();
        tokio::select! {
            grown = first => grown.map_err(|_| Ended)?,
            changed = self.orders.changed() => return changed.map_err(|_| Ended),
            () = until(due) => {
                self.tell_of_dead_when_due();
                return Ok(());
            }
        }
        let last = self.through + self.pace.events() as u64 - 1;
        tokio::select! {
            grown = self.log.grown(Position(last)) => grown.map_err(|_| Ended),
            () = tokio::time::sleep(self.limits.linger) => Ok(()),
            changed = self.orders.changed() => changed.map_err(|_| Ended),
        }
    }

    fn tell_of(&self, lost: Lost) {
        self.metrics.lost(lost.events);
        let Lost {
            first,
            last,
            events,
        } = lost;
        tracing::error!(sink = %self.name, first, last, events, "events were gone from the audit log before the sink took them");
        let details = json!({"sink": &*self.name, "first_sequence": first, "last_sequence": last, "events": events});
        // The counter tells of it as well.
        drop(
            self.log
                .append(&event(Severity::Error, "audit.sink.lost", details)),
        );
    }

    fn tell_of_dead_when_due(&mut self) {
        let letters = self.untold.take_due(Instant::now());
        self.tell_of_dead(letters);
    }

    /// Tells of dead letters. A log that has no room for it is told later.
    fn tell_of_dead(&mut self, letters: Option<Letters>) {
        let Some(letters) = letters else {
            return;
        };
        let (events, reason) = (letters.events, &letters.reason);
        tracing::error!(sink = %self.name, events, %reason, "events rejected, they are among the dead letters");
        let event = event(Severity::Error, DEAD_LETTERS, letters.details(&self.name));
        if self.log.append_unless_full(&event).is_err() {
            self.untold.put_back(letters);
        }
    }

    /// Offers a batch until every event of it is settled, then stores the cursor.
    async fn offer(&mut self, batch: Vec<Record>) -> Result<(), Ended> {
        let mut outstanding = Outstanding::of(batch);
        while let Some(piece) = outstanding.piece() {
            let oldest = outstanding.oldest_micros().unwrap_or(0);
            self.progress.oldest_micros.store(oldest, Ordering::Relaxed);
            let (deadline, offered) = (self.limits.timeout, piece.len());
            let answer = tokio::time::timeout(deadline, self.sink.deliver(piece)).await;
            let is_too_slow = answer.is_err() && !self.sink.is_waiting();
            let settled = outstanding.settle(answer.unwrap_or_else(|_| Delivery::Retry {
                after: None,
                cause: format!("no answer within {} ms", deadline.as_millis()),
            }));
            if is_too_slow {
                outstanding.halve();
                self.pace.slower(offered);
            }
            self.metrics.delivered(settled.delivered);
            self.bury(settled.rejected).await?;
            match settled.pause {
                None => {
                    self.came_up();
                    self.pace.faster();
                }
                Some(pause) => {
                    self.went_down(&pause);
                    if settled.delivered > 0 {
                        self.backoff.reset();
                        self.tell_of_end();
                    } else if self.outage.failed(Instant::now()) {
                        let details = outage::down(&self.name, &pause.cause);
                        self.tell(Severity::Warning, outage::DOWN, details);
                    }
                    let time = self.backoff.next(pause.after, fastrand::f64());
                    if *self.orders.borrow() != Order::Run {
                        return Err(Ended);
                    }
                    wait(&mut self.orders, time).await?;
                }
            }
        }
        self.progress.oldest_micros.store(0, Ordering::Relaxed);
        self.settled_through().await
    }

    /// Everything read is settled: that is remembered.
    async fn settled_through(&mut self) -> Result<(), Ended> {
        let through = self.through;
        if self.progress.through.load(Ordering::Relaxed) != through {
            self.on_disk(move |disk| disk.cursor.store(through)).await?;
            self.progress.through.store(through, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn bury(&mut self, rejected: Vec<(Record, String)>) -> Result<(), Ended> {
        if !rejected.is_empty() {
            let rejected = Arc::new(rejected);
            let written = rejected.clone();
            self.on_disk(move |disk| disk.dead_letters.write(&written, Now::read()))
                .await?;
            self.metrics.rejected(rejected.len());
            self.untold.add(&rejected);
        }
        self.tell_of_dead_when_due();
        Ok(())
    }

    /// Tells of the end of an outage that was told of.
    fn tell_of_end(&mut self) {
        if let Some(lasted) = self.outage.ended(Instant::now()) {
            let details = outage::up(&self.name, lasted);
            self.tell(Severity::Info, outage::UP, details);
        }
    }

    /// Leaves an event that a log which is full does without: metrics and the log of the process tell as well.
    fn tell(&self, severity: Severity, what: &'static str, details: Value) {
        drop(self.log.append_unless_full(&event(severity, what, details)));
    }

    fn came_up(&mut self) {
        self.backoff.reset();
        self.tell_of_end();
        if !self.is_up {
            self.is_up = true;
            self.metrics.up(true);
            tracing::info!(sink = %self.name, "sink takes events again");
        }
    }

    fn went_down(&mut self, pause: &Pause) {
        self.metrics.retry();
        if self.is_up {
            self.is_up = false;
            self.metrics.up(false);
            tracing::warn!(sink = %self.name, cause = %pause.cause, "sink takes no events, they wait in the audit log");
        }
    }

    /// Does something on disk, again and again until it succeeds.
    async fn on_disk<T, F>(&mut self, work: F) -> Result<T, Ended>
    where
        T: Send + 'static,
        F: Fn(&mut Disk) -> io::Result<T> + Clone + Send + 'static,
    {
        loop {
            let (disk, work) = (self.disk.clone(), work.clone());
            let blocking = tokio::task::spawn_blocking(move || {
                work(&mut disk.lock().unwrap_or_else(PoisonError::into_inner))
            });
            match blocking
                .await
                .map_err(io::Error::other)
                .and_then(|done| done)
            {
                Ok(done) => return Ok(done),
                Err(error) => {
                    tracing::error!(sink = %self.name, %error, "disk fails, the sink waits");
                }
            }
            if *self.orders.borrow() != Order::Run {
                return Err(Ended);
            }
            wait(&mut self.orders, DISK_RETRY).await?;
        }
    }
}

/// An event of a sink's own life.
fn event(severity: Severity, what: &'static str, details: Value) -> AuditEvent<'static> {
    let now = Now::read();
    AuditEvent::system(
        time_ordered_id(now),
        now.unix_micros,
        severity,
        what,
        details,
    )
}

/// Waits until an instant; without one for ever.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Waits, or less when told to end.
async fn wait(orders: &mut watch::Receiver<Order>, time: Duration) -> Result<(), Ended> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        _ = orders.wait_for(|order| *order != Order::Run) => Err(Ended),
    }
}

impl From<FollowedEvent> for Record {
    fn from(event: FollowedEvent) -> Self {
        Self {
            sequence: event.position.0,
            event_id: event.event_id,
            timestamp: event.timestamp,
            json: event.json,
        }
    }
}
