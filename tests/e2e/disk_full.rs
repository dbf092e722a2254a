//! A full disk under load: the policy is honoured, told, and left again without a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, SmallDisk, Upstream, eventually};

const FULL: &str = "the audit log is full";
const OVER: &str = "the audit log takes events again";

fn asked(gateway: &Gateway) -> RequestBuilder {
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    gateway
        .request(Method::POST, "/v1/graphs/g1/query")
        .json(&query)
}

async fn ask(gateway: &Gateway) -> u16 {
    gateway.send(asked(gateway)).await.status
}

/// Eight clients, until each was refused because nothing more can be audited.
async fn load_until_refused(gateway: &Arc<Gateway>) {
    let clients = (0..8).map(|_| {
        let gateway = Arc::clone(gateway);
        tokio::spawn(async move {
            loop {
                let answer = gateway.send(asked(&gateway)).await;
                if answer.status != 200 {
                    assert_eq!(answer.refused(503), "audit-unavailable");
                    return;
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.expect("no panic");
    }
}

async fn status(gateway: &Gateway) -> Value {
    gateway.admin(Method::GET, "/audit/status").await.json()
}

fn times(text: &str, line: &str) -> usize {
    text.matches(line).count()
}

#[tokio::test]
async fn a_full_disk_refuses_requests_until_there_is_room_and_keeps_every_answered_one() {
    let Some(disk) = SmallDisk::of(32) else {
        return;
    };
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream).on(&disk).start().await;
    assert_eq!(ask(&gateway).await, 200);
    let gateway = Arc::new(gateway);
    for round in 1..=2 {
        disk.fill(256 << 10);
        load_until_refused(&gateway).await;

        let ready = gateway.admin(Method::GET, "/readyz").await;
        assert_eq!(ready.status, 503);
        assert_eq!(ready.text(), "not ready: the audit log is full\n");
        let standing = status(&gateway).await;
        assert_eq!(standing["standing"], "full", "{standing}");
        let metrics = gateway.metrics().await;
        assert!(metrics.contains("rg_audit_log_full 1"), "{metrics}");
        // Refused requests do not use up what is kept for those that were accepted.
        let last = &standing["last_sequence"];
        let reached = upstream.requests().len();
        for _ in 0..200 {
            assert_eq!(ask(&gateway).await, 503);
        }
        assert_eq!(&status(&gateway).await["last_sequence"], last);
        assert_eq!(upstream.requests().len(), reached);
        let metrics = gateway.metrics().await;
        let counted = metrics
            .lines()
            .find_map(|line| line.strip_prefix(r#"rg_audit_errors_total{reason="full"} "#));
        let counted: usize = counted.expect("a counter").parse().expect("a number");
        assert!(counted >= 200 * round, "{metrics}");

        disk.free();
        eventually("requests to be taken again", async || {
            (ask(&gateway).await == 200).then_some(())
        })
        .await;
        eventually("the end to be told", async || {
            (times(&gateway.stderr(), OVER) == round).then_some(())
        })
        .await;
        assert_eq!(times(&gateway.stderr(), FULL), round, "one line each time");
        assert!(gateway.stderr().contains("no space left on the disk"));
        assert_eq!(gateway.admin(Method::GET, "/readyz").await.status, 200);
        let metrics = gateway.metrics().await;
        assert!(metrics.contains("rg_audit_log_full 0"), "{metrics}");
        assert!(metrics.contains("rg_audit_sync_failures_total 0"));
    }
    // Every answered request has its event, and the log verifies.
    let gateway = Arc::into_inner(gateway).expect("the only owner");
    gateway.finish().await;
}

#[tokio::test]
async fn drop_oldest_gives_up_the_oldest_events_of_a_full_disk_and_refuses_nobody() {
    let Some(disk) = SmallDisk::of(32) else {
        return;
    };
    let upstream = Upstream::start().await;
    let mut gateway = Setup::from(&upstream)
        .with("audit.when_full", "drop_oldest")
        .with("audit.segment_bytes_max", 64 << 10)
        .on(&disk)
        .start()
        .await;
    let mut answered = Vec::new();
    // History that is signed, so that it may be dropped: more than is written in the second until the next signature.
    for _ in 0..1_600 {
        let answer = gateway.send(asked(&gateway)).await;
        assert_eq!(answer.status, 200);
        answered.push(answer.request_id().to_owned());
    }
    eventually("it to be signed", async || {
        let status = status(&gateway).await;
        (status["signed_sequence"] == status["last_sequence"]).then_some(())
    })
    .await;
    disk.fill(128 << 10);
    let dropped = AtomicBool::new(false);
    while !dropped.load(Ordering::Relaxed) {
        for _ in 0..50 {
            let answer = gateway.send(asked(&gateway)).await;
            assert_eq!(answer.status, 200);
            answered.push(answer.request_id().to_owned());
        }
        let status = status(&gateway).await;
        dropped.store(
            status["since_start"]["events_dropped"].as_u64() > Some(200),
            Ordering::Relaxed,
        );
    }
    assert!(gateway.stderr().contains("gave up its oldest events"));
    assert_eq!(times(&gateway.stderr(), FULL), 0);
    let metrics = gateway.metrics().await;
    assert!(
        !metrics.contains("rg_audit_events_dropped_total 0"),
        "{metrics}"
    );
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    let verified = gateway.command(&["audit", "verify", "--data-dir", "data"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    // What is kept are the newest, without a gap.
    let events = gateway.exported();
    let kept: Vec<&str> = events
        .iter()
        .filter_map(|event| event["request_id"].as_str())
        .filter(|id| answered.iter().any(|answered| answered == id))
        .collect();
    assert!(!kept.is_empty() && kept.len() < answered.len());
    assert_eq!(kept, answered[answered.len() - kept.len()..]);
    let told = events
        .iter()
        .any(|event| event["endpoint"] == "audit.log.dropped");
    assert!(told, "the log says what it gave up");
}
