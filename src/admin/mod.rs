//! The admin API, on its own listener: health, metrics, audit search, explain, penalties, reload.

mod erase;
mod events;
mod explain;
mod penalties;
mod proof;
mod search;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::app::App;
use crate::config;
use crate::notes::{self, Actor, Read};
pub use explain::{Explanation, explain, tell};
pub use search::{SearchParameters, erasure_of, search_of};
pub(crate) use status::audit_figures;

/// Serves the admin API until the shutdown.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    app: Arc<App>,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "admin listener not started");
            return;
        }
    };
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(async move {
        // An error means that the sender is gone, which is the end as well.
        drop(stopped.wait_for(|down| *down).await);
    });
    if let Err(error) = served.await {
        tracing::error!(%error, "admin listener stopped");
    }
}

fn router(app: Arc<App>) -> Router {
    let guarded = Router::new()
        .route("/audit/status", get(status::audit_status))
        .route("/audit/events", get(events::events))
        .route("/audit/erase", post(erase::erase))
        .route("/audit/proof/{event_id}", get(proof::proof))
        .route("/audit/key", get(proof::key))
        .route("/audit/checkpoint", get(proof::checkpoint))
        .route("/explain/{id}", get(explain_decision))
        .route("/config", get(effective_config))
        .route("/reload", post(reload))
        .route("/penalties", get(penalties::list))
        .route("/penalties/{id}", delete(penalties::lift))
        .route_layer(middleware::from_fn_with_state(app.clone(), require_token));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(metrics))
        .merge(guarded)
        .with_state(app)
}

/// Lets a request pass that knows the admin token, where one is configured.
async fn require_token(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let snapshot = app.snapshot();
    let Some(token) = &snapshot.config.admin.token else {
        return next.run(request).await;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        .unwrap_or_default();
    if bool::from(given.ct_eq(token.expose().as_bytes())) {
        next.run(request).await
    } else {
        let (method, path) = (request.method().as_str(), request.uri().path());
        notes::admin_refused(&app.audit, &reader(client), method, path);
        problem(
            StatusCode::UNAUTHORIZED,
            "admin-token-required",
            "The admin token is required.",
        )
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    crate::serve::read_gauges(&app);
    let text = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], app.metrics.render()).into_response()
}

async fn explain_decision(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(id): Path<String>,
) -> Response {
    let found = tokio::task::spawn_blocking(move || {
        let found = explain(&id, |search| app.audit.search(search));
        let asked = serde_json::json!({"id": id});
        notes::read(&app.audit, Read::Explained, &reader(client), &asked);
        found
    });
    match found.await {
        Ok(Ok(Some(explanation))) => json(&explanation),
        Ok(Ok(None)) => problem(
            StatusCode::NOT_FOUND,
            "decision-not-found",
            "No such decision.",
        ),
        Ok(Err(reason)) => problem(StatusCode::BAD_REQUEST, "search-failed", &reason),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            "The search broke off.",
        ),
    }
}

/// Who asks.
fn reader(client: SocketAddr) -> Actor {
    Actor::of_api(client.ip().to_canonical())
}

async fn effective_config(State(app): State<Arc<App>>) -> Response {
    let snapshot = app.snapshot();
    let mut text = config::print(&snapshot.config);
    if !snapshot.needs_restart.is_empty() {
        let names = snapshot.needs_restart.join(", ");
        text.insert_str(
            0,
            &format!(
                "# What is in force. The file says otherwise, which needs a restart: {names}\n"
            ),
        );
    }
    ([(header::CONTENT_TYPE, "application/yaml")], text).into_response()
}

async fn reload(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
) -> Response {
    match tokio::task::spawn_blocking(move || app.reload(&reader(client))).await {
        Ok(Ok(snapshot)) => {
            let mut body = serde_json::json!({"result": "reloaded", "config_hash": snapshot.hash});
            if let (Some(body), false) = (body.as_object_mut(), snapshot.needs_restart.is_empty()) {
                body.insert(
                    "needs_restart".to_owned(),
                    snapshot.needs_restart.clone().into(),
                );
            }
            json(&body)
        }
        Ok(Err(diagnostics)) => {
            let errors: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
            let body = serde_json::json!({"result": "refused", "errors": errors});
            (StatusCode::UNPROCESSABLE_ENTITY, axum::Json(body)).into_response()
        }
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            "The reload broke off.",
        ),
    }
}

fn json(value: &impl serde::Serialize) -> Response {
    axum::Json(value).into_response()
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("https://rocketgraph.dev/problems/{code}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
    });
    let problem = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, problem, body.to_string()).into_response()
}
