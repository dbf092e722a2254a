//! One sink after the other goes down and is frozen under load: nothing is lost, no other sink waits, memory stays.
//!
//! Each fault lasts two seconds, or as many as `RG_DOWN_SECONDS` says; what was seen of it is printed on standard
//! error. The length decides nothing: what must hold is waited for. `RG_DOWN_SINKS` names the only ones to break.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::stores::{logged, once};
use crate::support::{
    FluentServer, Gateway, Mood, Recorder, Served, Setup, StoreStandIn, Upstream, ferretdb, ids_of,
    opensearch,
};

/// A sink may wait long before it offers again; a store that was frozen for a minute took two to have its backlog.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the gateway's memory may grow by over a fault: batches and answers of one sink, and what malloc keeps.
const GROWTH_KIB_MAX: u64 = 48 * 1024;
/// Bytes that a receiver without acknowledgements may lose: what both kernels hold of a connection.
const UNACKNOWLEDGED_BYTES_MAX: usize = 8 << 20;

/// A receiver, as far as this test breaks it.
enum Part {
    Mongo(Served),
    Search(Served),
    /// Splunk's collector or Logstash's `http` input.
    StandIn(StoreStandIn),
    Fluent {
        server: Option<FluentServer>,
        port: u16,
        /// What servers had that are gone.
        before: Vec<String>,
    },
    /// Lines over TCP.
    Lines {
        recorder: Option<Recorder>,
        before: Vec<Vec<u8>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Down,
    Frozen,
}

impl Part {
    async fn breaks(&mut self, fault: Fault) {
        match (self, fault) {
            (Self::Mongo(server) | Self::Search(server), Fault::Down) => server.kill(),
            (Self::Mongo(server) | Self::Search(server), Fault::Frozen) => server.signal("STOP"),
            (Self::StandIn(store), Fault::Down) => store.is(Mood::Refuses(503)),
            (Self::StandIn(store), Fault::Frozen) => store.is(Mood::Silent),
            (Self::Fluent { server, before, .. }, Fault::Down) => {
                before.extend(ids_in(&server.take().expect("running").stop()));
            }
            (Self::Fluent { server, .. }, Fault::Frozen) => {
                server.as_ref().expect("running").signal("STOP");
            }
            (Self::Lines { recorder, before }, _) => {
                let recorder = recorder.take().expect("running");
                before.extend(recorder.stop().await);
            }
        }
    }

    async fn mends(&mut self, fault: Fault, address: &str) {
        match (self, fault) {
            (Self::Mongo(server) | Self::Search(server), Fault::Down) => server.restart().await,
            (Self::Mongo(server) | Self::Search(server), Fault::Frozen) => server.signal("CONT"),
            (Self::StandIn(store), _) => store.is(Mood::Takes),
            (Self::Fluent { server, port, .. }, Fault::Down) => {
                *server = FluentServer::start(*port, "").await;
            }
            (Self::Fluent { server, .. }, Fault::Frozen) => {
                server.as_ref().expect("running").signal("CONT");
            }
            (Self::Lines { recorder, .. }, _) => {
                let address = address.parse().expect("an address");
                *recorder = Some(Recorder::again_at(address).await);
            }
        }
    }

    /// How often each event is there.
    async fn copies(&self) -> HashMap<String, usize> {
        match self {
            Self::Mongo(server) => counted(documents(server).await),
            Self::Search(node) => counted(hits(node).await),
            Self::StandIn(store) => store.copies(),
            Self::Fluent { server, before, .. } => {
                let now = server.iter().flat_map(|server| ids_in(&server.entries()));
                counted(before.iter().cloned().chain(now).collect())
            }
            Self::Lines { recorder, before } => {
                let mut connections = before.clone();
                connections.extend(recorder.iter().flat_map(Recorder::connections));
                counted(ids_of(&crate::support::lines_of(&connections)))
            }
        }
    }

