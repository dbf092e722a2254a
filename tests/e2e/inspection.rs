//! A blocked request sends zero body bytes upstream, however it is framed, split or padded.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Setup, Upstream, chunked};

const PATH: &str = "/v1/graphs/g1/query";

/// A query whose parameter breaks out of a string, after this much harmless text.
fn attack(padding: usize) -> Vec<u8> {
    let text = "lorem ipsum dolor sit amet ".repeat(padding / 27 + 1);
    let body = json!({
        "query": "MATCH (n:Person {name: $name}) RETURN n",
        "parameters": {
            "about": &text[..padding],
            "name": "x' UNION SELECT password FROM users; DROP TABLE users--",
        },
    });
    serde_json::to_vec(&body).expect("JSON")
}

fn head(gateway: &Gateway, framing: &str) -> Vec<u8> {
    let key = &gateway.key().secret;
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\n{framing}\r\n\r\n"
    )
    .into_bytes()
}

fn assert_blocked(upstream: &Upstream, answer: &Answer, case: &str) {
    assert_eq!(answer.refused(403), "threat-blocked", "{case}");
    assert_eq!(
        upstream.body_bytes(),
        0,
        "{case}: body bytes reached the upstream"
    );
}

#[tokio::test]
async fn a_blocked_body_with_a_length_sends_nothing_upstream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for padding in [0, 1, 63 << 10, (64 << 10) - 300, 65 << 10, 200 << 10] {
        let body = attack(padding);
        let mut wire = gateway.wire().await;
        wire.send(head(&gateway, &format!("Content-Length: {}", body.len())))
            .await;
        wire.send(&body).await;
        let answer = wire.answer_to("POST").await;
        assert_blocked(&upstream, &answer, &format!("{padding} bytes of padding"));
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_blocked_chunked_body_sends_nothing_upstream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for padding in [0, 63 << 10, 65 << 10, 200 << 10] {
        for size in [7, 1_000, 16_384, 1 << 20] {
            let body = attack(padding);
            let mut wire = gateway.wire().await;
            wire.send(head(&gateway, "Transfer-Encoding: chunked"))
                .await;
            wire.send(chunked(body.chunks(size))).await;
            let answer = wire.answer_to("POST").await;
            assert_blocked(
                &upstream,
                &answer,
                &format!("{padding} bytes, chunks of {size}"),
            );
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_payload_split_across_packets_is_still_seen() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let body = attack(0);
    let middle = body.len() - 30;
    let (first, second) = body.split_at(middle);

    let mut wire = gateway.wire().await;
    let length = head(&gateway, &format!("Content-Length: {}", body.len()));
    wire.send_apart(&[&length, first, second]).await;
    assert_blocked(&upstream, &wire.answer_to("POST").await, "a length");

    let mut wire = gateway.wire().await;
    let chunks = chunked([first, second]);
    let (early, late) = chunks.split_at(middle / 2);
    let framing = head(&gateway, "Transfer-Encoding: chunked");
    wire.send_apart(&[&framing, early, late]).await;
    assert_blocked(&upstream, &wire.answer_to("POST").await, "two chunks");
    gateway.finish().await;
}

#[tokio::test]
async fn a_blocked_http2_body_sends_nothing_upstream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for padding in [0, 63 << 10, 65 << 10, 200 << 10] {
        for size in [16_384, 1_000] {
            let body = attack(padding);
            let pieces = body.chunks(size).map(Bytes::copy_from_slice).collect();
            let request = Request::post(format!("http://api.test{PATH}"))
                .header("x-api-key", &gateway.key().secret)
                .header("content-type", "application/json");
            let case = format!("{padding} bytes, frames of {size}");
            let answer = gateway.http2(request, pieces).await;
            let answer = answer.unwrap_or_else(|cause| panic!("{case}: {cause}"));
            assert_blocked(&upstream, &answer, &case);
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn attacks_outside_the_body_never_reach_the_upstream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for target in [
        "/v1/graphs?q=1%27%20UNION%20SELECT%20password%20FROM%20users--",
        "/v1/graphs?q=%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        let answer = gateway.get(target).await;
        assert_eq!(answer.refused(403), "threat-blocked", "{target}");
    }
    assert_eq!(upstream.requests().len(), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn legitimate_cypher_passes_unchanged() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for body in [
        json!({"query": "MATCH (a:Person)-[:KNOWS]->(b) WHERE a.age > 30 AND b.name = 'O\\'Hara' RETURN b"}),
        json!({"query": "MATCH (n) WHERE n.title = \"SELECT * FROM x\" RETURN n UNION MATCH (m) RETURN m"}),
        json!({"query": "MATCH (n {id: $id}) DETACH DELETE n // tidy up", "parameters": {"id": 7}}),
        json!({"query": "CREATE (n:Note {text: $text})",
               "parameters": {"text": "Select a union rep; drop me a line -- or don't."}}),
    ] {
        let answer = gateway.query("g1", &body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
        let received = upstream.requests().pop().expect("it was forwarded");
        assert_eq!(received.body, serde_json::to_vec(&body).expect("JSON"));
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_large_clean_body_is_inspected_and_then_forwarded_whole() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let text = "harmless words, many of them. ".repeat(30_000);
    let body = serde_json::to_vec(&json!({"query": "RETURN $t", "parameters": {"t": text}}));
    let body = body.expect("JSON");
    let request = gateway.request(Method::POST, PATH).body(body.clone());
    let answer = gateway
        .send(request.header("content-type", "application/json"))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        upstream.only_request().body == body,
        "the body is forwarded unchanged"
    );
    assert_eq!(gateway.audit_of(&answer).await["inspection"], "complete");
    gateway.finish().await;
}

#[tokio::test]
async fn what_is_forwarded_uninspected_is_marked_so() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let rows = "id,name\n".to_owned() + &"1,Ada\n".repeat(20_000);
    let upload = gateway
        .request(Method::POST, "/v1/graphs/g1/upload")
        .body(rows.clone());
    let answer = gateway
        .send(upload.header("content-type", "text/csv"))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        upstream.only_request().body == rows.as_bytes(),
        "the body is forwarded unchanged"
    );
    assert_eq!(gateway.audit_of(&answer).await["inspection"], "uninspected");
    gateway.finish().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_decoded_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let request = gateway
        .request(Method::POST, PATH)
        .header("content-type", "application/json");
    let request = request.header("content-encoding", "gzip").body("not gzip");
    let answer = gateway.send(request).await;
    assert!([400, 415].contains(&answer.status), "{answer:?}");
    answer.problem();
    assert_eq!(upstream.body_bytes(), 0);
    gateway.finish().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("bytes are taken");
    encoder.finish().expect("gzip")
}

#[tokio::test]
async fn a_second_field_of_encodings_hides_nothing() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for first in ["identity", ""] {
        let body = gzip(&attack(0));
        let framing = format!(
            "Content-Encoding: {first}\r\nContent-Encoding: gzip\r\nContent-Length: {}",
            body.len()
        );
        let mut wire = gateway.wire().await;
        wire.send(head(&gateway, &framing)).await;
        wire.send(&body).await;
        assert_blocked(&upstream, &wire.answer_to("POST").await, first);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn two_types_of_one_body_are_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let framing = "Content-Type: text/plain\r\nContent-Length: 2";
    let mut wire = gateway.wire().await;
    wire.send(head(&gateway, framing)).await;
    wire.send(b"{}").await;
    let answer = wire.answer_to("POST").await;
    assert!([400, 415].contains(&answer.status), "{answer:?}");
    assert_eq!(upstream.body_bytes(), 0);
    gateway.finish().await;
}

#[tokio::test]
async fn what_could_not_be_decoded_is_forwarded_only_with_its_mark() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .with("inspection.on_undecodable", "forward_uninspected")
        .start()
        .await;
    for (name, value, body) in [
        ("content-encoding", "foo", "words"),
        ("content-encoding", "gzip", "words"),
        ("content-type", "application/json", "{\"a\":"),
        ("content-type", "text/plain; charset=utf-16", "words"),
    ] {
        let request = gateway.request(Method::POST, PATH).header(name, value);
        let answer = gateway.send(request.body(body)).await;
        assert_eq!(answer.status, 200, "{value}: {answer:?}");
        let audit = gateway.audit_of(&answer).await;
        assert_eq!(audit["inspection"], "uninspected", "{value}");
    }
    let request = gateway.request(Method::POST, PATH);
    let attacked = request
        .header("content-encoding", "foo")
        .body("' UNION SELECT password FROM users --");
    let answer = gateway.send(attacked).await;
    assert_eq!(answer.refused(403), "threat-blocked");
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("\nrg_uninspected_total 4\n"), "{metrics}");
    gateway.finish().await;
}

#[tokio::test]
async fn the_beginning_of_a_large_body_is_judged_as_one() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let rows = |first: &str| {
        let rows = (0..20_000).map(|n: u32| json!({"name": format!("n{n}"), "v": n}));
        let rows: Vec<Value> = std::iter::once(json!({ "name": first }))
            .chain(rows)
            .collect();
        serde_json::to_vec(&rows).expect("JSON")
    };
    // Noise, so that what is compressed is large, too.
    let mut state = 1_u64;
    let noise = std::iter::from_fn(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        Some(format!("{:x}", state >> 20))
    });
    let noise: Vec<String> = noise.take(30_000).collect();
    let noise = serde_json::to_vec(&noise).expect("JSON");
    let attack = "x' UNION SELECT password FROM users; DROP TABLE users--";
    for (encoding, body, passes) in [
        ("identity", rows("Ada"), true),
        ("gzip", gzip(&noise), true),
        ("identity", rows(attack), false),
        (
            "gzip",
            gzip(&[b"[\"", attack.as_bytes(), b"\",", &noise[1..]].concat()),
            false,
        ),
    ] {
        assert!(body.len() > 65_536, "{encoding}: {}", body.len());
        let request = gateway.request(Method::POST, "/v1/graphs/g1/upload");
        let request = request
            .header("content-type", "application/json")
            .header("content-encoding", encoding);
        let answer = gateway.send(request.body(body)).await;
        if passes {
            assert_eq!(answer.status, 200, "{encoding}: {answer:?}");
            let audit = gateway.audit_of(&answer).await;
            assert_eq!(audit["inspection"], "uninspected", "{encoding}");
        } else {
            assert_eq!(answer.refused(403), "threat-blocked", "{encoding}");
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_blocked_request_can_be_explained() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream).start().await;
    let body: Value = serde_json::from_slice(&attack(0)).expect("JSON");
    let answer = gateway.query("g1", &body).await;
    let decision = answer.problem()["decision_id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let explained = gateway
        .admin(Method::GET, &format!("/explain/{decision}"))
        .await;
    assert_eq!(explained.status, 200, "{explained:?}");
    assert!(
        explained.text().contains("$.parameters.name"),
        "{}",
        explained.text()
    );

    let outcome = gateway.command(&["explain", &decision, "--data-dir", "data"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("$.parameters.name"), "{outcome:?}");
    let unknown = gateway
        .admin(Method::GET, "/explain/00000000-0000-7000-8000-000000000000")
        .await;
    assert_eq!(unknown.status, 404);
    gateway.finish().await;
}
