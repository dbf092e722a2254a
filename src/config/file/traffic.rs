//! The part of the shape that says where requests lead: clusters, routes, inspection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use crate::config::enrichment::Pii;
use crate::config::model::{Kind, Otherwise};
use crate::config::placed::Placed;

/// A group of upstream servers that answer alike.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "endpoints"]))]
pub(in crate::config) struct ClusterShape {
    /// The name routes refer to.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) name: Placed<String>,
    /// The servers.
    #[schemars(length(min = 1, max = 1_024))]
    pub(in crate::config) endpoints: Placed<Vec<Placed<EndpointShape>>>,
    /// Speak TLS to the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<UpstreamTlsShape>>,
    /// Time to connect.
    #[schemars(range(min = 1, max = 600_000))]
    pub(in crate::config) connect_timeout_ms: Placed<u64>,
    /// Time between two reads of an answer, its first byte included.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(in crate::config) read_timeout_ms: Placed<u64>,
    /// Time between two writes of a request.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(in crate::config) write_timeout_ms: Placed<u64>,
    /// How long an idle connection is kept. Keep it below the upstream's own keep-alive.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(in crate::config) idle_timeout_ms: Placed<u64>,
    /// Further attempts of idempotent requests without an answer.
    #[schemars(range(min = 0, max = 10))]
    pub(in crate::config) retries: Placed<u64>,
    /// How servers that do not answer are found; without it all are taken for healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) health_check: Option<Placed<HealthCheckShape>>,
}

impl Default for ClusterShape {
    fn default() -> Self {
        Self {
            name: Placed::default(),
            endpoints: Placed::default(),
            tls: None,
            connect_timeout_ms: by_default(1_000_u64),
            read_timeout_ms: by_default(30_000_u64),
            write_timeout_ms: by_default(10_000_u64),
            idle_timeout_ms: by_default(55_000_u64),
            retries: by_default(1_u64),
            health_check: None,
        }
    }
}

/// One upstream server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub(in crate::config) struct EndpointShape {
    /// IP address and port, such as 127.0.0.1:8081.
    pub(in crate::config) address: Placed<String>,
    /// Its share of the requests, relative to its neighbours.
    #[schemars(range(min = 1, max = 1_000))]
    pub(in crate::config) weight: Placed<u64>,
}

impl Default for EndpointShape {
    fn default() -> Self {
        Self {
            address: Placed::default(),
            weight: by_default(1_u64),
        }
    }
}

/// TLS to the upstream.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["server_name"]))]
pub(in crate::config) struct UpstreamTlsShape {
    /// The name the server's certificate must carry; sent as SNI.
    #[schemars(length(min = 1, max = 253))]
    pub(in crate::config) server_name: Placed<String>,
    /// Certificates that may sign it, PEM; the system's unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) ca_file: Option<Placed<String>>,
}

/// How servers that do not answer are found.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct HealthCheckShape {
    /// The path that is asked for with GET; any 2xx is healthy.
    #[schemars(length(min = 1, max = 1_024))]
    pub(in crate::config) path: Placed<String>,
    /// Time between two checks of a server.
    #[schemars(range(min = 50, max = 3_600_000))]
    pub(in crate::config) interval_ms: Placed<u64>,
    /// Time for one check, at most the interval.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(in crate::config) timeout_ms: Placed<u64>,
    /// Good checks in a row until a server is used again.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) healthy_after: Placed<u64>,
    /// Failed checks in a row until a server is left out.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) unhealthy_after: Placed<u64>,
}

impl Default for HealthCheckShape {
    fn default() -> Self {
        Self {
            path: by_default("/healthz"),
            interval_ms: by_default(1_000_u64),
            timeout_ms: by_default(500_u64),
            healthy_after: by_default(2_u64),
            unhealthy_after: by_default(3_u64),
        }
    }
}

