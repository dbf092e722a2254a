//! Audit events reach receivers that others wrote, and these understand them.

use serde_json::{Value, json};

use crate::support::{FluentServer, Gateway, Rsyslog, Setup, Upstream, eventually};

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
