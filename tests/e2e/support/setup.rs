//! What a gateway under test is set up with: its file, its keys, its upstreams.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::process::run_to_end;
use super::{Gateway, SmallDisk, Upstream};

/// An api key to create.
#[derive(Clone, Debug)]
pub(crate) struct NewKey {
    organization: String,
    plan: String,
    scopes: String,
    more: Vec<String>,
}

impl NewKey {
    /// A key that may do everything, without limits.
    pub(crate) fn of(organization: &str) -> Self {
        Self {
            organization: organization.to_owned(),
            plan: "enterprise".to_owned(),
            scopes: "*".to_owned(),
            more: Vec::new(),
        }
    }

    pub(crate) fn plan(mut self, plan: &str) -> Self {
        plan.clone_into(&mut self.plan);
        self
    }

    pub(crate) fn scopes(mut self, scopes: &str) -> Self {
        scopes.clone_into(&mut self.scopes);
        self
    }

    /// A further argument of `keys create`, with its value.
    pub(crate) fn with(mut self, argument: &str, value: &str) -> Self {
        self.more.extend([argument.to_owned(), value.to_owned()]);
        self
    }

    /// A further argument of `keys create` that has no value.
    pub(crate) fn flag(mut self, argument: &str) -> Self {
        self.more.push(argument.to_owned());
        self
    }

    /// Creates it with the command line, as an operator would.
    pub(crate) fn create(&self, folder: &Path) -> ApiKey {
        let mut arguments = vec!["keys", "create", "--data-dir", "data", "--json"];
        arguments.extend(["--organization", &self.organization]);
        arguments.extend(["--plan", &self.plan, "--scopes", &self.scopes]);
        arguments.extend(self.more.iter().map(String::as_str));
        let outcome = run_to_end(folder, &arguments);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let created: Value = serde_json::from_str(&outcome.stdout).expect("JSON of one key");
        let secret = secret_in(&created).unwrap_or_else(|| panic!("no secret in {created}"));
        let id = secret
            .split('_')
            .nth(2)
            .expect("rg_{env}_{id}_{rest}")
            .to_owned();
        ApiKey {
            organization: self.organization.clone(),
            id,
            secret,
        }
    }
}

/// The only text in the document that is a whole key.
fn secret_in(document: &Value) -> Option<String> {
    match document {
        Value::String(text) if text.starts_with("rg_") && text.len() > 40 => Some(text.clone()),
        Value::Object(members) => members.values().find_map(secret_in),
        _ => None,
    }
}

/// A created key: its id in clear, and the secret shown once.
#[derive(Clone, Debug)]
pub(crate) struct ApiKey {
    pub(crate) organization: String,
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// A gateway about to be started.
pub(crate) struct Setup {
    pub(crate) file: Value,
    /// The first is the one requests carry unless they say otherwise.
    pub(crate) keys: Vec<NewKey>,
    /// Names and contents of files beside `gateway.yaml`.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Where the data folder is, if not beside the file.
    pub(crate) disk: Option<PathBuf>,
}

impl Setup {
    /// The file most tests use, before these upstreams.
    pub(crate) fn before(upstreams: &[SocketAddr]) -> Self {
        Self {
            file: default_file(upstreams),
            keys: vec![NewKey::of("acme")],
            files: Vec::new(),
            disk: None,
        }
    }

    /// Sets one value by its dotted place, such as `protocol.header_timeout_ms`.
    pub(crate) fn with(mut self, place: &str, value: impl Into<Value>) -> Self {
        let mut here = &mut self.file;
        for name in place.split('.') {
            here = match name.parse::<usize>() {
                Ok(index) => &mut here[index],
                Err(_) => &mut here[name],
            };
        }
        *here = value.into();
        self
    }

    /// Adds a route.
    pub(crate) fn route(mut self, route: Value) -> Self {
        let routes = self.file["routes"]
            .as_array_mut()
            .expect("a list of routes");
        routes.push(route);
        self
    }

    /// Adds a plan.
    pub(crate) fn plan(mut self, plan: Value) -> Self {
        let plans = self.file["plans"].as_array_mut().expect("a list of plans");
        plans.push(plan);
        self
    }

    /// Gives the first key other properties.
    pub(crate) fn key(mut self, key: NewKey) -> Self {
        self.keys[0] = key;
        self
    }

    /// Adds a key.
    pub(crate) fn also_key(mut self, key: NewKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Puts a file beside `gateway.yaml`.
    pub(crate) fn beside(mut self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.files
            .push((name.to_owned(), content.as_ref().to_vec()));
        self
    }

    /// Puts the data folder on a disk of its own.
    pub(crate) fn on(mut self, disk: &SmallDisk) -> Self {
        self.disk = Some(disk.path());
        self
    }

    /// Starts the executable and waits until it is ready.
    pub(crate) async fn start(self) -> Gateway {
        Gateway::start(self).await
    }
}

impl From<&Upstream> for Setup {
    fn from(upstream: &Upstream) -> Self {
        Self::before(&[upstream.address])
    }
}

/// The file most tests use; JSON is YAML.
pub(crate) fn default_file(upstreams: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> = upstreams
        .iter()
        .map(|address| json!({"address": address.to_string(), "weight": 1}))
        .collect();
    json!({
        "version": 1,
        "data_dir": "data",
        "threads": 2,
        "listeners": [
            {"name": "public", "address": "127.0.0.1:0", "protocol": "http1"},
            {"name": "http2", "address": "127.0.0.1:0", "protocol": "h2c"},
        ],
        "admin": {"address": "127.0.0.1:0"},
        "trusted_proxies": [],
        "protocol": {},
        "auth": {},
        "plans": [
            {"name": "free", "requests_per_second": 5, "burst": 10, "requests_per_minute": 60,
             "requests_per_day": 1000, "concurrency": 4},
            {"name": "enterprise"},
        ],
        "clusters": [
            {"name": "rocketgraph", "endpoints": endpoints, "retries": 1},
        ],
        "routes": routes(),
        "inspection": {},
        "rules": {"directory": concat!(env!("CARGO_MANIFEST_DIR"), "/rules")},
        "audit": {},
        "telemetry": {"log_level": "info"},
        "shutdown": {"drain_timeout_ms": 10_000},
    })
}

fn routes() -> Value {
    json!([
        {"name": "graph-query", "path": "/v1/graphs/{graph_id}/query", "methods": ["POST"],
         "kind": "query", "scopes": ["graph:query"], "graph_id": {"path": "graph_id"},
         "query_text": "$.query", "row_count": {"header": "x-row-count"}},
        {"name": "graph-upload", "path": "/v1/graphs/{graph_id}/upload", "methods": ["POST", "PUT"],
         "kind": "upload", "scopes": ["graph:write"], "graph_id": {"path": "graph_id"},
         "inspection": {"body_bytes_max": 65_536, "on_oversize": "forward_uninspected"}},
        {"name": "graphs", "path": "/v1/graphs", "methods": ["GET", "POST", "HEAD"],
         "kind": "read", "scopes": ["graph:read"]},
        {"name": "graph", "path": "/v1/graphs/{graph_id}",
         "methods": ["GET", "PUT", "PATCH", "DELETE"],
         "kind": "write", "scopes": ["graph:write"], "graph_id": {"path": "graph_id"}},
        {"name": "live", "path": "/v1/live", "methods": ["GET"], "kind": "other",
         "websocket": true},
        {"name": "admin", "path": "/admin/{*rest}", "refuse": true},
    ])
}
