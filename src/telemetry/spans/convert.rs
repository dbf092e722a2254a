//! From a record to OpenTelemetry's spans: names and attributes of the semantic conventions
//! (HTTP and database, 1.45), and the specification's own beside them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::record::{QueryFacts, SpanRecord, UpstreamCall};

/// Methods that may stand in a span's name; any other is `HTTP` there and `_OTHER` as attribute.
const KNOWN_METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT",
];

/// The server span and, when an upstream was asked, the client span below it.
pub(super) fn spans(record: &SpanRecord) -> impl Iterator<Item = SpanData> {
    let client = record
        .upstream
        .as_ref()
        .map(|call| client_span(record, call));
    [server_span(record)].into_iter().chain(client)
}

/// Collects attributes; absent values leave none.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.0.push(KeyValue::new(key, value));
    }

    fn maybe<V: Into<Value>>(&mut self, key: &'static str, value: Option<V>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }
}

fn server_span(record: &SpanRecord) -> SpanData {
    let known = KNOWN_METHODS.iter().find(|known| **known == record.method);
    let mut attributes = Attributes::default();
    attributes.set("http.request.method", known.copied().unwrap_or("_OTHER"));
    if known.is_none() {
        attributes.set("http.request.method_original", record.method.clone());
    }
    attributes.maybe("http.route", record.route.clone());
    if record.status > 0 {
        attributes.set("http.response.status_code", i64::from(record.status));
    }
    attributes.set("url.scheme", record.url_scheme);
    attributes.set("url.path", record.url_path.clone());
    attributes.set("network.protocol.version", record.protocol_version);
    let address = record.client_address.map(|address| address.to_string());
    attributes.maybe("client.address", address);
    attributes.maybe("user_agent.original", record.user_agent.clone());
    attributes.maybe("error.type", record.error_type);
    attributes.maybe("rg.organization_id", record.organization.clone());
    attributes.maybe("rg.api_key_id", record.api_key_id.clone());
    attributes.maybe("rg.request_id", record.request_id.clone());
    attributes.maybe("rg.decision_id", record.decision_id.clone());

    let method = known.copied().unwrap_or("HTTP");
    let name = match &record.route {
        Some(route) => Cow::Owned(format!("{method} {route}")),
        None => Cow::Borrowed(method),
    };
    SpanData {
        span_kind: SpanKind::Server,
        parent_span_id: record.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: record.parent.is_some(),
        // A server's span is an error only where the server is at fault.
        status: status_of(
            (record.status >= 500 || record.status == 0).then_some(record.error_type),
        ),
        ..span(
            record,
            name,
            record.context.span_id,
            (record.start_unix_micros, record.duration),
            attributes,
        )
    }
}

fn client_span(record: &SpanRecord, call: &UpstreamCall) -> SpanData {
    let mut attributes = Attributes::default();
    let name = match &record.query {
        Some(query) => {
            query_attributes(&mut attributes, query, call);
            "query_execution"
        }
        None => "upstream",
    };
    attributes.set("http.request.method", record.method.clone());
    let status = call.status.map(i64::from);
    attributes.maybe("http.response.status_code", status);
    attributes.set("rg.cluster", call.cluster.clone());
    if let Some(peer) = call.peer {
        attributes.set("server.address", peer.ip().to_string());
        attributes.set("server.port", i64::from(peer.port()));
    }
    attributes.maybe("error.type", call.error_type);
    if call.retries > 0 {
        attributes.set("http.request.resend_count", i64::from(call.retries));
    }
    let failed = call.error_type.is_some() || call.status.is_none_or(|status| status >= 400);
    SpanData {
        span_kind: SpanKind::Client,
        parent_span_id: SpanId::from_bytes(record.context.span_id),
        status: status_of(failed.then_some(call.error_type)),
        ..span(
            record,
            Cow::Borrowed(name),
            call.span_id,
            (call.start_unix_micros, call.duration),
            attributes,
        )
    }
}

fn query_attributes(attributes: &mut Attributes, query: &QueryFacts, call: &UpstreamCall) {
    attributes.set("db.system.name", "rocketgraph");
    attributes.maybe("db.namespace", query.graph_id.clone());
    let status = call.status.map(|status| status.to_string());
    attributes.maybe("db.response.status_code", status);
    let rows = query.rows.and_then(|rows| i64::try_from(rows).ok());
    attributes.maybe("db.response.returned_rows", rows);
    attributes.maybe("rg.query.graph_id", query.graph_id.clone());
    let length = i64::try_from(query.length_bytes).ok();
    attributes.maybe("rg.query.length", length);
    attributes.set("rg.query.hash", query.hash.clone());
    attributes.maybe("rg.query.complexity", query.complexity);
}

/// The status of a span that failed (with its code) or did not.
fn status_of(failed: Option<Option<&'static str>>) -> Status {
    failed.map_or(Status::Unset, |code| {
        Status::error(code.unwrap_or_default())
    })
}

/// What both spans have alike; kind, parent and status are the caller's to set.
fn span(
    record: &SpanRecord,
    name: Cow<'static, str>,
    span_id: [u8; 8],
    (start_unix_micros, duration): (i64, Duration),
    attributes: Attributes,
) -> SpanData {
    let start_time = moment(start_unix_micros);
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(record.context.trace_id),
            SpanId::from_bytes(span_id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name,
        start_time,
        end_time: start_time.checked_add(duration).unwrap_or(start_time),
        attributes: attributes.0,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("rg-gateway")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

fn moment(unix_micros: i64) -> SystemTime {
    let since = Duration::from_micros(u64::try_from(unix_micros).unwrap_or(0));
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}
