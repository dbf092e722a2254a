//! Erasing audit events on request: planned, recorded, carried out, recorded again.
//!
//! The admin API and the command line both come here. What is erased and what stays is told by
//! [`Log::carry_out`](crate::audit::Log::carry_out).

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::audit::{ERASURE_BEGUN, ERASURE_DONE, EraseError, Extent, Log, Search};
use crate::delivery;
use crate::notes::{self, Actor};
use crate::policy::mask;

/// Who wants events erased, and why; both are recorded.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) search: Search,
    pub(crate) extent: Extent,
    pub(crate) actor: Actor,
    /// Such as the number of the request for erasure; not the person's data.
    pub(crate) reason: String,
    /// Only count.
    pub(crate) dry_run: bool,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Summary {
    /// Events that fit.
    pub(crate) found: u64,
    /// Events that are gone, or whose personal part is.
    pub(crate) erased: u64,
    /// Segments that were rewritten.
    pub(crate) segments: u64,
    /// Files of bytes a recovery did not believe; they may hold such events, and are to be removed by hand.
    pub(crate) torn_files: u64,
    /// Files of events that sinks refused for good; they may hold such events, and are not looked into.
    pub(crate) dead_letter_files: u64,
}

/// Erases the events a search finds among all that are recorded by now.
///
/// # Errors
///
/// When the search is too broad, or the log cannot be read or written.
pub(crate) async fn erase(
    log: &Log,
    data_dir: &Path,
    request: Request,
) -> Result<Summary, EraseError> {
    let end = log.seal()?;
    log.synced(end).await?;
    let (planner, search, extent) = (log.clone(), request.search.clone(), request.extent);
    let plan = blocking(move || planner.plan_erasure(&search, extent)).await?;
    let mut summary = Summary {
        found: plan.events,
        dead_letter_files: delivery::dead_letter_files(data_dir),
        ..Summary::default()
    };
    if request.dry_run || plan.events == 0 {
        return Ok(summary);
    }
    let reason = mask::text(&request.reason).into_owned();
    let mut recorded = end;
    for mut details in plan.records() {
        if let Some(details) = details.as_object_mut() {
            details.insert("reason".to_owned(), reason.clone().into());
        }
        recorded = log.append(&notes::erasure(ERASURE_BEGUN, &request.actor, details))?;
    }
    // Only what is told for good may be done.
    log.synced(recorded).await?;
    let (eraser, search) = (log.clone(), request.search);
    let done = blocking(move || eraser.carry_out(&plan, &search)).await?;
    summary.erased = done.events;
    summary.segments = done.segments;
    summary.torn_files = done.torn_files;
    let details = json!({
        "reason": reason,
        "extent": extent,
        "events": done.events,
        "segments": done.segments,
    });
    log.append(&notes::erasure(ERASURE_DONE, &request.actor, details))?;
    Ok(summary)
}

/// Runs what reads and writes whole segments where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EraseError> + Send + 'static,
) -> Result<T, EraseError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| EraseError::Storage(std::io::Error::other(error)))?
}
