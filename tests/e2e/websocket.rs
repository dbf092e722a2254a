//! WebSocket where a route allows it, and nowhere else.

use crate::support::{Gateway, Reply, Upstream};

/// The sample key of RFC 6455, section 1.3.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test]
async fn a_websocket_route_carries_bytes_both_ways() {
    let upstream = Upstream::answering(|_| Reply::Echo).await;
    let gateway = Gateway::before(&upstream).await;
    let key = &gateway.key().secret;
    let mut wire = gateway.wire().await;
    wire.send(format!(
        "GET /v1/live HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n{UPGRADE}\r\n"
    ))
    .await;

    let head = wire.head().await;
    assert_eq!(head.status(), 101);
    assert_eq!(
        head.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    // Masked text frames, "hi" and "yo"; the upstream returns the bytes it gets.
    for frame in [
        b"\x81\x82\x01\x02\x03\x04\x69\x6b",
        b"\x81\x82\x00\x00\x00\x00\x79\x6f",
    ] {
        wire.send(frame).await;
        assert_eq!(wire.bytes(frame.len()).await, frame);
    }
    let received = upstream.only_request();
    assert_eq!(received.field("x-organization-id"), "acme");
    assert!(!received.fields.contains_key("x-api-key"));
    drop(wire);
    gateway.finish().await;
}

#[tokio::test]
async fn an_upgrade_on_another_route_is_refused() {
    let upstream = Upstream::answering(|_| Reply::Echo).await;
    let gateway = Gateway::before(&upstream).await;
    let key = &gateway.key().secret;
    let mut wire = gateway.wire().await;
    wire.send(format!(
        "GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n{UPGRADE}\r\n"
    ))
    .await;
    assert_eq!(wire.answer_to("GET").await.refused(403), "upgrade-refused");
    assert_eq!(upstream.requests().len(), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn an_upgrade_needs_a_key_like_any_request() {
    let upstream = Upstream::answering(|_| Reply::Echo).await;
    let gateway = Gateway::before(&upstream).await;
    let mut wire = gateway.wire().await;
    wire.send(format!("GET /v1/live HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n"))
        .await;
    assert_eq!(wire.answer_to("GET").await.refused(401), "key-missing");
    assert_eq!(upstream.requests().len(), 0);
    gateway.finish().await;
}
