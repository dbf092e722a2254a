//! An HTTP server that behaves like a small RocketGraph API.
//!
//! ```text
//! GET,POST          /v1/graphs                    list, create {"id": …}
//! GET,PUT,DELETE    /v1/graphs/{graph_id}         describe, create or keep, delete
//! POST              /v1/graphs/{graph_id}/query   {"query": …, "parameters": {…}}
//! POST,PUT          /v1/graphs/{graph_id}/upload  NDJSON or CSV, counted
//! any               /v1/slow?ms=  /v1/fail?status=  /v1/stream?bytes=  /v1/echo  /healthz
//! ```
//! The graph `social` is there from the start; what is created lives in memory. Bodies are held to
//! 64 MiB, graphs to 1,000, answers that wait to 30 seconds.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::cypher;
use super::graph::Graph;

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const GRAPHS_MAX: usize = 1_000;
const GRAPH_ID_BYTES_MAX: usize = 64;
const SLOW_MS_MAX: u64 = 30_000;
const STREAM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves until `shutdown` resolves, then answers what is in flight and returns.
///
/// # Errors
/// The listener cannot be used by the runtime, or accepting failed for good.
pub async fn serve(
    listener: std::net::TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, router())
        .with_graceful_shutdown(shutdown)
        .await
}

/// The API over a fresh set of graphs.
pub fn router() -> Router {
    let graphs = BTreeMap::from([("social".to_owned(), Graph::social())]);
    Router::new()
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/v1/graphs", get(list).post(create))
        .route(
            "/v1/graphs/{graph_id}",
            get(describe).put(put).delete(delete),
        )
        .route("/v1/graphs/{graph_id}/query", post(query))
        .route("/v1/graphs/{graph_id}/upload", post(upload).put(upload))
        .route("/v1/slow", any(slow))
        .route("/v1/fail", any(fail))
        .route("/v1/stream", get(stream).post(stream_back))
        .route("/v1/echo", any(echo))
        .fallback(|| async { Failure(StatusCode::NOT_FOUND, "no such path".to_owned()) })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Graphs(Arc::new(Mutex::new(graphs))))
}

/// All graphs by their id.
#[derive(Clone)]
struct Graphs(Arc<Mutex<BTreeMap<String, Graph>>>);

impl Graphs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Graph>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refused request: its status and why.
struct Failure(StatusCode, String);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

fn unknown_graph(graph_id: &str) -> Failure {
    Failure(StatusCode::NOT_FOUND, format!("no such graph: {graph_id}"))
}

fn description(graph_id: &str, graph: &Graph) -> Value {
    json!({"id": graph_id, "nodes": graph.nodes(), "edges": graph.edges()})
}

async fn list(State(graphs): State<Graphs>) -> Json<Value> {
    let graphs = graphs.lock();
    let described: Vec<Value> = graphs
        .iter()
        .map(|(id, graph)| description(id, graph))
        .collect();
    Json(json!({"graphs": described}))
}

/// The body of a graph to be made.
#[derive(Deserialize)]
struct NewGraph {
    id: String,
}

