//! Who and what is let in: the first answer of every kind, and what a refusal looks like.

use http::Method;
use serde_json::json;

use crate::support::{Gateway, NewKey, Setup, Upstream};

#[tokio::test]
async fn an_allowed_request_is_answered_by_the_upstream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;

    let answer = gateway
        .query("g1", &json!({"query": "MATCH (n) RETURN n LIMIT 1"}))
        .await;

    assert_eq!(
        (answer.status, answer.text()),
        (200, r#"{"rows":[["Ada"]]}"#)
    );
    let received = upstream.only_request();
    assert_eq!(
        (&*received.method, &*received.target),
        ("POST", "/v1/graphs/g1/query")
    );
    assert_eq!(received.body, br#"{"query":"MATCH (n) RETURN n LIMIT 1"}"#);
    gateway.finish().await;
}

#[tokio::test]
async fn a_refused_request_has_a_problem_document_and_never_reaches_the_upstream() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = &gateway.key().secret;
    let one_flipped = flip_last(key);
    let unknown = "rg_live_abcdefgh_0123456789abcdefghijABCDEFGHIJ01AAAAAA";

    for (case, code, status, request) in [
        ("no key", "key-missing", 401, vec![]),
        (
            "no key of ours",
            "key-malformed",
            401,
            vec![("x-api-key", "secret")],
        ),
        (
            "a wrong checksum",
            "key-malformed",
            401,
            vec![("x-api-key", &*one_flipped)],
        ),
        (
            "an unknown key",
            "key-malformed",
            401,
            vec![("x-api-key", unknown)],
        ),
        (
            "a key of another scheme",
            "key-missing",
            401,
            vec![("authorization", "Basic YTpi")],
        ),
    ] {
        let mut builder = gateway.request_without_key(Method::GET, "/v1/graphs");
        for (name, value) in request {
            builder = builder.header(name, value);
        }
        let answer = gateway.send(builder).await;
        assert_eq!(answer.refused(status), code, "{case}");
        assert!(
            answer.field("www-authenticate").starts_with("Bearer"),
            "{case}: {answer:?}"
        );
    }

    for (code, status, method, path) in [
        ("route-not-found", 404, Method::GET, "/v2/graphs"),
        (
            "method-not-allowed",
            405,
            Method::GET,
            "/v1/graphs/g1/query",
        ),
        ("route-refused", 403, Method::GET, "/admin/keys"),
        (
            "key-in-query",
            400,
            Method::GET,
            "/v1/graphs?api_key=rg_live_x",
        ),
    ] {
        let answer = gateway.send(gateway.request(method, path)).await;
        assert_eq!(answer.refused(status), code, "{path}");
    }
    assert_eq!(upstream.requests().len(), 0);
    gateway.finish().await;
}

/// Another last character: the checksum no longer fits.
fn flip_last(key: &str) -> String {
    let (rest, last) = key.split_at(key.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}

#[tokio::test]
async fn a_405_names_the_allowed_methods() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let answer = gateway
        .send(gateway.request(Method::DELETE, "/v1/graphs/g1/upload"))
        .await;
    answer.refused(405);
    let mut allowed: Vec<&str> = answer.field("allow").split(", ").collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["POST", "PUT"]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_key_is_taken_from_either_field_but_not_from_both() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.key().secret.clone();

    let bearer = gateway
        .request_without_key(Method::GET, "/v1/graphs")
        .bearer_auth(&key);
    assert_eq!(gateway.send(bearer).await.status, 200);

    let other = "rg_live_abcdefgh_0123456789abcdefghijABCDEFGHIJ01AAAAAA";
    let both = gateway
        .request(Method::GET, "/v1/graphs")
        .bearer_auth(other);
    assert_eq!(gateway.send(both).await.refused(400), "key-ambiguous");
    gateway.finish().await;
}

#[tokio::test]
async fn a_key_does_only_what_its_scopes_and_graphs_allow() {
    let upstream = Upstream::start().await;
    let reader = NewKey::of("reader")
        .scopes("graph:read,graph:query")
        .with("--graphs", "g1");
    let gateway = Setup::from(&upstream).also_key(reader).start().await;
    let key = gateway.key_of("reader");
    let query = json!({"query": "RETURN 1"});

    let read = gateway.request_with(key, Method::GET, "/v1/graphs");
    assert_eq!(gateway.send(read).await.status, 200);
    let own = gateway
        .request_with(key, Method::POST, "/v1/graphs/g1/query")
        .json(&query);
    assert_eq!(gateway.send(own).await.status, 200);
    let write = gateway.request_with(key, Method::DELETE, "/v1/graphs/g1");
    assert_eq!(gateway.send(write).await.refused(403), "scope-missing");
    let other = gateway
        .request_with(key, Method::POST, "/v1/graphs/g2/query")
        .json(&query);
    assert_eq!(gateway.send(other).await.refused(403), "graph-denied");
    assert_eq!(upstream.requests().len(), 2);
    gateway.finish().await;
}

#[tokio::test]
async fn a_key_of_another_network_is_refused() {
    let upstream = Upstream::start().await;
    let abroad = NewKey::of("abroad").with("--networks", "192.0.2.0/24");
    let gateway = Setup::from(&upstream).also_key(abroad).start().await;
    let request = gateway.request_with(gateway.key_of("abroad"), Method::GET, "/v1/graphs");
    assert_eq!(gateway.send(request).await.refused(403), "network-denied");
    gateway.finish().await;
}

#[tokio::test]
async fn an_address_that_guesses_keys_is_slowed_down() {
    let upstream = Upstream::start().await;
    let setup = Setup::from(&upstream).with("auth.failures_per_minute_max", 5);
    let gateway = setup.start().await;
    let mut codes = Vec::new();
    for _ in 0..7 {
        let guess = gateway.request_without_key(Method::GET, "/v1/graphs");
        let answer = gateway.send(guess.header("x-api-key", "guess")).await;
        codes.push(
            answer.problem()["code"]
                .as_str()
                .expect("a code")
                .to_owned(),
        );
    }
    assert_eq!(codes[..5], ["key-malformed"; 5]);
    assert_eq!(codes[5..], ["too-many-failures"; 2]);
    gateway.finish().await;
}

#[tokio::test]
async fn a_graph_named_in_the_body_is_held_against_the_key() {
    let upstream = Upstream::start().await;
    let route = json!({"name": "run", "path": "/v1/run", "methods": ["POST"], "kind": "query",
        "graph_id": {"body": "$.graph"}, "query_text": "$.query"});
    let gateway = Setup::from(&upstream)
        .route(route)
        .also_key(NewKey::of("confined").with("--graphs", "g1"))
        .start()
        .await;
    let key = gateway.key_of("confined");
    for (body, status) in [
        (json!({"graph": "g1", "query": "RETURN 1"}), 200),
        (json!({"graph": "g2", "query": "RETURN 1"}), 403),
        (json!({"query": "RETURN 1"}), 403),
    ] {
        let request = gateway.request_with(key, Method::POST, "/v1/run");
        let answer = gateway.send(request.json(&body)).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
    assert_eq!(upstream.requests().len(), 1);
    gateway.finish().await;
}
