//! What is allowed passes as it is: both ways, of any size, as it comes.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use tokio::sync::mpsc;

use crate::support::{Gateway, Reply, Setup, Upstream, chunked, eventually};

const UPLOAD: &str = "/v1/graphs/g1/upload";

#[tokio::test]
async fn an_answer_streams_as_the_upstream_sends_it() {
    let (feed, pieces) = mpsc::channel(1);
    let pieces = std::sync::Mutex::new(Some(pieces));
    let upstream = Upstream::answering(move |_| {
        let pieces = pieces.lock().expect("not poisoned").take();
        Reply::Fed(pieces.expect("one request"))
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let mut wire = gateway.wire().await;
    let key = &gateway.key().secret;
    wire.send(format!(
        "GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
    ))
    .await;

    assert_eq!(wire.head().await.status(), 200);
    feed.send(Bytes::from_static(b"first"))
        .await
        .expect("the upstream listens");
    // The second piece does not exist before the first has arrived.
    assert_eq!(wire.bytes(10).await, b"5\r\nfirst\r\n");
    feed.send(Bytes::from_static(b"second"))
        .await
        .expect("the upstream listens");
    assert_eq!(wire.bytes(11).await, b"6\r\nsecond\r\n");
    drop(feed);
    assert_eq!(wire.bytes(5).await, b"0\r\n\r\n");
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_beyond_the_inspection_limit_streams_where_the_route_allows_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = &gateway.key().secret;
    let mut wire = gateway.wire().await;
    wire.send(format!(
        "POST {UPLOAD} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\
         Content-Type: text/csv\r\nContent-Length: 1000000\r\n\r\n"
    ))
    .await;
    wire.send(vec![b'a'; 500_000]).await;
    eventually("the first half to reach the upstream", async || {
        (upstream.body_bytes() >= 400_000).then_some(())
    })
    .await;
    wire.send(vec![b'b'; 500_000]).await;
    assert_eq!(wire.answer_to("POST").await.status, 200);
    assert_eq!(upstream.only_request().body.len(), 1_000_000);
    gateway.finish().await;
}

#[tokio::test]
async fn large_bodies_pass_unchanged_in_both_directions() {
    let rows: String = (0..250_000)
        .map(|row| format!("{row},Ada Lovelace,1815,London\n"))
        .collect();
    let sent = Bytes::from(rows);
    let kept = sent.clone();
    let upstream = Upstream::answering(move |_| Reply::Whole(200, vec![], kept.clone())).await;
    let gateway = Gateway::before(&upstream).await;
    let request = gateway.request(Method::PUT, UPLOAD).body(sent.clone());
    let request = request.header("content-type", "text/csv");
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == sent, "the answer is unchanged");
    assert!(
        upstream.only_request().body == sent,
        "the request is unchanged"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let upstream = Upstream::answering(|request| match &*request.target {
        "/v1/graphs/204" => Reply::Bare(204),
        "/v1/graphs/304" => Reply::Bare(304),
        _ => Reply::Whole(200, vec![], Bytes::from_static(b"hello")),
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.key().secret.clone();
    let mut wire = gateway.wire().await;
    for (method, path, status, body) in [
        ("HEAD", "/v1/graphs", 200, ""),
        ("GET", "/v1/graphs/204", 204, ""),
        ("GET", "/v1/graphs/304", 304, ""),
        ("GET", "/v1/graphs", 200, "hello"),
        ("HEAD", "/none", 404, ""),
        ("GET", "/v1/graphs", 200, "hello"),
    ] {
        let fields = format!("Host: a\r\nX-API-Key: {key}\r\n");
        wire.send(format!("{method} {path} HTTP/1.1\r\n{fields}\r\n"))
            .await;
        let answer = wire.answer_to(method).await;
        assert_eq!(
            (answer.status, answer.text()),
            (status, body),
            "{method} {path}"
        );
        if (method, status) == ("HEAD", 200) {
            assert_eq!(answer.field("content-length"), "5");
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_chunked_answer_arrives_whole_by_either_protocol() {
    let pieces = ["alpha", "", "beta"].map(Bytes::from);
    let body: Vec<Bytes> = pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .collect();
    let upstream = Upstream::answering(move |_| Reply::Chunked(body.clone())).await;
    let gateway = Gateway::before(&upstream).await;
    assert_eq!(gateway.get("/v1/graphs").await.text(), "alphabeta");
    let request = Request::get("http://api.test/v1/graphs");
    let request = request.header("x-api-key", &gateway.key().secret);
    let answer = gateway.http2(request, vec![]).await.expect("an answer");
    assert_eq!(answer.text(), "alphabeta");
    gateway.finish().await;
}

#[tokio::test]
async fn a_chunked_request_arrives_whole() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let body = br#"{"query":"RETURN 1"}"#;
    let mut wire = gateway.wire().await;
    wire.send(format!(
        "POST /v1/graphs/g1/query HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        gateway.key().secret
    ))
    .await;
    wire.send(chunked(body.chunks(3))).await;
    assert_eq!(wire.answer_to("POST").await.status, 200);
    assert_eq!(upstream.only_request().body, body);
    gateway.finish().await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = &gateway.key().secret;
    for (route, size) in [("query", 20), ("query", 200_000), ("upload", 200_000)] {
        let mut body = r#"{"query":"RETURN 1"}"#.to_owned();
        body.push_str(&" ".repeat(size - body.len()));
        let mut wire = gateway.wire().await;
        wire.send(format!(
            "POST /v1/graphs/g1/{route} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\
             Content-Type: application/json\r\nExpect: 100-continue\r\n\
             Content-Length: {size}\r\n\r\n"
        ))
        .await;
        assert_eq!(wire.head().await.status(), 100, "{route} {size}");
        wire.send(&body).await;
        let answer = wire.answer_to("POST").await;
        assert_eq!(answer.status, 200, "{route} {size}: {answer:?}");
        let received = upstream.requests().pop().expect("it was forwarded");
        assert!(
            received.body == body.as_bytes(),
            "{route} {size}: the body is unchanged"
        );
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_refused_client_is_not_asked_to_continue() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let mut wire = gateway.wire().await;
    wire.send(
        "POST /v1/graphs/g1/query HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
         Content-Length: 20\r\n\r\n",
    )
    .await;
    let answer = wire.answer_to("POST").await;
    assert_eq!((answer.status, &answer.interim[..]), (401, &[][..]));
    gateway.finish().await;
}

#[tokio::test]
async fn an_early_answer_to_a_large_upload_reaches_the_client() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream).start().await;
    let mut wire = gateway.wire().await;
    let key = &gateway.key().secret;
    // Refused by its first bytes; the client goes on sending for a while before it reads.
    wire.send(format!(
        "POST /none HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: 3000000\r\n\r\n"
    ))
    .await;
    for _ in 0..10 {
        wire.send(vec![b'a'; 100_000]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(wire.answer_to("POST").await.refused(404), "route-not-found");
    gateway.finish().await;
}
