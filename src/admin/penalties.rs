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

/// Every penalty in force, the newest finding first.
pub(super) async fn list(State(app): State<Arc<App>>) -> Response {
    let entries = app.penalties.list(Now::read());
    let penalties: Vec<_> = entries.iter().map(events::details).collect();
    json(&json!({"penalties": penalties}))
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
