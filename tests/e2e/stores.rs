//! Audit events reach stores that take them by id, whatever the stores answer. The stores here are stand-ins.

use std::collections::HashMap;
use std::time::Duration;

use http::Method;
use rg_gateway::now::Now;
use serde_json::{Value, json};

use crate::support::{Gateway, Mood, Setup, StoreStandIn, Upstream, eventually};

pub(crate) async fn delivering(upstream: &Upstream, sinks: Value) -> Gateway {
    Setup::from(upstream)
        .with("audit.sinks", sinks)
        .start()
        .await
}

pub(crate) fn search(name: &str, url: &str) -> Value {
    json!({"name": name, "linger_ms": 5, "elasticsearch": {"url": url}})
}

fn splunk(url: &str, acknowledge: bool) -> Value {
    json!({"name": "siem", "linger_ms": 5, "timeout_ms": 1_000, "splunk":
        {"url": url, "token": {"file": "token"}, "acknowledge": acknowledge, "acknowledge_poll_ms": 20}})
}

/// Asks once for each of these graphs.
pub(crate) async fn ask(gateway: &Gateway, graphs: &[&str]) {
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    for graph in graphs {
        assert_eq!(gateway.query(graph, &query).await.status, 200);
    }
}

/// The ids of all events in the log, oldest first.
pub(crate) fn logged(gateway: &Gateway) -> Vec<String> {
    let id = |event: &Value| event["event_id"].as_str().expect("an id").to_owned();
    gateway.exported().iter().map(id).collect()
}

/// The ids of the events about this graph.
pub(crate) fn about(gateway: &Gateway, graph: &str) -> Vec<String> {
    let events = gateway.exported();
    let about = |event: &&Value| event["data_accessed"]["graph_ids"][0] == graph;
    let id = |event: &Value| event["event_id"].as_str().expect("an id").to_owned();
    events.iter().filter(about).map(id).collect()
}

/// The ids of a sink's dead letters, each once: a crash may have repeated some.
pub(crate) fn dead(gateway: &Gateway, sink: &str) -> Vec<String> {
    let letters = gateway.read(&format!("data/sinks/{sink}.dead.jsonl"));
    let mut ids: Vec<String> = Vec::new();
    for line in letters.unwrap_or_default().lines() {
        let letter: Value = serde_json::from_str(line).expect("JSON");
        let id = letter["event"]["event_id"].as_str().expect("an id");
        if ids.iter().all(|known| known != id) {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// Each of these once.
pub(crate) fn once(ids: &[String]) -> HashMap<String, usize> {
    ids.iter().map(|id| (id.clone(), 1)).collect()
}

/// Waits until a store has every event of the log once, but for those that are dead letters.
async fn has_all_but(store: &StoreStandIn, gateway: &Gateway, but: &[String]) {
    eventually("every other event to be stored once", async || {
        let mut ids = logged(gateway);
        ids.retain(|id| !but.contains(id));
        (store.copies() == once(&ids)).then_some(())
    })
    .await;
}

/// The events that tell of dead letters.
fn tellings(gateway: &Gateway) -> Vec<Value> {
    let mut events = gateway.exported();
    events.retain(|event| event["endpoint"] == "audit.sink.dead_letters");
    events
}

pub(crate) async fn is_down(gateway: &Gateway, sink: &str) {
    let down = format!("rg_audit_sink_up{{sink=\"{sink}\"}} 0");
    eventually("the sink to be down", async || {
        gateway.metrics().await.contains(&down).then_some(())
    })
    .await;
}

#[tokio::test]
async fn events_a_store_is_too_busy_for_are_offered_again_and_the_others_are_not() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::search().await);
    store.is(Mood::Stutters);
    let gateway = delivering(&upstream, json!([search("search", &store.url())])).await;
    ask(&gateway, &["g1"; 40]).await;
    let ids = logged(&gateway);
    store.has_all(&ids).await;
    assert_eq!(store.copies(), once(&ids));
    assert_eq!(dead(&gateway, "search"), [""; 0]);
    gateway.finish().await;
}

#[tokio::test]
async fn what_a_store_took_without_saying_so_is_there_once() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::search().await);
    store.is(Mood::Lies(3));
    let gateway = delivering(&upstream, json!([search("search", &store.url())])).await;
    ask(&gateway, &["g1"; 20]).await;
    let ids = logged(&gateway);
    store.has_all(&ids).await;
    eventually("it to be known that all are there", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains(r#"rg_audit_sink_lag_events{sink="search"} 0"#)
            .then_some(())
    })
    .await;
    assert_eq!(store.copies(), once(&ids));
    gateway.finish().await;
}

