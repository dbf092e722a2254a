//! `kill -9` under load, with each durability: no event of an answered request is lost but those `relaxed` says it may
//! lose, and every sink comes to exactly what the log has.
//!
//! `RG_CRASHES` says how often each gateway is killed (twice by default), `RG_DURABILITY` leaves one of the three.
//! What was seen is printed on standard error.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sink_faults::{documents, hits, said};
use crate::stores::{logged, once};
use crate::support::{
    Gateway, Recorder, Served, Setup, Upstream, eventually, ferretdb, ids_of, opensearch,
};

/// Answers between two kills.
const ANSWERS: usize = 150;
/// Bytes that a killed gateway with `relaxed` may lose at most, whatever the disk does.
const UNWRITTEN_BYTES_MAX: usize = 256 << 10;
/// Events that a sink without memory of ids may get again at each kill: the batch under way and the one before.
const REPEATED_MAX: usize = 2 * 500;

/// A store may take this long for a batch of a large backlog.
const STANDSTILL_MAX: Duration = Duration::from_secs(180);

fn crashes() -> usize {
    let asked = std::env::var("RG_CRASHES").ok();
    asked.map_or(2, |text| text.parse().expect("RG_CRASHES is a number"))
}

fn is_asked_for(durability: &str) -> bool {
    std::env::var("RG_DURABILITY").map_or(true, |asked| asked == durability)
}

/// When which request was answered in one life of the gateway.
type Answers = Arc<Mutex<Vec<(String, Instant)>>>;

/// One life: what was answered in it, and when it ended.
struct Life {
    answers: Vec<(String, Instant)>,
    killed: Instant,
}

/// Asks until the gateway is gone.
async fn ask_until_it_dies(gateway: Arc<Gateway>, answers: Answers) {
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    loop {
        let request = gateway
            .request(Method::POST, "/v1/graphs/g1/query")
            .json(&query);
        let Ok(answer) = gateway.try_send(request).await else {
            return;
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        let answered = (answer.request_id().to_owned(), Instant::now());
        answers.lock().expect("not poisoned").push(answered);
    }
}

async fn status(gateway: &Gateway, figure: &str) -> u64 {
    let status = gateway.admin(Method::GET, "/audit/status").await.json();
    status[figure].as_u64().expect("a figure")
}

/// Eight clients, `kill -9` amid their requests, and a new start.
async fn killed_under_load(gateway: Gateway, answers_min: usize) -> (Gateway, Life) {
    let running = Arc::new(gateway);
    let answers = Answers::default();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(ask_until_it_dies(
                Arc::clone(&running),
                Arc::clone(&answers),
            ))
        })
        .collect();
    eventually("the load to be under way", async || {
        (answers.lock().expect("not poisoned").len() > answers_min).then_some(())
    })
    .await;
    let synced = status(&running, "synced_sequence").await;
    running.signal("KILL");
    let killed = Instant::now();
    for client in clients {
        client.await.expect("no panic");
    }
    let mut gateway = Arc::into_inner(running).expect("the only owner");
    gateway.exit().await;
    gateway.restart().await;
    let last = status(&gateway, "last_sequence").await;
    assert!(last >= synced, "{synced} were synced, {last} are there");
    let answers = std::mem::take(&mut *answers.lock().expect("not poisoned"));
    (gateway, Life { answers, killed })
}

/// The receivers of one gateway.
struct Receivers {
    lines: Recorder,
    mongo: Option<Served>,
    search: Option<Served>,
}

impl Receivers {
    /// All that this machine has. A node of OpenSearch, which takes most of a minute to start, for long runs only.
    async fn start() -> Self {
        let is_long = std::env::var_os("RG_CRASHES").is_some();
        Self {
            lines: Recorder::start().await,
            mongo: ferretdb().await,
            search: if is_long { opensearch().await } else { None },
        }
    }

    fn sinks(&self) -> Vec<Value> {
        let mut sinks = vec![
            json!({"name": "copy", "linger_ms": 5, "file": {"path": "copy.jsonl"}}),
            json!({"name": "lines", "linger_ms": 5,
                   "logstash": {"address": self.lines.address.to_string()}}),
        ];
        sinks.extend(self.mongo.iter().map(|server| {
            json!({"name": "mongo", "linger_ms": 5, "timeout_ms": 60_000,
                   "mongodb": {"uri": format!("mongodb://{}/", server.address)}})
        }));
        sinks.extend(self.search.iter().map(|node| {
            json!({"name": "search", "linger_ms": 5, "timeout_ms": 60_000,
                   "elasticsearch": {"url": format!("http://{}", node.address)}})
        }));
        sinks
    }

