//! The part of the shape that says how events reach MongoDB, Elasticsearch, OpenSearch and Splunk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_default;
use super::sinks::{SecretShape, TlsClientShape};
use crate::config::placed::Placed;

/// Documents of one MongoDB collection.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["uri"]))]
pub(in crate::config) struct MongodbSinkShape {
    /// Connection string, `mongodb://USER@HOST:PORT,…/?replicaSet=…`, without the password.
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) uri: Placed<String>,
    /// The password of the user in `uri`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password: Option<Placed<SecretShape>>,
    /// The database.
    #[schemars(length(min = 1, max = 63))]
    pub(in crate::config) database: Placed<String>,
    /// The collection. Its indexes are created before the first event.
    #[schemars(length(min = 1, max = 120))]
    pub(in crate::config) collection: Placed<String>,
    /// Days after which the server removes an event, by a TTL index; without it, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20_000))]
    pub(in crate::config) retention_days: Option<Placed<u64>>,
    /// Speak TLS with these files; `tls=true` in `uri` does so with the well-known authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<MongodbTlsShape>>,
}

impl Default for MongodbSinkShape {
    fn default() -> Self {
        Self {
            uri: Placed::default(),
            password: None,
            database: by_default("rocketgraph"),
            collection: by_default("audit_logs"),
            retention_days: None,
            tls: None,
        }
    }
}

/// TLS towards MongoDB. The certificate is always checked.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct MongodbTlsShape {
    /// The certificate authorities to trust, PEM; without it the well-known ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) ca_file: Option<Placed<String>>,
    /// A certificate chain and its key to show the server, PEM, in one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub(in crate::config) certificate_key_file: Option<Placed<String>>,
}

/// Monthly indexes of Elasticsearch or OpenSearch.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url"]))]
pub(in crate::config) struct ElasticsearchSinkShape {
    /// `http://HOST:PORT` or `https://HOST:PORT`, with a path where a proxy wants one.
    #[schemars(length(min = 1, max = 2048))]
    pub(in crate::config) url: Placed<String>,
    /// TLS for an `https` address; without it the system's authorities are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
    /// User, beside `password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) username: Option<Placed<String>>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password: Option<Placed<SecretShape>>,
    /// An API key in its encoded form, instead of a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) api_key: Option<Placed<SecretShape>>,
    /// What index names begin with; the event's month follows, as in `audit-logs-2026-11`.
    #[schemars(length(min = 1, max = 200))]
    pub(in crate::config) index: Placed<String>,
    /// Compress what is sent.
    pub(in crate::config) gzip: Placed<bool>,
    /// Write the index template and, with `retention_days`, the lifecycle policy before the first event.
    pub(in crate::config) manage_template: Placed<bool>,
    /// Days after which the store removes an index, by ILM (Elasticsearch) or ISM (OpenSearch); without it, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20_000))]
    pub(in crate::config) retention_days: Option<Placed<u64>>,
}

impl Default for ElasticsearchSinkShape {
    fn default() -> Self {
        Self {
            url: Placed::default(),
            tls: None,
            username: None,
            password: None,
            api_key: None,
            index: by_default("audit-logs"),
            gzip: by_default(true),
            manage_template: by_default(true),
            retention_days: None,
        }
    }
}

/// A token of Splunk's HTTP Event Collector.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["url", "token"]))]
pub(in crate::config) struct SplunkSinkShape {
    /// The collector's address, such as `https://splunk.example:8088`.
    #[schemars(length(min = 1, max = 2048))]
    pub(in crate::config) url: Placed<String>,
    /// TLS for an `https` address; without it the system's authorities are trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) tls: Option<Placed<TlsClientShape>>,
    /// The token.
    pub(in crate::config) token: Placed<SecretShape>,
    /// The index; without it the token's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) index: Option<Placed<String>>,
    /// Splunk's `source`.
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) source: Placed<String>,
    /// Splunk's `sourcetype`.
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) sourcetype: Placed<String>,
    /// Splunk's `host`; without it the collector's own view.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(in crate::config) host: Option<Placed<String>>,
    /// Count a batch as delivered only when the indexer acknowledges it; the token must have acknowledgement enabled.
    pub(in crate::config) acknowledge: Placed<bool>,
    /// Between two questions for an acknowledgement.
    #[schemars(range(min = 10, max = 60_000))]
    pub(in crate::config) acknowledge_poll_ms: Placed<u64>,
    /// How long an acknowledgement is waited for before the batch is posted again; twice as long after each time, up to
    /// five minutes.
    #[schemars(range(min = 100, max = 300_000))]
    pub(in crate::config) acknowledge_timeout_ms: Placed<u64>,
}

impl Default for SplunkSinkShape {
    fn default() -> Self {
        Self {
            url: Placed::default(),
            tls: None,
            token: Placed::default(),
            index: None,
            source: by_default("rg-gateway"),
            sourcetype: by_default("rg:audit"),
            host: None,
            acknowledge: by_default(false),
            acknowledge_poll_ms: by_default(1_000_u64),
            acknowledge_timeout_ms: by_default(60_000_u64),
        }
    }
}
