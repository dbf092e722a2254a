//! Audit events reach their sinks: all of them, in order, whatever becomes of sinks and gateway.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Gateway, Recorder, Setup, Upstream, eventually, ids_of};

/// The file sink most tests use beside another one.
fn copy() -> Value {
    json!({"name": "copy", "linger_ms": 5, "file": {"path": "copy.jsonl"}})
}

fn logstash(recorder: &Recorder) -> Value {
    json!({"name": "elk", "linger_ms": 5, "timeout_ms": 1_000,
           "logstash": {"address": recorder.address.to_string()}})
}

async fn gateway(upstream: &Upstream, sinks: Value) -> Gateway {
    Setup::from(upstream)
        .with("audit.sinks", sinks)
        .start()
        .await
}

async fn ask(gateway: &Gateway, requests: usize) {
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    for _ in 0..requests {
        assert_eq!(gateway.query("g1", &query).await.status, 200);
    }
}

/// The ids of all events in the log, oldest first.
fn logged(gateway: &Gateway) -> Vec<String> {
    let id = |event: &Value| event["event_id"].as_str().expect("an id").to_owned();
    gateway.exported().iter().map(id).collect()
}

/// The ids in the file sink.
fn copied(gateway: &Gateway) -> Vec<String> {
    let text = gateway.read("copy.jsonl").unwrap_or_default();
    ids_of(&text.lines().map(str::to_owned).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_file_sink_ends_as_the_same_lines_as_the_log() {
    let upstream = Upstream::start().await;
    let mut gateway = gateway(&upstream, json!([copy()])).await;
    ask(&gateway, 30).await;
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    // The last event too, which says that the gateway stopped.
    let exported = gateway.command(&["audit", "export", "--data-dir", "data"]);
    assert_eq!(gateway.read("copy.jsonl"), Some(exported.stdout));
    assert!(logged(&gateway).len() > 30);
}

#[tokio::test]
async fn what_waited_for_a_sink_that_was_down_arrives_in_order_and_no_other_sink_waited() {
    let upstream = Upstream::start().await;
    let down = Recorder::start().await;
    let sinks = json!([logstash(&down), copy()]);
    let address = down.address;
    down.stop().await;
    let gateway = gateway(&upstream, sinks).await;
    ask(&gateway, 40).await;
    let ids = logged(&gateway);
    eventually("the other sink to have everything", async || {
        (copied(&gateway) == ids).then_some(())
    })
    .await;
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains(r#"rg_audit_sink_up{sink="elk"} 0"#),
        "{metrics}"
    );
    assert!(
        metrics.contains(r#"rg_audit_sink_up{sink="copy"} 1"#),
        "{metrics}"
    );
    let lag = format!(r#"rg_audit_sink_lag_events{{sink="elk"}} {}"#, ids.len());
    assert!(metrics.contains(&lag), "{lag}\n{metrics}");

    let up = Recorder::again_at(address).await;
    up.has_all(&ids).await;
    assert_eq!(ids_of(&up.lines())[..ids.len()], ids);
    eventually("the gauge to say so", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains(r#"rg_audit_sink_up{sink="elk"} 1"#)
            .then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_frozen_sink_holds_up_neither_requests_nor_other_sinks_nor_the_end() {
    let upstream = Upstream::start().await;
    let frozen = Recorder::frozen().await;
    let large = "x".repeat(20_000);
    let gateway = gateway(&upstream, json!([logstash(&frozen), copy()])).await;
    // More than the kernel keeps for a receiver that does not read.
    for _ in 0..400 {
        let request = gateway
            .request(http::Method::GET, "/v1/graphs")
            .header("user-agent", &large);
        assert_eq!(gateway.send(request).await.status, 200);
    }
    let ids = logged(&gateway);
    eventually("the other sink to have everything", async || {
        (copied(&gateway) == ids).then_some(())
    })
    .await;
    eventually("the frozen one to be noticed", async || {
        let metrics = gateway.metrics().await;
        metrics
            .contains(r#"rg_audit_sink_up{sink="elk"} 0"#)
            .then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_receiver_that_is_restarted_between_two_batches_misses_nothing() {
    let upstream = Upstream::start().await;
    let first = Recorder::start().await;
    let gateway = gateway(&upstream, json!([logstash(&first)])).await;
    let address = first.address;
    ask(&gateway, 10).await;
    first.has_all(&logged(&gateway)).await;
    let mut got = super::support::lines_of(&first.stop().await);
    let second = Recorder::again_at(address).await;
    ask(&gateway, 10).await;
    let ids = logged(&gateway);
    second.has_all(&ids[ids.len() - 10..]).await;
    got.extend(second.lines());
    let got: HashSet<String> = ids_of(&got).into_iter().collect();
    assert!(ids.iter().all(|id| got.contains(id)));
    gateway.finish().await;
}

#[tokio::test]
async fn after_kill_9_under_load_every_event_arrives_and_few_arrive_twice() {
    let upstream = Upstream::start().await;
    let recorder = Recorder::start().await;
    let mut gateway = gateway(&upstream, json!([logstash(&recorder), copy()])).await;
    for round in 1..=2 {
        let running = Arc::new(gateway);
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let gateway = Arc::clone(&running);
                tokio::spawn(async move {
                    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
                    loop {
                        let request = gateway
                            .request(http::Method::POST, "/v1/graphs/g1/query")
                            .json(&query);
                        if gateway.try_send(request).await.is_err() {
                            return;
                        }
                    }
                })
            })
            .collect();
        eventually("events to be on their way", async || {
            (recorder.lines().len() > 100 * round).then_some(())
        })
        .await;
        running.signal("KILL");
        for client in clients {
            client.await.expect("no panic");
        }
        gateway = Arc::into_inner(running).expect("the only owner");
        gateway.exit().await;
        gateway.restart().await;
    }
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    let ids = logged(&gateway);
    recorder.has_all(&ids).await;
    for got in [ids_of(&recorder.lines()), copied(&gateway)] {
        let set: HashSet<&String> = got.iter().collect();
        assert_eq!(set, ids.iter().collect());
        // At most the batch that was under way at each kill, and with it the one before.
        assert!(
            got.len() <= ids.len() + 2 * 2 * 500,
            "{} of {}",
            got.len(),
            ids.len()
        );
    }
    gateway.check_log();
}

#[tokio::test]
async fn a_reload_starts_and_ends_sinks_and_a_cursor_outlives_its_sink() {
    let upstream = Upstream::start().await;
    let mut gateway = gateway(&upstream, json!([])).await;
    ask(&gateway, 5).await;
    let set = async |gateway: &mut Gateway, sinks: Value| {
        gateway.rewrite(|file| file["audit"]["sinks"] = sinks);
        let reloaded = gateway.admin(http::Method::POST, "/reload").await;
        assert_eq!(reloaded.status, 200, "{reloaded:?}");
    };
    set(&mut gateway, json!([copy()])).await;
    let whole = async |gateway: &Gateway| {
        eventually("the sink to have everything", async || {
            (copied(gateway) == logged(gateway)).then_some(())
        })
        .await;
    };
    whole(&gateway).await;
    assert!(
        gateway
            .metrics()
            .await
            .contains(r#"rg_audit_sink_up{sink="copy"} 1"#)
    );

    set(&mut gateway, json!([])).await;
    assert!(
        !gateway
            .metrics()
            .await
            .contains(r#"rg_audit_sink_up{sink="copy"}"#)
    );
    ask(&gateway, 5).await;
    // It goes on where it was, and repeats nothing.
    set(&mut gateway, json!([copy()])).await;
    whole(&gateway).await;
    gateway.finish().await;
}

/// A receiver's certificate for this name, and what takes connections with it.
fn certificate(name: &str) -> (String, tokio_rustls::TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a usable certificate");
    (made.cert.pem(), Arc::new(config).into())
}

#[tokio::test]
async fn over_tls_events_reach_the_right_receiver_and_no_other() {
    let upstream = Upstream::start().await;
    let (pem, acceptor) = certificate("siem.test");
    // Another receiver of that name, with a certificate nobody vouches for.
    let (_, strange) = certificate("siem.test");
    let (right, wrong) = (
        Recorder::over_tls(acceptor.clone()).await,
        Recorder::over_tls(strange).await,
    );
    let misnamed = Recorder::over_tls(acceptor).await;
    let sink = |name: &str, to: &Recorder, server_name: &str| {
        let tls = json!({"ca_file": "ca.pem", "server_name": server_name});
        let syslog = json!({"address": to.address.to_string(), "tls": tls});
        json!({"name": name, "linger_ms": 5, "syslog": syslog})
    };
    let sinks = json!([
        sink("right", &right, "siem.test"),
        sink("wrong", &wrong, "siem.test"),
        sink("misnamed", &misnamed, "other.test"),
    ]);
    let setup = Setup::from(&upstream).with("audit.sinks", sinks);
    let gateway = setup.beside("ca.pem", &pem).start().await;
    ask(&gateway, 10).await;
    let ids = logged(&gateway);
    eventually("every event to arrive", async || {
        let got = String::from_utf8(right.connections().concat()).expect("UTF-8");
        ids.iter().all(|id| got.contains(id)).then_some(())
    })
    .await;
    eventually("the others to be refused", async || {
        let metrics = gateway.metrics().await;
        let down = |name: &str| metrics.contains(&format!("rg_audit_sink_up{{sink=\"{name}\"}} 0"));
        (down("wrong") && down("misnamed")).then_some(())
    })
    .await;
    assert!(wrong.connections().is_empty() && misnamed.connections().is_empty());
    gateway.finish().await;
}

#[tokio::test]
async fn an_event_that_a_receiver_cannot_take_is_a_dead_letter_and_holds_up_no_other() {
    let upstream = Upstream::start().await;
    let recorder = Recorder::start().await;
    let syslog = json!({"address": recorder.address.to_string(), "format": "cef",
                        "message_bytes_max": 1_400});
    let sinks = json!([{"name": "siem", "linger_ms": 5, "syslog": syslog}]);
    let gateway = gateway(&upstream, sinks).await;
    ask(&gateway, 5).await;
    let long = gateway
        .request(
            http::Method::GET,
            &format!("/v1/graphs/{}", "g".repeat(3_000)),
        )
        .header("user-agent", "x".repeat(2_000));
    let long = gateway.send(long).await;
    ask(&gateway, 5).await;
    let poison = gateway.audit_of(&long).await;
    let poison_id = poison["event_id"].as_str().expect("an id");
    let ids = logged(&gateway);
    eventually("all others to arrive", async || {
        let got = String::from_utf8(recorder.connections().concat()).expect("UTF-8");
        let mut others = ids.iter().filter(|id| *id != poison_id);
        others.all(|id| got.contains(id.as_str())).then_some(())
    })
    .await;
    let dead = eventually("the dead letter", async || {
        gateway.read("data/sinks/siem.dead.jsonl")
    })
    .await;
    let dead: Vec<Value> = dead
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect();
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["event"], poison);
    assert_eq!(dead[0]["sink"], "siem");
    let reason = dead[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("message_bytes_max"), "{reason}");
    let metrics = gateway.metrics().await;
    let rejected = r#"rg_audit_sink_events_total{sink="siem",outcome="rejected"} 1"#;
    assert!(metrics.contains(rejected), "{metrics}");
    gateway.finish().await;
}
