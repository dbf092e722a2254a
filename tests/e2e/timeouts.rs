//! Slow clients are cut at their deadline, answered where an answer can still be read, and hold
//! nothing from others.

use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use crate::support::{Gateway, Setup, Upstream, eventually};

async fn impatient(upstream: &Upstream) -> Gateway {
    Setup::from(upstream)
        .with("protocol.header_timeout_ms", 400)
        .with("protocol.keepalive_timeout_ms", 400)
        .with("protocol.body_stall_timeout_ms", 400)
        .with("protocol.body_timeout_ms", 1_500)
        .start()
        .await
}

/// Well beyond every deadline above, on a busy machine too.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test]
async fn an_unfinished_head_is_cut() {
    let upstream = Upstream::start().await;
    let gateway = impatient(&upstream).await;
    let began = Instant::now();
    let mut wire = gateway.wire().await;
    wire.send("GET /v1/graphs HTTP/1.1\r\nHost: a\r\n").await;
    if let Ok(Some(answer)) = wire.try_answer_to("GET").await {
        assert_eq!(answer.refused(408), "request-timeout");
    }
    wire.closed().await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    gateway.finish().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_cut_at_its_total_deadline() {
    let upstream = Upstream::start().await;
    let gateway = impatient(&upstream).await;
    let began = Instant::now();
    let mut wire = gateway.wire().await;
    wire.send("GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX: ").await;
    let trickle = async {
        for _ in 0..200 {
            wire.send("a").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Whether the end is seen while sending or while reading afterwards does not matter.
    let _sent_or_cut = tokio::time::timeout(Duration::from_secs(2), trickle).await;
    wire.closed().await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(upstream.requests().len(), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let upstream = Upstream::start().await;
    let gateway = impatient(&upstream).await;
    let key = &gateway.key().secret;
    let mut wire = gateway.wire().await;
    wire.send(format!(
        "GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.answer_to("GET").await.status, 200);
    let began = Instant::now();
    wire.closed().await;
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    gateway.finish().await;
}

#[tokio::test]
async fn a_stalled_body_is_cut_and_never_forwarded() {
    let upstream = Upstream::start().await;
    let gateway = impatient(&upstream).await;
    let key = gateway.key().secret.clone();
    for length in [1_000, 300_000] {
        let mut wire = gateway.wire().await;
        wire.send(format!(
            "POST /v1/graphs/g1/query HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{\"query\": "
        ))
        .await;
        let began = Instant::now();
        if let Ok(Some(answer)) = wire.try_answer_to("POST").await {
            assert_eq!(answer.refused(408), "request-timeout");
        }
        wire.closed().await;
        assert!(began.elapsed() < SOON, "{length}: {:?}", began.elapsed());
    }
    assert_eq!(upstream.body_bytes(), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn honest_clients_are_served_beside_slow_ones() {
    let upstream = Upstream::start().await;
    let gateway = impatient(&upstream).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut wire = gateway.wire().await;
        wire.send("POST /v1/graphs HTTP/1.1\r\nHost: a\r\n").await;
        slow.push(wire);
        let answer = gateway.get("/v1/graphs").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn one_address_holds_no_more_connections_than_allowed() {
    let upstream = Upstream::start().await;
    let setup = Setup::from(&upstream).with("protocol.connections_per_address_max", 3);
    let gateway = setup.start().await;
    let key = gateway.key().secret.clone();
    let request = format!("GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut wire = gateway.wire().await;
        wire.send(&request).await;
        assert_eq!(wire.answer_to("GET").await.status, 200);
        held.push(wire);
    }
    let mut fourth = gateway.wire().await;
    fourth.send(&request).await;
    let refused =
        !matches!(fourth.try_answer_to("GET").await, Ok(Some(answer)) if answer.status == 200);
    assert!(refused, "a fourth connection is not served");
    held.clear();
    eventually("a place to be free again", async || {
        let request = gateway.request(Method::GET, "/v1/graphs");
        gateway
            .try_send(request)
            .await
            .ok()
            .filter(|answer| answer.status == 200)
    })
    .await;
    gateway.finish().await;
}
