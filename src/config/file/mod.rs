//! The shape of `gateway.yaml`: keys, types, ranges and defaults, each written once and here.
//!
//! The doc comments are the descriptions of the JSON Schema, the `range` and `length` attributes
//! its bounds; [`super::shape`] enforces both. What a value means is decided by
//! [`super::compile`]. A required key is listed in its struct's `required`.

mod enrichment;
mod notifications;
mod penalties;
mod retention;
mod rules;
mod sinks;
mod stores;
mod traffic;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use self::enrichment::{GeoIpShape, GraphShape};
pub(super) use self::notifications::{NotificationsShape, OrganizationShape, SecurityTeamShape};
pub(super) use self::penalties::PenaltiesShape;
pub(super) use self::retention::RetentionShape;
pub(super) use self::rules::{
    ExclusionShape, ProceduresShape, RecordingShape, RulesShape, ScopedComplexityShape,
    ThresholdsShape,
};
pub(super) use self::sinks::{
    FileSinkShape, FluentdSinkShape, LogstashSinkShape, SecretShape, SinkShape, SyslogSinkShape,
    TlsClientShape,
};
pub(super) use self::stores::{
    ElasticsearchSinkShape, MongodbSinkShape, MongodbTlsShape, SplunkSinkShape,
};
pub(super) use self::traffic::{
    ClusterShape, EndpointShape, HealthCheckShape, InspectionOverride, InspectionShape, RouteShape,
    SourceShape,
};
use super::model::{Durability, LogFormat, LogLevel, Protocol, WhenFull};
use super::placed::Placed;
use crate::policy::cypher::ComplexityClass;

/// A value the file need not name.
pub(super) fn by_default<T>(value: impl Into<T>) -> Placed<T> {
    Placed::default_of(value.into())
}

/// A whole `gateway.yaml`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(
    title = "RocketGraph Gateway configuration",
    extend("required" = ["version", "listeners", "clusters", "routes"])
)]
pub(super) struct FileShape {
    /// The version of this file's shape; 1 is the only one.
    #[schemars(range(min = 1, max = 1))]
    pub(super) version: Placed<u64>,
    /// Where keys, the audit log and its index live. A local disk; relative to this file's folder.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) data_dir: Placed<String>,
    /// Proxy worker threads, each with its own event loop. 0 is one per core.
    #[schemars(range(min = 0, max = 1024))]
    pub(super) threads: Placed<u64>,
    /// The addresses clients connect to.
    #[schemars(length(min = 1, max = 64))]
    pub(super) listeners: Placed<Vec<Placed<ListenerShape>>>,
    /// Health, metrics, audit search and reload. Keep it off the public network.
    pub(super) admin: Placed<AdminShape>,
    /// Peers whose `X-Forwarded-For` is believed (CIDR). Everyone else's is replaced.
    #[schemars(length(max = 1024))]
    pub(super) trusted_proxies: Placed<Vec<Placed<String>>>,
    /// Deadlines and sizes of the client's side.
    pub(super) protocol: Placed<ProtocolShape>,
    /// How callers prove who they are.
    pub(super) auth: Placed<AuthShape>,
    /// What an API key of a plan may use.
    #[schemars(length(max = 1000))]
    pub(super) plans: Placed<Vec<Placed<PlanShape>>>,
    /// The groups of upstream servers that routes lead to.
    #[schemars(length(min = 1, max = 256))]
    pub(super) clusters: Placed<Vec<Placed<ClusterShape>>>,
    /// What may be asked, and where it leads. The most specific path decides.
    #[schemars(length(min = 1, max = 5_000))]
    pub(super) routes: Placed<Vec<Placed<RouteShape>>>,
    /// Inspection defaults of every route; a route's own `inspection` overrides single keys.
    pub(super) inspection: Placed<InspectionShape>,
    /// The threat rules.
    pub(super) rules: Placed<RulesShape>,
    /// What mitigations lay upon keys, and for how long.
    pub(super) penalties: Placed<PenaltiesShape>,
    /// Who is told of findings, and where.
    pub(super) notifications: Placed<NotificationsShape>,
    /// The audit log.
    pub(super) audit: Placed<AuditShape>,
    /// Where addresses are; places in audit events are unknown without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) geoip: Option<Placed<GeoIpShape>>,
    /// Logs, metrics and spans.
    pub(super) telemetry: Placed<TelemetryShape>,
    /// What happens between SIGTERM and the end of the process.
    pub(super) shutdown: Placed<ShutdownShape>,
}

impl Default for FileShape {
    fn default() -> Self {
        Self {
            version: Placed::default(),
            data_dir: by_default("./data"),
            threads: by_default(0_u64),
            listeners: Placed::default(),
            admin: Placed::default(),
            trusted_proxies: Placed::default(),
            protocol: Placed::default(),
            auth: Placed::default(),
            plans: by_default(usual_plans()),
            clusters: Placed::default(),
            routes: Placed::default(),
            inspection: Placed::default(),
            rules: Placed::default(),
            penalties: Placed::default(),
            notifications: Placed::default(),
            audit: Placed::default(),
            geoip: None,
            telemetry: Placed::default(),
            shutdown: Placed::default(),
        }
    }
}

