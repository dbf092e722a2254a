//! The configuration as the gateway uses it: valid by construction, references resolved.
//!
//! Only [`super::compile`] makes a [`Config`]. Every reference is an index into a list of the same
//! configuration, every duration positive unless said otherwise, every size within its bound.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body_path::BodyPath;
use super::enrichment::{GeoIpSettings, GraphClassification, Pii};
use super::file::FileShape;
use super::rules::{ComplexitySettings, RulesSettings};
use super::sinks::SinkSettings;
use crate::audit::{KeyRing, Retention};
use crate::policy::penalty::Terms;
use crate::policy::route::{PathTemplate, Router};

/// Everything `gateway.yaml` says.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where keys, the audit log and its index live.
    pub data_dir: PathBuf,
    /// Proxy worker threads, 1 to 1,024; 0 in the file has become the number of cores.
    pub threads: usize,
    /// The addresses clients connect to; at least one.
    pub listeners: Vec<Listener>,
    /// The admin listener.
    pub admin: Admin,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Deadlines and sizes of the client's side.
    pub protocol: ProtocolLimits,
    /// How callers prove who they are.
    pub auth: AuthSettings,
    /// The plans, names unique.
    pub plans: Vec<PlanSettings>,
    /// The groups of upstream servers, names unique; at least one.
    pub clusters: Vec<Cluster>,
    /// The routes in file order, names unique; at least one.
    pub routes: Vec<Route>,
    /// Finds the index of a request's route in `routes`.
    pub router: Arc<Router>,
    /// The inspection of routes that say nothing else; also for requests of no route.
    pub inspection: Inspection,
    /// The threat rules.
    pub rules: RulesSettings,
    /// What mitigations lay upon keys.
    pub penalties: Terms,
    /// The audit log.
    pub audit: AuditSettings,
    /// Where addresses are, if a database is named.
    pub geoip: Option<GeoIpSettings>,
    /// Logs, metrics and spans.
    pub telemetry: TelemetrySettings,
    /// What happens between SIGTERM and the end of the process.
    pub shutdown: ShutdownSettings,
    /// The file with every default filled in, for [`super::print`].
    pub(super) effective: Arc<FileShape>,
}

/// An address clients connect to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Unique among the listeners.
    pub name: Arc<str>,
    /// Unique among listeners and admin; port 0 takes a free one.
    pub address: SocketAddr,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Present exactly when the protocol is [`Protocol::Https`].
    pub tls: Option<TlsFiles>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Cleartext HTTP/1.1.
    #[default]
    Http1,
    /// Cleartext HTTP/2 by prior knowledge, and HTTP/1.1.
    H2c,
    /// TLS; HTTP/1.1 and HTTP/2 by ALPN. Needs `tls`.
    Https,
}

/// The PEM files of a TLS listener: they parsed, and the key fits the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the listener's own certificate first.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub private_key_file: PathBuf,
}

/// The admin listener.
#[derive(Clone, Debug)]
pub struct Admin {
    /// IP address and port.
    pub address: SocketAddr,
    /// The bearer token, if calls need one.
    pub token: Option<Secret>,
}

/// Text that no message, dump or print shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one comparison that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Deadlines and sizes of the client's side; none is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolLimits {
    /// Time for the whole request head.
    pub header_timeout: Duration,
    /// Idle time between two requests of a connection.
    pub keepalive_timeout: Duration,
    /// Time between two reads of a body.
    pub body_stall_timeout: Duration,
    /// Time for the whole body.
    pub body_timeout: Duration,
    /// How long a client may leave an answer unread.
    pub write_stall_timeout: Duration,
    /// Size of the request head; 431 beyond.
    pub header_bytes_max: usize,
    /// Header fields of a request; 431 beyond.
    pub header_count_max: usize,
    /// Length of the request target; 414 beyond.
    pub uri_bytes_max: usize,
    /// Size of a body; 413 beyond.
    pub body_bytes_max: u64,
    /// Connections of all clients.
    pub connections_max: usize,
    /// Connections of one address.
    pub connections_per_address_max: usize,
    /// Memory of all bodies held for inspection; 503 beyond.
    pub body_memory_bytes_max: u64,
}

