//! `GET /audit/events`: a search over the log, or over a store that has copies of it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{SearchParameters, json, problem, reader, search_of};
use crate::app::App;
use crate::audit::Search;
use crate::delivery::{StoreError, search_store, searchable};
use crate::notes::{self, Actor, Read};

/// Who asked, and for what.
type Asked = (Actor, serde_json::Value);

pub(super) async fn events(
    State(app): State<Arc<App>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut parameters = match SearchParameters::of_query(pairs) {
        Ok(parameters) => parameters,
        Err(reason) => return problem(StatusCode::BAD_REQUEST, "search-invalid", &reason),
    };
    let asked = serde_json::to_value(&parameters).unwrap_or_default();
    let store = parameters.store.take();
    let search = match search_of(&parameters) {
        Ok(search) => search,
        Err(reason) => return problem(StatusCode::BAD_REQUEST, "search-invalid", &reason),
    };
    match store {
        Some(store) => of_store(app, &store, search, (reader(client), asked)).await,
        None => of_log(app, search, (reader(client), asked)).await,
    }
}

async fn of_log(app: Arc<App>, search: Search, (reader, asked): Asked) -> Response {
    // A search reads files; the admin runtime has one thread for everything else.
    let found = tokio::task::spawn_blocking(move || {
        let found = app.audit.search(&search);
        // After the page, which would else begin with it; and before anybody is shown the page.
        notes::read(&app.audit, Read::Searched, &reader, &asked);
        found
    });
    match found.await {
        Ok(Ok(page)) => json(&page),
        Ok(Err(error)) => problem(StatusCode::BAD_REQUEST, "search-failed", &error.to_string()),
        Err(_) => broke_off(),
    }
}

async fn of_store(app: Arc<App>, store: &str, search: Search, (reader, asked): Asked) -> Response {
    let snapshot = app.snapshot();
    let sink = match searchable(&snapshot.config.audit.sinks, store) {
        Ok(sink) => sink,
        Err(error) => return refused(&error),
    };
    let noted = tokio::task::spawn_blocking(move || {
        notes::read(&app.audit, Read::Searched, &reader, &asked);
    });
    if noted.await.is_err() {
        return broke_off();
    }
    match search_store(sink, &search).await {
        Ok(page) => json(&page),
        Err(error) => refused(&error),
    }
}

fn refused(error: &StoreError) -> Response {
    let (status, code) = match error {
        StoreError::Unknown { .. } => (StatusCode::BAD_REQUEST, "search-invalid"),
        StoreError::Cursor(_) => (StatusCode::BAD_REQUEST, "search-failed"),
        StoreError::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"),
    };
    problem(status, code, &error.to_string())
}

fn broke_off() -> Response {
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal-error",
        "The search broke off.",
    )
}
