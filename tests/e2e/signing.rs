//! Trouble with the log's signatures is told, costs no request, and mends itself where it can.

use http::Method;
use serde_json::Value;

use crate::support::{Gateway, Upstream, eventually};

const UNSIGNED: &str = "the audit log is not signed";
const SIGNED: &str = "the audit log is signed again";

async fn status(gateway: &Gateway) -> Value {
    gateway.admin(Method::GET, "/audit/status").await.json()
}

fn figure(metrics: &str, name: &str) -> u64 {
    let value = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("{name} in {metrics}"));
    value.parse().expect("a whole number")
}

#[tokio::test]
async fn a_log_that_cannot_be_signed_says_so_and_goes_on() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    eventually("all to be signed", async || {
        (figure(&gateway.metrics().await, "rg_audit_unsigned_events") == 0).then_some(())
    })
    .await;
    // The tree's files cannot be written where folders have their names.
    let tree = gateway.move_away("data/audit/tree-000000000000");
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    eventually("the trouble to be told", async || {
        gateway.stderr().contains(UNSIGNED).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    }
    let metrics = gateway.metrics().await;
    assert!(figure(&metrics, "rg_audit_sign_failures_total") > 0);
    assert!(figure(&metrics, "rg_audit_unsigned_events") >= 20);
    let told = status(&gateway).await;
    assert_ne!(told["signed_sequence"], told["last_sequence"], "{told}");
    assert_eq!(told["standing"], "writable", "{told}");
    tree.put_back();
    eventually("all to be signed again", async || {
        (figure(&gateway.metrics().await, "rg_audit_unsigned_events") == 0).then_some(())
    })
    .await;
    let stderr = gateway.stderr();
    assert_eq!(stderr.matches(UNSIGNED).count(), 1, "{stderr}");
    assert_eq!(stderr.matches(SIGNED).count(), 1, "{stderr}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_history_that_is_not_what_was_signed_is_told() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    gateway.damage_log();
    gateway.remove("data/audit/tree-000000000000");
    gateway.restart().await;
    // Damage may be found when it opens; that it differs, with the next signature.
    eventually("a figure of it", async || {
        let metrics = gateway.metrics().await;
        (figure(&metrics, "rg_audit_history_broken") == 1).then_some(())
    })
    .await;
    assert_eq!(status(&gateway).await["history_broken"], true);
    let line = "the audit log is not what was signed";
    eventually("a line of it", async || {
        gateway.stderr().contains(line).then_some(())
    })
    .await;
    eventually("an event of it", async || {
        let path = "/audit/events?severity=critical";
        let found = gateway.admin(Method::GET, path).await.json();
        let mut events = found["events"].as_array()?.iter();
        events.find(|event| event["endpoint"] == "audit.history.broken")?;
        Some(())
    })
    .await;
    // It is for people to judge: the gateway serves.
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
}