/// How callers prove who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Whether imported keys of an older system are accepted beside our own format.
    pub opaque_keys: bool,
    /// Failed authentications of one address in a minute; `None` is no limit.
    pub failures_per_minute_max: Option<u32>,
}

/// What an API key of a plan may use; an absent limit is no limit, and none is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// The plan's name, as API keys carry it.
    pub name: Arc<str>,
    /// Sustained requests in a second.
    pub requests_per_second: Option<u32>,
    /// Requests that may come at once; present exactly when `requests_per_second` is.
    pub burst: Option<u32>,
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Requests in a day.
    pub requests_per_day: Option<u64>,
    /// Requests in flight at a time.
    pub concurrency: Option<u32>,
    /// What its queries may cost.
    pub query_complexity: ComplexitySettings,
}

/// A group of upstream servers that answer alike.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Unique among the clusters.
    pub name: Arc<str>,
    /// The servers, addresses unique; at least one.
    pub endpoints: Vec<Endpoint>,
    /// Present when the servers speak TLS.
    pub tls: Option<UpstreamTls>,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Time between two reads of an answer, its first byte included.
    pub read_timeout: Duration,
    /// Time between two writes of a request.
    pub write_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Further attempts of idempotent requests without an answer, 0 to 10.
    pub retries: usize,
    /// How servers that do not answer are found; without it all are taken for healthy.
    pub health_check: Option<HealthCheck>,
}

/// One upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// IP address and port, the port not 0.
    pub address: SocketAddr,
    /// Share of the requests relative to its neighbours, 1 to 1,000.
    pub weight: usize,
}

/// TLS to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name the server's certificate must carry; sent as SNI.
    pub server_name: Arc<str>,
    /// Certificates that may sign it, a PEM file that parsed; the system's if `None`.
    pub ca_file: Option<PathBuf>,
}

/// How servers that do not answer are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The path and query asked for with GET; any 2xx is healthy.
    pub path: Arc<str>,
    /// Time between two checks of a server.
    pub interval: Duration,
    /// Time for one check, at most the interval.
    pub timeout: Duration,
    /// Good checks in a row until a server is used again.
    pub healthy_after: usize,
    /// Failed checks in a row until a server is left out.
    pub unhealthy_after: usize,
}

/// What may be asked, and where it leads.
#[derive(Clone, Debug)]
pub struct Route {
    /// Unique among the routes.
    pub name: Arc<str>,
    /// The path template as written: the bounded metric label.
    pub endpoint: Arc<str>,
    /// Lower case, no port; `None` is any host.
    pub host: Option<Arc<str>>,
    /// The compiled template.
    pub path: PathTemplate,
    /// `None` is every method. GET brings HEAD with it.
    pub methods: Option<Vec<Method>>,
    /// What the route is for.
    pub kind: Kind,
    /// Scopes a key must have, all of them.
    pub scopes: Vec<Arc<str>>,
    /// The index of its cluster in [`Config::clusters`]; 0 and unused where `refuse`.
    pub cluster: usize,
    /// Whether clients may upgrade to WebSocket.
    pub websocket: bool,
    /// Whether it is refused with 403.
    pub refuse: bool,
    /// Whether it is served without an API key.
    pub public: bool,
    /// Where the graph's id stands.
    pub graph_id: Option<Source>,
    /// Where the Cypher query stands in the JSON body.
    pub query_text: Option<BodyPath>,
    /// Where an answer tells its number of rows.
    pub row_count: Option<RowCount>,
    /// How its bodies are inspected, defaults filled in.
    pub inspection: Inspection,
    /// Size of a body; 413 beyond. The protocol's unless the route has its own.
    pub body_bytes_max: u64,
    /// Instead of the cluster's.
    pub read_timeout: Option<Duration>,
    /// Instead of the cluster's.
    pub write_timeout: Option<Duration>,
}

