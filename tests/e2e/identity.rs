//! What the upstream is told about the caller: our word only, and never the secret.

use http::Method;

use crate::support::{Gateway, Received, Setup, Upstream};

fn values<'a>(received: &'a Received, name: &str) -> Vec<&'a str> {
    let values = received.fields.get_all(name).iter();
    values
        .map(|value| value.to_str().expect("a text value"))
        .collect()
}

#[tokio::test]
async fn the_key_is_removed_and_identity_is_set() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.key().clone();
    let answer = gateway.get("/v1/graphs").await;

    let received = upstream.only_request();
    assert_eq!(values(&received, "x-organization-id"), ["acme"]);
    assert_eq!(values(&received, "x-rg-key-id"), [key.id.as_str()]);
    assert_eq!(values(&received, "x-request-id"), [answer.request_id()]);
    assert_eq!(values(&received, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(values(&received, "x-forwarded-proto"), ["http"]);
    assert_eq!(
        values(&received, "x-forwarded-host"),
        [gateway.address("public").to_string()]
    );
    for bytes in upstream.bytes() {
        let text = String::from_utf8(bytes).expect("text");
        assert!(
            !text.contains(&key.secret),
            "the key reached the upstream: {text}"
        );
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_bearer_key_is_removed_too() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let request = gateway.request_without_key(Method::GET, "/v1/graphs");
    let answer = gateway
        .send(request.bearer_auth(&gateway.key().secret))
        .await;
    assert_eq!(answer.status, 200);
    assert!(!upstream.only_request().fields.contains_key("authorization"));
    gateway.finish().await;
}

#[tokio::test]
async fn what_a_client_claims_to_be_is_replaced() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let mut request = gateway.request(Method::GET, "/v1/graphs");
    for (name, value) in SPOOFED {
        request = request.header(*name, *value);
    }
    assert_eq!(gateway.send(request).await.status, 200);

    let received = upstream.only_request();
    assert_eq!(values(&received, "x-organization-id"), ["acme"]);
    assert_eq!(values(&received, "x-forwarded-for"), ["127.0.0.1"]);
    let text = format!("{:?}", received.fields);
    assert!(
        !text.contains("spoofed") && !text.contains("192.0.2.1"),
        "{text}"
    );
    gateway.finish().await;
}

const SPOOFED: &[(&str, &str)] = &[
    ("X-Organization-Id", "spoofed"),
    ("X-RG-Key-Id", "spoofed"),
    ("X-RG-Anything", "spoofed"),
    ("X-Request-Id", "spoofed-request-id"),
    ("X-Forwarded-For", "192.0.2.1"),
    ("X-Forwarded-Host", "spoofed.test"),
    ("X-Real-IP", "192.0.2.1"),
    ("Forwarded", "for=192.0.2.1"),
    ("X_Organization_Id", "spoofed"),
];

#[tokio::test]
async fn a_connection_field_cannot_remove_our_identity_fields() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let request = gateway.request(Method::GET, "/v1/graphs");
    let request = request.header(
        "connection",
        "keep-alive, X-Organization-Id, X-RG-Key-Id, X-Own",
    );
    let answer = gateway.send(request.header("x-own", "hop by hop")).await;
    // Refusing the nomination is as good as ignoring it.
    if answer.status != 200 {
        answer.refused(400);
    } else {
        let received = upstream.only_request();
        assert_eq!(values(&received, "x-organization-id"), ["acme"]);
        assert_eq!(
            values(&received, "x-rg-key-id"),
            [gateway.key().id.as_str()]
        );
        assert!(!received.fields.contains_key("x-own"), "{received:?}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_address_of_a_trusted_proxys_client_is_believed() {
    let upstream = Upstream::start().await;
    let setup = Setup::from(&upstream).with("trusted_proxies", vec!["127.0.0.0/8"]);
    let gateway = setup.start().await;
    let request = gateway.request(Method::GET, "/v1/graphs");
    let answer = gateway
        .send(request.header("x-forwarded-for", "198.51.100.7, 203.0.113.9"))
        .await;
    assert_eq!(gateway.audit_of(&answer).await["source_ip"], "203.0.113.9");
    let received = upstream.only_request();
    assert_eq!(
        received.field("x-forwarded-for"),
        "198.51.100.7, 203.0.113.9, 127.0.0.1"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn the_upstream_sees_the_one_canonical_path() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.key().secret.clone();
    for (sent, seen) in [
        ("/v1/graphs/g1", "/v1/graphs/g1"),
        ("/v1/./graphs//%67%31?a=%41", "/v1/graphs/g1?a=%41"),
        ("/v1/./graphs/g%c3%a9", "/v1/graphs/g%C3%A9"),
        ("http://a/v1/graphs/g1", "/v1/graphs/g1"),
    ] {
        let mut wire = gateway.wire().await;
        wire.send(format!(
            "GET {sent} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
        ))
        .await;
        let answer = wire.answer_to("GET").await;
        assert_eq!(answer.status, 200, "{sent}: {answer:?}");
        let received = upstream.requests().pop().expect("it was forwarded");
        assert_eq!(received.target, seen, "{sent}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_refused_path_is_refused_in_any_spelling() {
    let upstream = Upstream::start().await;
    let setup =
        Setup::from(&upstream).route(serde_json::json!({"name": "rest", "path": "/{*rest}"}));
    let gateway = setup.start().await;
    let key = gateway.key().secret.clone();
    for path in [
        "/admin/keys",
        "/%61dmin/keys",
        "//admin/keys",
        "/./admin/keys",
        "/v1/../admin/keys",
        "/v1/%2e%2e/admin/keys",
        "/admin%2fkeys",
        "/v1/..;/admin/keys",
        "/v1/..%5cadmin/keys",
        "/%2561dmin/keys",
        "http://a/admin/keys",
    ] {
        let mut wire = gateway.wire().await;
        wire.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
        ))
        .await;
        let answer = wire.answer_to("GET").await;
        assert!([400, 403].contains(&answer.status), "{path}: {answer:?}");
    }
    assert_eq!(upstream.requests().len(), 0);
    gateway.finish().await;
}
