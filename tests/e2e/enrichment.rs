//! What an audit event knows beyond the request: where the client is, which law follows, how sensitive the data is.

use http::Method;
use serde_json::{Value, json};

use crate::support::mmdb::{Place, city_database};
use crate::support::{Answer, Gateway, NewKey, Reply, Setup, Upstream, eventually};

const SACRAMENTO: Place = Place {
    country: "US",
    region: "California",
    city: "Sacramento",
};
const LYON: Place = Place {
    country: "FR",
    region: "Rhône",
    city: "Lyon",
};

fn places(place: Place) -> Vec<u8> {
    city_database(1_700_000_000, &[("203.0.113.0/24", place)])
}

async fn query_from(gateway: &Gateway, client: &str, graph: &str) -> Answer {
    let path = format!("/v1/graphs/{graph}/query");
    let request = gateway
        .request(Method::POST, &path)
        .header("x-forwarded-for", client)
        .json(&json!({"query": "MATCH (n) RETURN n LIMIT 1"}));
    gateway.send(request).await
}

/// The events of changes of the database, oldest first: what each came to.
fn database_changes(gateway: &Gateway) -> Vec<Value> {
    let mut events = gateway.exported();
    events.retain(|event| event["endpoint"] == "geoip.database");
    events
        .iter()
        .map(|event| event["details"]["result"].clone())
        .collect()
}

#[tokio::test]
async fn an_event_knows_place_law_trade_and_classification() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .key(NewKey::of("acme").with("--industry", "healthcare"))
        .with("trusted_proxies", json!(["127.0.0.1/32"]))
        .with("geoip", json!({"file": "places.mmdb"}))
        .with(
            "audit.graphs",
            json!([
                {"graph": "*", "classification": "internal"},
                {"graph": "patients-*", "classification": "restricted"},
            ]),
        )
        .beside("places.mmdb", places(SACRAMENTO))
        .start()
        .await;
    let answer = query_from(&gateway, "203.0.113.9", "patients-1").await;
    let event = gateway.audit_of(&answer).await;
    assert_eq!(event["source_ip"], "203.0.113.9");
    assert_eq!(
        event["geographic_location"],
        json!({"country": "US", "region": "California", "city": "Sacramento"})
    );
    assert_eq!(event["event_type"], "data_access", "{event}");
    assert_eq!(event["data_accessed"]["data_classification"], "restricted");
    assert_eq!(
        event["compliance_tags"],
        json!(["ccpa", "hipaa", "data_access"]),
    );
    let elsewhere = query_from(&gateway, "192.0.2.1", "orders").await;
    let event = gateway.audit_of(&elsewhere).await;
    assert_eq!(event["geographic_location"], Value::Null);
    assert_eq!(event["data_accessed"]["data_classification"], "internal");

    let nobody = gateway.request_without_key(Method::GET, "/v1/graphs");
    let refused = gateway.send(nobody).await;
    let event = gateway.audit_of(&refused).await;
    assert_eq!(event["event_type"], "authentication");
    assert_eq!(event["severity"], "warning");
    assert_eq!(
        event["compliance_tags"],
        json!(["authentication", "security"])
    );
    gateway.finish().await;
}

#[tokio::test]
async fn a_new_database_is_taken_in_and_a_broken_one_is_not() {
    let upstream = Upstream::start().await;
    let mut gateway = Setup::from(&upstream)
        .with("trusted_proxies", json!(["127.0.0.1/32"]))
        .with("geoip", json!({"file": "places.mmdb", "check_secs": 1}))
        .start()
        .await;
    let country = async |gateway: &Gateway| {
        let answer = query_from(gateway, "203.0.113.9", "g").await;
        gateway.audit_of(&answer).await["geographic_location"]["country"].clone()
    };
    assert_eq!(country(&gateway).await, Value::Null, "there is no file");

    gateway.write("places.mmdb", places(LYON));
    eventually("the new file to answer", async || {
        (country(&gateway).await == "FR").then_some(())
    })
    .await;
    assert!(
        gateway
            .metrics()
            .await
            .contains("rg_geoip_build_seconds 1700000000")
    );

    gateway.write("places.mmdb", &places(SACRAMENTO)[..60]);
    eventually("the broken file to be seen", async || {
        (database_changes(&gateway).len() == 3).then_some(())
    })
    .await;
    assert_eq!(country(&gateway).await, "FR", "the one before goes on");

    gateway.rewrite(|file| {
        file.as_object_mut().expect("a mapping").remove("geoip");
    });
    gateway.signal("HUP");
    eventually("the reload to take it away", async || {
        (country(&gateway).await == Value::Null).then_some(())
    })
    .await;
    assert_eq!(
        database_changes(&gateway),
        ["refused", "loaded", "refused", "removed"]
    );
    gateway.finish().await;
}

