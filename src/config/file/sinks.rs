//! The part of the shape that says where audit events are delivered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use super::stores::{ElasticsearchSinkShape, MongodbSinkShape, SplunkSinkShape};
use crate::config::placed::Placed;
use crate::config::sinks::{StartAt, SyslogFormat, SyslogTransport};

/// A place that audit events are delivered to; its kind is the one section it has.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub(in crate::config) struct SinkShape {
    /// Names the sink in metrics and logs, its cursor and its dead letters. A renamed sink begins anew.
    #[schemars(length(min = 1, max = 64))]
    pub(in crate::config) name: Placed<String>,
    /// Where a sink begins that has no cursor yet.
    pub(in crate::config) start: Placed<StartAt>,
    /// Events of one batch.
    #[schemars(range(min = 1, max = 10_000))]
    pub(in crate::config) batch_events_max: Placed<u64>,
    /// Bytes of one batch's events; one larger event makes a batch of its own.
    #[schemars(range(min = 1_024, max = 67_108_864))]
    pub(in crate::config) batch_bytes_max: Placed<u64>,
    /// How long a batch waits to fill up.
    #[schemars(range(min = 0, max = 60_000))]
    pub(in crate::config) linger_ms: Placed<u64>,
    /// Time for one batch, connecting included; then it is offered again.
    #[schemars(range(min = 1, max = 600_000))]
    pub(in crate::config) timeout_ms: Placed<u64>,
    /// JSON lines in files of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) file: Option<Placed<FileSinkShape>>,
    /// Syslog messages of RFC 5424: JSON, CEF or LEEF.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) syslog: Option<Placed<SyslogSinkShape>>,
    /// Fluentd's and Fluent Bit's forward protocol, with acknowledgements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) fluentd: Option<Placed<FluentdSinkShape>>,
    /// JSON for Logstash's `tcp` input (lines) or its `http` input (acknowledged batches).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) logstash: Option<Placed<LogstashSinkShape>>,
    /// Documents of a MongoDB collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) mongodb: Option<Placed<MongodbSinkShape>>,
    /// Documents of monthly indexes in Elasticsearch or OpenSearch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) elasticsearch: Option<Placed<ElasticsearchSinkShape>>,
    /// Events of Splunk, by its HTTP Event Collector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) splunk: Option<Placed<SplunkSinkShape>>,
}

impl Default for SinkShape {
    fn default() -> Self {
        Self {
            name: Placed::default(),
            start: Placed::default(),
            batch_events_max: by_default(500_u64),
            batch_bytes_max: by_default(1_048_576_u64),
            linger_ms: by_default(1_000_u64),
            timeout_ms: by_default(10_000_u64),
            file: None,
            syslog: None,
            fluentd: None,
            logstash: None,
            mongodb: None,
            elasticsearch: None,
            splunk: None,
        }
    }
}

/// JSON lines in files of this machine.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["path"]))]
pub(in crate::config) struct FileSinkShape {
    /// The file; its folder must exist. Relative to this file's folder.
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) path: Placed<String>,
    /// Size at which the file is put aside as `….1`, which becomes `….2`, and so on.
    #[schemars(range(min = 4_096, max = 1_099_511_627_776_u64))]
    pub(in crate::config) bytes_max: Placed<u64>,
    /// Files kept, the one being written included; the oldest goes.
    #[schemars(range(min = 1, max = 1_000))]
    pub(in crate::config) files_max: Placed<u64>,
}

impl Default for FileSinkShape {
    fn default() -> Self {
        Self {
            path: Placed::default(),
            bytes_max: by_default(104_857_600_u64),
            files_max: by_default(10_u64),
        }
    }
}

/// Syslog messages of RFC 5424.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub(in crate::config) struct SyslogSinkShape {
    /// Host name or IP address, and port: usually 514, with TLS 6514.
    #[schemars(length(min = 1, max = 300))]
    pub(in crate::config) address: Placed<String>,
    /// How messages travel.
    pub(in crate::config) transport: Placed<SyslogTransport>,
    /// How an event is written.
    pub(in crate::config) format: Placed<SyslogFormat>,
    /// The facility of the priority; 13 is "log audit".
    #[schemars(range(min = 0, max = 23))]
    pub(in crate::config) facility: Placed<u64>,
    /// The host that messages name; without it the machine's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub(in crate::config) hostname: Option<Placed<String>>,
    /// The application that messages name.
    #[schemars(length(min = 1, max = 48))]
    pub(in crate::config) app_name: Placed<String>,
    /// Size of a message. The text of a longer event is cut; what is longer even then is a dead letter.
    #[schemars(range(min = 1_024, max = 524_288))]
    pub(in crate::config) message_bytes_max: Placed<u64>,
    /// Speak TLS; only over `tcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
}

impl Default for SyslogSinkShape {
    fn default() -> Self {
        Self {
            address: Placed::default(),
            transport: Placed::default(),
            format: Placed::default(),
            facility: by_default(13_u64),
            hostname: None,
            app_name: by_default("rg-gateway"),
            message_bytes_max: by_default(8_192_u64),
            tls: None,
        }
    }
}

/// Fluentd's forward protocol.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["address"]))]
pub(in crate::config) struct FluentdSinkShape {
    /// Host name or IP address, and port: usually 24224.
    #[schemars(length(min = 1, max = 300))]
    pub(in crate::config) address: Placed<String>,
    /// The tag events travel under.
    #[schemars(length(min = 1, max = 255))]
    pub(in crate::config) tag: Placed<String>,
    /// The key both sides know; they prove it to each other before any event travels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) shared_key: Option<Placed<SecretShape>>,
    /// Speak TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
}

impl Default for FluentdSinkShape {
    fn default() -> Self {
        Self {
            address: Placed::default(),
            tag: by_default("rg.audit"),
            shared_key: None,
            tls: None,
        }
    }
}

/// Logstash's `tcp` input, by `address`, or its `http` input, by `url`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct LogstashSinkShape {
    /// The `tcp` input with the `json_lines` codec: host name or IP address, and port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 300))]
    pub(in crate::config) address: Option<Placed<String>>,
    /// The `http` input, which acknowledges: `http://HOST:PORT` or `https://HOST:PORT`, with a path where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub(in crate::config) url: Option<Placed<String>>,
    /// User of the `http` input, beside `password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) username: Option<Placed<String>>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password: Option<Placed<SecretShape>>,
    /// Speak TLS; for an `https` address it says with which files, and without it the system's authorities are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
}

/// TLS towards a sink. The certificate is always checked.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct TlsClientShape {
    /// The certificate authorities to trust, PEM; without it those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) ca_file: Option<Placed<String>>,
    /// The name on the sink's certificate, where it is not the host of the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub(in crate::config) server_name: Option<Placed<String>>,
    /// The certificate chain to show the sink, PEM; needs `private_key_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) certificate_file: Option<Placed<String>>,
    /// The key of `certificate_file`, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) private_key_file: Option<Placed<String>>,
}

/// A password, token or key: where it is, never what it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("writeOnly" = true))]
pub(in crate::config) struct SecretShape {
    /// The file that holds it on one line; read again on reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) file: Option<Placed<String>>,
    /// The environment variable that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) env: Option<Placed<String>>,
}
