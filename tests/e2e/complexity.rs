//! What a query may cost is a matter of the key's plan and scopes.

use serde_json::json;

use crate::support::{NewKey, Setup, Upstream};

/// Two label scans that do not hang together, and a third.
const DEAR: &str = "MATCH (a:A), (b:B), (c:C) RETURN a, b, c";
const CHEAP: &str = "MATCH (a:A {id: 1}) RETURN a";

#[tokio::test]
async fn a_query_beyond_the_plan_is_refused_and_audited_and_a_scope_may_allow_it() {
    let upstream = Upstream::start().await;
    let plan = json!({
        "name": "modest",
        "query_complexity_max": "low",
        "query_complexity_by_scope": [{"scope": "graph:analyse", "max": "high"}],
    });
    let guest = NewKey::of("acme").plan("modest").scopes("graph:query");
    let analyst = NewKey::of("analysts")
        .plan("modest")
        .scopes("graph:query graph:analyse");
    let gateway = Setup::from(&upstream)
        .plan(plan)
        .key(guest)
        .also_key(analyst)
        .also_key(NewKey::of("unlimited"))
        .start()
        .await;

    assert_eq!(
        gateway.query("g1", &json!({"query": CHEAP})).await.status,
        200
    );
    let refused = gateway.query("g1", &json!({"query": DEAR})).await;
    assert_eq!(refused.refused(403), "query-too-complex");
    let problem = refused.problem();
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("may send up to low"), "{problem}");
    let event = gateway.audit_of(&refused).await;
    assert_eq!(event["event_type"], "authorization");
    assert_eq!(event["refusal_code"], "query-too-complex");
    assert_eq!(upstream.requests().len(), 1);

    for organization in ["analysts", "unlimited"] {
        let key = gateway.key_of(organization).clone();
        let request = gateway.request_with(&key, http::Method::POST, "/v1/graphs/g1/query");
        let answer = gateway.send(request.json(&json!({"query": DEAR}))).await;
        assert_eq!(answer.status, 200, "{organization}");
    }
    let metrics = gateway.metrics().await;
    let counted = |class: &str| {
        let label = format!("query_complexity=\"{class}\"");
        let mut lines = metrics
            .lines()
            .filter(|l| l.contains("_execution_duration_seconds_count"));
        lines.any(|l| l.contains(&label))
    };
    assert!(counted("low") && counted("high"), "{metrics}");
    gateway.finish().await;
}
