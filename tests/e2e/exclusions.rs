//! Where an exclusion holds, what a rule finds does not count; it is recorded all the same.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, NewKey, Setup, Upstream};

const ATTACK: &str = "1' UNION SELECT password FROM users--";

/// An exclusion of everything SQL, with these keys beside or instead of the usual ones.
fn exclusion(more: &Value) -> Value {
    let mut whole = json!({
        "tag": "sqli", "owner": "search team", "reason": "SQL lessons", "expires": "2999-12-31",
    });
    for (key, value) in more.as_object().expect("a mapping") {
        whole[key] = value.clone();
    }
    whole
}

async fn gateway(upstream: &Upstream, exclusions: Value) -> Gateway {
    let setup = Setup::from(upstream).also_key(NewKey::of("other"));
    setup.with("rules.exclusions", exclusions).start().await
}

async fn post(gateway: &Gateway, path: &str, field: &str) -> u16 {
    let request = gateway.request(Method::POST, path);
    gateway
        .send(request.json(&json!({field: ATTACK})))
        .await
        .status
}

#[tokio::test]
async fn an_exclusion_holds_for_its_route_and_field_alone() {
    let upstream = Upstream::start().await;
    let exclusions = json!([exclusion(&json!({"route": "graphs", "field": "$.lesson"}))]);
    let gateway = gateway(&upstream, exclusions).await;

    let request = gateway.request(Method::POST, "/v1/graphs");
    let answer = gateway.send(request.json(&json!({"lesson": ATTACK}))).await;
    assert_eq!(answer.status, 200);
    let event = gateway.audit_of(&answer).await;
    let indicators = event["indicators"].as_array().expect("indicators");
    let excluded = |i: &&Value| i["mode"] == "excluded" && i["field"] == "$.lesson";
    assert!(indicators.iter().any(|i| excluded(&i)), "{event}");
    assert!(indicators.iter().all(|i| i["mode"] != "enforce"), "{event}");

    assert_eq!(post(&gateway, "/v1/graphs", "other").await, 403);
    assert_eq!(post(&gateway, "/v1/graphs/g1/query", "lesson").await, 403);
    assert_eq!(upstream.requests().len(), 1);

    let metrics = gateway.metrics().await;
    let has = |line: &str| metrics.lines().any(|l| l.starts_with(line));
    assert!(has("rg_exclusions{state=\"in_force\"} 1"), "{metrics}");
    assert!(has("rg_exclusions{state=\"expired\"} 0"), "{metrics}");
    assert!(has("rg_rule_blocks_total{rule=\"sql-"), "{metrics}");
    let hits = metrics
        .lines()
        .filter(|l| l.starts_with("rg_rule_hits_total{"));
    assert!(
        hits.into_iter().any(|l| l.contains("mode=\"excluded\"")),
        "{metrics}"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn an_exclusion_holds_for_its_key_and_network_alone() {
    let upstream = Upstream::start().await;
    let elsewhere = json!([exclusion(&json!({"network": "192.0.2.0/24"}))]);
    let mut gateway = gateway(&upstream, elsewhere).await;
    assert_eq!(post(&gateway, "/v1/graphs", "lesson").await, 403);

    let mine = gateway.key().id.clone();
    let here = json!([exclusion(&json!({"key": mine, "network": "127.0.0.0/8"}))]);
    gateway.rewrite(|file| file["rules"]["exclusions"] = here);
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(post(&gateway, "/v1/graphs", "lesson").await, 200);

    let other = gateway.key_of("other").clone();
    let request = gateway.request_with(&other, Method::POST, "/v1/graphs");
    let answer = gateway.send(request.json(&json!({"lesson": ATTACK}))).await;
    assert_eq!(answer.refused(403), "threat-blocked");
    gateway.finish().await;
}

#[tokio::test]
async fn an_expired_exclusion_does_nothing_and_is_reported() {
    let upstream = Upstream::start().await;
    let expired = exclusion(&json!({"route": "graphs", "expires": "2001-01-31"}));
    let gateway = gateway(&upstream, json!([expired])).await;
    assert_eq!(post(&gateway, "/v1/graphs", "lesson").await, 403);
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("rg_exclusions{state=\"expired\"} 1\n"),
        "{metrics}"
    );
    let checked = gateway.command(&["check", "-c", "gateway.yaml"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("advice A131"), "{checked:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn an_exclusion_of_no_rule_is_an_error_with_a_hint() {
    let upstream = Upstream::start().await;
    let mut gateway = gateway(&upstream, json!([])).await;
    let wrong = exclusion(&json!({"tag": "sqlj", "route": "graphs"}));
    gateway.rewrite(|file| file["rules"]["exclusions"] = json!([wrong]));
    let checked = gateway.command(&["check", "-c", "gateway.yaml"]);
    assert_eq!(checked.code, Some(78), "{checked:?}");
    let message = &checked.stderr;
    assert!(
        message.contains("rules.exclusions[0].tag: no such tag of any rule: sqlj"),
        "{message}"
    );
    assert!(message.contains("did you mean `sqli`?"), "{message}");
    gateway.finish().await;
}
