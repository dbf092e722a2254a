//! Metrics, spans and logs: what an operator sees.

use http::Method;
use serde_json::json;

use crate::support::{
    Collector, Gateway, OtelCollector, Setup, Upstream, eventually, members, part,
};

#[tokio::test]
async fn metrics_have_every_family_of_the_specification() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    gateway
        .query("g1", &json!({"query": "MATCH (n) RETURN n LIMIT 1"}))
        .await;
    gateway
        .send(gateway.request_without_key(Method::GET, "/v1/graphs"))
        .await;
    gateway
        .get("/v1/graphs?q=%3Cscript%3Ealert(1)%3C/script%3E")
        .await;

    let metrics = gateway.metrics().await;
    for (family, kind) in [
        ("rg_http_requests", "counter"),
        ("rg_http_request_duration_seconds", "histogram"),
        ("rg_http_request_size_bytes", "histogram"),
        ("rg_http_response_size_bytes", "histogram"),
        ("rg_active_api_keys_total", "gauge"),
        ("rg_query_execution_duration_seconds", "histogram"),
        ("rg_query_result_size_rows", "histogram"),
        ("rg_active_queries_current", "gauge"),
        ("rg_errors", "counter"),
        ("rg_rate_limit_violations", "counter"),
        ("rg_auth_attempts", "counter"),
        ("rg_suspicious_activity", "counter"),
    ] {
        let declared = format!("# TYPE {family} {kind}");
        assert!(
            metrics.lines().any(|line| line == declared),
            "{declared}\n{metrics}"
        );
    }
    for sample in [
        r#"rg_http_requests_total{method="POST",endpoint="/v1/graphs/{graph_id}/query",status_code="200",organization_id="acme"} 1"#,
        r#"rg_auth_attempts_total{result="failure""#,
        r#"rg_auth_attempts_total{result="success""#,
        r#"rg_active_api_keys_total{plan_type="enterprise"} 1"#,
        r#"rg_suspicious_activity_total{activity_type="XSS_ATTEMPT""#,
    ] {
        assert!(metrics.contains(sample), "{sample}\n{metrics}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_trace_passes_through_and_its_spans_reach_the_collector() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let traces = json!({"otlp_endpoint": collector.endpoint(), "sample_ratio": 1.0});
    let gateway = Setup::from(&upstream)
        .with("telemetry.traces", traces)
        .start()
        .await;

    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = gateway.request(Method::POST, "/v1/graphs/g1/query");
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let request = request.json(&json!({"query": "RETURN 1"}));
    assert_eq!(gateway.send(request).await.status, 200);

    let received = upstream.only_request().field("traceparent").to_owned();
    let parts: Vec<&str> = received.split('-').collect();
    assert_eq!((parts[0], parts[1]), ("00", trace));
    assert_ne!(
        parts[2], "00f067aa0ba902b7",
        "the upstream's parent is our span"
    );
    let trace_bytes = bytes_of(trace);
    let parent_bytes = bytes_of("00f067aa0ba902b7");
    let name = b"POST /v1/graphs/{graph_id}/query";
    collector
        .batch_with(&[&trace_bytes, &parent_bytes, name, b"rg-gateway"])
        .await;
    gateway.finish().await;
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    let digits = pairs.map(|pair| std::str::from_utf8(pair).expect("hex"));
    digits
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}

/// A real part: the OpenTelemetry Collector reads the spans as they are meant.
#[tokio::test]
async fn an_opentelemetry_collector_reads_the_spans() {
    let Some(collector) = OtelCollector::start().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let endpoint = format!("http://{}", collector.otlp);
    let traces = json!({"otlp_endpoint": endpoint, "sample_ratio": 1.0});
    let setup = Setup::from(&upstream).with("telemetry.traces", traces);
    let gateway = setup.start().await;
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let request = gateway.request(Method::POST, "/v1/graphs/g1/query");
    let request = request.header("traceparent", format!("00-{trace}-{parent}-01"));
    let request = request.json(&json!({"query": "RETURN 1"}));
    assert_eq!(gateway.send(request).await.status, 200);
    let received = upstream.only_request().field("traceparent").to_owned();
    gateway.finish().await;

    let ours = eventually("the span", async || {
        let mut spans = collector.spans().into_iter();
        spans.find(|span| span["traceId"] == trace && span["parentSpanId"] == parent)
    })
    .await;
    assert_eq!(ours["name"], "POST /v1/graphs/{graph_id}/query");
    let attributes = members(&ours["attributes"]);
    assert_eq!(
        attributes["http.route"], "/v1/graphs/{graph_id}/query",
        "{attributes:?}"
    );
    assert_eq!(attributes["http.response.status_code"], 200);
    // What the upstream was told is its parent is a span of the same trace that arrived as well.
    let told: Vec<&str> = received.split('-').collect();
    let mut spans = collector.spans().into_iter();
    assert!(
        spans.any(|span| span["traceId"] == told[1] && span["spanId"] == told[2]),
        "{received}"
    );
}

#[tokio::test]
async fn a_request_without_a_trace_begins_one() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for bad in [
        None,
        Some("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        Some("nonsense"),
    ] {
        let mut request = gateway.request(Method::GET, "/v1/graphs");
        if let Some(value) = bad {
            request = request.header("traceparent", value);
        }
        assert_eq!(gateway.send(request).await.status, 200);
        let received = upstream.requests().pop().expect("it was forwarded");
        let parts: Vec<&str> = received.field("traceparent").split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2]
        );
        assert_ne!(parts[1], "0".repeat(32));
    }
    gateway.finish().await;
}

#[tokio::test]
async fn spans_are_flushed_at_the_end() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let traces = json!({"otlp_endpoint": collector.endpoint(), "sample_ratio": 1.0});
    let gateway = Setup::from(&upstream)
        .with("telemetry.traces", traces)
        .start()
        .await;
    gateway.get("/v1/graphs").await;
    gateway.finish().await;
    collector.batch_with(&[b"GET /v1/graphs"]).await;
}

#[tokio::test]
async fn an_absent_collector_costs_spans_and_nothing_else() {
    let upstream = Upstream::start().await;
    let endpoint = format!("http://{}", Upstream::absent().await);
    let traces = json!({"otlp_endpoint": endpoint, "sample_ratio": 1.0});
    let gateway = Setup::from(&upstream)
        .with("telemetry.traces", traces)
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    }
    eventually("the loss to be counted", async || {
        let metrics = gateway.metrics().await;
        let mut lines = metrics.lines();
        let line = lines.find(|line| line.starts_with("rg_spans_dropped_total"))?;
        (!line.ends_with(" 0")).then_some(())
    })
    .await;
    gateway.finish().await;
}

/// A real part: Prometheus's own `promtool check metrics`.
#[tokio::test]
async fn prometheus_takes_the_metrics() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    gateway.get("/v1/graphs").await;
    let arguments = vec!["check".to_owned(), "metrics".to_owned()];
    if let Some(said) = part("promtool", arguments, gateway.metrics().await).await {
        // Its advice on names is about the specification's own; not being able to read is ours.
        assert!(!said.contains("error while linting"), "{said}");
    }
    gateway.finish().await;
}
