//! The log's own thread: syncs, signs, keeps house, writes index files, until the log is closed.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::alarm::Alarms;
use super::dropping::LOG_DROPPED;
use super::live::{CLOSED, Shared, State};
use super::upkeep::{Distress, Dropped};
use super::writer::Writer;
use crate::audit::event::{AuditEvent, Severity};
use crate::audit::event_id::EventIds;
use crate::audit::proof::notary::Notary;
use crate::now::Now;

/// Wait between two attempts while the disk fails.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Time between two signatures while events come, and between two attempts that fail.
const SIGN_INTERVAL_NANOS: u64 = 1_000_000_000;
/// Events that are signed at once, however soon.
const UNSIGNED_EVENTS_MAX: u64 = 10_000;

/// What the thread alone has.
pub(super) struct Keeper {
    pub(super) notary: Notary,
    /// When it last signed, or tried to.
    tried_at: u64,
    failed: bool,
    alarms: Alarms,
}

impl Keeper {
    pub(super) fn new(notary: Notary) -> Self {
        Self {
            notary,
            tried_at: 0,
            failed: false,
            alarms: Alarms::new(),
        }
    }

    /// Works until the log is closed.
    pub(super) fn keep(mut self, shared: &Shared) {
        loop {
            let (closing, failing) = self.sync(shared);
            self.sign_if_due(shared);
            keep_house(shared);
            self.tell(shared);
            if closing {
                let mut state = shared.lock();
                state.closed = true;
                shared.distress.store(CLOSED, Ordering::Relaxed);
                drop(state);
                // Whatever came in since the last sync.
                self.sync(shared);
                self.sign(&mut shared.lock().writer);
                shared.synced.send_modify(|synced| synced.closed = true);
                let jobs = shared.lock().writer.last_index_jobs();
                for job in jobs {
                    job.run(&*shared.storage);
                }
                drop(shared.storage.sync_directory());
                // Where it fails, the log merely looks like one that was not closed.
                drop(shared.lock().writer.mark_closed(Now::read().unix_micros));
                return;
            }
            wait(shared, failing);
        }
    }

    /// One group commit. Answers whether the log is closing and whether the disk failed.
    fn sync(&mut self, shared: &Shared) -> (bool, bool) {
        let (job, closing) = {
            let mut state = shared.lock();
            (state.writer.begin_sync(), state.closing)
        };
        let Some(job) = job else {
            let distress = shared.lock().writer.distress();
            return (closing, distress != Distress::None);
        };
        let result = job.run(&*shared.storage);
        let mut state = shared.lock();
        let unix_micros = Now::read().unix_micros;
        let result = state.writer.finish_sync(job, result, unix_micros);
        let sequence = state.writer.synced_sequence();
        drop(state);
        shared
            .synced
            .send_modify(|synced| synced.sequence = sequence);
        let failing = result.is_err();
        self.alarms.synced(result.as_ref().err());
        if let Ok(events) = result {
            self.notary.absorb(&events);
        }
        (closing, failing)
    }

    fn sign_if_due(&mut self, shared: &Shared) {
        let now = Now::read();
        let elapsed = now.mono_nanos.saturating_sub(self.tried_at) >= SIGN_INTERVAL_NANOS;
        let (mark, urgent) = {
            let mut state = shared.lock();
            let wanted = std::mem::take(&mut state.signature_wanted);
            let mark = state.writer.synced_mark();
            let unsigned = mark
                .sequence
                .saturating_sub(state.writer.stats().signed_sequence);
            let many = unsigned >= UNSIGNED_EVENTS_MAX || state.writer.waits_for_signature();
            (mark, wanted || many)
        };
        if !self.notary.is_behind(mark.sequence) || !(elapsed || urgent && !self.failed) {
            return;
        }
        self.tried_at = now.mono_nanos;
        // Slow, so without the lock.
        let signed = self.notary.sign(mark, now.unix_micros);
        self.failed = signed.is_err();
        self.alarms.signed(signed.as_ref().err());
        let mut state = shared.lock();
        state.writer.count_signature(&signed);
        let signed = state.writer.stats().signed_sequence;
        let (first, bytes_max) = state.writer.tree_bounds();
        drop(state);
        self.notary.prune(first, bytes_max);
        shared.synced.send_modify(|synced| synced.signed = signed);
    }

    /// Tells people how the log stands, where that has changed.
    fn tell(&mut self, shared: &Shared) {
        shared.tell(shared.standing());
        if self.alarms.history(self.notary.is_broken()) {
            shared.lock().writer.set_history_broken();
            drop(shared.append(&broken_event(&shared.ids)));
        }
    }

    /// Signs what is synced, at open and at the end.
    pub(super) fn sign(&mut self, writer: &mut Writer) {
        let mark = writer.synced_mark();
        if self.notary.is_behind(mark.sequence) {
            let signed = self.notary.sign(mark, Now::read().unix_micros);
            self.alarms.signed(signed.as_ref().err());
            writer.count_signature(&signed);
        }
        if self.notary.is_broken() {
            writer.set_history_broken();
        }
    }
}

/// Waits for the interval, or until hurried; a failing disk is not hurried.
fn wait(shared: &Shared, failing: bool) {
    let state = shared.lock();
    let interval = if failing {
        RETRY_INTERVAL
    } else {
        shared.interval
    };
    let idle = |state: &mut State| !state.closing && (failing || !state.hurried);
    let waited = shared.work.wait_timeout_while(state, interval, idle);
    let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
    state.hurried = false;
}

fn keep_house(shared: &Shared) {
    let (dropped, job) = {
        let mut state = shared.lock();
        state.writer.tick();
        let distress = state.writer.distress() as u8;
        shared.distress.store(distress, Ordering::Relaxed);
        (state.writer.to_record(), state.writer.index_job())
    };
    if let Some(job) = job {
        job.run(&*shared.storage);
    }
    if let Some(dropped) = dropped {
        let Dropped {
            segments,
            first_sequence,
            last_sequence,
        } = dropped;
        // Where there is no room even for this, it is tried again: nothing goes unrecorded.
        if let Ok(record) = shared.append(&dropped_event(&shared.ids, dropped)) {
            let mut state = shared.lock();
            state.writer.recorded(last_sequence, record.0);
            state.hurried = true;
            drop(state);
            tracing::warn!(
                segments,
                first_sequence,
                last_sequence,
                "the audit log gave up its oldest events to make room"
            );
        }
    }
}

/// The event that tells that history is not what was signed.
fn broken_event(ids: &EventIds) -> AuditEvent<'static> {
    let now = Now::read().unix_micros;
    AuditEvent::system(
        ids.next(now),
        now,
        Severity::Critical,
        "audit.history.broken",
        json!({}),
    )
}

/// The event that tells what a full log gave up.
fn dropped_event(ids: &EventIds, dropped: Dropped) -> AuditEvent<'static> {
    let now = Now::read().unix_micros;
    let details = json!({
        "segments": dropped.segments,
        "first_sequence": dropped.first_sequence,
        "last_sequence": dropped.last_sequence,
    });
    AuditEvent::system(ids.next(now), now, Severity::Warning, LOG_DROPPED, details)
}
