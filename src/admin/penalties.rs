//! `GET /penalties` and `DELETE /penalties/{id}`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::{json, problem};
use crate::app::App;
use crate::now::Now;
use crate::state::penalties::events;
use crate::state::penalties::upkeep::Record;

/// Penalties of one answer; the command line lists all there are.
const COUNT_MAX: usize = 1_000;

/// Penalties in force, the newest finding first, and how many there are.
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    let entries = app.penalties.list(Now::read());
    let shown = entries.iter().take(COUNT_MAX);
    let penalties: Vec<_> = shown.map(events::details).collect();
    json(&json!({"total": entries.len(), "penalties": penalties}))
}

/// Takes one away; it is gone from the disk when the answer comes.
pub(super) async fn lift(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let not_found = || {
        problem(
            StatusCode::NOT_FOUND,
            "penalty-not-found",
            "No such penalty.",
        )
    };
    let Ok(id) = Uuid::parse_str(&id) else {
        return not_found();
    };
    let Some((entry, version)) = app.penalties.lift(id) else {
        return not_found();
    };
    let record = Record {
        audit: &app.audit,
        metrics: &app.metrics,
    };
    record.lifted(&entry, "admin API", Now::read());
    app.penalties.written(version).await;
    json(&events::details(&entry))
}