/// What may be asked, and where it leads.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name", "path"]))]
pub(in crate::config) struct RouteShape {
    /// Names the route in rules, logs and audit events.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) name: Placed<String>,
    /// Only requests for this host; any host unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(in crate::config) host: Option<Placed<String>>,
    /// The path template: `/fixed`, `{parameter}` for one segment, `{*rest}` last for any number.
    #[schemars(length(min = 1, max = 1_024))]
    pub(in crate::config) path: Placed<String>,
    /// The methods; all unless given. GET brings HEAD with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub(in crate::config) methods: Option<Placed<Vec<Placed<String>>>>,
    /// What the route is for; rules and detectors tell routes apart by it.
    pub(in crate::config) kind: Placed<Kind>,
    /// Scopes a key must have, all of them: `resource:action`, or `*` for either part.
    #[schemars(length(max = 32))]
    pub(in crate::config) scopes: Placed<Vec<Placed<String>>>,
    /// The cluster; may be left out where there is only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) upstream: Option<Placed<String>>,
    /// Serve without an API key.
    pub(in crate::config) public: Placed<bool>,
    /// Refuse with 403, in any spelling of the path.
    pub(in crate::config) refuse: Placed<bool>,
    /// Let clients upgrade to WebSocket.
    pub(in crate::config) websocket: Placed<bool>,
    /// Where the graph's id stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) graph_id: Option<Placed<SourceShape>>,
    /// Where the Cypher query stands in the JSON body, such as `$.query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) query_text: Option<Placed<String>>,
    /// Where the answer tells its number of rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) row_count: Option<Placed<RowCountShape>>,
    /// What differs from the file's `inspection`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) inspection: Option<Placed<InspectionOverride>>,
    /// Size of a body; the file's `protocol.body_bytes_max` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_099_511_627_776_u64))]
    pub(in crate::config) body_bytes_max: Option<Placed<u64>>,
    /// The cluster's `read_timeout_ms` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(in crate::config) read_timeout_ms: Option<Placed<u64>>,
    /// The cluster's `write_timeout_ms` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_600_000))]
    pub(in crate::config) write_timeout_ms: Option<Placed<u64>>,
}

/// Where something stands in a request; exactly one key.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct SourceShape {
    /// A parameter of the path template.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) path: Option<Placed<String>>,
    /// A parameter of the query string.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) query: Option<Placed<String>>,
    /// A header field.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) header: Option<Placed<String>>,
    /// A field of the JSON body, such as `$.graph`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) body: Option<Placed<String>>,
}

/// Where an answer tells its number of rows.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["header"]))]
pub(in crate::config) struct RowCountShape {
    /// A header field of the answer.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) header: Placed<String>,
}

/// How bodies are inspected.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct InspectionShape {
    /// Held back and inspected before one byte goes upstream.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub(in crate::config) body_bytes_max: Placed<u64>,
    /// What happens to a larger body. Where it passes, its beginning is inspected, and too much of anything in a body only marks it.
    pub(in crate::config) on_oversize: Placed<Otherwise>,
    /// What happens to a body that cannot be read: its encoding, charset, type or form. Where it passes, it is inspected as text.
    pub(in crate::config) on_undecodable: Placed<Otherwise>,
    /// Which text is looked at for personal data; events say which kinds there were, never the data.
    pub(in crate::config) pii: Placed<Pii>,
    /// The share of answers looked at for personal data, where `pii` says so.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in crate::config) pii_response_ratio: Placed<f64>,
}

impl Default for InspectionShape {
    fn default() -> Self {
        Self {
            body_bytes_max: by_default(1_048_576_u64),
            on_oversize: by_default(Otherwise::Refuse),
            on_undecodable: by_default(Otherwise::Refuse),
            pii: by_default(Pii::Request),
            pii_response_ratio: by_default(0.1),
        }
    }
}

/// What of the file's `inspection` differs for a route.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct InspectionOverride {
    /// Held back and inspected before one byte goes upstream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub(in crate::config) body_bytes_max: Option<Placed<u64>>,
    /// What happens to a larger body. Where it passes, its beginning is inspected, and too much of anything in a body only marks it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) on_oversize: Option<Placed<Otherwise>>,
    /// What happens to a body that cannot be read: its encoding, charset, type or form. Where it passes, it is inspected as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) on_undecodable: Option<Placed<Otherwise>>,
    /// Which text is looked at for personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) pii: Option<Placed<Pii>>,
    /// The share of answers looked at for personal data, where `pii` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(in crate::config) pii_response_ratio: Option<Placed<f64>>,
}
