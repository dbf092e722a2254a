use super::*;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::SpanData;

use crate::telemetry::trace::TraceContext;

fn record() -> SpanRecord {
    let context = TraceContext::new_root();
    SpanRecord {
        context,
        parent: Some([7; 8]),
        method: "POST".to_owned(),
        route: Some(Arc::from("/v1/graphs/{graph_id}/query")),
        start_unix_micros: 1_700_000_000_000_000,
        duration: Duration::from_micros(2_500),
        status: 200,
        url_scheme: "http",
        url_path: "/v1/graphs/g1/query".to_owned(),
        protocol_version: "1.1",
        client_address: "192.0.2.7".parse().ok(),
        user_agent: Some("curl/8".to_owned()),
        organization: Some(Arc::from("acme")),
        api_key_id: Some(Arc::from("k1")),
        request_id: Some("r1".to_owned()),
        decision_id: None,
        error_type: None,
        upstream: Some(UpstreamCall {
            span_id: [9; 8],
            start_unix_micros: 1_700_000_000_000_100,
            duration: Duration::from_micros(2_000),
            cluster: Arc::from("rocketgraph"),
            peer: "127.0.0.1:8081".parse().ok(),
            status: Some(200),
            error_type: None,
            retries: 0,
        }),
        query: Some(QueryFacts {
            graph_id: Some(Arc::from("g1")),
            length_bytes: 41,
            hash: "00ff".to_owned(),
            complexity: Some("low"),
            rows: Some(3),
        }),
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|kv| kv.key.as_str() == key)?;
    Some(found.value.to_string())
}

#[test]
fn a_query_becomes_a_server_span_and_a_query_execution_below_it() {
    let record = record();
    let spans: Vec<SpanData> = convert::spans(&record).collect();
    let [server, client] = spans.as_slice() else {
        panic!("{} spans", spans.len());
    };
    assert_eq!(server.name, "POST /v1/graphs/{graph_id}/query");
    assert_eq!(server.span_kind, SpanKind::Server);
    assert_eq!(server.parent_span_id, SpanId::from_bytes([7; 8]));
    assert_eq!(server.status, Status::Unset);
    let took = server.end_time.duration_since(server.start_time).unwrap();
    assert_eq!(took, Duration::from_micros(2_500));
    assert_eq!(client.name, "query_execution");
    assert_eq!(client.span_kind, SpanKind::Client);
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    assert_eq!(
        client.span_context.trace_id(),
        server.span_context.trace_id()
    );
    for (span, key, value) in [
        (server, "http.request.method", "POST"),
        (server, "http.route", "/v1/graphs/{graph_id}/query"),
        (server, "http.response.status_code", "200"),
        (server, "client.address", "192.0.2.7"),
        (server, "url.path", "/v1/graphs/g1/query"),
        (server, "rg.organization_id", "acme"),
        (server, "rg.api_key_id", "k1"),
        (client, "db.system.name", "rocketgraph"),
        (client, "db.namespace", "g1"),
        (client, "rg.query.graph_id", "g1"),
        (client, "rg.query.length", "41"),
        (client, "rg.query.hash", "00ff"),
        (client, "rg.query.complexity", "low"),
        (client, "server.port", "8081"),
    ] {
        assert_eq!(attribute(span, key).as_deref(), Some(value), "{key}");
    }
}

#[test]
fn an_unknown_method_does_not_reach_the_span_name() {
    let record = SpanRecord {
        method: "BREW".to_owned(),
        route: None,
        upstream: None,
        ..record()
    };
    let spans: Vec<SpanData> = convert::spans(&record).collect();
    assert_eq!(spans.len(), 1);
    assert_eq!(spans[0].name, "HTTP");
    assert_eq!(
        attribute(&spans[0], "http.request.method").unwrap(),
        "_OTHER"
    );
    assert_eq!(
        attribute(&spans[0], "http.request.method_original").unwrap(),
        "BREW"
    );
}

#[test]
fn only_a_fault_of_our_side_makes_the_server_span_an_error() {
    for (status, error) in [(200, false), (403, false), (502, true), (0, true)] {
        let record = SpanRecord {
            status,
            error_type: Some("code"),
            ..record()
        };
        let server = convert::spans(&record).next().unwrap();
        assert_eq!(server.status == Status::error("code"), error, "{status}");
    }
}

#[test]
fn a_failed_upstream_without_a_query_is_an_error_named_upstream() {
    let mut record = record();
    record.query = None;
    if let Some(call) = &mut record.upstream {
        (call.status, call.error_type, call.retries) = (None, Some("connect_failed"), 1);
    }
    let client = convert::spans(&record).nth(1).unwrap();
    assert_eq!(client.name, "upstream");
    assert_eq!(client.status, Status::error("connect_failed"));
    assert_eq!(
        attribute(&client, "http.request.resend_count").unwrap(),
        "1"
    );
}

#[derive(Debug)]
enum Answer {
    Taken,
    Refused,
    Never,
}

/// Shows the batches it is offered, and answers each alike.
#[derive(Debug)]
struct Collector {
    batches: mpsc::Sender<Vec<SpanData>>,
    answer: Answer,
}

