//! Stand-ins for a search store (`_bulk`), Splunk's collector and Logstash's `http` input: they keep what they take by its id, and
//! fail the way such stores do.
//!
//! They are no products: they show what the gateway makes of the answers that the products' manuals describe.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

use super::eventually;
use super::upstream::{Received, Reply, Upstream};

/// How a stand-in treats what it is sent.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Takes,
    /// Every request is answered with this status.
    Refuses(u16),
    /// Takes nothing and never answers.
    Silent,
    /// Every third event is too much, the first time it comes.
    Stutters,
    /// Events with this text are at fault.
    Abhors(String),
    /// Bodies beyond this size are too large.
    Narrow(usize),
    /// Takes the events and closes without an answer, this many times; Splunk: acknowledges without an answer.
    Lies(usize),
    /// Splunk: takes the events, and acknowledges none.
    Unsure,
}

#[derive(Default)]
struct State {
    mood: Mood,
    /// How often each event was stored.
    copies: HashMap<String, usize>,
    /// How often each event was offered.
    offers: HashMap<String, usize>,
    events: usize,
    bodies: usize,
    /// Splunk: the bodies whose acknowledgement was told, which is done once.
    told: HashSet<String>,
}

/// A stand-in that is listening.
pub(crate) struct StoreStandIn {
    pub(crate) upstream: Upstream,
    state: Arc<Mutex<State>>,
}

impl StoreStandIn {
    /// A search store.
    pub(crate) async fn search() -> Self {
        Self::start(search).await
    }

    /// A collector of Splunk's kind, whose token is `hec-token`.
    pub(crate) async fn splunk() -> Self {
        Self::start(splunk).await
    }

    /// Logstash's `http` input, for the user `rg` with the password `hunter2-hunter2`.
    pub(crate) async fn logstash() -> Self {
        Self::start(logstash).await
    }