    /// Whether the store knows an event by its id.
    fn knows_ids(&self) -> bool {
        matches!(self, Self::Mongo(_) | Self::Search(_))
    }
}

pub(crate) fn counted(ids: Vec<String>) -> HashMap<String, usize> {
    let mut copies = HashMap::new();
    for id in ids {
        *copies.entry(id).or_default() += 1;
    }
    copies
}

fn ids_in(entries: &[Value]) -> Vec<String> {
    let id = |entry: &Value| entry["record"]["event_id"].as_str().map(str::to_owned);
    entries.iter().filter_map(id).collect()
}

pub(crate) async fn documents(server: &Served) -> Vec<String> {
    let client = Client::with_uri_str(format!("mongodb://{}/", server.address)).await;
    let database = client.expect("a client").database("rocketgraph");
    let collection = database.collection::<Document>("audit_logs");
    let found = collection.find(doc! {}).projection(doc! {"_id": 1}).await;
    let mut cursor = found.expect("an answer");
    let mut ids = Vec::new();
    while cursor.advance().await.expect("a document") {
        let document = cursor.deserialize_current().expect("a document");
        ids.push(document.get_str("_id").expect("an id").to_owned());
    }
    ids
}

pub(crate) async fn hits(node: &Served) -> Vec<String> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let ask = async |path: &str, body: Value| -> Value {
        let url = format!("http://{}/audit-logs-*/{path}", node.address);
        let answer = client
            .post(url)
            .json(&body)
            .send()
            .await
            .expect("an answer");
        answer.json().await.expect("JSON")
    };
    ask("_refresh", json!({})).await;
    let mut ids = Vec::new();
    let mut body = json!({"size": 1_000, "_source": false, "sort": [{"event_id": "asc"}]});
    loop {
        let answer = ask("_search", body.clone()).await;
        let hits = answer["hits"]["hits"].as_array().expect("hits").clone();
        let Some(last) = hits.last() else {
            return ids;
        };
        body["search_after"] = last["sort"].clone();
        let id = |hit: &Value| hit["_id"].as_str().expect("an id").to_owned();
        ids.extend(hits.iter().map(id));
    }
}

/// A sink, its receiver and where that is.
struct Target {
    name: &'static str,
    address: String,
    settings: Value,
    part: Part,
}

impl Target {
    fn of(name: &'static str, address: String, kind: &Value, part: Part) -> Self {
        // SQLite behind FerretDB takes its time for a batch where the collection is large.
        let timeout_ms = if name == "mongo" { 5_000 } else { 1_000 };
        let mut settings = json!({"name": name, "linger_ms": 5, "timeout_ms": timeout_ms});
        let all = settings.as_object_mut().expect("an object");
        all.extend(kind.as_object().expect("an object").clone());
        Self {
            name,
            address,
            settings,
            part,
        }
    }
}

/// Every receiver that this machine has.
async fn targets() -> Vec<Target> {
    let (splunk, logstash) = (StoreStandIn::splunk().await, StoreStandIn::logstash().await);
    let lines = Recorder::start().await;
    let address = lines.address.to_string();
    let mut targets = vec![
        Target::of(
            "splunk",
            String::new(),
            &json!({"splunk": {"url": splunk.url(), "token": {"file": "token"}}}),
            Part::StandIn(splunk),
        ),
        Target::of(
            "logstash",
            String::new(),
            &json!({"logstash": {"url": format!("{}/audit", logstash.url()), "username": "rg",
                                "password": {"file": "password"}}}),
            Part::StandIn(logstash),
        ),
        Target::of(
            "lines",
            address.clone(),
            &json!({"logstash": {"address": address}}),
            Part::Lines {
                recorder: Some(lines),
                before: Vec::new(),
            },
        ),
    ];
    if let Some(server) = FluentServer::start(0, "").await {
        let address = server.address.to_string();
        let port = server.address.port();
        let part = Part::Fluent {
            server: Some(server),
            port,
            before: Vec::new(),
        };
        let kind = json!({"fluentd": {"address": address}});
        targets.push(Target::of("fluentd", address, &kind, part));
    }
    if let Some(server) = ferretdb().await {
        let kind = json!({"mongodb": {"uri": format!("mongodb://{}/", server.address)}});
        targets.push(Target::of(
            "mongo",
            String::new(),
            &kind,
            Part::Mongo(server),
        ));
    }
    if let Some(node) = opensearch().await {
        let kind = json!({"elasticsearch": {"url": format!("http://{}", node.address)}});
        targets.push(Target::of(
            "search",
            String::new(),
            &kind,
            Part::Search(node),
        ));
    }
    targets
}

