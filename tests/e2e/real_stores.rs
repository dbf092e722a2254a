//! Audit events in real stores: OpenSearch, Elasticsearch, and FerretDB by MongoDB's protocol and official driver.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;
use mongodb::{Client, Collection, IndexModel};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::sink_faults::in_time;
use crate::stores::{about, ask, dead, delivering, is_down, logged, once, search};
use crate::support::{
    Gateway, Served, Setup, Upstream, elasticsearch, eventually, ferretdb, ferretdb_over_tls,
    opensearch,
};

/// A month before and after now, as index names have it: the events' month whatever the hour.
fn months() -> [String; 2] {
    let now = jiff::Timestamp::now();
    [-1, 1].map(|days| {
        (now + jiff::SignedDuration::from_hours(12 * days))
            .strftime("%Y-%m")
            .to_string()
    })
}

/// Load until enough was stored, then `kill -9`, with requests under way.
async fn killed_under_load(mut gateway: Gateway, enough: impl AsyncFn() -> bool) -> Gateway {
    let running = Arc::new(gateway);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let gateway = Arc::clone(&running);
            let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
            tokio::spawn(async move {
                loop {
                    let request = gateway
                        .request(Method::POST, "/v1/graphs/7/query")
                        .json(&query);
                    if gateway.try_send(request).await.is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    eventually("events to be stored", async || enough().await.then_some(())).await;
    running.signal("KILL");
    for client in clients {
        client.await.expect("no panic");
    }
    gateway = Arc::into_inner(running).expect("the only owner");
    gateway.exit().await;
    gateway
}

struct Search {
    node: Served,
    client: reqwest::Client,
}

impl Search {
    fn url(&self) -> String {
        format!("http://{}", self.node.address)
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url()))
    }

    async fn json(&self, request: RequestBuilder) -> Value {
        let answer = request.send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// Every event id under an index prefix, and how often it is there.
    async fn copies(&self, prefix: &str) -> HashMap<String, usize> {
        let path = format!("/{prefix}-*/_refresh");
        self.json(self.ask(Method::POST, &path)).await;
        let path = format!("/{prefix}-*/_search");
        let all = json!({"size": 10_000, "_source": ["event_id"], "query": {"match_all": {}}});
        let found = self.json(self.ask(Method::GET, &path).json(&all)).await;
        let hits = found["hits"]["hits"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut copies = HashMap::new();
        for hit in hits {
            assert_eq!(hit["_id"], hit["_source"]["event_id"], "{hit}");
            let id = hit["_id"].as_str().expect("an id").to_owned();
            *copies.entry(id).or_default() += 1;
        }
        copies
    }

    async fn comes_to(&self, prefix: &str, expected: &HashMap<String, usize>) {
        in_time("the store to have exactly these", async || {
            (self.copies(prefix).await == *expected).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn opensearch_has_each_event_once_over_kill_9_of_either_side_and_poison() {
    if let Some(node) = opensearch().await {
        has_each_event_once(node).await;
    }
}

#[tokio::test]
async fn elasticsearch_has_each_event_once_over_kill_9_of_either_side_and_poison() {
    if let Some(node) = elasticsearch().await {
        has_each_event_once(node).await;
    }
}

async fn has_each_event_once(node: Served) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let mut store = Search { node, client };
    // An index in which a graph's name must be a number: other names are at fault.
    for month in months() {
        let mapping = json!({"mappings": {"dynamic": false, "properties": {"data_accessed": {"properties":
            {"graph_ids": {"type": "integer"}}}}}});
        let path = format!("/numbers-{month}");
        store
            .json(store.ask(Method::PUT, &path).json(&mapping))
            .await;
    }
    let upstream = Upstream::start().await;
    let mut numbers = search("numbers", &store.url());
    numbers["elasticsearch"]["index"] = json!("numbers");
    let gateway = delivering(&upstream, json!([search("search", &store.url()), numbers])).await;
    ask(&gateway, &["7", "poisoned", "8"]).await;

    let enough = async || store.copies("audit-logs").await.len() > 50;
    let mut gateway = killed_under_load(gateway, enough).await;
    store.node.kill();
    gateway.restart().await;
    ask(&gateway, &["7"; 10]).await;
    store.node.restart().await;

    let poisoned = about(&gateway, "poisoned");
    eventually("the one at fault to be set apart", async || {
        (dead(&gateway, "numbers") == poisoned).then_some(())
    })
    .await;
    let ids = logged(&gateway);
    store.comes_to("audit-logs", &once(&ids)).await;
    let others: Vec<String> = ids
        .iter()
        .filter(|id| !poisoned.contains(id))
        .cloned()
        .collect();
    store.comes_to("numbers", &once(&others)).await;
    assert_eq!(dead(&gateway, "numbers"), poisoned);
    assert_eq!(dead(&gateway, "search"), [""; 0]);
    let template = store
        .json(store.ask(Method::GET, "/_index_template/audit-logs"))
        .await;
    assert_eq!(
        template["index_templates"][0]["name"], "audit-logs",
        "{template}"
    );
    let by_address = json!({"query": {"term": {"source_ip": "127.0.0.0/8"}}});
    let found = store
        .ask(Method::GET, "/audit-logs-*/_count")
        .json(&by_address);
    let found = store.json(found).await["count"].as_u64().expect("a count");
    assert!(found > 50, "{found}");

    // This node has no means to keep a retention: that is said, not passed over.
    gateway.rewrite(|file| {
        let mut kept = search("kept", &store.url());
        kept["elasticsearch"]["index"] = json!("kept");
        kept["elasticsearch"]["retention_days"] = json!(30);
        file["audit"]["sinks"] = json!([kept]);
    });
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    is_down(&gateway, "kept").await;
    assert!(store.copies("kept").await.is_empty());
    gateway.finish().await;
}

async fn collection(server: &Served, name: &str) -> Collection<Document> {
    let client = Client::with_uri_str(format!("mongodb://{}/", server.address)).await;
    client
        .expect("a client")
        .database("rocketgraph")
        .collection(name)
}

/// Every document's `_id`, and how often it is there.
async fn copies(collection: &Collection<Document>) -> HashMap<String, usize> {
    let Ok(mut cursor) = collection.find(doc! {}).await else {
        return HashMap::new();
    };
    let mut copies = HashMap::new();
    while cursor.advance().await.unwrap_or(false) {
        let document = cursor.deserialize_current().expect("a document");
        let id = document.get_str("_id").expect("a text").to_owned();
        assert_eq!(document.get_str("event_id").expect("a text"), id);
        document.get_datetime("timestamp").expect("a date");
        *copies.entry(id).or_default() += 1;
    }
    copies
}

async fn comes_to(collection: &Collection<Document>, expected: &HashMap<String, usize>) {
    in_time("the collection to have exactly these", async || {
        (copies(collection).await == *expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ferretdb_has_each_event_once_over_kill_9_of_either_side_and_poison() {
    let Some(mut server) = ferretdb().await else {
        return;
    };
    let all = collection(&server, "audit_logs").await;
    // A collection in which each endpoint may occur once: the second event of one is at fault.
    let single = collection(&server, "single").await;
    let unique = IndexOptions::builder().unique(true).build();
    let unique = IndexModel::builder()
        .keys(doc! {"endpoint": 1})
        .options(unique)
        .build();
    single.create_index(unique).await.expect("an index");

    let upstream = Upstream::start().await;
    let sink = |name: &str, collection: &str| {
        let uri = format!("mongodb://{}/", server.address);
        json!({"name": name, "linger_ms": 5, "timeout_ms": 5_000,
               "mongodb": {"uri": uri, "collection": collection}})
    };
    let sinks = json!([sink("mongo", "audit_logs"), sink("single", "single")]);
    let gateway = delivering(&upstream, sinks).await;
    ask(&gateway, &["1", "2", "2", "3"]).await;

    let enough = async || copies(&all).await.len() > 50;
    let mut gateway = killed_under_load(gateway, enough).await;
    server.kill();
    gateway.restart().await;
    ask(&gateway, &["4"; 10]).await;
    server.restart().await;

    let events = gateway.exported();
    comes_to(&all, &once(&logged(&gateway))).await;
    let mut firsts = HashMap::new();
    for event in &events {
        firsts
            .entry(event["endpoint"].to_string())
            .or_insert_with(|| event["event_id"].as_str());
    }
    let firsts: Vec<String> = firsts.into_values().flatten().map(str::to_owned).collect();
    comes_to(&single, &once(&firsts)).await;
    eventually("the others to be set apart", async || {
        // What is told of dead letters is set apart as well, after them.
        (dead(&gateway, "single").len() >= events.len() - firsts.len()).then_some(())
    })
    .await;
    assert_eq!(dead(&gateway, "mongo"), [""; 0]);

    let mut keys = Vec::new();
    let mut cursor = all.list_indexes().await.expect("indexes");
    while cursor.advance().await.expect("an index") {
        keys.push(
            cursor
                .deserialize_current()
                .expect("an index")
                .keys
                .to_string(),
        );
    }
    for member in [
        "organization_id",
        "api_key_id",
        "event_type",
        "severity",
        "source_ip",
        "compliance_tags",
    ] {
        let key = doc! {member: 1, "timestamp": -1}.to_string();
        assert!(keys.contains(&key), "{member}: {keys:?}");
    }
    assert!(
        keys.contains(&doc! {"timestamp": -1}.to_string()),
        "{keys:?}"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn ferretdb_that_refuses_the_user_loses_no_event() {
    let Some(server) = ferretdb().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let uri = format!("mongodb://audit@{}/", server.address);
    let sink = json!({"name": "mongo", "linger_ms": 5, "timeout_ms": 2_000,
                      "mongodb": {"uri": uri, "password": {"file": "password"}}});
    let setup = Setup::from(&upstream).beside("password", "hunter2-hunter2\n");
    let mut gateway = setup.with("audit.sinks", json!([sink])).start().await;
    ask(&gateway, &["1"; 3]).await;
    is_down(&gateway, "mongo").await;
    let all = collection(&server, "audit_logs").await;
    assert!(copies(&all).await.is_empty());
    let uri = format!("mongodb://{}/", server.address);
    gateway.rewrite(|file| file["audit"]["sinks"][0]["mongodb"] = json!({"uri": uri}));
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    comes_to(&all, &once(&logged(&gateway))).await;
    assert_eq!(dead(&gateway, "mongo"), [""; 0]);
    gateway.finish().await;
}

#[tokio::test]
async fn ferretdb_that_is_frozen_holds_up_nobody_and_has_each_event_once_when_it_thaws() {
    let Some(server) = ferretdb().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let uri = format!("mongodb://{}/", server.address);
    let mongo =
        json!({"name": "mongo", "linger_ms": 5, "timeout_ms": 500, "mongodb": {"uri": uri}});
    let copy = json!({"name": "copy", "linger_ms": 5, "file": {"path": "copy.jsonl"}});
    let gateway = delivering(&upstream, json!([mongo, copy])).await;
    let all = collection(&server, "audit_logs").await;
    ask(&gateway, &["1"; 5]).await;
    comes_to(&all, &once(&logged(&gateway))).await;

    server.signal("STOP");
    ask(&gateway, &["1"; 30]).await;
    let ids = logged(&gateway);
    eventually("the other sink to have everything", async || {
        let copied = gateway.read("copy.jsonl").unwrap_or_default();
        (copied.lines().count() == ids.len()).then_some(())
    })
    .await;
    is_down(&gateway, "mongo").await;
    server.signal("CONT");
    comes_to(&all, &once(&logged(&gateway))).await;
    gateway.finish().await;
}

#[tokio::test]
async fn ferretdb_is_spoken_to_over_tls_only_with_a_certificate_that_is_trusted() {
    let made = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
        let made = made.expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let ((certificate, key), (other, _)) = (made(), made());
    let files = [("certificate.pem", &certificate), ("key.pem", &key)];
    let Some(server) = ferretdb_over_tls(&files).await else {
        return;
    };
    let upstream = Upstream::start().await;
    let uri = format!("mongodb://localhost:{}/", server.address.port());
    let sink = json!({"name": "mongo", "linger_ms": 5, "timeout_ms": 2_000,
                      "mongodb": {"uri": uri, "tls": {"ca_file": "ca.pem"}}});
    let setup = Setup::from(&upstream).beside("ca.pem", &other);
    let gateway = setup.with("audit.sinks", json!([sink])).start().await;
    ask(&gateway, &["1"; 3]).await;
    is_down(&gateway, "mongo").await;

    // The right authority, by a reload that sees the file has changed.
    gateway.write("ca.pem", &certificate);
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    eventually("the sink to take everything", async || {
        let metrics = gateway.metrics().await;
        let settled = metrics.contains(r#"rg_audit_sink_lag_events{sink="mongo"} 0"#);
        (settled && metrics.contains(r#"rg_audit_sink_up{sink="mongo"} 1"#)).then_some(())
    })
    .await;
    gateway.finish().await;
}
