//! What is wrong on the wire is answered and audited, and never forwarded.

use http::Request;

use crate::support::{Gateway, Setup, Upstream, chunked, part};

#[tokio::test]
async fn malformed_requests_are_refused_before_anything_is_forwarded() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = format!("X-API-Key: {}\r\n", gateway.key().secret);
    for (case, status, bytes) in malformed_heads(&key)
        .into_iter()
        .chain(malformed_bodies(&key))
    {
        let mut wire = gateway.wire().await;
        wire.send(&bytes).await;
        let answer = wire.try_answer_to("GET").await;
        let answer = answer
            .ok()
            .flatten()
            .unwrap_or_else(|| panic!("{case}: no answer"));
        assert_eq!(answer.status, status, "{case}: {answer:?}");
        answer.problem();
    }
    assert_eq!(upstream.requests().len(), 0);
    gateway.finish().await;
}

type Case = (&'static str, u16, String);

fn malformed_heads(key: &str) -> Vec<Case> {
    let get = |target: &str, fields: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}{key}\r\n")
    };
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let path = "/v1/graphs";
    vec![
        ("no host", 400, format!("GET {path} HTTP/1.1\r\n{key}\r\n")),
        ("two hosts", 400, get(path, "Host: b\r\n")),
        ("a bare LF", 400, get(path, "").replace("\r\n", "\n")),
        ("a blank before the colon", 400, get(path, "X : 1\r\n")),
        ("a folded line", 400, get(path, "X: 1\r\n 2\r\n")),
        ("an escaped slash", 400, get("/v1%2fgraphs", "")),
        ("a path above the root", 400, get("/../v1/graphs", "")),
        (
            "a bracket in the query",
            400,
            get("/v1/graphs?q=<script>", ""),
        ),
        (
            "a quotation mark in the query",
            400,
            get("/v1/graphs?q=\"", ""),
        ),
        ("a bracket in the path", 400, get("/v1/<graphs", "")),
        ("a backtick in the path", 400, get("/v1/`graphs", "")),
        (
            "a long target",
            414,
            get(&format!("/{}", "a".repeat(9_000)), ""),
        ),
        (
            "a long field",
            431,
            get(path, &format!("X: {}\r\n", "a".repeat(40_000))),
        ),
        ("many fields", 431, get(path, &many)),
    ]
}

fn malformed_bodies(key: &str) -> Vec<Case> {
    let post = |fields: &str, body: &str| {
        let path = "/v1/graphs/g1/query";
        format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}{key}\r\n{body}")
    };
    let (length, chunked) = ("Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n");
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    vec![
        (
            "both framings",
            400,
            post(&format!("{length}{chunked}"), chunks),
        ),
        ("two lengths", 400, post(&format!("{length}{length}"), "{}")),
        ("a signed length", 400, post("Content-Length: +2\r\n", "{}")),
        (
            "a chunk size that is no number",
            400,
            post(chunked, &chunks.replace('2', "zz")),
        ),
    ]
}

#[tokio::test]
async fn a_body_beyond_the_hard_limit_is_refused_with_413() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .with("protocol.body_bytes_max", 2_000_000)
        .with("routes.0.inspection.body_bytes_max", 100_000)
        .start()
        .await;
    let path = "/v1/graphs/g1/query";
    for (code, size) in [
        ("body-too-large", 2_000_001),
        ("body-over-inspection-limit", 100_001),
    ] {
        let mut wire = gateway.wire().await;
        let key = &gateway.key().secret;
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Length: {size}\r\n\r\n"
        ))
        .await;
        assert_eq!(wire.answer_to("POST").await.refused(413), code);
    }
    let mut wire = gateway.wire().await;
    wire.send(format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        gateway.key().secret
    ))
    .await;
    wire.send(chunked([&[b' '; 10_000][..]; 20])).await;
    assert_eq!(
        wire.answer_to("POST").await.refused(413),
        "body-over-inspection-limit"
    );
    assert_eq!(upstream.body_bytes(), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = &gateway.key().secret;
    let mut wire = gateway.wire().await;
    let request = |path| format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    wire.send(
        [
            request("/v1/graphs/1"),
            request("/none"),
            request("/v1/graphs/2"),
        ]
        .concat(),
    )
    .await;
    assert_eq!(wire.answer_to("GET").await.status, 200);
    assert_eq!(wire.answer_to("GET").await.status, 404);
    assert_eq!(wire.answer_to("GET").await.status, 200);
    let targets: Vec<String> = upstream.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/v1/graphs/1", "/v1/graphs/2"]);
    gateway.finish().await;
}

#[tokio::test]
async fn http2_requests_are_served_and_refused_alike() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let request = |path: &str| Request::get(format!("http://api.test{path}"));

    let served = request("/v1/graphs").header("x-api-key", &gateway.key().secret);
    let answer = gateway.http2(served, vec![]).await.expect("an answer");
    assert_eq!(
        (answer.status, answer.text()),
        (200, r#"{"rows":[["Ada"]]}"#)
    );
    assert_eq!(upstream.only_request().field("host"), "api.test");

    let answer = gateway
        .http2(request("/v1/graphs"), vec![])
        .await
        .expect("an answer");
    assert_eq!(answer.refused(401), "key-missing");
    let long = "a".repeat(40_000);
    for (wide, status) in [
        (request("/v1/graphs").header("x-wide", &long), 431),
        (request(&format!("/v1/{}", &long[..9_000])), 414),
    ] {
        let wide = wide.header("x-api-key", &gateway.key().secret);
        let answer = gateway.http2(wide, vec![]).await.expect("an answer");
        assert_eq!(answer.status, status, "{answer:?}");
    }
    gateway.finish().await;
}

/// A real part: nghttp, an HTTP/2 client that is not ours.
#[tokio::test]
async fn nghttp_is_served_many_requests_on_one_connection() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = format!("x-api-key: {}", gateway.key().secret);
    let url = format!("http://{}/v1/graphs", gateway.address("http2"));
    let arguments = ["--multiply=20", "--header", &key, &url].map(str::to_owned);
    if let Some(said) = part("nghttp", arguments.to_vec(), String::new()).await {
        assert_eq!(said.matches(r#"{"rows":[["Ada"]]}"#).count(), 20, "{said}");
        assert_eq!(upstream.requests().len(), 20);
    }
    gateway.finish().await;
}
