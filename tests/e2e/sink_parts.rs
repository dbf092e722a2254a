//! Audit events reach receivers that others wrote, and these understand them.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::sink_faults::{Load, in_time, said};
use crate::stores::{is_down, logged, once};
use crate::support::{
    FluentServer, Gateway, OtelCollector, Rsyslog, Served, Setup, Upstream, eventually,
    victorialogs,
};

async fn gateway(upstream: &Upstream, sinks: Value) -> Gateway {
    let setup = Setup::from(upstream).with("audit.sinks", sinks);
    let gateway = setup.beside("shared.key", "s3cret-of-both\n").start().await;
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    for _ in 0..20 {
        assert_eq!(gateway.query("g1", &query).await.status, 200);
    }
    gateway
}

fn syslog(name: &str, address: std::net::SocketAddr, more: &Value) -> Value {
    let mut syslog = json!({"address": address.to_string(), "hostname": "edge-1"});
    let fields = syslog.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    json!({"name": name, "linger_ms": 5, "syslog": syslog})
}

/// Waits until every event of the log has arrived under this application name; the message texts in order.
async fn arrived(rsyslog: &Rsyslog, app: &str, gateway: &Gateway) -> Vec<String> {
    let events = gateway.exported().len();
    eventually("every message", async || {
        let messages = rsyslog.messages();
        let ours = messages.iter().filter(|message| message[2] == app);
        let texts: Vec<String> = ours.map(|message| message[5].clone()).collect();
        (texts.len() >= events).then_some(texts)
    })
    .await
}

fn ids(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["event_id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn rsyslog_reads_every_event_over_tcp_in_each_format() {
    let Some(rsyslog) = Rsyslog::start().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let sinks = json!([
        syslog("json", rsyslog.tcp, &json!({"app_name": "as-json"})),
        syslog(
            "cef",
            rsyslog.tcp,
            &json!({"app_name": "as-cef", "format": "cef"})
        ),
        syslog(
            "leef",
            rsyslog.tcp,
            &json!({"app_name": "as-leef", "format": "leef"})
        ),
    ]);
    let gateway = gateway(&upstream, sinks).await;
    let texts = arrived(&rsyslog, "as-json", &gateway).await;
    let events = gateway.exported();
    let read: Vec<Value> = texts
        .iter()
        .map(|text| serde_json::from_str(text).expect("the event's JSON"))
        .collect();
    assert_eq!(read, events);
    for (app, begins, names) in [
        ("as-cef", "CEF:0|RocketGraph|", " externalId="),
        ("as-leef", "LEEF:2.0|RocketGraph|", "eventId="),
    ] {
        let texts = arrived(&rsyslog, app, &gateway).await;
        for (text, id) in texts.iter().zip(ids(&events)) {
            assert!(text.starts_with(begins), "{text}");
            assert!(text.contains(&format!("{names}{id}")), "{text}");
        }
    }
    let messages = rsyslog.messages();
    let first = messages
        .iter()
        .find(|message| message[2] == "as-json")
        .expect("a message");
    assert_eq!(first[1], "edge-1");
    assert_eq!(first[3], events[0]["event_type"].as_str().expect("a type"));
    assert_eq!(first[4], "[meta sequenceId=\"1\"]");
    // Facility 13, severity informational.
    assert_eq!(first[0], "110");
    gateway.finish().await;
}

#[tokio::test]
async fn rsyslog_reads_every_event_over_udp() {
    let Some(rsyslog) = Rsyslog::start().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let udp = json!({"transport": "udp", "app_name": "udp"});
    let gateway = gateway(&upstream, json!([syslog("udp", rsyslog.udp, &udp)])).await;
    let texts = arrived(&rsyslog, "udp", &gateway).await;
    let read: Vec<Value> = texts
        .iter()
        .map(|text| serde_json::from_str(text).expect("the event's JSON"))
        .collect();
    assert_eq!(read, gateway.exported());
    gateway.finish().await;
}

/// The receiver's records and the log's events, compared as JavaScript reads numbers: 0 and 0.0 are one.
fn read_alike(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(read_alike).collect(),
        Value::Object(entries) => {
            let entries = entries.iter();
            entries
                .map(|(key, value)| (key.clone(), read_alike(value)))
                .collect()
        }
        other => other.clone(),
    }
}

fn records(receiver: &FluentServer) -> Vec<Value> {
    let entries = receiver.entries();
    entries
        .iter()
        .map(|entry| read_alike(&entry["record"]))
        .collect()
}

fn fluentd(address: std::net::SocketAddr) -> Value {
    json!([{"name": "fluent", "linger_ms": 5, "timeout_ms": 2_000, "fluentd": {
        "address": address.to_string(), "tag": "audit.test", "shared_key": {"file": "shared.key"}}}])
}

