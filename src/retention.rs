//! Keeps the audit log no longer than configured: looks once a minute, and has the log give up what is past.
//!
//! What is erased is recorded first, as on request, so that `verify` can tell. A pass that fails is made again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::app::App;
use crate::audit::log::{Due, RETENTION_DROPPED};
use crate::audit::{ERASURE_BEGUN, ERASURE_DONE, EraseError, Log, Retention};
use crate::notes::{self, Actor};
use crate::now::Now;

/// Time between two looks; one costs little where nothing is due.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// Who erases, and why, in the records.
const ACTOR: &str = "audit.retention";

/// Looks again and again.
pub(crate) async fn keep(app: Arc<App>) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    let (mut due, mut known) = (Due::default(), None);
    loop {
        looks.tick().await;
        let retention = app.snapshot().config.audit.retention.clone();
        if retention != known {
            (due, known) = (Due::default(), retention.clone());
        }
        // Rewriting needs room.
        let Some(retention) = retention.filter(|_| app.audit.writable().is_ok()) else {
            continue;
        };
        match pass(&app.audit, &retention, std::mem::take(&mut due)).await {
            Ok(kept) => due = kept,
            Err(error) => {
                tracing::error!(%error, "audit events past their retention are still there");
            }
        }
    }
}

/// Has the log give up everything that is past by now.
async fn pass(log: &Log, retention: &Retention, due: Due) -> Result<Due, EraseError> {
    let now = Now::read().unix_micros;
    if let Some(end) = log.seal_if_past(retention, now)? {
        log.synced(end).await?;
    }
    let mut due = drop_oldest(log, retention, due, now).await?;
    loop {
        let (finder, wanted) = (log.clone(), retention.clone());
        let (found, later) = blocking(move || {
            let found = finder.next_expired(&wanted, &mut due, now)?;
            Ok((found, due))
        })
        .await?;
        due = later;
        let Some(expired) = found else {
            return Ok(due);
        };
        let mut recorded = None;
        for mut details in expired.plan.records() {
            if let Some(details) = details.as_object_mut() {
                details.insert("reason".to_owned(), ACTOR.into());
                details.insert("retention".to_owned(), retention.told());
            }
            recorded = Some(log.append(&notes::erasure(
                ERASURE_BEGUN,
                &Actor::named(ACTOR),
                details,
            ))?);
        }
        if let Some(recorded) = recorded {
            log.synced(recorded).await?;
        }
        let (eraser, wanted) = (log.clone(), retention.clone());
        let events = blocking(move || eraser.expire(&expired, &wanted)).await?;
        let details = json!({"reason": ACTOR, "extent": "whole", "events": events, "segments": 1});
        log.append(&notes::erasure(ERASURE_DONE, &Actor::named(ACTOR), details))?;
        tracing::info!(events, "audit events past their retention erased");
        if events == 0 {
            // The segment went otherwise meanwhile.
            return Ok(due);
        }
    }
}

/// Whole segments first: that costs no rewriting.
async fn drop_oldest(
    log: &Log,
    retention: &Retention,
    mut due: Due,
    now: i64,
) -> Result<Due, EraseError> {
    let (dropper, wanted) = (log.clone(), retention.clone());
    let (gone, due) = blocking(move || {
        let gone = dropper.drop_expired(&wanted, &mut due, now)?;
        Ok((gone, due))
    })
    .await?;
    if let (Some(first), Some(last)) = (gone.first(), gone.last()) {
        let (segments, first, last) = (gone.len(), first.first_sequence, last.last_sequence);
        let details = json!({
            "segments": segments,
            "first_sequence": first,
            "last_sequence": last,
            "retention": retention.told(),
        });
        let record = log.append(&notes::erasure(
            RETENTION_DROPPED,
            &Actor::named(ACTOR),
            details,
        ))?;
        log.dropped_recorded(last, record);
        log.synced(record).await?;
        tracing::info!(
            segments,
            first,
            last,
            "oldest audit events past their retention dropped"
        );
    }
    Ok(due)
}

/// Runs what reads and writes whole segments where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, EraseError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(std::io::Error::other)??)
}