/// Whether a list is empty and may be left out where the file is printed.
fn none_given<T>(list: &Placed<Vec<T>>) -> bool {
    list.value.is_empty()
}

/// The plans of a RocketGraph organization.
fn usual_plans() -> Vec<Placed<PlanShape>> {
    let plan = |name: &str, [second, burst, minute, day, concurrency]: [u64; 5]| {
        by_default(PlanShape {
            name: by_default(name),
            requests_per_second: Some(by_default(second)),
            burst: Some(by_default(burst)),
            requests_per_minute: Some(by_default(minute)),
            requests_per_day: Some(by_default(day)),
            concurrency: Some(by_default(concurrency)),
            ..PlanShape::default()
        })
    };
    let unlimited = PlanShape {
        name: by_default("enterprise"),
        ..PlanShape::default()
    };
    vec![
        plan("free", [5, 10, 60, 1_000, 4]),
        plan("basic", [50, 100, 1_000, 100_000, 16]),
        plan("premium", [500, 1_000, 10_000, 2_000_000, 64]),
        by_default(unlimited),
    ]
}

/// An address clients connect to.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "address"]))]
pub(super) struct ListenerShape {
    /// Names the listener in logs and metrics.
    #[schemars(length(min = 1, max = 64))]
    pub(super) name: Placed<String>,
    /// IP address and port, such as 127.0.0.1:8080. Port 0 takes a free one.
    pub(super) address: Placed<String>,
    /// What is spoken on it.
    pub(super) protocol: Placed<Protocol>,
    /// Certificate and key of an `https` listener; both files are read again on reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Placed<TlsShape>>,
}

/// The files of a TLS listener, PEM.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["certificate_file", "private_key_file"]))]
pub(super) struct TlsShape {
    /// The certificate chain, the listener's own certificate first.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) certificate_file: Placed<String>,
    /// The private key of the first certificate.
    #[schemars(length(min = 1, max = 4096))]
    pub(super) private_key_file: Placed<String>,
}

/// The admin listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminShape {
    /// IP address and port.
    pub(super) address: Placed<String>,
    /// The file that holds the bearer token every call but health and metrics needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(super) token_file: Option<Placed<String>>,
    /// The token by environment reference, `${NAME}`; never the token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("writeOnly" = true))]
    pub(super) token: Option<Placed<String>>,
}

impl Default for AdminShape {
    fn default() -> Self {
        Self {
            address: by_default("127.0.0.1:9090"),
            token_file: None,
            token: None,
        }
    }
}

/// Deadlines and sizes of the client's side.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProtocolShape {
    /// Time for the whole request head.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(super) header_timeout_ms: Placed<u64>,
    /// Idle time between two requests of a connection.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(super) keepalive_timeout_ms: Placed<u64>,
    /// Time between two reads of a body.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(super) body_stall_timeout_ms: Placed<u64>,
    /// Time for the whole body.
    #[schemars(range(min = 1, max = 86_400_000))]
    pub(super) body_timeout_ms: Placed<u64>,
    /// How long a client may leave an answer unread.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(super) write_stall_timeout_ms: Placed<u64>,
    /// Size of the request head; 431 beyond.
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub(super) header_bytes_max: Placed<u64>,
    /// Header fields of a request; 431 beyond.
    #[schemars(range(min = 1, max = 1_000))]
    pub(super) header_count_max: Placed<u64>,
    /// Length of the request target; 414 beyond.
    #[schemars(range(min = 64, max = 65_536))]
    pub(super) uri_bytes_max: Placed<u64>,
    /// Size of a body; 413 beyond. A route may have its own.
    #[schemars(range(min = 1, max = 1_099_511_627_776_u64))]
    pub(super) body_bytes_max: Placed<u64>,
    /// Connections of all clients.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) connections_max: Placed<u64>,
    /// Connections of one address.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) connections_per_address_max: Placed<u64>,
    /// Memory of all bodies held for inspection; 503 beyond.
    #[schemars(range(min = 1_024, max = 1_099_511_627_776_u64))]
    pub(super) body_memory_bytes_max: Placed<u64>,
}

impl Default for ProtocolShape {
    fn default() -> Self {
        Self {
            header_timeout_ms: by_default(10_000_u64),
            keepalive_timeout_ms: by_default(75_000_u64),
            body_stall_timeout_ms: by_default(10_000_u64),
            body_timeout_ms: by_default(60_000_u64),
            write_stall_timeout_ms: by_default(30_000_u64),
            header_bytes_max: by_default(32_768_u64),
            header_count_max: by_default(100_u64),
            uri_bytes_max: by_default(8_192_u64),
            body_bytes_max: by_default(67_108_864_u64),
            connections_max: by_default(10_000_u64),
            connections_per_address_max: by_default(2_000_u64),
            body_memory_bytes_max: by_default(268_435_456_u64),
        }
    }
}

/// How callers prove who they are.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuthShape {
    /// Accept imported keys of an older system beside our own format.
    pub(super) opaque_keys: Placed<bool>,
    /// Failed authentications of one address in a minute; 429 beyond, 0 is no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) failures_per_minute_max: Placed<u64>,
}

