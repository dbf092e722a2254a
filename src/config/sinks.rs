//! The sinks of audit events as the gateway uses them: files read, names resolved into values.
//!
//! Two settings are equal exactly when a reload need not touch the sink: what their files hold counts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::Secret;
use super::notifications::NotifySink;
pub use super::stores::{ElasticsearchSink, MongodbSink, MongodbTls, Service, SplunkSink};

/// Where a sink begins that has no cursor yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartAt {
    /// With the oldest event the audit log holds.
    #[default]
    Oldest,
    /// With the next event.
    Newest,
}

/// One place that audit events are delivered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Unique among the sinks.
    pub name: Arc<str>,
    /// Where it begins without a cursor.
    pub start: StartAt,
    /// Events of one batch; at least one.
    pub batch_events_max: usize,
    /// Bytes of one batch's events.
    pub batch_bytes_max: usize,
    /// How long a batch waits to fill up; may be zero.
    pub linger: Duration,
    /// Time for one batch.
    pub timeout: Duration,
    /// What it is.
    pub kind: SinkKind,
}

/// What a sink is, and what it needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// JSON lines in files.
    File(FileSink),
    /// Syslog messages.
    Syslog(SyslogSink),
    /// Fluentd's forward protocol.
    Fluentd(FluentdSink),
    /// JSON for Logstash.
    Logstash(LogstashSink),
    /// Notifications of single findings.
    Notify(NotifySink),
    /// Documents of a MongoDB collection.
    Mongodb(MongodbSink),
    /// Monthly indexes of Elasticsearch or OpenSearch.
    Elasticsearch(ElasticsearchSink),
    /// Splunk's HTTP Event Collector.
    Splunk(SplunkSink),
}

/// JSON lines in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSink {
    /// The file being written.
    pub path: PathBuf,
    /// Size at which it is put aside.
    pub bytes_max: u64,
    /// Files kept, this one included; at least one.
    pub files_max: usize,
}

/// Syslog messages of RFC 5424.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyslogSink {
    /// Where it listens; with TLS only over [`SyslogTransport::Tcp`].
    pub server: Server,
    /// How messages travel.
    pub transport: SyslogTransport,
    /// How an event is written.
    pub format: SyslogFormat,
    /// 0 to 23.
    pub facility: u8,
    /// The host that messages name; `None` is the machine's own name.
    pub hostname: Option<Arc<str>>,
    /// The application that messages name: visible ASCII.
    pub app_name: Arc<str>,
    /// Size of a message.
    pub message_bytes_max: usize,
}

/// How syslog messages travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyslogTransport {
    /// One after the other, each behind its length (RFC 6587 octet counting).
    #[default]
    Tcp,
    /// A datagram each; the network may drop any of them.
    Udp,
}

/// How an event is written into a syslog message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// The log's own JSON.
    #[default]
    Json,
    /// ArcSight's Common Event Format, version 0.
    Cef,
    /// QRadar's Log Event Extended Format 2.0.
    Leef,
}

/// Fluentd's forward protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluentdSink {
    /// Where it listens.
    pub server: Server,
    /// The tag events travel under.
    pub tag: Arc<str>,
    /// The key both sides know.
    pub shared_key: Option<Secret>,
}

/// An input of Logstash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogstashSink {
    /// JSON lines over TCP, which nobody acknowledges.
    Tcp(Server),
    /// A JSON array in each request.
    Http(Service),
}

/// The other end of a connection to a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or IP address, without brackets.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// Present when TLS is spoken.
    pub tls: Option<TlsClient>,
}

/// TLS towards a server, whose certificate is always checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClient {
    /// The authorities to trust; `None` is the system's.
    pub authorities: Option<Arc<[CertificateDer<'static>]>>,
    /// The name its certificate must carry.
    pub server_name: ServerName<'static>,
    /// What to show it, if it asks.
    pub identity: Option<Identity>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Our own certificate first.
    pub certificates: Arc<[CertificateDer<'static>]>,
    /// The key of the first; its `Debug` shows nothing of it.
    pub key: Arc<PrivateKeyDer<'static>>,
}