async fn create(State(graphs): State<Graphs>, body: Bytes) -> Result<Response, Failure> {
    let NewGraph { id } = json_of(&body)?;
    let mut graphs = graphs.lock();
    if graphs.contains_key(&id) {
        return Err(Failure(
            StatusCode::CONFLICT,
            format!("the graph exists: {id}"),
        ));
    }
    let created = add(&mut graphs, &id)?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

async fn put(
    State(graphs): State<Graphs>,
    Path(graph_id): Path<String>,
) -> Result<Response, Failure> {
    let mut graphs = graphs.lock();
    if let Some(graph) = graphs.get(&graph_id) {
        return Ok(Json(description(&graph_id, graph)).into_response());
    }
    let created = add(&mut graphs, &graph_id)?;
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

fn add(graphs: &mut BTreeMap<String, Graph>, graph_id: &str) -> Result<Value, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = (1..=GRAPH_ID_BYTES_MAX).contains(&graph_id.len());
    if !fits || !graph_id.chars().all(plain) {
        let reason = "a graph id is 1 to 64 of A-Z a-z 0-9 - _ .".to_owned();
        return Err(Failure(StatusCode::BAD_REQUEST, reason));
    }
    if graphs.len() >= GRAPHS_MAX {
        let reason = format!("no more than {GRAPHS_MAX} graphs");
        return Err(Failure(StatusCode::INSUFFICIENT_STORAGE, reason));
    }
    let graph = graphs.entry(graph_id.to_owned()).or_default();
    Ok(description(graph_id, graph))
}

async fn describe(
    State(graphs): State<Graphs>,
    Path(graph_id): Path<String>,
) -> Result<Json<Value>, Failure> {
    let graphs = graphs.lock();
    let graph = graphs
        .get(&graph_id)
        .ok_or_else(|| unknown_graph(&graph_id))?;
    Ok(Json(description(&graph_id, graph)))
}

async fn delete(
    State(graphs): State<Graphs>,
    Path(graph_id): Path<String>,
) -> Result<StatusCode, Failure> {
    let removed = graphs.lock().remove(&graph_id);
    removed.ok_or_else(|| unknown_graph(&graph_id))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The body of a query.
#[derive(Deserialize)]
struct Statement {
    query: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

async fn query(
    State(graphs): State<Graphs>,
    Path(graph_id): Path<String>,
    body: Bytes,
) -> Result<Response, Failure> {
    let bad = |reason| Failure(StatusCode::BAD_REQUEST, reason);
    let statement: Statement = json_of(&body)?;
    let plan = cypher::plan(&statement.query, &statement.parameters).map_err(bad)?;
    let table = {
        let mut graphs = graphs.lock();
        let graph = graphs
            .get_mut(&graph_id)
            .ok_or_else(|| unknown_graph(&graph_id))?;
        graph.run(plan).map_err(bad)?
    };
    let rows = [("x-row-count", table.rows.len().to_string())];
    let answer = json!({
        "columns": table.columns,
        "rows": table.rows,
        "stats": {"nodes_created": table.nodes_created, "truncated": table.truncated},
    });
    Ok((rows, Json(answer)).into_response())
}

async fn upload(
    State(graphs): State<Graphs>,
    Path(graph_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    if !graphs.lock().contains_key(&graph_id) {
        return Err(unknown_graph(&graph_id));
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes());
    let is_csv = content_type.is_some_and(|value| value.starts_with(b"text/csv"));
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    let rows = if is_csv {
        // The first line names the columns.
        lines.count().saturating_sub(1)
    } else {
        let mut rows = 0_usize;
        for line in lines {
            rows += 1;
            serde_json::from_slice::<serde::de::IgnoredAny>(line).map_err(|cause| {
                Failure(StatusCode::BAD_REQUEST, format!("line {rows}: {cause}"))
            })?;
        }
        rows
    };
    let header = [("x-row-count", rows.to_string())];
    Ok((header, Json(json!({"rows": rows, "bytes": body.len()}))).into_response())
}

fn json_of<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|cause| Failure(StatusCode::BAD_REQUEST, format!("not as expected: {cause}")))
}

#[derive(Deserialize)]
struct Slow {
    #[serde(default)]
    ms: u64,
}

async fn slow(Query(Slow { ms }): Query<Slow>) -> Json<Value> {
    let waited_ms = ms.min(SLOW_MS_MAX);
    tokio::time::sleep(Duration::from_millis(waited_ms)).await;
    Json(json!({"waited_ms": waited_ms}))
}

#[derive(Deserialize)]
struct Fail {
    status: Option<u16>,
}

/// Answers with the status asked for, from 200 up; 500 without one.
async fn fail(Query(Fail { status }): Query<Fail>) -> Failure {
    let wanted = status.filter(|status| (200..=599).contains(status));
    let status = wanted.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Failure(status, "as asked".to_owned())
}

#[derive(Deserialize)]
struct Stream {
    bytes: Option<usize>,
}

/// A body without a stated length, so it is sent chunked.
async fn stream(Query(Stream { bytes }): Query<Stream>) -> Body {
    let length = bytes.unwrap_or(1_024).min(STREAM_BYTES_MAX);
    let line = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";
    let body: Bytes = line.iter().copied().cycle().take(length).collect();
    Body::from_stream(Body::from(body).into_data_stream())
}

/// Sends the request's body back while it arrives.
async fn stream_back(request: Request) -> Body {
    Body::from_stream(request.into_body().into_data_stream())
}

/// Tells the caller what reached the upstream.
async fn echo(request: Request) -> Result<Json<Value>, Failure> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| {
            let reason = "the body broke off or is too long".to_owned();
            Failure(StatusCode::PAYLOAD_TOO_LARGE, reason)
        })?;
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.as_str()).or_default().push(text);
    }
    Ok(Json(json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "headers": headers,
        "body_bytes": body.len(),
    })))
}

#[cfg(test)]
mod tests;
