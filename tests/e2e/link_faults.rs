//! The network between the gateway and a receiver fails in every way under load: nothing is lost, a store that knows
//! ids has each event once, and no other sink waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sink_faults::{Load, counted, documents, hits, in_time, said};
use crate::sink_parts::{stored, taken};
use crate::stores::{dead, is_down, logged, once};
use crate::support::{
    Gateway, Line, Link, OtelCollector, Setup, StoreStandIn, Upstream, eventually, ferretdb,
    opensearch, victorialogs,
};

/// How late everything is on a slow line, either way.
const LATE: Duration = Duration::from_millis(300);

/// A gateway with this sink behind the link, and a file that nothing is wrong with.
async fn delivering(upstream: &Upstream, mut sink: Value) -> Gateway {
    let common = json!({"name": "far", "linger_ms": 5, "timeout_ms": 3_000});
    let fields = sink.as_object_mut().expect("an object");
    fields.extend(common.as_object().expect("an object").clone());
    let near = json!({"name": "near", "linger_ms": 5, "file": {"path": "near.jsonl"}});
    Setup::from(upstream)
        .with("audit.sinks", json!([sink, near]))
        .beside("token", "hec-token\n")
        .start()
        .await
}

fn delivered(metrics: &str) -> u64 {
    said(metrics, "rg_audit_sink_events_total", "far")
}

/// The file has what the log has.
async fn near_has_everything(gateway: &Gateway) {
    let ids = logged(gateway);
    eventually("the other sink to have everything", async || {
        let lines = gateway.read("near.jsonl").unwrap_or_default();
        (lines.lines().count() == ids.len()).then_some(())
    })
    .await;
}

/// Waits for what shows that this fault has come to something.
async fn bites(gateway: &Gateway, link: &Link, line: Line) {
    let (before, metrics) = (link.resets(), gateway.metrics().await);
    match line {
        Line::Clear => {
            for _ in 0..10 {
                link.cut();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Line::Slow(_) => {
            in_time("events to come over a slow line", async || {
                let now = gateway.metrics().await;
                (delivered(&now) > delivered(&metrics) + 20).then_some(())
            })
            .await;
        }
        Line::Breaks | Line::NoReply => {
            in_time("three batches to be lost on the way", async || {
                (link.resets() >= before + 3).then_some(())
            })
            .await;
        }
        Line::Hole => is_down(gateway, "far").await,
    }
}

/// Every fault, one after the other, each under load of its own; the line is clear after each.
async fn broken_in_every_way(gateway: Gateway, link: &Link) -> Gateway {
    let gateway = Arc::new(gateway);
    // With a clear line connections are cut, whatever is on them.
    for line in [
        Line::Slow(LATE),
        Line::Clear,
        Line::Breaks,
        Line::NoReply,
        Line::Hole,
    ] {
        link.is(line);
        let load = Load::on(&gateway);
        bites(&gateway, link, line).await;
        load.stop().await;
        near_has_everything(&gateway).await;
        link.is(Line::Clear);
        let events = logged(&gateway).len() as u64;
        in_time("everything to have arrived", async || {
            let metrics = gateway.metrics().await;
            (delivered(&metrics) >= events).then_some(())
        })
        .await;
    }
    Arc::into_inner(gateway).expect("the only owner")
}

/// What a store must have in the end: each event once where it knows ids, else at least once.
fn check(gateway: &Gateway, copies: &HashMap<String, usize>, knows_ids: bool) {
    let ids = logged(gateway);
    let lost = ids.iter().filter(|id| !copies.contains_key(*id)).count();
    let twice = copies.values().filter(|copies| **copies > 1).count();
    eprintln!(
        "MEASURED {} events, {lost} lost, {twice} more than once",
        ids.len()
    );
    assert_eq!((lost, copies.len()), (0, ids.len()));
    if knows_ids {
        assert_eq!(*copies, once(&ids));
    }
    assert_eq!(dead(gateway, "far"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ferretdb_over_a_bad_link_has_each_event_once() {
    let Some(server) = ferretdb().await else {
        return;
    };
    let (upstream, link) = (Upstream::start().await, Link::to(server.address).await);
    link.is(Line::Slow(LATE));
    let uri = format!("mongodb://{}/", link.address);
    let gateway = delivering(&upstream, json!({"mongodb": {"uri": uri}})).await;
    let gateway = broken_in_every_way(gateway, &link).await;
    check(&gateway, &counted(documents(&server).await), true);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opensearch_over_a_bad_link_has_each_event_once() {
    let Some(node) = opensearch().await else {
        return;
    };
    let (upstream, link) = (Upstream::start().await, Link::to(node.address).await);
    link.is(Line::Slow(LATE));
    let url = format!("http://{}", link.address);
    let gateway = delivering(&upstream, json!({"elasticsearch": {"url": url}})).await;
    let gateway = broken_in_every_way(gateway, &link).await;
    check(&gateway, &counted(hits(&node).await), true);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_over_a_bad_link_has_each_event_by_fluentds_protocol() {
    let Some(collector) = OtelCollector::start().await else {
        return;
    };
    let (upstream, link) = (Upstream::start().await, Link::to(collector.fluentd).await);
    let address = link.address.to_string();
    let sink = json!({"fluentd": {"address": address, "tag": "audit.test"}});
    let gateway = delivering(&upstream, sink).await;
    let gateway = broken_in_every_way(gateway, &link).await;
    check(&gateway, &taken(&collector).1, false);
    gateway.finish().await;
}

fn splunk(link: &Link, acknowledge: bool) -> Value {
    let url = format!("http://{}", link.address);
    json!({"splunk": {"url": url, "token": {"file": "token"}, "acknowledge": acknowledge,
                      "acknowledge_poll_ms": 20, "acknowledge_timeout_ms": 6_000}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victorialogs_over_a_bad_link_has_each_event_by_splunks_protocol() {
    let Some(server) = victorialogs().await else {
        return;
    };
    let (upstream, link) = (Upstream::start().await, Link::to(server.address).await);
    let gateway = delivering(&upstream, splunk(&link, false)).await;
    let gateway = broken_in_every_way(gateway, &link).await;
    check(&gateway, &stored(&server).await.1, false);
    gateway.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stand_in_that_acknowledges_over_a_bad_link_has_each_event() {
    let store = StoreStandIn::splunk().await;
    let (upstream, link) = (
        Upstream::start().await,
        Link::to(store.upstream.address).await,
    );
    let gateway = delivering(&upstream, splunk(&link, true)).await;
    let gateway = broken_in_every_way(gateway, &link).await;
    check(&gateway, &store.copies(), false);
    gateway.finish().await;
}
