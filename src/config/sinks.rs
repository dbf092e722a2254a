//! The sinks of audit events as the gateway uses them: files read, names resolved into values.
//!
//! Two settings are equal exactly when a reload need not touch the sink: what their files hold counts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::notifications::NotifySink;

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
    /// JSON lines over TCP.
    Logstash(LogstashSink),
    /// Notifications of single findings.
    Notify(NotifySink),
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

/// JSON lines over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogstashSink {
    /// Where it listens.
    pub server: Server,
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
