//! What a client sees when the API behind the gateway misbehaves.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::support::{Gateway, Reply, Setup, Upstream, eventually};

#[tokio::test]
async fn an_absent_upstream_is_a_503() {
    let gateway = Setup::before(&[Upstream::absent().await]).start().await;
    let answer = gateway.get("/v1/graphs").await;
    assert_eq!(answer.refused(503), "upstream-unavailable");
    assert_eq!(gateway.audit_of(&answer).await["outcome"], "failed");
    gateway.finish().await;
}

#[tokio::test]
async fn a_silent_upstream_is_a_504() {
    let upstream = Upstream::answering(|_| Reply::Never).await;
    let setup = Setup::from(&upstream).with("clusters.0.read_timeout_ms", 300);
    let gateway = setup.start().await;
    assert_eq!(
        gateway.get("/v1/graphs").await.refused(504),
        "upstream-timeout"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn an_upstream_that_hangs_up_is_a_502() {
    let upstream = Upstream::answering(|_| Reply::Close).await;
    let gateway = Setup::from(&upstream)
        .with("clusters.0.retries", 0)
        .start()
        .await;
    assert_eq!(
        gateway.get("/v1/graphs").await.refused(502),
        "upstream-failed"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn a_truncated_answer_is_not_passed_off_as_whole() {
    let upstream = Upstream::answering(|_| Reply::Truncated).await;
    let gateway = Gateway::before(&upstream).await;
    let outcome = gateway
        .try_send(gateway.request(Method::GET, "/v1/graphs"))
        .await;
    assert!(outcome.is_err(), "{outcome:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn errors_of_the_upstream_pass_unchanged() {
    let upstream = Upstream::answering(|_| {
        let fields = vec![("X-Own", "kept".to_owned())];
        Reply::Whole(500, fields, Bytes::from_static(b"broken"))
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let answer = gateway.get("/v1/graphs").await;
    assert_eq!(
        (answer.status, answer.text(), answer.field("x-own")),
        (500, "broken", "kept")
    );
    gateway.finish().await;
}

#[tokio::test]
async fn an_idempotent_request_is_tried_on_another_endpoint() {
    let upstream = Upstream::start().await;
    let absent = Upstream::absent().await;
    let gateway = Setup::before(&[absent, upstream.address]).start().await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn an_idempotent_request_survives_an_endpoint_that_hangs_up() {
    let good = Upstream::start().await;
    let bad = Upstream::answering(|_| Reply::Close).await;
    let gateway = Setup::before(&[bad.address, good.address]).start().await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    }
    assert!(!bad.requests().is_empty(), "the bad endpoint was tried");
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_that_may_have_had_an_effect_is_not_sent_twice() {
    let upstreams = [
        Upstream::answering(|_| Reply::Close).await,
        Upstream::answering(|_| Reply::Close).await,
    ];
    let gateway = Setup::before(&[upstreams[0].address, upstreams[1].address])
        .start()
        .await;
    let answer = gateway.query("g1", &json!({"query": "CREATE (n)"})).await;
    assert_eq!(answer.refused(502), "upstream-failed");
    let sent: usize = upstreams
        .iter()
        .map(|upstream| upstream.requests().len())
        .sum();
    assert_eq!(sent, 1);
    gateway.finish().await;
}

#[tokio::test]
async fn an_unhealthy_endpoint_is_left_out_and_taken_back() {
    let sick = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let state = std::sync::Arc::clone(&sick);
    let moody = Upstream::answering(move |_| {
        let status = if state.load(std::sync::atomic::Ordering::SeqCst) {
            500
        } else {
            200
        };
        Reply::Whole(status, vec![], Bytes::new())
    })
    .await;
    let steady = Upstream::start().await;
    let check = json!({"path": "/healthz", "interval_ms": 100, "timeout_ms": 100,
        "healthy_after": 1, "unhealthy_after": 1});
    let gateway = Setup::before(&[moody.address, steady.address])
        .with("clusters.0.health_check", check)
        .start()
        .await;
    let label = format!("endpoint=\"{}\"", moody.address);
    let health = async |value: &str| {
        eventually("the health to change", async || {
            let metrics = gateway.metrics().await;
            let mut lines = metrics
                .lines()
                .filter(|line| line.starts_with("rg_upstream_health{"));
            lines
                .find(|line| line.contains(&label) && line.ends_with(value))
                .map(|_| ())
        })
        .await;
    };
    health(" 0").await;
    for _ in 0..4 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    }
    sick.store(false, std::sync::atomic::Ordering::SeqCst);
    health(" 1").await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_that_leaves_does_not_hold_its_place() {
    let upstream = Upstream::answering(|_| {
        Reply::After(Duration::from_millis(200), Box::new(Reply::json("{}")))
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.key().secret.clone();
    let mut wire = gateway.wire().await;
    wire.send(format!(
        "GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
    ))
    .await;
    eventually("the request to be under way", async || {
        (!upstream.requests().is_empty()).then_some(())
    })
    .await;
    drop(wire);
    eventually("nothing to be in flight", async || {
        let metrics = gateway.metrics().await;
        metrics
            .lines()
            .any(|line| line == "rg_active_queries_current 0")
            .then_some(())
    })
    .await;
    gateway.finish().await;
}