/// Two clients that ask until told to stop.
pub(crate) struct Load {
    stops: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn on(gateway: &Arc<Gateway>) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let clients = (0..2).map(|_| {
            let (gateway, stops) = (Arc::clone(gateway), Arc::clone(&stops));
            tokio::spawn(async move {
                let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
                while !stops.load(Ordering::Relaxed) {
                    let request = gateway.request(Method::POST, "/v1/graphs/g1/query");
                    if gateway.try_send(request.json(&query)).await.is_err() {
                        return;
                    }
                    // Some load, not all the machine can bear.
                    tokio::time::sleep(Duration::from_millis(8)).await;
                }
            })
        });
        Self {
            clients: clients.collect(),
            stops,
        }
    }

    pub(crate) async fn stop(self) {
        self.stops.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no panic");
        }
    }
}

/// What a gauge or counter of a sink says.
pub(crate) fn said(metrics: &str, family: &str, sink: &str) -> u64 {
    let begins = format!("{family}{{sink=\"{sink}\"");
    let line = metrics.lines().find(|line| line.starts_with(&begins));
    let value = line.and_then(|line| line.rsplit(' ').next()).expect(family);
    let whole = value.split('.').next().unwrap_or_default();
    whole.parse().expect("a number")
}

/// Asks until there is something; for longer than the longest wait of a sink that found its receiver gone.
pub(crate) async fn in_time<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, asked).await;
    found.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

const LAG: &str = "rg_audit_sink_lag_events";

/// Waits until these sinks have all that the log has.
pub(crate) async fn caught_up(gateway: &Gateway, sinks: &[&str]) {
    in_time(&format!("{sinks:?} to have everything"), async || {
        let metrics = gateway.metrics().await;
        let behind = sinks.iter().any(|sink| said(&metrics, LAG, sink) > 0);
        (!behind).then_some(())
    })
    .await;
}

