//! What a store has is found like what the log has: the same events, in the same order, page by page.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::stores::{delivering, search};
use crate::support::{
    Answer, Gateway, NewKey, Received, Reply, Served, Setup, StoreStandIn, Upstream, elasticsearch,
    ferretdb, opensearch,
};

/// How long a store may take to be ready on a busy machine.
const STORE_STARTS_WITHIN: Duration = Duration::from_secs(120);
/// Events a page, so that most searches have several.
const LIMIT: usize = 7;

fn mongo(server: &Served) -> Value {
    let uri = format!("mongodb://{}/", server.address);
    json!({"name": "store", "linger_ms": 5, "timeout_ms": 19_000, "mongodb": {"uri": uri}})
}

fn text<'a>(event: &'a Value, member: &str) -> &'a str {
    event[member].as_str().expect("a text")
}

/// A page of the log, or of the store.
async fn page(gateway: &Gateway, query: &str, store: &str, cursor: &str) -> Value {
    let path = format!("/audit/events?limit={LIMIT}{query}{store}{cursor}");
    let answer = gateway.admin(Method::GET, &path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// All pages of a search, one after the other.
async fn pages(gateway: &Gateway, query: &str, store: &str) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = page(gateway, query, store, &cursor).await;
        let found = page["events"].as_array().expect("events");
        assert!(found.len() <= LIMIT, "{page}");
        events.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return events,
        }
    }
}

/// Requests of every sort, one after the other; the span of time they are in, as a query.
async fn varied(gateway: &Gateway) -> String {
    let other = gateway.key_of("other");
    let attack = "/v1/graphs?q=1%27%20UNION%20SELECT%20password%20FROM%20users--";
    let first = gateway.get("/v1/graphs").await;
    for n in 0..9 {
        let query = json!({"query": "MATCH (n) WHERE n.name = 'Zoë \"the\" €' RETURN n LIMIT 1"});
        assert_eq!(gateway.query(&format!("g{n}"), &query).await.status, 200);
        let other = gateway.request_with(other, Method::GET, &format!("/v1/graphs/{n}"));
        let other = other.header("user-agent", format!("tool.v{n} $set \"quoted\" / x"));
        assert_eq!(gateway.send(other).await.status, 200);
        assert_eq!(gateway.get(attack).await.status, 403);
        assert_eq!(gateway.get("/nowhere").await.status, 404);
    }
    let nobody = gateway.request_without_key(Method::GET, "/v1/graphs");
    assert_eq!(gateway.send(nobody).await.status, 401);
    let last = gateway.get("/admin/x").await;
    span(gateway, &first, &last).await
}

async fn span(gateway: &Gateway, first: &Answer, last: &Answer) -> String {
    let at = async |answer: &Answer| {
        let event = gateway.audit_of(answer).await;
        text(&event, "timestamp").replace(':', "%3A")
    };
    format!("&from={}&to={}", at(first).await, at(last).await)
}