    /// How often each event is in each of them.
    async fn copies(&self, gateway: &Gateway) -> Vec<(&'static str, HashMap<String, usize>)> {
        let file = gateway.read("copy.jsonl").unwrap_or_default();
        let file: Vec<String> = file.lines().map(str::to_owned).collect();
        let mut copies = vec![
            ("copy", counted(ids_of(&file))),
            ("lines", counted(ids_of(&self.lines.lines()))),
        ];
        if let Some(server) = &self.mongo {
            copies.push(("mongo", counted(documents(server).await)));
        }
        if let Some(node) = &self.search {
            copies.push(("search", counted(hits(node).await)));
        }
        copies
    }
}

fn counted(ids: Vec<String>) -> HashMap<String, usize> {
    let mut copies = HashMap::new();
    for id in ids {
        *copies.entry(id).or_default() += 1;
    }
    copies
}

/// What of each life is in no log: how many, and how long before the kill the oldest of it was answered.
fn lost<'a>(lives: &'a [Life], events: &[Value]) -> Vec<(Vec<&'a String>, Duration)> {
    let kept: HashSet<&str> = events
        .iter()
        .filter_map(|event| event["request_id"].as_str())
        .collect();
    let of_life = |life: &'a Life| {
        let lost = life.answers.iter().filter(|(id, _)| !kept.contains(&**id));
        let (ids, ages): (Vec<_>, Vec<_>) = lost
            .map(|(id, answered)| (id, life.killed.saturating_duration_since(*answered)))
            .unzip();
        (ids, ages.into_iter().max().unwrap_or_default())
    };
    lives.iter().map(of_life).collect()
}

/// Waits until a sink has all that the log has, for as long as it comes nearer.
async fn catches_up(gateway: &Gateway, sink: &str) {
    let mut lag = u64::MAX;
    while lag > 0 {
        let begun = Instant::now();
        lag = loop {
            let now = said(&gateway.metrics().await, "rg_audit_sink_lag_events", sink);
            if now < lag {
                break now;
            }
            assert!(
                begun.elapsed() < STANDSTILL_MAX,
                "{sink} stays {lag} behind"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
    }
}

/// Kills a gateway again and again, and looks what became of its events.
async fn survives(durability: &str) {
    let upstream = Upstream::start().await;
    let receivers = Receivers::start().await;
    let mut gateway = Setup::from(&upstream)
        .with("audit.durability", durability)
        .with("audit.sinks", receivers.sinks())
        .start()
        .await;
    let mut lives = Vec::new();
    for crash in 0..crashes() {
        // Not always at the same place.
        let answers_min = ANSWERS + crash * 67 % ANSWERS;
        let (again, life) = killed_under_load(gateway, answers_min).await;
        gateway = again;
        lives.push(life);
    }
    let names: Vec<String> = receivers.sinks().iter().map(name_of).collect();
    for name in &names {
        catches_up(&gateway, name).await;
    }
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0), "a clean exit");

    let events = gateway.exported();
    let lost = lost(&lives, &events);
    let answered: usize = lives.iter().map(|life| life.answers.len()).sum();
    let all: usize = lost.iter().map(|(ids, _)| ids.len()).sum();
    let most = lost.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
    let oldest = lost.iter().map(|(_, age)| *age).max().unwrap_or_default();
    eprintln!(
        "MEASURED {durability}: {} kills, {answered} answered requests, {all} events lost, at most {most} at a kill, \
         the oldest answered {oldest:?} before it; {} events in the log",
        lives.len(),
        events.len(),
    );
    if durability == "relaxed" {
        let smallest = events.iter().map(|event| event.to_string().len()).min();
        let most_max = UNWRITTEN_BYTES_MAX / smallest.expect("an event");
        assert!(most <= most_max, "{most} > {most_max}");
        gateway.forget(lost.iter().flat_map(|(ids, _)| ids.iter().copied()));
    } else {
        assert_eq!(all, 0);
    }
    gateway.check_log();

    let ids = logged(&gateway);
    receivers.lines.has_all(&ids).await;
    for (name, copies) in receivers.copies(&gateway).await {
        let repeated: usize = copies.values().map(|copies| copies - 1).sum();
        eprintln!(
            "MEASURED {durability}, {name}: {} of {} events, {repeated} repeated",
            copies.len(),
            ids.len()
        );
        let known: HashSet<&String> = copies.keys().collect();
        assert_eq!(known, ids.iter().collect(), "{name}");
        if matches!(name, "mongo" | "search") {
            assert_eq!(copies, once(&ids), "{name}");
        }
        assert!(repeated <= lives.len() * REPEATED_MAX, "{name}: {repeated}");
    }
}

fn name_of(sink: &Value) -> String {
    sink["name"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn relaxed_loses_no_more_than_its_window_and_every_sink_agrees_with_the_log() {
    if is_asked_for("relaxed") {
        survives("relaxed").await;
    }
}

#[tokio::test]
async fn written_loses_nothing_and_every_sink_agrees_with_the_log() {
    if is_asked_for("written") {
        survives("written").await;
    }
}

#[tokio::test]
async fn synced_loses_nothing_and_every_sink_agrees_with_the_log() {
    if is_asked_for("synced") {
        survives("synced").await;
    }
}