#[tokio::test]
async fn an_event_at_fault_is_set_apart_and_all_others_arrive() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::search().await);
    store.is(Mood::Abhors("poisoned".to_owned()));
    let gateway = delivering(&upstream, json!([search("search", &store.url())])).await;
    ask(&gateway, &["g1", "g2", "poisoned", "g3"]).await;
    let poisoned = about(&gateway, "poisoned");
    assert_eq!(poisoned.len(), 1);
    let told = eventually("it to be told", async || tellings(&gateway).pop()).await;
    has_all_but(&store, &gateway, &poisoned).await;
    assert_eq!(dead(&gateway, "search"), poisoned);
    assert_eq!(
        (&told["event_type"], &told["severity"]),
        (&json!("system_event"), &json!("error"))
    );
    let details = &told["details"];
    assert_eq!(
        (&details["sink"], &details["events"]),
        (&json!("search"), &json!(1))
    );
    assert_eq!(details["first_event_id"], poisoned[0]);
    let reason = details["reason"].as_str().expect("a reason");
    assert!(reason.contains("abhorred"), "{reason}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_storm_of_events_at_fault_is_told_in_few_and_events_of_it_are_not_told_of() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::search().await);
    // Every event holds this, those that tell of dead letters too.
    store.is(Mood::Abhors("schema_version".to_owned()));
    let gateway = delivering(&upstream, json!([search("search", &store.url())])).await;
    ask(&gateway, &["g1"; 60]).await;
    eventually("every event to be a dead letter", async || {
        (dead(&gateway, "search") == logged(&gateway)).then_some(())
    })
    .await;
    assert_eq!(tellings(&gateway).len(), 1);
    assert_eq!(gateway.stderr().matches("events rejected").count(), 1);
    // The others are told of at the end, at the latest.
    let mut gateway = gateway;
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    let told: u64 = tellings(&gateway)
        .iter()
        .map(|event| event["details"]["events"].as_u64().expect("a number"))
        .sum();
    let mut events = gateway.exported();
    events.retain(|event| event["endpoint"] != "audit.sink.dead_letters");
    assert_eq!(told, events.len() as u64);
}

#[tokio::test]
async fn a_batch_too_large_for_the_store_is_halved_until_it_fits() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::search().await);
    store.is(Mood::Refuses(503));
    let mut sink = search("search", &store.url());
    sink["elasticsearch"]["gzip"] = json!(false);
    let gateway = delivering(&upstream, json!([sink])).await;
    ask(&gateway, &["g1"; 30]).await;
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    let large = gateway
        .request(Method::POST, "/v1/graphs/g1/query")
        .header("user-agent", "x".repeat(500))
        .json(&query);
    let large = gateway.send(large).await;
    let large = gateway.audit_of(&large).await["event_id"].clone();
    let mut events = gateway.exported();
    events.retain(|event| event["event_id"] != large);
    let longest = events.iter().map(|event| event.to_string().len()).max();
    // Room for the longest other event with its action line, and for few together.
    store.is(Mood::Narrow(longest.expect("events") + 250));
    eventually("the one that never fits to be set apart", async || {
        (dead(&gateway, "search") == [large.as_str().expect("an id")]).then_some(())
    })
    .await;
    let large = [large.as_str().expect("an id").to_owned()];
    has_all_but(&store, &gateway, &large).await;
    gateway.finish().await;
}

