//! Damage to the audit log is told by the gateway itself, wherever in the log it is, and costs no request.

use http::Method;
use serde_json::Value;

use crate::retention::old_log;
use crate::support::{Gateway, Setup, Upstream, eventually};

const TOLD: &str = "the audit log is damaged";

/// A gateway over a log of several segments that somebody has changed.
async fn over(upstream: &Upstream, mut files: Vec<(String, Vec<u8>)>) -> Gateway {
    let mut setup = Setup::from(upstream).with("audit.segment_bytes_max", 64 << 10);
    files.sort();
    for (name, content) in files {
        setup = setup.beside(&name, content);
    }
    setup.start().await
}

fn second_segment(files: &[(String, Vec<u8>)]) -> usize {
    let mut names = files.iter().map(|(name, _)| name.as_str());
    let at = names.position(|name| name == "data/audit/000000000002.seg");
    assert!(
        files
            .iter()
            .any(|(name, _)| name.ends_with("000000000004.seg"))
    );
    at.expect("a second segment")
}

async fn status(gateway: &Gateway) -> Value {
    gateway.admin(Method::GET, "/audit/status").await.json()
}

/// The events of damage, newest first.
async fn told(gateway: &Gateway) -> Vec<Value> {
    let path = "/audit/events?event_type=system_event&severity=critical&text=audit.log.damaged";
    let found = gateway.admin(Method::GET, path).await.json();
    let events = found["events"].as_array().expect("events").clone();
    let is_one = |event: &Value| event["endpoint"] == "audit.log.damaged";
    events.into_iter().filter(is_one).collect()
}

/// What one event says of its first place; status, metric and log say the same.
async fn is_told(gateway: &Gateway) -> Value {
    let event = eventually("an event of it", async || told(gateway).await.pop()).await;
    let place = event["details"]["first_places"][0].clone();
    let shown = eventually("the log to be verified", async || {
        let status = status(gateway).await;
        status["verified_at"].is_string().then_some(status)
    })
    .await;
    assert_eq!(
        shown["damaged_places"], event["details"]["places"],
        "{shown}"
    );
    let first = shown["first_damaged_place"].as_str().expect("a place");
    assert!(
        first.contains(place["file"].as_str().expect("a file")),
        "{first}"
    );
    let metrics = gateway.metrics().await;
    let places = format!("rg_audit_damaged_places {}\n", shown["damaged_places"]);
    assert!(metrics.contains(&places), "{metrics}");
    assert!(
        !metrics.contains("rg_audit_verified_seconds 0\n"),
        "{metrics}"
    );
    let stderr = gateway.stderr();
    assert!(stderr.contains(TOLD) && stderr.contains(first), "{stderr}");
    place
}

#[tokio::test]
async fn a_byte_that_flipped_in_an_old_segment_is_told_once_after_the_start() {
    let upstream = Upstream::start().await;
    let mut files = old_log();
    let at = second_segment(&files);
    files[at].1[5_000] ^= 1;
    let mut gateway = over(&upstream, files).await;
    let place = is_told(&gateway).await;
    assert_eq!(place["file"], "000000000002.seg");
    assert_eq!(place["reason"], "damaged bytes");
    let offset = place["offset"].as_u64().expect("a number");
    assert!((4_000..=5_000).contains(&offset), "{place}");
    assert_eq!(gateway.stderr().matches(TOLD).count(), 1);
    assert_eq!(told(&gateway).await.len(), 1);
    // It is for people to judge: the gateway serves.
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    // Whoever starts it anew is told anew.
    gateway.restart().await;
    assert_eq!(is_told(&gateway).await, place);
    assert_eq!(told(&gateway).await.len(), 2);
}

#[tokio::test]
async fn a_segment_that_is_missing_in_the_middle_is_told() {
    let upstream = Upstream::start().await;
    let mut files = old_log();
    let at = second_segment(&files);
    files.remove(at);
    let gateway = over(&upstream, files).await;
    let place = is_told(&gateway).await;
    assert_eq!(place["file"], "000000000003.seg");
    assert_eq!(place["reason"], "events are missing before this one");
    assert_eq!(told(&gateway).await.len(), 1);
}

#[tokio::test]
async fn what_the_start_itself_finds_is_told_once_and_at_once() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    }
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    gateway.damage_log();
    gateway.restart().await;
    // The event is older than the readiness that the restart waited for.
    let events = told(&gateway).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["details"]["found_by"], "start");
    let place = is_told(&gateway).await;
    assert_eq!(place["file"], "000000000001.seg");
    assert_eq!(told(&gateway).await.len(), 1);
}

#[tokio::test]
async fn a_sound_log_is_verified_and_nothing_is_told() {
    let upstream = Upstream::start().await;
    let gateway = over(&upstream, old_log()).await;
    let shown = eventually("the log to be verified", async || {
        let status = status(&gateway).await;
        status["verified_at"].is_string().then_some(status)
    })
    .await;
    assert_eq!(shown["damaged_places"], 0);
    assert_eq!(shown["first_damaged_place"], Value::Null);
    assert_eq!(told(&gateway).await, Vec::<Value>::new());
    assert!(!gateway.stderr().contains(TOLD));
    gateway.finish().await;
}