#[tokio::test]
async fn personal_data_is_told_by_kind_and_never_kept() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let asked = json!({
        "query": "MATCH (p:Person {email: $email}) SET p.phone = '+49 151 12345678' RETURN p",
        "parameters": {"email": "ann@example.com", "copy": "bob@example.com"},
    });
    let answer = gateway.query("people", &asked).await;
    let event = gateway.audit_of(&answer).await;
    let data = &event["data_accessed"];
    assert_eq!(data["pii_detected"], true, "{event}");
    assert_eq!(data["pii_kinds"], json!({"email": 2, "phone": 1}));
    assert_eq!(event["severity"], "warning");
    let tags = json!(["ccpa", "gdpr", "data_access", "data_modification", "pii"]);
    assert_eq!(event["compliance_tags"], tags);

    let form = gateway
        .request(Method::POST, "/v1/graphs?to=ann%40example.com")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("iban=DE89+3704+0044+0532+0130+00&card=4111111111111111");
    let event = gateway.audit_of(&gateway.send(form).await).await;
    assert_eq!(event["event_type"], "api_request", "no graph was named");
    let kinds = json!({"email": 1, "iban": 1, "payment_card": 1});
    assert_eq!(event["data_accessed"]["pii_kinds"], kinds, "{event}");

    let honest = json!({"query": "MATCH (n) WHERE n.at > 1700000000000 RETURN n LIMIT 100"});
    let event = gateway
        .audit_of(&gateway.query("people", &honest).await)
        .await;
    assert_eq!(event["data_accessed"]["pii_detected"], false, "{event}");
    assert_eq!(event["severity"], "info");
    for (path, bytes) in gateway.stored_files() {
        let text = String::from_utf8_lossy(&bytes);
        for secret in ["ann@", "bob@", "12345678'", "DE89", "4111111111111111"] {
            assert!(!text.contains(secret), "{secret} in {}", path.display());
        }
    }
    gateway.finish().await;
}

#[tokio::test]
async fn answers_are_looked_at_where_a_route_says_so() {
    let upstream = Upstream::answering(|_| {
        Reply::json(r#"{"rows":[["ann@example.com"],["bob@example.com"]],"ssn":"078-05-1120"}"#)
    })
    .await;
    let route = |name: &str, pii: &str| {
        json!({"name": name, "path": format!("/{name}/{{graph}}"), "public": true,
            "graph_id": {"path": "graph"}, "inspection": {"pii": pii}})
    };
    let gateway = Setup::from(&upstream)
        .with("inspection.pii_response_ratio", 1.0)
        .route(route("both", "request_and_response"))
        .route(route("asked", "request"))
        .route(route("neither", "off"))
        .start()
        .await;
    let email = json!({"email": 1});
    let answered = json!({"email": 2, "us_ssn": 1});
    for (name, asked, answered) in [
        ("both", &email, &answered),
        ("asked", &email, &Value::Null),
        ("neither", &Value::Null, &Value::Null),
    ] {
        let path = format!("/{name}/people?who=carl@example.com");
        let answer = gateway.get(&path).await;
        assert!(answer.text().contains("ann@example.com"), "it is passed on");
        let event = gateway.audit_of(&answer).await;
        let data = &event["data_accessed"];
        assert_eq!(&data["pii_kinds"], asked, "{name}: {event}");
        assert_eq!(&data["pii_response_kinds"], answered, "{name}: {event}");
        assert_eq!(data["pii_detected"], name != "neither", "{name}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn events_are_told_in_the_words_of_others() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let blocked = gateway
        .get("/v1/graphs?q=1%27%20UNION%20SELECT%20password%20FROM%20users--")
        .await;
    let told = |format: &str| -> Value {
        let id = blocked.request_id();
        let [searched, exported] = ["search", "export"].map(|command| {
            let asked = ["audit", command, "--data-dir", "data", "--request-id", id];
            let outcome = gateway.command(&[&asked[..], &["--format", format]].concat());
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
            serde_json::from_str::<Value>(&outcome.stdout).expect("one JSON line")
        });
        assert_eq!(searched, exported);
        searched
    };
    let event = gateway.audit_of(&blocked).await;
    let ecs = told("ecs");
    assert_eq!(ecs["event"]["id"], event["event_id"]);
    assert_eq!(ecs["event"]["kind"], "alert");
    assert_eq!(ecs["organization"]["id"], "acme");
    let ocsf = told("ocsf");
    assert_eq!(ocsf["metadata"]["uid"], event["event_id"]);
    assert_eq!(ocsf["class_uid"], 2004);
    gateway.finish().await;
}

#[tokio::test]
async fn a_report_counts_what_happened_and_is_itself_recorded() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let personal =
        json!({"query": "MATCH (p {email: $e}) RETURN p", "parameters": {"e": "ann@example.com"}});
    for _ in 0..3 {
        gateway.query("people", &personal).await;
    }
    gateway
        .get("/v1/graphs?q=1%27%20UNION%20SELECT%20password%20FROM%20users--")
        .await;
    let nobody = gateway.request_without_key(Method::GET, "/v1/graphs");
    gateway.send(nobody).await;
    let report = |standard: &str, format: &str| {
        let outcome = gateway.command(&[
            "report",
            standard,
            "--data-dir",
            "data",
            "--from",
            "2020-01-01",
            "--format",
            format,
        ]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stdout
    };
    let gdpr: Value = serde_json::from_str(&report("gdpr", "json")).expect("JSON");
    assert_eq!(gdpr["accesses"]["total"], 3, "{gdpr}");
    assert_eq!(gdpr["accesses"]["personal_data"]["by_name"]["email"], 3);
    assert_eq!(gdpr["accesses"]["organizations"]["by_name"]["acme"], 3);
    assert_eq!(gdpr["events"]["security_event"], 1);
    assert_eq!(gdpr["events"]["authentication"], 1);
    assert_eq!(gdpr["proof"]["sound"], true);
    let page = report("pci_dss", "html");
    assert!(page.starts_with("<!doctype html>") && page.contains("10.2.1.4"));
    let recorded = eventually("the reports to be recorded", async || {
        let mut events = gateway.exported();
        events.retain(|event| event["endpoint"] == "audit.reported");
        (events.len() == 2).then_some(events)
    })
    .await;
    assert_eq!(recorded[0]["details"]["parameters"]["standard"], "gdpr");
    let wrong = gateway.command(&[
        "report",
        "gdpr",
        "--data-dir",
        "data",
        "--from",
        "yesterday",
    ]);
    assert_eq!(wrong.code, Some(64), "{wrong:?}");
    assert!(wrong.stderr.contains("yesterday"), "{wrong:?}");
    gateway.finish().await;
}