impl Default for AuthShape {
    fn default() -> Self {
        Self {
            opaque_keys: by_default(false),
            failures_per_minute_max: by_default(600_u64),
        }
    }
}

/// What an API key of a plan may use; an absent limit is no limit.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub(super) struct PlanShape {
    /// The plan's name, as API keys carry it.
    #[schemars(length(min = 1, max = 64))]
    pub(super) name: Placed<String>,
    /// Sustained requests in a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) requests_per_second: Option<Placed<u64>>,
    /// Requests that may come at once; needs `requests_per_second`, which it equals unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(super) burst: Option<Placed<u64>>,
    /// Requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub(super) requests_per_minute: Option<Placed<u64>>,
    /// Requests in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub(super) requests_per_day: Option<Placed<u64>>,
    /// Requests in flight at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) concurrency: Option<Placed<u64>>,
    /// The dearest class of query, as `query_complexity` labels it; 403 beyond.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) query_complexity_max: Option<Placed<ComplexityClass>>,
    /// Another one for keys that have a scope.
    #[serde(skip_serializing_if = "none_given")]
    #[schemars(length(max = 64))]
    pub(super) query_complexity_by_scope: Placed<Vec<Placed<ScopedComplexityShape>>>,
}

/// The audit log.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuditShape {
    /// When an audit event counts as kept.
    pub(super) durability: Placed<Durability>,
    /// The Ed25519 key that signs the log, PKCS #8 in PEM; `audit-signing.key` in `data_dir`, made at the first start, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(super) signing_key_file: Option<Placed<String>>,
    /// Keys the events are encrypted with on the disk: 64 hexadecimal digits a line, the last one encrypts, all decrypt. Not encrypted unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(super) encryption_key_file: Option<Placed<String>>,
    /// Size at which a segment is closed and the next one begun.
    #[schemars(range(min = 65_536, max = 4_294_967_296_u64))]
    pub(super) segment_bytes_max: Placed<u64>,
    /// Size of the whole log, at least two segments.
    #[schemars(range(min = 131_072, max = 1_125_899_906_842_624_u64))]
    pub(super) total_bytes_max: Placed<u64>,
    /// What happens when the log is full.
    pub(super) when_full: Placed<WhenFull>,
    /// How long events are kept; without it, as long as the log has room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retention: Option<Placed<RetentionShape>>,
    /// How sensitive the data of graphs is; events name the highest that fits.
    #[schemars(length(max = 1_000))]
    pub(super) graphs: Placed<Vec<Placed<GraphShape>>>,
    /// Where the log's events are delivered. Each sink has its own cursor and waits for no other.
    #[schemars(length(max = 8))]
    pub(super) sinks: Placed<Vec<Placed<SinkShape>>>,
}

impl Default for AuditShape {
    fn default() -> Self {
        Self {
            durability: by_default(Durability::Written),
            signing_key_file: None,
            encryption_key_file: None,
            segment_bytes_max: by_default(67_108_864_u64),
            total_bytes_max: by_default(10_737_418_240_u64),
            when_full: by_default(WhenFull::Refuse),
            retention: None,
            graphs: Placed::default(),
            sinks: Placed::default(),
        }
    }
}

/// Logs, metrics and spans.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TelemetryShape {
    /// The least important message that is written.
    pub(super) log_level: Placed<LogLevel>,
    /// How messages are written to standard error.
    pub(super) log_format: Placed<LogFormat>,
    /// Organizations with label values of their own; the rest is counted as `__overflow__`.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) organizations_max: Placed<u64>,
    /// Where spans go; none are kept without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) traces: Option<Placed<TracesShape>>,
}

impl Default for TelemetryShape {
    fn default() -> Self {
        Self {
            log_level: by_default(LogLevel::Info),
            log_format: by_default(LogFormat::Json),
            organizations_max: by_default(200_u64),
            traces: None,
        }
    }
}

/// Where spans go.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["otlp_endpoint"]))]
pub(super) struct TracesShape {
    /// The collector's OTLP/HTTP address, such as `http://127.0.0.1:4318`.
    #[schemars(length(min = 1, max = 2_048))]
    pub(super) otlp_endpoint: Placed<String>,
    /// The share of requests whose spans are kept.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) sample_ratio: Placed<f64>,
}

impl Default for TracesShape {
    fn default() -> Self {
        Self {
            otlp_endpoint: Placed::default(),
            sample_ratio: by_default(0.1),
        }
    }
}

/// What happens between SIGTERM and the end of the process.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ShutdownShape {
    /// Readiness is off, requests are still served.
    #[schemars(range(min = 0, max = 600_000))]
    pub(super) drain_delay_ms: Placed<u64>,
    /// Time for requests in flight.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(super) drain_timeout_ms: Placed<u64>,
}

impl Default for ShutdownShape {
    fn default() -> Self {
        Self {
            drain_delay_ms: by_default(0_u64),
            drain_timeout_ms: by_default(30_000_u64),
        }
    }
}