#[tokio::test]
async fn refused_credentials_lose_nothing_and_are_read_again_on_reload() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::splunk().await);
    let setup = Setup::from(&upstream).beside("token", "wrong\n");
    let setup = setup.with("audit.sinks", json!([splunk(&store.url(), false)]));
    let gateway = setup.start().await;
    ask(&gateway, &["g1"; 5]).await;
    is_down(&gateway, "siem").await;
    store.is_asked_again().await;
    assert_eq!(store.copies(), once(&[]));
    gateway.write("token", "hec-token\n");
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    let ids = logged(&gateway);
    store.has_all(&ids).await;
    assert_eq!(store.copies(), once(&ids));
    assert_eq!(dead(&gateway, "siem"), [""; 0]);
    let everything = gateway.stored_files();
    for (path, bytes) in everything {
        let shows = bytes.windows(9).any(|part| part == b"hec-token");
        assert!(!shows, "{} holds the token", path.display());
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_search_store_that_refuses_credentials_or_rights_gets_everything_once_it_does_not() {
    for status in [401, 403] {
        let (upstream, store) = (Upstream::start().await, StoreStandIn::search().await);
        let gateway = delivering(&upstream, json!([search("search", &store.url())])).await;
        ask(&gateway, &["g1"; 3]).await;
        store.has_all(&about(&gateway, "g1")).await;
        store.is(Mood::Refuses(status));
        ask(&gateway, &["g2"; 3]).await;
        is_down(&gateway, "search").await;
        store.is_asked_again().await;
        let refused = about(&gateway, "g2");
        assert!(refused.iter().all(|id| !store.copies().contains_key(id)));
        store.is(Mood::Takes);
        let ids = logged(&gateway);
        store.has_all(&ids).await;
        assert_eq!(store.copies(), once(&ids));
        assert_eq!(dead(&gateway, "search"), [""; 0]);
        gateway.finish().await;
    }
}

#[tokio::test]
async fn splunk_names_the_event_at_fault_and_gets_all_others() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::splunk().await);
    store.is(Mood::Abhors("poisoned".to_owned()));
    let setup = Setup::from(&upstream).beside("token", "hec-token\n");
    let setup = setup.with("audit.sinks", json!([splunk(&store.url(), false)]));
    let gateway = setup.start().await;
    ask(&gateway, &["g1", "poisoned", "g2"]).await;
    let poisoned = about(&gateway, "poisoned");
    eventually("the one at fault to be set apart", async || {
        (dead(&gateway, "siem") == poisoned).then_some(())
    })
    .await;
    has_all_but(&store, &gateway, &poisoned).await;
    gateway.finish().await;
}

#[tokio::test]
async fn splunk_events_count_only_when_the_indexer_acknowledges_them() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::splunk().await);
    store.is(Mood::Unsure);
    let setup = Setup::from(&upstream).beside("token", "hec-token\n");
    let setup = setup.with("audit.sinks", json!([splunk(&store.url(), true)]));
    let gateway = setup.start().await;
    ask(&gateway, &["g1"; 5]).await;
    // The deadline of a batch passes again and again; it is asked for, and not posted again.
    is_down(&gateway, "siem").await;
    let first = store.copies();
    assert!(!first.is_empty());
    assert!(first.values().all(|copies| *copies == 1), "{first:?}");
    let delivered = r#"rg_audit_sink_events_total{sink="siem",outcome="delivered"} 0"#;
    let metrics = gateway.metrics().await;
    assert!(metrics.contains(delivered), "{metrics}");
    store.is(Mood::Takes);
    let ids = logged(&gateway);
    store.has_all(&ids).await;
    assert_eq!(store.copies(), once(&ids));
    gateway.finish().await;
}

