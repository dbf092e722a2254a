//! Events are kept as long as their tags ask for, and given up after that without harm to the proof of the others.

use std::path::Path;

use http::Method;
use rg_gateway::audit::{AuditEvent, EventIds, EventType, Log, LogOptions, Severity};
use rg_gateway::now::Now;
use serde_json::{Value, json};

use crate::support::{Gateway, Setup, Upstream, eventually};

const DAY: i64 = 86_400_000_000;

/// The files of a log that a gateway of forty days ago wrote: events without a tag, then with `hipaa` by turns.
pub(crate) fn old_log() -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = LogOptions {
        signing_key_file: folder.path().join("audit-signing.key"),
        segment_bytes_max: 64 << 10,
        ..LogOptions::new(folder.path().join("audit"))
    };
    let (log, _) = Log::open(&options).expect("a new log");
    let (ids, then) = (EventIds::new(7), Now::read().unix_micros - 40 * DAY);
    for n in 0..500 {
        let tags: &[&str] = if n >= 300 && n % 2 == 0 {
            &["data_access", "hipaa"]
        } else {
            &["data_access"]
        };
        let at = then + n;
        let event = AuditEvent {
            request_id: format!("old-{n}").into(),
            organization_id: Some("acme".into()),
            compliance_tags: tags.iter().map(|tag| (*tag).into()).collect(),
            ..AuditEvent::new(ids.next(at), at, EventType::DataAccess, Severity::Info)
        };
        log.append(&event).expect("room");
    }
    log.close();
    let mut files = Vec::new();
    for (below, path) in [("data", folder.path()), ("data/audit", &options.dir)] {
        files.extend(files_in(below, path));
    }
    files
}

fn files_in(below: &str, folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry"));
    files
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let name = entry.file_name().into_string().expect("a name");
            let bytes = std::fs::read(entry.path()).expect("a readable file");
            (format!("{below}/{name}"), bytes)
        })
        .collect()
}

fn old(gateway: &Gateway) -> Vec<Value> {
    let is_old = |event: &Value| {
        let id = event["request_id"].as_str().unwrap_or_default();
        id.starts_with("old-")
    };
    gateway.exported().into_iter().filter(is_old).collect()
}

#[tokio::test]
async fn events_go_when_the_longest_of_their_tags_is_over_and_the_rest_stays_proved() {
    let upstream = Upstream::start().await;
    let mut setup = Setup::from(&upstream).with("audit.segment_bytes_max", 64 << 10);
    for (name, content) in old_log() {
        setup = setup.beside(&name, content);
    }
    let mut gateway = setup.start().await;
    assert_eq!(
        old(&gateway).len(),
        500,
        "kept for good unless told otherwise"
    );
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));

    let days = json!({"default_days": 30, "tags": {"hipaa": 365, "ccpa": 1}});
    let terms = days.clone();
    gateway.rewrite(|file| file["audit"]["retention"] = days);
    gateway.restart().await;
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    eventually("what is past to be gone", async || {
        (old(&gateway).len() == 100).then_some(())
    })
    .await;
    let kept = old(&gateway);
    assert!(
        kept.iter()
            .all(|event| event["compliance_tags"][1] == "hipaa")
    );
    let status = gateway.admin(Method::GET, "/audit/status").await.json();
    // The first segments went whole, the others frame by frame.
    let first = status["first_sequence"].as_u64().expect("a number");
    assert!((50..=301).contains(&first), "{status}");
    eventually("the records of it", async || {
        let events = gateway.exported();
        let told = |what: &str| events.iter().any(|event| event["endpoint"] == what);
        (told("audit.retention.dropped") && told("audit.erasure.done")).then_some(())
    })
    .await;
    for event in gateway.exported() {
        let by_retention = match event["endpoint"].as_str() {
            Some("audit.retention.dropped") => true,
            Some("audit.erasure.begun") => event["details"]["reason"] == "audit.retention",
            _ => false,
        };
        assert!(
            !by_retention || event["details"]["retention"] == terms,
            "{event}"
        );
    }
    // It says nothing of an event that was erased without a record, and proves what is left.
    let verified = gateway.command(&["audit", "verify", "--data-dir", "data"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let id = kept[0]["event_id"].as_str().expect("an id");
    let path = format!("/audit/proof/{id}");
    assert_eq!(gateway.admin(Method::GET, &path).await.status, 200);
    gateway.finish().await;
}
