//! `POST /audit/erase`: takes events out of the log for good, and keeps the proof of all others.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::{SearchParameters, erasure_of, json, problem, reader};
use crate::app::App;
use crate::audit::{EraseError, Extent};
use crate::erasure::{self, Request};

/// Longest reason that is recorded, in bytes.
const REASON_BYTES_MAX: usize = 1024;

/// What to erase, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErasureParameters {
    /// The filters of a search; all must hold.
    events: SearchParameters,
    /// Recorded; such as the number of the request for erasure.
    reason: String,
    /// `whole`, or `personal` for what in the events may tell of a person.
    #[serde(default)]
    extent: Extent,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn erase(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    parameters: Result<Json<ErasureParameters>, JsonRejection>,
) -> Response {
    let invalid = |reason: &str| problem(StatusCode::BAD_REQUEST, "erasure-invalid", reason);
    let parameters = match parameters {
        Ok(Json(parameters)) => parameters,
        Err(rejection) => return invalid(&rejection.body_text()),
    };
    let search = match erasure_of(&parameters.events) {
        Ok(search) => search,
        Err(reason) => return invalid(&reason),
    };
    let reason = parameters.reason;
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return invalid(&format!("reason: must have 1 to {REASON_BYTES_MAX} bytes"));
    }
    let request = Request {
        search,
        extent: parameters.extent,
        actor: reader(client),
        reason,
        dry_run: parameters.dry_run,
    };
    let data_dir = app.snapshot().config.data_dir.clone();
    match erasure::erase(&app.audit, &data_dir, request).await {
        Ok(summary) => json(&summary),
        Err(error @ EraseError::TooBroad) => invalid(&error.to_string()),
        Err(error) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "erasure-failed",
            &error.to_string(),
        ),
    }
}