/// What a route is for; rules and detectors tell routes apart by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Runs a query.
    Query,
    /// Takes bulk content.
    Upload,
    /// Reads.
    Read,
    /// Changes something.
    Write,
    /// Administers.
    Admin,
    /// Anything else.
    #[default]
    Other,
}

impl Kind {
    /// The word of the file, also used as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Upload => "upload",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }
}

/// Where something stands in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A parameter of the path template, which has it.
    Path(Arc<str>),
    /// A parameter of the query string.
    Query(Arc<str>),
    /// A header field.
    Header(HeaderName),
    /// A field of the JSON body.
    Body(BodyPath),
}

/// Where an answer tells its number of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowCount {
    /// A header field of the answer.
    Header(HeaderName),
}

/// How bodies are inspected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inspection {
    /// Held back and inspected before one byte goes upstream; at most
    /// [`ProtocolLimits::body_memory_bytes_max`].
    pub body_bytes_max: usize,
    /// What happens to a larger body.
    pub on_oversize: Otherwise,
    /// What happens to a body whose encoding cannot be undone.
    pub on_undecodable: Otherwise,
    /// Which text is looked at for personal data.
    pub pii: Pii,
    /// The share of answers looked at for personal data, 0 to 1.
    pub pii_response_ratio: f64,
}

/// What happens to a body that cannot be inspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The request is refused.
    #[default]
    Refuse,
    /// It goes upstream, and its audit event is marked `uninspected`.
    ForwardUninspected,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// When an audit event counts as kept.
    pub durability: Durability,
    /// The key that signs the log, if it is not in the data folder.
    pub signing_key_file: Option<PathBuf>,
    /// The keys that encrypt its events on the disk, if any.
    pub encryption: KeyRing,
    /// Size at which a segment is closed and the next one begun.
    pub segment_bytes_max: u64,
    /// Size of the whole log; at least two segments.
    pub total_bytes_max: u64,
    /// What happens when the log is full.
    pub when_full: WhenFull,
    /// How long events are kept.
    pub retention: Option<Retention>,
    /// How sensitive the data of graphs is.
    pub graphs: Vec<GraphClassification>,
    /// Where its events are delivered, names unique.
    pub sinks: Vec<SinkSettings>,
}

/// When an audit event counts as kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Once it is queued: a crash of the process may lose events of answered requests.
    Relaxed,
    /// Once the kernel has it: a crash of the process loses nothing, a power cut the last moments.
    #[default]
    Written,
    /// Once the disk has it: a power cut loses nothing either; answers wait for the disk.
    Synced,
}

/// What happens when the audit log is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Requests are refused with 503 before they are forwarded.
    #[default]
    Refuse,
    /// The oldest segment goes; what it held is counted.
    DropOldest,
}

/// Logs, metrics and spans.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetrySettings {
    /// The least important message that is written.
    pub log_level: LogLevel,
    /// How messages are written.
    pub log_format: LogFormat,
    /// Organizations with label values of their own, 1 to 10,000.
    pub organizations_max: usize,
    /// Where spans go; none are kept if `None`.
    pub traces: Option<TracesSettings>,
}

/// Where spans go.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesSettings {
    /// The collector's OTLP/HTTP address without a path's trailing slash.
    pub otlp_endpoint: Arc<str>,
    /// The share of requests whose spans are kept, 0 to 1.
    pub sample_ratio: f64,
}

/// How important a message must be to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Records lost, or a person needed.
    Error,
    /// Unexpected, and recovered.
    Warn,
    /// Lifecycle.
    #[default]
    Info,
    /// Each request, too.
    Debug,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// What happens between SIGTERM and the end of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutdownSettings {
    /// Readiness is off, requests are still served; may be zero.
    pub drain_delay: Duration,
    /// Time for requests in flight.
    pub drain_timeout: Duration,
}