impl Export for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.batches.send(batch).await.unwrap();
        match self.answer {
            Answer::Taken => Ok(()),
            Answer::Refused => Err(OTelSdkError::InternalFailure("no".to_owned())),
            Answer::Never => std::future::pending().await,
        }
    }
}

fn exporter(answer: Answer) -> (SpanExporter, Counter, mpsc::Receiver<Vec<SpanData>>) {
    let (batches, exported) = mpsc::channel(100);
    let dropped = Counter::default();
    let settings = SpanSettings {
        queue_max: 10,
        batch_max: 4,
        linger: Duration::from_secs(3_600),
        ..SpanSettings::new("http://unused", "i")
    };
    let collector = Collector { batches, answer };
    let exporter =
        SpanExporter::exporting_to(collector, &Handle::current(), &settings, dropped.clone());
    (exporter, dropped, exported)
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn full_batches_go_at_once_and_the_rest_at_shutdown() {
    let (exporter, dropped, mut exported) = exporter(Answer::Taken);
    for _ in 0..10 {
        exporter.submit(record());
    }
    // Each record makes two spans.
    assert_eq!(exported.recv().await.unwrap().len(), 8);
    assert_eq!(exported.recv().await.unwrap().len(), 8);
    assert!(exporter.shutdown(LONG).await);
    assert_eq!(exported.recv().await.unwrap().len(), 4);
    assert!(exported.recv().await.is_none());
    assert_eq!(dropped.get(), 0);
    exporter.submit(record());
    assert_eq!(dropped.get(), 1);
    assert!(exporter.shutdown(LONG).await);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_collector_holds_one_batch_and_a_queue_and_no_more() {
    let (exporter, dropped, mut exported) = exporter(Answer::Never);
    for _ in 0..4 {
        exporter.submit(record());
    }
    assert_eq!(exported.recv().await.unwrap().len(), 8);
    for _ in 0..100 {
        exporter.submit(record());
    }
    assert_eq!(dropped.get(), 90);
    assert!(!exporter.shutdown(Duration::from_secs(2)).await);
    assert_eq!(dropped.get(), 104);
}

#[tokio::test]
async fn a_refused_batch_is_counted_and_the_next_is_tried() {
    let (exporter, dropped, mut exported) = exporter(Answer::Refused);
    for _ in 0..8 {
        exporter.submit(record());
    }
    assert!(exporter.shutdown(LONG).await);
    assert!(exported.recv().await.is_some() && exported.recv().await.is_some());
    assert_eq!(dropped.get(), 8);
}

#[tokio::test(start_paused = true)]
async fn an_unfilled_batch_goes_after_its_linger() {
    let (exporter, _dropped, mut exported) = exporter(Answer::Taken);
    exporter.submit(record());
    let begun = tokio::time::Instant::now();
    assert_eq!(exported.recv().await.unwrap().len(), 2);
    assert_eq!(begun.elapsed().as_secs(), 3_600);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let mut record = SpanRecord {
        url_path: "é".repeat(5_000),
        ..record()
    };
    record.bound();
    assert_eq!(record.url_path, "é".repeat(512));
}

#[tokio::test]
async fn a_collector_gets_protobuf_with_the_resource_and_both_spans() {
    let (received, mut requests) = mpsc::channel(4);
    let take = post(move |headers: HeaderMap, body: Bytes| async move {
        received.send((headers, body)).await.unwrap();
        StatusCode::OK
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = axum::serve(listener, Router::new().route(TRACES_PATH, take));
    let server = tokio::spawn(async move { server.await.unwrap() });

    let settings = SpanSettings::new(format!("http://{address}/"), "instance-1");
    let dropped = Counter::default();
    let exporter = SpanExporter::start(&Handle::current(), &settings, dropped.clone()).unwrap();
    exporter.submit(record());
    assert!(exporter.shutdown(LONG).await);

    let (headers, body) = requests.recv().await.unwrap();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    for text in [
        "rg-gateway",
        "instance-1",
        "service.version",
        "POST /v1/graphs/{graph_id}/query",
        "query_execution",
    ] {
        let found = body.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(found, "{text}");
    }
    assert_eq!(dropped.get(), 0);
    server.abort();
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_counted_spans() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings = SpanSettings {
        export_timeout: Duration::from_millis(50),
        ..SpanSettings::new(format!("http://{address}"), "i")
    };
    let dropped = Counter::default();
    let exporter = SpanExporter::start(&Handle::current(), &settings, dropped.clone()).unwrap();
    exporter.submit(record());
    assert!(exporter.shutdown(LONG).await);
    assert_eq!(dropped.get(), 1);
}

#[tokio::test]
async fn an_address_that_cannot_be_spoken_to_is_refused_at_start() {
    for endpoint in ["https://collector:4318", "collector:4318", "http://"] {
        let settings = SpanSettings::new(endpoint, "i");
        let started = SpanExporter::start(&Handle::current(), &settings, Counter::default());
        assert!(started.is_err(), "{endpoint}");
    }
}