/// Requests all at once, so that many events share a millisecond; their span.
async fn crowd(gateway: Gateway) -> (Gateway, String) {
    let first = gateway.get("/v1/graphs").await;
    let running = Arc::new(gateway);
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let gateway = Arc::clone(&running);
            tokio::spawn(async move {
                for _ in 0..25 {
                    gateway.get("/v1/graphs").await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no panic");
    }
    let gateway = Arc::into_inner(running).expect("the only owner");
    let last = gateway.get("/v1/graphs").await;
    let span = span(&gateway, &first, &last).await;
    (gateway, span)
}

/// Waits until the store shows the newest event of this span.
async fn shows(gateway: &Gateway, span: &str, refresh: &impl AsyncFn()) {
    let newest = page(gateway, span, "", "").await;
    let newest = format!("&event_id={}", text(&newest["events"][0], "event_id"));
    let path = format!("/audit/events?store=store{newest}");
    let shown = async {
        loop {
            refresh().await;
            let answer = gateway.admin(Method::GET, &path).await;
            // A store that has just started may not answer yet.
            if answer.status == 200
                && answer.json()["events"]
                    .as_array()
                    .is_some_and(|e| e.len() == 1)
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let shown = tokio::time::timeout(STORE_STARTS_WITHIN, shown).await;
    shown.expect("the store to have everything");
}

/// Every filter, and some together, with values that occur among these events.
fn searches(gateway: &Gateway, events: &[Value]) -> Vec<String> {
    let refused = events.iter().find(|event| event["status_code"] == 403);
    let refused = refused.expect("a refused request");
    vec![
        String::new(),
        "&organization_id=acme".to_owned(),
        "&organization_id=other&status=200".to_owned(),
        format!("&api_key_id={}", gateway.key_of("other").id),
        "&event_type=security_event".to_owned(),
        "&event_type=data_access&compliance_tag=data_access".to_owned(),
        "&severity=warning".to_owned(),
        "&source_ip=127.0.0.1".to_owned(),
        "&source_ip=127.0.0.0%2F9".to_owned(),
        "&source_ip=0.0.0.0%2F0&status=404".to_owned(),
        "&status=404".to_owned(),
        format!("&request_id={}", text(refused, "request_id")),
        format!("&decision_id={}", text(refused, "decision_id")),
        format!("&event_id={}", text(refused, "event_id")),
        "&text=UNION".to_owned(),
        "&text=tool.v3".to_owned(),
        "&text=%24set%20%22quoted%22".to_owned(),
        format!("&text={}", &text(refused, "timestamp")[20..26]),
    ]
}

async fn agrees_with_the_log(gateway: Gateway, refresh: impl AsyncFn()) {
    of_requests_in_turn(&gateway, &refresh).await;
    let (gateway, newest) = of_a_crowd(gateway, &refresh).await;
    on_the_command_line(&gateway, &newest);
    let searched = pages(&gateway, "&text=audit.searched", "").await;
    let of_store = |event: &&Value| event["details"]["parameters"]["store"] == "store";
    // This many pages were asked for in the course of this test, and one search by a command.
    assert!(searched.iter().filter(of_store).count() > 30);
    assert!(searched.iter().any(|event| !of_store(&event)));
    gateway.finish().await;
}

async fn of_requests_in_turn(gateway: &Gateway, refresh: &impl AsyncFn()) {
    let span = varied(gateway).await;
    shows(gateway, &span, refresh).await;
    let events = pages(gateway, &span, "").await;
    assert!(events.len() > 30, "{}", events.len());
    for filters in searches(gateway, &events) {
        let query = format!("{span}{filters}");
        let expected = pages(gateway, &query, "").await;
        assert!(!expected.is_empty(), "{query} finds nothing");
        let found = pages(gateway, &query, "&store=store").await;
        assert_eq!(found, expected, "{query}");
    }
    for filters in [
        "&organization_id=nobody",
        "&source_ip=192.0.2.0%2F24",
        "&source_ip=::%2F0",
        "&text=zzz",
    ] {
        let query = format!("{span}{filters}");
        for store in ["", "&store=store"] {
            assert_eq!(pages(gateway, &query, store).await, [Value::Null; 0]);
        }
    }
    // The gateway's own events are told apart from those of clients.
    let own = page(gateway, "&source_ip=system", "&store=store", "").await;
    assert!(own["events"][0]["method"] == "SYSTEM", "{own}");
}

/// A log has the order in which requests ended, a store that of time: of the same events. The newest of them.
async fn of_a_crowd(gateway: Gateway, refresh: &impl AsyncFn()) -> (Gateway, Value) {
    let (gateway, span) = crowd(gateway).await;
    shows(&gateway, &span, refresh).await;
    let mut expected = pages(&gateway, &span, "").await;
    expected.sort_by_key(|event| {
        let place = [text(event, "timestamp"), text(event, "event_id")].map(str::to_owned);
        std::cmp::Reverse(place)
    });
    assert!(expected.len() > 200, "{}", expected.len());
    assert_eq!(pages(&gateway, &span, "&store=store").await, expected);
    (gateway, expected.swap_remove(0))
}

fn on_the_command_line(gateway: &Gateway, event: &Value) {
    let id = text(event, "event_id");
    let asked = [
        "audit",
        "search",
        "--store",
        "store",
        "-c",
        "gateway.yaml",
        "--event-id",
        id,
    ];
    let outcome = gateway.command(&asked);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let found: Value = serde_json::from_str(&outcome.stdout).expect("one JSON line");
    assert_eq!(found, *event);
    let table = gateway.command(&[&asked[..], &["--output", "table"]].concat());
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(
        table.stdout.contains(id) && table.stdout.starts_with("TIME"),
        "{table:?}"
    );
}

fn two_organizations(upstream: &Upstream, sink: &Value) -> Setup {
    let setup = Setup::from(upstream).also_key(NewKey::of("other"));
    setup.with("audit.sinks", json!([sink]))
}

#[tokio::test]
async fn ferretdb_is_searched_like_the_log() {
    let Some(server) = ferretdb().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let gateway = two_organizations(&upstream, &mongo(&server)).start().await;
    agrees_with_the_log(gateway, async || {}).await;
}

#[tokio::test]
async fn opensearch_is_searched_like_the_log() {
    if let Some(node) = opensearch().await {
        is_searched_like_the_log(node).await;
    }
}

#[tokio::test]
async fn elasticsearch_is_searched_like_the_log() {
    if let Some(node) = elasticsearch().await {
        is_searched_like_the_log(node).await;
    }
}

async fn is_searched_like_the_log(node: Served) {
    let url = format!("http://{}", node.address);
    let client = reqwest::Client::builder().no_proxy().build();
    let client = client.expect("a client");
    let refresh = async || {
        // What was taken is searched after a refresh, which else comes every few seconds.
        let refreshed = client.post(format!("{url}/audit-logs-*/_refresh")).send();
        refreshed.await.expect("an answer");
    };
    let upstream = Upstream::start().await;
    let mut sink = search("store", &url);
    sink["timeout_ms"] = json!(19_000);
    let gateway = two_organizations(&upstream, &sink).start().await;
    agrees_with_the_log(gateway, refresh).await;
}

// The commands run on the test's own thread, beside the stand-ins.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_store_that_cannot_be_searched_says_so_in_time() {
    let silent = Upstream::answering(|_: &Received| Reply::Never).await;
    let broken = StoreStandIn::search().await;
    let absent = Upstream::absent().await;
    let timed = |mut sink: Value| {
        sink["timeout_ms"] = json!(700);
        sink
    };
    let sinks = json!([
        timed(search("silent", &format!("http://{}", silent.address))),
        timed(search("absent", &format!("http://{absent}"))),
        timed(json!({"name": "mongo", "mongodb": {"uri": format!("mongodb://{absent}/")}})),
        search("broken", &broken.url()),
        {"name": "copy", "file": {"path": "copy.jsonl"}},
    ]);
    let upstream = Upstream::start().await;
    let gateway = delivering(&upstream, sinks).await;
    for (query, status, says) in [
        ("store=silent", 503, "no answer within 700 ms"),
        ("store=absent", 503, "absent"),
        ("store=mongo", 503, "mongo"),
        ("store=broken", 503, "no search answer"),
        (
            "store=copy",
            400,
            "no mongodb or elasticsearch sink of this name: copy",
        ),
        (
            "store=nowhere",
            400,
            "there is silent, absent, mongo, broken",
        ),
        ("store=absent&cursor=17", 400, "not a cursor of a store: 17"),
        ("store=absent&limit=0", 400, "limit"),
    ] {
        let path = format!("/audit/events?{query}");
        let answer = gateway.admin(Method::GET, &path).await;
        assert_eq!(answer.status, status, "{query}: {answer:?}");
        assert_eq!(answer.fields["content-type"], "application/problem+json");
        let detail = answer.json()["detail"].as_str().unwrap_or("").to_owned();
        assert!(detail.contains(says), "{query}: {detail}");
        let mut arguments = vec!["audit", "search", "-c", "gateway.yaml"];
        let flags: Vec<String> = query.split('&').map(|pair| format!("--{pair}")).collect();
        arguments.extend(flags.iter().map(String::as_str));
        let outcome = gateway.command(&arguments);
        let code = if status == 400 { 64 } else { 1 };
        assert_eq!(outcome.code, Some(code), "{query}: {outcome:?}");
        assert!(outcome.stderr.contains(says), "{query}: {outcome:?}");
    }
    let erased = json!({"events": {"store": "copy", "organization_id": "acme"}, "reason": "none"});
    let erased = gateway.admin_post("/audit/erase", &erased).await;
    assert_eq!(erased.status, 400, "{erased:?}");
    gateway.finish().await;
}
