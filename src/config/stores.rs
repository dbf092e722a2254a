//! Sinks that are databases and collectors: MongoDB, Elasticsearch and OpenSearch, Splunk.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::model::Secret;
use super::sinks::Server;

/// Documents of one MongoDB collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MongodbSink {
    /// The connection string, without a password.
    pub uri: Arc<str>,
    /// The password of the user that `uri` names.
    pub password: Option<Secret>,
    /// The database.
    pub database: Arc<str>,
    /// The collection.
    pub collection: Arc<str>,
    /// How long the server keeps an event; for ever when absent.
    pub retention_days: Option<u32>,
    /// Present when TLS is spoken by more than `uri` says.
    pub tls: Option<MongodbTls>,
}

/// Files that the MongoDB driver reads itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MongodbTls {
    /// The authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub certificate_key_file: Option<PathBuf>,
    /// What the files hold, so that a reload sees that they changed.
    pub content: Secret,
}

/// An HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it listens.
    pub server: Server,
    /// What its paths begin with, without a slash at the end.
    pub path: Arc<str>,
    /// The whole `Authorization` field; it has no character that a field value cannot have.
    pub authorization: Option<Secret>,
}

/// Monthly indexes of Elasticsearch or OpenSearch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElasticsearchSink {
    /// The store.
    pub service: Service,
    /// What index names begin with.
    pub index: Arc<str>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Whether the index template and the lifecycle policy are ours to write.
    pub manage_template: bool,
    /// How long the store keeps an index; for ever when absent.
    pub retention_days: Option<u32>,
}

/// A token of Splunk's HTTP Event Collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplunkSink {
    /// The collector.
    pub service: Service,
    /// The index; the token's own when absent.
    pub index: Option<Arc<str>>,
    /// Splunk's `source`.
    pub source: Arc<str>,
    /// Splunk's `sourcetype`.
    pub sourcetype: Arc<str>,
    /// Splunk's `host`; the collector's own view when absent.
    pub host: Option<Arc<str>>,
    /// Whether a batch counts only when the indexer acknowledges it.
    pub acknowledge: bool,
    /// Between two questions for an acknowledgement.
    pub acknowledge_poll: Duration,
    /// How long an acknowledgement is waited for at first.
    pub acknowledge_timeout: Duration,
}
