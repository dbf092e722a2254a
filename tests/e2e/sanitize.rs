//! What a rule wants cleaned is forwarded clean, with right lengths, or it is blocked.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, Upstream, chunked};

const RULES: &str = "
- id: markup
  name: markup that runs is written
  tags: [xss]
  type: XSS_ATTEMPT
  severity: medium
  confidence: 0.95
  contexts: [value]
  match: {predicate: [html.script, html.event_handler, html.script_url, html.active_tag]}
  mitigations: [sanitize_input]
- id: tautology
  name: a filter is always true
  tags: [cypher]
  type: CYPHER_INJECTION
  severity: medium
  confidence: 0.95
  contexts: [cypher]
  match: {predicate: [cypher.tautology]}
  mitigations: [sanitize_input]
";

const MARKUP: &str = "Hi <img src=x onerror=alert(1)>there<script>x</script>";

async fn gateway(upstream: &Upstream) -> Gateway {
    Setup::from(upstream)
        .beside("own/rules.yaml", RULES)
        .with("rules.directory", "own")
        .start()
        .await
}

fn head(gateway: &Gateway, path: &str, more: &str) -> Vec<u8> {
    let key = &gateway.key().secret;
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n{more}\r\n\r\n")
        .into_bytes()
}

/// A document of at least so many bytes in which one value has markup.
fn document(padding: usize) -> (String, Value) {
    let about = "lorem ipsum ".repeat(padding / 12);
    let text =
        format!("{{\"n\" : 1.50, \"about\":\"{about}\",\"title\":\"{MARKUP}\", \"tags\":[\"a\"]}}");
    let clean = json!({"n": 1.5, "about": about, "title": "Hi therex", "tags": ["a"]});
    (text, clean)
}

#[tokio::test]
async fn a_json_value_is_cleaned_the_rest_stays_and_the_audit_event_tells() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    let (text, clean) = document(0);
    let mut wire = gateway.wire().await;
    let framing = format!(
        "Content-Digest: sha-256=:x:\r\nContent-Length: {}",
        text.len()
    );
    wire.send(head(&gateway, "/v1/graphs", &framing)).await;
    wire.send(&text).await;
    let answer = wire.answer_to("POST").await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let received = upstream.only_request();
    assert!(received.complete);
    let body = String::from_utf8(received.body.clone()).expect("text");
    assert_eq!(body, text.replace(MARKUP, "Hi therex"));
    assert_eq!(received.field("content-length"), body.len().to_string());
    assert_eq!(received.field("content-digest"), "");
    assert_eq!(serde_json::from_str::<Value>(&body).expect("JSON"), clean);

    let event = gateway.audit_of(&answer).await;
    assert_eq!(event["outcome"], "forwarded", "{event}");
    let told = &event["details"]["sanitized"][0];
    assert_eq!(told["field"], "$.title", "{event}");
    assert_eq!(told["rules"], json!(["markup"]), "{event}");
    assert_eq!(
        told["before_sha256"].as_str().map(str::len),
        Some(64),
        "{event}"
    );
    assert_ne!(told["before_sha256"], told["after_sha256"], "{event}");
    assert!(!event["details"].to_string().contains("onerror"), "{event}");
    gateway.finish().await;
}

#[tokio::test]
async fn every_framing_and_size_forwards_the_same_clean_document() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    for padding in [0, 50 << 10, 200 << 10] {
        let (text, clean) = document(padding);
        let mut wire = gateway.wire().await;
        let framing = format!("Content-Length: {}", text.len());
        wire.send(head(&gateway, "/v1/graphs", &framing)).await;
        wire.send(&text).await;
        assert_eq!(
            wire.answer_to("POST").await.status,
            200,
            "{padding} with a length"
        );

        let mut wire = gateway.wire().await;
        wire.send(head(&gateway, "/v1/graphs", "Transfer-Encoding: chunked"))
            .await;
        wire.send(chunked(text.as_bytes().chunks(7_000))).await;
        assert_eq!(
            wire.answer_to("POST").await.status,
            200,
            "{padding} in chunks"
        );

        let pieces = text
            .as_bytes()
            .chunks(16_384)
            .map(Bytes::copy_from_slice)
            .collect();
        let request = Request::post("http://api.test/v1/graphs")
            .header("x-api-key", &gateway.key().secret)
            .header("content-type", "application/json");
        let answer = gateway.http2(request, pieces).await.expect("an answer");
        assert_eq!(answer.status, 200, "{padding} over HTTP/2");

        let received = upstream.requests();
        for request in received.iter().rev().take(3) {
            assert!(request.complete, "{padding}");
            let read: Value = serde_json::from_slice(&request.body).expect("JSON");
            assert_eq!(read, clean, "{padding}");
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn strings_in_strings_forms_query_strings_and_encoded_bodies_are_cleaned_too() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    let nested = json!({"payload": json!({"title": MARKUP}).to_string()});
    let answer = gateway
        .send(gateway.request(Method::POST, "/v1/graphs").json(&nested))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let form = "a=1+2&title=Hi+%3Cscript%3Ex%3C%2Fscript%3E%26&b=%C3%BC";
    let request = gateway.request(Method::POST, "/v1/graphs?q=%3Cscript%3Ex%3C/script%3E&r=1");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = gateway.send(request.body(form)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(document(0).0.as_bytes()).expect("memory");
    let request = gateway
        .request(Method::POST, "/v1/graphs")
        .header("content-encoding", "gzip");
    let request = request.header("content-type", "application/json");
    let answer = gateway
        .send(request.body(gzip.finish().expect("memory")))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let received = upstream.requests();
    let inner: Value = serde_json::from_slice(&received[0].body).expect("JSON");
    assert_eq!(
        inner,
        json!({"payload": json!({"title": "Hi therex"}).to_string()})
    );
    assert_eq!(received[1].body, b"a=1+2&title=Hi%20x%26&b=%C3%BC");
    assert_eq!(received[1].target, "/v1/graphs?q=x&r=1");
    assert_eq!(received[2].field("content-encoding"), "");
    let plain: Value = serde_json::from_slice(&received[2].body).expect("JSON");
    assert_eq!(plain, document(0).1);
    gateway.finish().await;
}

#[tokio::test]
async fn what_cannot_be_cleaned_is_blocked() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream).await;
    let statement = json!({"query": "MATCH (n) WHERE n.name = 'x' OR 1 = 1 RETURN n"});
    let answer = gateway.query("g1", &statement).await;
    assert_eq!(answer.refused(403), "threat-blocked", "a statement");
    let header = gateway
        .request(Method::GET, "/v1/graphs")
        .header("x-note", MARKUP);
    assert_eq!(
        gateway.send(header).await.refused(403),
        "threat-blocked",
        "a header"
    );
    let key = gateway
        .request(Method::POST, "/v1/graphs")
        .json(&json!({MARKUP: 1}));
    assert_eq!(
        gateway.send(key).await.refused(403),
        "threat-blocked",
        "a key"
    );

    // The upstream was already told of a digest of the body that is held back.
    let (text, _) = document(100 << 10);
    let mut wire = gateway.wire().await;
    let framing = format!(
        "Content-Digest: sha-256=:x:\r\nContent-Length: {}",
        text.len()
    );
    wire.send(head(&gateway, "/v1/graphs", &framing)).await;
    wire.send(&text).await;
    let answer = wire.answer_to("POST").await;
    assert_eq!(answer.refused(403), "threat-blocked", "a digest");
    assert_eq!(upstream.body_bytes(), 0);
    gateway.finish().await;
}