/// The most that any of these sinks was behind over this time.
async fn watched(gateway: &Gateway, sinks: &[&str], time: Duration) -> u64 {
    let (begun, mut most) = (Instant::now(), 0);
    while begun.elapsed() < time {
        let metrics = gateway.metrics().await;
        let behind = sinks.iter().map(|sink| said(&metrics, LAG, sink));
        most = behind.max().unwrap_or(0).max(most);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    most
}

/// One sink breaks under load and is mended; what was seen.
async fn endures(
    gateway: Gateway,
    names: &[&str],
    target: &mut Target,
    fault: Fault,
    time: Duration,
) -> Gateway {
    let name = target.name;
    let others: Vec<&str> = names
        .iter()
        .copied()
        .filter(|other| *other != name)
        .collect();
    caught_up(&gateway, names).await;
    let memory = gateway.memory_kib();
    let gateway = Arc::new(gateway);
    let load = Load::on(&gateway);
    target.part.breaks(fault).await;
    let most = watched(&gateway, &others, time).await;
    in_time("the fault to be noticed", async || {
        let metrics = gateway.metrics().await;
        (said(&metrics, "rg_audit_sink_up", name) == 0).then_some(())
    })
    .await;
    load.stop().await;
    // While this one is still broken.
    caught_up(&gateway, &others).await;
    let behind = said(&gateway.metrics().await, LAG, name);
    assert!(behind > 0, "{name} is {fault:?} and behind by nothing");
    let grown = gateway.memory_kib().zip(memory);
    if let Some((now, before)) = grown {
        assert!(
            now < before + GROWTH_KIB_MAX,
            "{name}: {before} to {now} KiB"
        );
    }
    target.part.mends(fault, &target.address).await;
    let mended = Instant::now();
    caught_up(&gateway, &[name]).await;
    let took = mended.elapsed().as_secs_f64();
    let (now, before) = grown.unwrap_or_default();
    eprintln!(
        "MEASURED {name} {fault:?} {}s: behind {behind} events, others at most {most}; had them {took:.1} s after; \
         memory {before} to {now} KiB",
        time.as_secs(),
    );
    Arc::into_inner(gateway).expect("the only owner")
}

/// The same load without a fault, so that what the gateway's memory grows by at first counts for no fault.
async fn warms_up(gateway: Gateway, names: &[&str], time: Duration) -> Gateway {
    let before = gateway.memory_kib().unwrap_or_default();
    let gateway = Arc::new(gateway);
    let load = Load::on(&gateway);
    let most = watched(&gateway, names, time).await;
    load.stop().await;
    caught_up(&gateway, names).await;
    let now = gateway.memory_kib().unwrap_or_default();
    eprintln!(
        "MEASURED no fault {}s: all at most {most} behind; memory {before} to {now} KiB",
        time.as_secs()
    );
    Arc::into_inner(gateway).expect("the only owner")
}

/// `kill -9` in the middle of batches, and a new start.
async fn killed_under_load(gateway: Gateway, names: &[&str]) -> Gateway {
    let gateway = Arc::new(gateway);
    let load = Load::on(&gateway);
    let before = gateway.metrics().await;
    let delivered = "rg_audit_sink_events_total";
    in_time("events on their way to every sink", async || {
        let now = gateway.metrics().await;
        let more = |name: &&str| said(&now, delivered, name) > said(&before, delivered, name) + 20;
        names.iter().all(more).then_some(())
    })
    .await;
    gateway.signal("KILL");
    load.stop().await;
    let mut gateway = Arc::into_inner(gateway).expect("the only owner");
    gateway.exit().await;
    gateway.restart().await;
    caught_up(&gateway, names).await;
    gateway
}

/// Each event is there, and once where the store knows ids; a receiver that acknowledges nothing may miss some.
async fn check(target: &Target, ids: &[String], faults: usize) {
    let acknowledges = !matches!(target.part, Part::Lines { .. });
    // What a receiver wrote down may still be on its way to us.
    in_time("all events to be there", async || {
        let copies = target.part.copies().await;
        let there = |id: &String| copies.contains_key(id);
        (!acknowledges || ids.iter().all(there)).then_some(())
    })
    .await;
    let copies = target.part.copies().await;
    let known: HashSet<&String> = ids.iter().collect();
    let strange = copies.keys().filter(|id| !known.contains(id)).count();
    let lost = ids.iter().filter(|id| !copies.contains_key(*id)).count();
    let twice = copies.values().filter(|copies| **copies > 1).count();
    let name = target.name;
    eprintln!(
        "MEASURED {name}: {} events, {lost} lost, {twice} twice",
        ids.len()
    );
    assert_eq!(strange, 0, "{name}");
    if !acknowledges {
        assert!(
            lost * 500 < UNACKNOWLEDGED_BYTES_MAX * faults,
            "{name}: {lost}"
        );
        return;
    }
    assert_eq!(lost, 0, "{name}");
    if target.part.knows_ids() {
        assert_eq!(copies, once(ids), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_breaks_nothing_is_lost_no_other_sink_waits_and_memory_stays() {
    let seconds = std::env::var("RG_DOWN_SECONDS").ok();
    let seconds: Option<u64> = seconds.and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(2));
    let mut targets = targets().await;
    let mut names: Vec<&str> = targets.iter().map(|target| target.name).collect();
    names.push("copy");
    let mut sinks: Vec<Value> = targets
        .iter()
        .map(|target| target.settings.clone())
        .collect();
    sinks.push(json!({"name": "copy", "linger_ms": 5, "file": {"path": "copy.jsonl"}}));
    let upstream = Upstream::start().await;
    let setup = Setup::from(&upstream)
        .with("audit.sinks", sinks)
        .beside("token", "hec-token\n")
        .beside("password", "hunter2-hunter2\n");
    let mut gateway = warms_up(setup.start().await, &names, time).await;
    let only = std::env::var("RG_DOWN_SINKS").ok();
    let is_broken = |name: &str| only.as_ref().is_none_or(|only| only.contains(name));
    for target in targets.iter_mut().filter(|target| is_broken(target.name)) {
        // A node that starts again takes most of a minute; a test of its own kills it.
        let is_slow = matches!(target.part, Part::Search(_)) && seconds.is_none();
        for fault in [Fault::Down, Fault::Frozen] {
            if !(is_slow && fault == Fault::Down) {
                gateway = endures(gateway, &names, target, fault, time).await;
            }
        }
    }
    let gateway = killed_under_load(gateway, &names).await;
    let ids = logged(&gateway);
    for target in &targets {
        check(target, &ids, 2).await;
    }
    gateway.finish().await;
}