#[tokio::test]
async fn a_fluentd_receiver_acknowledges_every_event_and_after_its_restart_too() {
    let Some(receiver) = FluentServer::start(0, "s3cret-of-both").await else {
        return;
    };
    let upstream = Upstream::start().await;
    let address = receiver.address;
    let gateway = gateway(&upstream, fluentd(address)).await;
    let all = async |receiver: &FluentServer, from: usize| {
        let events: Vec<Value> = gateway.exported().iter().map(read_alike).collect();
        eventually("every event", async || {
            let got = records(receiver);
            events[from..]
                .iter()
                .all(|event| got.contains(event))
                .then_some(())
        })
        .await;
        events.len()
    };
    let before = all(&receiver, 0).await;
    let first = receiver.entries()[0].clone();
    assert_eq!(first["tag"], "audit.test");
    let stamp: i64 = first["seconds"].as_i64().expect("seconds");
    let text = first["record"]["timestamp"].as_str().expect("a timestamp");
    let seconds: i64 = text[17..19].parse().expect("seconds");
    assert_eq!(stamp % 60, seconds);
    drop(receiver);

    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    for _ in 0..10 {
        assert_eq!(gateway.query("g1", &query).await.status, 200);
    }
    let again = FluentServer::start(address.port(), "s3cret-of-both").await;
    all(&again.expect("it was there before"), before).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_shared_key_is_read_again_on_reload() {
    let Some(receiver) = FluentServer::start(0, "the-next-key").await else {
        return;
    };
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, fluentd(receiver.address)).await;
    eventually("the sink to be down", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains(r#"rg_audit_sink_up{sink="fluent"} 0"#)
            .then_some(())
    })
    .await;
    gateway.write("shared.key", "the-next-key\n");
    let reloaded = gateway.admin(http::Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    eventually("every event", async || {
        (receiver.entries().len() >= gateway.exported().len()).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_fluentd_receiver_with_another_key_gets_nothing_and_nothing_is_lost() {
    let Some(stranger) = FluentServer::start(0, "another-key").await else {
        return;
    };
    let upstream = Upstream::start().await;
    let address = stranger.address;
    let gateway = gateway(&upstream, fluentd(address)).await;
    eventually("the sink to be down", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains(r#"rg_audit_sink_up{sink="fluent"} 0"#)
            .then_some(())
    })
    .await;
    assert_eq!(stranger.entries(), Vec::<Value>::new());
    drop(stranger);
    let right = FluentServer::start(address.port(), "s3cret-of-both").await;
    let right = right.expect("it was there before");
    let events: Vec<Value> = gateway.exported().iter().map(read_alike).collect();
    eventually("every event", async || {
        (right.entries().len() >= events.len()).then_some(())
    })
    .await;
    assert_eq!(records(&right), events);
    gateway.finish().await;
}

/// What a Collector made of a batch's entries: the events, by their ids, and how often each is there.
pub(crate) fn taken(collector: &OtelCollector) -> (HashMap<String, Value>, HashMap<String, usize>) {
    let (mut events, mut copies) = (HashMap::new(), HashMap::new());
    for record in collector.logs() {
        let mut members = record.attributes;
        assert_eq!(members.remove("fluent.tag"), Some(json!("audit.test")));
        let event: Value = members.into_iter().collect();
        let id = event["event_id"].as_str().expect("an id").to_owned();
        let at: jiff::Timestamp = event["timestamp"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("a time");
        assert_eq!(i128::from(record.nanos), at.as_nanosecond(), "{event}");
        *copies.entry(id.clone()).or_default() += 1;
        events.insert(id, read_alike(&event));
    }
    (events, copies)
}

/// The log's events, by their ids.
fn by_id(gateway: &Gateway) -> HashMap<String, Value> {
    let events = gateway.exported().into_iter();
    let id = |event: &Value| event["event_id"].as_str().expect("an id").to_owned();
    events
        .map(|event| (id(&event), read_alike(&event)))
        .collect()
}

/// Load, in the midst of which the receiver is killed; it starts again while requests come.
async fn killed_under_load(gateway: Gateway, receiver: &mut Served, sink: &str) -> Gateway {
    let gateway = Arc::new(gateway);
    let load = Load::on(&gateway);
    let delivered = "rg_audit_sink_events_total";
    let before = said(&gateway.metrics().await, delivered, sink);
    eventually("events to be taken", async || {
        (said(&gateway.metrics().await, delivered, sink) > before + 50).then_some(())
    })
    .await;
    receiver.kill();
    is_down(&gateway, sink).await;
    receiver.restart().await;
    load.stop().await;
    Arc::into_inner(gateway).expect("the only owner")
}

/// Requests while the receiver is frozen, until that is noticed; then it thaws.
async fn frozen(gateway: &Gateway, receiver: &Served, sink: &str) {
    receiver.signal("STOP");
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    for _ in 0..30 {
        assert_eq!(gateway.query("g1", &query).await.status, 200);
    }
    is_down(gateway, sink).await;
    receiver.signal("CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_takes_every_event_by_fluentds_protocol_killed_under_load_and_frozen() {
    let Some(mut collector) = OtelCollector::start().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let sinks = json!([{"name": "fluent", "linger_ms": 5, "timeout_ms": 1_000, "fluentd": {
        "address": collector.fluentd.to_string(), "tag": "audit.test"}}]);
    let gateway = gateway(&upstream, sinks).await;
    let has_all = async |collector: &OtelCollector, gateway: &Gateway| {
        let events = by_id(gateway);
        in_time("every event", async || {
            (taken(collector).0 == events).then_some(())
        })
        .await;
    };
    has_all(&collector, &gateway).await;
    assert_eq!(taken(&collector).1, once(&logged(&gateway)));

    let gateway = killed_under_load(gateway, &mut collector.served, "fluent").await;
    has_all(&collector, &gateway).await;
    frozen(&gateway, &collector.served, "fluent").await;
    has_all(&collector, &gateway).await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_collector_reads_every_syslog_message() {
    let Some(collector) = OtelCollector::start().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let sinks = json!([syslog(
        "json",
        collector.syslog,
        &json!({"app_name": "gateway"})
    )]);
    let gateway = gateway(&upstream, sinks).await;
    let events = gateway.exported();
    let records = eventually("every message", async || {
        let records = collector.logs();
        (records.len() >= events.len()).then_some(records)
    })
    .await;
    for (record, (place, event)) in records.iter().zip((1..).zip(&events)) {
        let read = |name: &str| record.attributes.get(name).cloned().unwrap_or_default();
        let message: Value =
            serde_json::from_str(read("message").as_str().expect("a text")).expect("JSON");
        assert_eq!(message, *event);
        assert_eq!(read("hostname"), "edge-1");
        assert_eq!(read("appname"), "gateway");
        assert_eq!(read("msg_id"), event["event_type"]);
        assert_eq!(
            read("structured_data")["meta"]["sequenceId"],
            place.to_string()
        );
    }
    assert_eq!(records.len(), events.len());
    gateway.finish().await;
}

/// What VictoriaLogs has: each event's own text by the id that is indexed beside it, and how often it is there.
pub(crate) async fn stored(server: &Served) -> (HashMap<String, Value>, HashMap<String, usize>) {
    let client = reqwest::Client::builder().no_proxy().build();
    let client = client.expect("a client");
    let ask = async |path: &str| {
        let answer = client
            .get(format!("http://{}{path}", server.address))
            .send()
            .await;
        answer.expect("an answer").text().await.expect("a text")
    };
    ask("/internal/force_flush").await;
    let (mut events, mut copies) = (HashMap::new(), HashMap::new());
    for line in ask("/select/logsql/query?query=*").await.lines() {
        let entry: Value = serde_json::from_str(line).expect("a JSON line");
        let event: Value =
            serde_json::from_str(entry["_msg"].as_str().expect("a text")).expect("JSON");
        let at = |value: &Value| -> jiff::Timestamp {
            value.as_str().expect("a time").parse().expect("a time")
        };
        assert_eq!(at(&entry["_time"]), at(&event["timestamp"]), "{entry}");
        assert_eq!(entry["fields.event_id"], event["event_id"], "{entry}");
        assert_eq!(entry["sourcetype"], "rg:audit");
        let id = event["event_id"].as_str().expect("an id").to_owned();
        *copies.entry(id.clone()).or_default() += 1;
        events.insert(id, read_alike(&event));
    }
    (events, copies)
}

/// VictoriaLogs answers before it has written: it is killed when it has.
async fn has_written(server: &Served) {
    let client = reqwest::Client::builder().no_proxy().build();
    let client = client.expect("a client");
    eventually("everything to be on disk", async || {
        let answer = client
            .get(format!("http://{}/metrics", server.address))
            .send()
            .await;
        let metrics = answer.ok()?.text().await.ok()?;
        let waiting = [
            "vl_pending_rows{",
            "vl_storage_parts{type=\"storage/inmemory\"}",
        ];
        let mut lines = metrics
            .lines()
            .filter(|line| waiting.iter().any(|begin| line.starts_with(begin)));
        lines.all(|line| line.ends_with(" 0")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victorialogs_has_every_event_by_splunks_protocol_over_its_kill_and_its_freezing() {
    let Some(mut server) = victorialogs().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let sinks = json!([{"name": "siem", "linger_ms": 5, "timeout_ms": 1_000, "splunk": {
        "url": format!("http://{}", server.address), "token": {"file": "shared.key"}}}]);
    let gateway = gateway(&upstream, sinks).await;
    let has_all = async |server: &Served, gateway: &Gateway| {
        let events = by_id(gateway);
        in_time("every event", async || {
            (stored(server).await.0 == events).then_some(())
        })
        .await;
    };
    has_all(&server, &gateway).await;
    assert_eq!(stored(&server).await.1, once(&logged(&gateway)));

    has_written(&server).await;
    server.kill();
    let gateway = Arc::new(gateway);
    let load = Load::on(&gateway);
    is_down(&gateway, "siem").await;
    server.restart().await;
    load.stop().await;
    let gateway = Arc::into_inner(gateway).expect("the only owner");
    has_all(&server, &gateway).await;
    frozen(&gateway, &server, "siem").await;
    has_all(&server, &gateway).await;
    gateway.finish().await;
}