    async fn start(answer: fn(&mut State, &Received) -> Reply) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let kept = Arc::clone(&state);
        let script = move |request: &Received| {
            let mut state = lock(&kept);
            match state.mood {
                Mood::Silent => Reply::Never,
                _ => answer(&mut state, request),
            }
        };
        Self {
            upstream: Upstream::answering(script).await,
            state,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.upstream.address)
    }

    pub(crate) fn is(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// How often each event is stored.
    pub(crate) fn copies(&self) -> HashMap<String, usize> {
        lock(&self.state).copies.clone()
    }

    /// Bodies of events that have arrived.
    pub(crate) fn bodies(&self) -> usize {
        lock(&self.state).bodies
    }

    /// Waits until all of these events are stored.
    pub(crate) async fn has_all(&self, ids: &[String]) {
        eventually("every event to be stored", async || {
            let copies = self.copies();
            ids.iter().all(|id| copies.contains_key(id)).then_some(())
        })
        .await;
    }

    /// Waits until a body has arrived that was not there before.
    pub(crate) async fn is_asked_again(&self) {
        let before = self.bodies();
        eventually("another attempt", async || {
            (self.bodies() > before).then_some(())
        })
        .await;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("not poisoned")
}

fn reply(status: u16, body: &Value) -> Reply {
    let fields = vec![("Content-Type", "application/json".to_owned())];
    Reply::Whole(status, fields, body.to_string().into())
}

fn search(state: &mut State, request: &Received) -> Reply {
    if !request.target.starts_with("/_bulk") {
        return match (&state.mood, request.target.as_str()) {
            (Mood::Refuses(status), _) => reply(*status, &json!({"error": {"type": "refused"}})),
            (_, "/") => reply(200, &json!({"version": {"number": "8.15.0"}})),
            _ => reply(200, &json!({"acknowledged": true})),
        };
    }
    state.bodies += 1;
    let body = decoded(request);
    match state.mood {
        Mood::Refuses(status) => {
            return reply(
                status,
                &json!({"error": {"type": "refused", "reason": "by mood"}}),
            );
        }
        Mood::Narrow(most) if body.len() > most => return reply(413, &Value::Null),
        _ => {}
    }
    let lines: Vec<Value> = body
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    let items: Vec<Value> = lines
        .chunks(2)
        .map(|pair| {
            let id = pair[0]["create"]["_id"].as_str().expect("an id");
            let (status, error) = take(state, id, &pair[1].to_string(), true);
            json!({"create": {"status": status, "error": error}})
        })
        .collect();
    if let Mood::Lies(left @ 1..) = state.mood {
        state.mood = Mood::Lies(left - 1);
        return Reply::Close;
    }
    reply(200, &json!({"errors": true, "items": items}))
}

/// Stores one event, or says why not.
fn take(state: &mut State, id: &str, event: &str, ids_are_unique: bool) -> (u16, Value) {
    state.events += 1;
    let offers = state.offers.entry(id.to_owned()).or_default();
    *offers += 1;
    match &state.mood {
        Mood::Stutters if state.events.is_multiple_of(3) && *offers == 1 => {
            return (
                429,
                json!({"type": "es_rejected_execution_exception", "reason": "full"}),
            );
        }
        Mood::Abhors(text) if event.contains(text.as_str()) => {
            return (
                400,
                json!({"type": "mapper_parsing_exception", "reason": "abhorred"}),
            );
        }
        _ => {}
    }
    let copies = state.copies.entry(id.to_owned()).or_default();
    if *copies > 0 && ids_are_unique {
        return (
            409,
            json!({"type": "version_conflict_engine_exception", "reason": "there"}),
        );
    }
    *copies += 1;
    (201, Value::Null)
}

fn splunk(state: &mut State, request: &Received) -> Reply {
    assert_eq!(request.field("x-splunk-request-channel").len(), 36);
    if request.field("authorization") != "Splunk hec-token" {
        state.bodies += 1;
        return reply(403, &json!({"text": "Invalid token", "code": 4}));
    }
    if request
        .target
        .starts_with("/services/collector/ack?channel=")
    {
        let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
        let id = asked["acks"][0].to_string();
        let sure =
            !matches!(state.mood, Mood::Unsure) && id != "0" && state.told.insert(id.clone());
        if let (true, Mood::Lies(left @ 1..)) = (sure, &state.mood) {
            state.mood = Mood::Lies(left - 1);
            return Reply::Close;
        }
        return reply(200, &json!({"acks": {id: sure}}));
    }
    assert_eq!(request.target, "/services/collector/event");
    state.bodies += 1;
    let envelopes: Vec<Value> = decoded(request)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON lines"))
        .collect();
    if let Mood::Refuses(status) = state.mood {
        return reply(status, &json!({"text": "Server is busy", "code": 9}));
    }
    if let Mood::Abhors(text) = &state.mood {
        let blamed = envelopes
            .iter()
            .position(|one| one.to_string().contains(text.as_str()));
        if let Some(number) = blamed {
            let text = "Invalid data format";
            return reply(
                400,
                &json!({"text": text, "code": 6, "invalid-event-number": number}),
            );
        }
    }
    for envelope in &envelopes {
        let id = envelope["event"]["event_id"].as_str().expect("an id");
        assert_eq!(envelope["fields"]["event_id"], id);
        assert_eq!(envelope["sourcetype"], "rg:audit");
        take(state, id, &envelope.to_string(), false);
    }
    reply(
        200,
        &json!({"text": "Success", "code": 0, "ackId": state.bodies}),
    )
}

fn logstash(state: &mut State, request: &Received) -> Reply {
    assert_eq!(request.target, "/audit");
    assert_eq!(request.field("content-type"), "application/json");
    state.bodies += 1;
    // RFC 7617: the user and the password above.
    if request.field("authorization") != "Basic cmc6aHVudGVyMi1odW50ZXIy" {
        return reply(401, &Value::Null);
    }
    let body = decoded(request);
    match &state.mood {
        Mood::Refuses(status) => return reply(*status, &Value::Null),
        Mood::Narrow(most) if body.len() > *most => return reply(413, &Value::Null),
        Mood::Abhors(text) if body.contains(text.as_str()) => return reply(400, &Value::Null),
        _ => {}
    }
    let events: Vec<Value> = serde_json::from_str(&body).expect("a JSON array");
    for event in &events {
        let id = event["event_id"].as_str().expect("an id");
        take(state, id, &event.to_string(), false);
    }
    if let Mood::Lies(left @ 1..) = state.mood {
        state.mood = Mood::Lies(left - 1);
        return Reply::Close;
    }
    Reply::Whole(200, Vec::new(), "ok".into())
}

fn decoded(request: &Received) -> String {
    if request.field("content-encoding") != "gzip" {
        return String::from_utf8(request.body.clone()).expect("text");
    }
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&request.body[..]);
    decoder.read_to_string(&mut text).expect("gzip of text");
    text
}
