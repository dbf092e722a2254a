//! What shows that the audit log is what was written: its key, its newest signed checkpoint, the proof of an event.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::{json, problem, reader};
use crate::app::App;
use crate::audit::ProofError;
use crate::notes::{self, Read};

const TEXT: &str = "text/plain; charset=utf-8";
/// Longest wait for the signature of an event that is not signed yet.
const SIGNATURE_WAIT_MAX: Duration = Duration::from_secs(5);

/// What a proof is asked for with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProofParameters {
    /// Size of an earlier checkpoint the proof is to lead on from.
    from: Option<u64>,
}

pub(super) async fn proof(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
    Query(parameters): Query<ProofParameters>,
) -> Response {
    let Ok(id) = id.parse::<Uuid>() else {
        let reason = format!("event_id: not an id: {id}");
        return problem(StatusCode::BAD_REQUEST, "event-id-invalid", &reason);
    };
    let asked = serde_json::json!({"event_id": id.to_string(), "from": parameters.from});
    let log = app.audit.clone();
    let noted = tokio::task::spawn_blocking(move || {
        notes::read(&log, Read::Proved, &reader(client), &asked);
    });
    if noted.await.is_err() {
        return broken("The search broke off.");
    }
    let log = app.audit.clone();
    let found = match tokio::task::spawn_blocking(move || log.find(id)).await {
        Ok(Ok(Some(event))) => event,
        Ok(Ok(None)) => {
            let reason = "No such event: it was erased, dropped, or never was.";
            return problem(StatusCode::NOT_FOUND, "event-not-found", reason);
        }
        Ok(Err(error)) => return broken(&error.to_string()),
        Err(_) => return broken("The search broke off."),
    };
    // Without a signature in time, making the proof says so.
    drop(tokio::time::timeout(SIGNATURE_WAIT_MAX, app.audit.signed(found.position)).await);
    let log = app.audit.clone();
    match tokio::task::spawn_blocking(move || log.prove(&found, parameters.from)).await {
        Ok(Ok(proof)) => json(&proof),
        Ok(Err(error @ ProofError::NotSigned)) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-signed-yet",
            &error.to_string(),
        ),
        Ok(Err(error @ ProofError::From(_))) => {
            problem(StatusCode::BAD_REQUEST, "from-invalid", &error.to_string())
        }
        Ok(Err(error)) => broken(&error.to_string()),
        Err(_) => broken("The proof broke off."),
    }
}

fn broken(reason: &str) -> Response {
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", reason)
}

pub(super) async fn key(State(app): State<Arc<App>>) -> Response {
    text(format!("{}\n", app.audit.public_key()))
}

pub(super) async fn checkpoint(State(app): State<Arc<App>>) -> Response {
    let read = tokio::task::spawn_blocking(move || app.audit.checkpoint());
    match read.await {
        Ok(Ok(Some(note))) => text(note),
        Ok(Ok(None)) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-signed-yet",
            "The log has no signed checkpoint yet.",
        ),
        Ok(Err(error)) => broken(&error.to_string()),
        Err(_) => broken("The reading broke off."),
    }
}

fn text(body: String) -> Response {
    ([(header::CONTENT_TYPE, TEXT)], body).into_response()
}