#[tokio::test]
async fn splunk_tells_of_an_acknowledgement_once_and_a_lost_one_costs_a_second_copy() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::splunk().await);
    store.is(Mood::Lies(1));
    let setup = Setup::from(&upstream).beside("token", "hec-token\n");
    let mut sink = splunk(&store.url(), true);
    sink["splunk"]["acknowledge_timeout_ms"] = json!(500);
    let gateway = setup.with("audit.sinks", json!([sink])).start().await;
    ask(&gateway, &["g1"; 5]).await;
    // Nothing else is offered before it is given up.
    eventually("a batch to be there twice", async || {
        let copies = store.copies();
        copies.values().any(|copies| *copies == 2).then_some(())
    })
    .await;
    store.has_all(&logged(&gateway)).await;
    assert_eq!(dead(&gateway, "siem"), [""; 0]);
    assert!(store.copies().values().all(|copies| *copies <= 2));
    gateway.finish().await;
}

#[tokio::test]
async fn splunk_whose_acknowledgements_never_come_is_posted_to_ever_more_seldom() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::splunk().await);
    store.is(Mood::Unsure);
    let setup = Setup::from(&upstream).beside("token", "hec-token\n");
    let mut sink = splunk(&store.url(), true);
    sink["splunk"]["acknowledge_timeout_ms"] = json!(200);
    let gateway = setup.with("audit.sinks", json!([sink])).start().await;
    let mut posts = Vec::new();
    for _ in 0..4 {
        store.is_asked_again().await;
        posts.push(Now::read());
    }
    let waits: Vec<Duration> = posts
        .windows(2)
        .map(|pair| pair[1].since(pair[0]))
        .collect();
    for (wait, least) in waits.iter().zip([200, 400, 800]) {
        assert!(*wait >= Duration::from_millis(least * 9 / 10), "{waits:?}");
    }
    store.is(Mood::Takes);
    store.has_all(&logged(&gateway)).await;
    gateway.finish().await;
}

fn logstash(store: &StoreStandIn) -> Value {
    let url = format!("{}/audit", store.url());
    json!({"name": "elk", "linger_ms": 5, "logstash":
        {"url": url, "username": "rg", "password": {"file": "password"}}})
}

#[tokio::test]
async fn logstash_that_is_busy_or_refuses_the_password_gets_each_event_once() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::logstash().await);
    let setup = Setup::from(&upstream).beside("password", "wrong\n");
    let setup = setup.with("audit.sinks", json!([logstash(&store)]));
    let gateway = setup.start().await;
    ask(&gateway, &["g1"; 5]).await;
    is_down(&gateway, "elk").await;
    store.is_asked_again().await;
    assert_eq!(store.copies(), once(&[]));
    store.is(Mood::Refuses(429));
    gateway.write("password", "hunter2-hunter2\n");
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    store.is_asked_again().await;
    store.is_asked_again().await;
    store.is(Mood::Takes);
    let ids = logged(&gateway);
    store.has_all(&ids).await;
    assert_eq!(store.copies(), once(&ids));
    assert_eq!(dead(&gateway, "elk"), [""; 0]);
    gateway.finish().await;
}

#[tokio::test]
async fn logstash_gets_all_but_the_event_at_fault_and_a_lost_answer_repeats_one_batch() {
    let (upstream, store) = (Upstream::start().await, StoreStandIn::logstash().await);
    store.is(Mood::Refuses(503));
    let setup = Setup::from(&upstream).beside("password", "hunter2-hunter2\n");
    let setup = setup.with("audit.sinks", json!([logstash(&store)]));
    let gateway = setup.start().await;
    ask(&gateway, &["g1", "g2", "poisoned", "g3", "g4"]).await;
    is_down(&gateway, "elk").await;
    store.is(Mood::Abhors("poisoned".to_owned()));
    let poisoned = about(&gateway, "poisoned");
    eventually("the one at fault to be set apart", async || {
        (dead(&gateway, "elk") == poisoned).then_some(())
    })
    .await;
    has_all_but(&store, &gateway, &poisoned).await;

    store.is(Mood::Lies(1));
    ask(&gateway, &["g5"]).await;
    let last = about(&gateway, "g5");
    eventually("the batch to be there twice", async || {
        (store.copies().get(&last[0]) == Some(&2)).then_some(())
    })
    .await;
    gateway.finish().await;
}
