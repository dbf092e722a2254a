//! What a request leaves behind for its spans.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::trace::TraceContext;

/// Longest text of a caller's making kept in a span, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// One finished request. Small: it waits in a bounded queue.
#[derive(Clone, Debug)]
pub struct SpanRecord {
    /// The server span.
    pub context: TraceContext,
    /// The caller's span, where it sent one.
    pub parent: Option<[u8; 8]>,
    /// As received.
    pub method: String,
    /// The route's template; absent when no route was found.
    pub route: Option<Arc<str>>,
    /// Microseconds since 1970.
    pub start_unix_micros: i64,
    /// Until the last byte of the answer.
    pub duration: Duration,
    /// The status answered; 0 when the connection ended without one.
    pub status: u16,
    /// `http` or `https`, as the caller spoke it.
    pub url_scheme: &'static str,
    /// The canonical path, without the query string. Kept to its first 1,024 bytes.
    pub url_path: String,
    /// `1.1` or `2`.
    pub protocol_version: &'static str,
    /// The caller's address behind trusted proxies.
    pub client_address: Option<IpAddr>,
    /// Kept to its first 1,024 bytes.
    pub user_agent: Option<String>,
    /// The caller's organization.
    pub organization: Option<Arc<str>>,
    /// The id of the caller's key; never the key.
    pub api_key_id: Option<Arc<str>>,
    /// What `X-Request-Id` answered.
    pub request_id: Option<String>,
    /// What `explain` takes, where the request was refused.
    pub decision_id: Option<String>,
    /// The stable code of what went wrong.
    pub error_type: Option<&'static str>,
    /// The last attempt at an upstream, if there was one.
    pub upstream: Option<UpstreamCall>,
    /// The query, on routes that carry one.
    pub query: Option<QueryFacts>,
}

/// The time an upstream took.
#[derive(Clone, Debug)]
pub struct UpstreamCall {
    /// The span id sent to the upstream in `traceparent`.
    pub span_id: [u8; 8],
    /// Microseconds since 1970.
    pub start_unix_micros: i64,
    /// From choosing the upstream to the end of its answer.
    pub duration: Duration,
    /// The cluster asked.
    pub cluster: Arc<str>,
    /// The endpoint connected to.
    pub peer: Option<SocketAddr>,
    /// What it answered, if it did.
    pub status: Option<u16>,
    /// How it failed, if it did.
    pub error_type: Option<&'static str>,
    /// Attempts before this one.
    pub retries: u32,
}

/// What is known of a query; never its text.
#[derive(Clone, Debug)]
pub struct QueryFacts {
    /// The graph asked.
    pub graph_id: Option<Arc<str>>,
    /// The text's bytes.
    pub length_bytes: usize,
    /// Hexadecimal digest of the text.
    pub hash: String,
    /// `low`, `medium`, `high` or `extreme`, once it is analysed.
    pub complexity: Option<&'static str>,
    /// Rows answered, where the upstream states them.
    pub rows: Option<u64>,
}

impl SpanRecord {
    /// Cuts what callers could make long.
    pub(super) fn bound(&mut self) {
        let texts = [
            Some(&mut self.method),
            Some(&mut self.url_path),
            self.user_agent.as_mut(),
            self.request_id.as_mut(),
        ];
        for text in texts.into_iter().flatten() {
            text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
            text.shrink_to_fit();
        }
    }
}
