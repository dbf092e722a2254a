//! No answered request without its event, and every event can be found.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Gateway, NewKey, Setup, Upstream, eventually};

#[tokio::test]
async fn an_event_holds_every_field_of_the_specification() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let path = "/v1/graphs/g1/query";
    let request = gateway
        .request(Method::POST, path)
        .header("user-agent", "ada/1.0");
    let request = request.json(&json!({"query": "MATCH (n) RETURN n LIMIT 1"}));
    let answer = gateway.send(request).await;

    let event = gateway.audit_of(&answer).await;
    for (field, value) in [
        ("source_ip", json!("127.0.0.1")),
        ("user_agent", json!("ada/1.0")),
        ("organization_id", json!("acme")),
        ("api_key_id", json!(gateway.key().id)),
        ("endpoint", json!(path)),
        ("method", json!("POST")),
        ("status_code", json!(200)),
        ("request_id", json!(answer.request_id())),
        ("severity", json!("info")),
        ("route", json!("graph-query")),
        ("outcome", json!("forwarded")),
        ("inspection", json!("complete")),
    ] {
        assert_eq!(event[field], value, "{field} of {event}");
    }
    assert!(
        event["event_id"].as_str().is_some_and(|id| id.len() == 36),
        "{event}"
    );
    assert!(
        event["timestamp"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{event}"
    );
    assert!(
        event["processing_time_ms"]
            .as_f64()
            .is_some_and(|ms| ms > 0.0),
        "{event}"
    );
    assert_eq!(
        event["data_accessed"]["graph_ids"],
        json!(["g1"]),
        "{event}"
    );
    let hash = event["data_accessed"]["query_hash"].as_str();
    assert!(
        hash.is_some_and(|hash| hash.len() == 64),
        "SHA-256 in hex: {event}"
    );
    let tags = event["compliance_tags"].as_array().expect("tags");
    assert!(tags.contains(&json!("data_access")), "{event}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_secret_never_gets_into_the_log() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let key = gateway.key().secret.clone();
    gateway.get("/v1/graphs").await;
    gateway.get(&format!("/v1/graphs?api_key={key}")).await;
    let events = json!(gateway.exported()).to_string();
    assert!(!events.contains(&key), "{events}");
    gateway.finish().await;
}

#[tokio::test]
async fn no_secret_and_nothing_personal_is_in_the_event_of_an_attack() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .with("inspection.pii", json!("request"))
        .start()
        .await;
    let key = gateway.key().secret.clone();
    let escaped = key.replace('_', "\\u005f");
    let attack = "' UNION SELECT a FROM b -- <script>alert(1)</script>";
    let bodies = [
        format!(r#"{{"note": "{attack} {key}"}}"#),
        format!(r#"{{"note": "{attack} {escaped}"}}"#),
        format!(r#"{{"note": "{attack} 4111 1111 1111 1111 ann.smith@example.com"}}"#),
        format!(
            r#"{{"p\u0061ssword": "hunter2 {attack}", "secret": {{"a": "hunter2 {attack}"}}}}"#
        ),
        format!(r#"{{"note": "password=hunter2& {attack}", "ann.smith@example.com": "{attack}"}}"#),
        "<user><password>hunter2 ' UNION SELECT a FROM b -- </password></user>".to_owned(),
        format!("{attack} {}", key.replace('_', "%5F")),
    ];
    for body in &bodies {
        let request = gateway
            .request(
                Method::POST,
                "/v1/graphs/ann.smith%40example.com/query?tel=%2B14155550123",
            )
            .header("cookie", format!("session=hunter2{attack}; theme=hunter2"))
            .header(
                "user-agent",
                format!("agent {key} ann.smith@example.com 4111111111111111"),
            )
            .header(
                "content-type",
                if body.starts_with('<') {
                    "application/xml"
                } else {
                    "application/json"
                },
            );
        gateway.send(request.body(body.clone())).await;
    }
    // What is kept is cut after it is masked, so that no half of a number is.
    for (pad, number) in [(497, " 4111111111111111"), (493, " ann.smith@example.com")] {
        let agent = "y".repeat(pad) + number;
        let request = gateway
            .request(Method::GET, "/v1/graphs")
            .header("user-agent", agent);
        gateway.send(request).await;
    }
    // Whoever looks for a leaked key does not publish it.
    let looks = format!("text={key}&organization_id=password%3Dhunter2");
    gateway
        .admin(Method::GET, &format!("/audit/events?{looks}"))
        .await;
    let events = json!(gateway.exported()).to_string();
    for secret in [&key[17..], "hunter2", "1111", "smith"] {
        assert!(!events.contains(secret), "{secret}: {events}");
    }
    for mask in ["[secret]", "[api-key]", "[card]", "[email]", "UNION SELECT"] {
        assert!(events.contains(mask), "{mask}: {events}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn personal_data_in_the_path_is_counted_and_not_kept() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .with("inspection.pii", json!("request"))
        .start()
        .await;
    for (segment, kind) in [
        ("4111111111111111", "payment_card"),
        ("DE89370400440532013000", "iban"),
        ("+14155550123", "phone"),
        ("ann@example.com", "email"),
        ("ann%40example.com", "email"),
    ] {
        let path = format!("/v1/graphs/{segment}/query");
        let request = gateway.request(Method::POST, &path);
        let answer = gateway
            .send(request.json(&json!({"query": "RETURN 1"})))
            .await;
        let event = gateway.audit_of(&answer).await;
        assert_eq!(event["data_accessed"]["pii_kinds"][kind], 1, "{event}");
        assert!(!event.to_string().contains(segment), "{event}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_blocked_request_keeps_what_was_found() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let answer = gateway
        .get("/v1/graphs?q=1%27%20UNION%20SELECT%20password%20FROM%20users--")
        .await;
    let problem = answer.problem();
    let event = gateway.audit_of(&answer).await;
    assert_eq!(event["decision_id"], problem["decision_id"]);
    assert_eq!(event["refusal_code"], "threat-blocked", "{event}");
    assert_eq!(event["outcome"], "refused", "{event}");
    let indicators = event["indicators"].as_array().expect("indicators");
    let enforced = indicators
        .iter()
        .find(|indicator| indicator["mode"] == "enforce");
    let indicator = enforced.unwrap_or_else(|| panic!("one was enforced: {event}"));
    for field in ["rule", "indicator_type", "severity", "description", "field"] {
        assert!(
            indicator[field]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{field}: {event}"
        );
    }
    let excerpt = indicator["evidence"]["excerpt"].as_str();
    assert!(excerpt.is_some_and(|text| !text.is_empty()), "{event}");
    gateway.finish().await;
}

#[tokio::test]
async fn search_filters_and_pages_without_gaps_or_duplicates() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .also_key(NewKey::of("other"))
        .start()
        .await;
    let mut expected = Vec::new();
    for n in 0..7 {
        let answer = gateway.get(&format!("/v1/graphs/{n}")).await;
        expected.insert(0, answer.request_id().to_owned());
        let other = gateway.request_with(gateway.key_of("other"), Method::GET, "/v1/graphs");
        gateway.send(other).await;
    }

    let mut found = Vec::new();
    let query = "organization_id=acme&status=200&limit=3";
    let mut page = search(&gateway, query).await;
    loop {
        let events = page["events"].as_array().expect("events");
        assert!(events.len() <= 3, "{page}");
        for event in events {
            assert_eq!(event["organization_id"], "acme");
            found.push(event["request_id"].as_str().expect("an id").to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        // What arrives meanwhile belongs to no older page.
        gateway.get("/v1/graphs/later").await;
        let next = format!("{query}&cursor={cursor}");
        page = search(&gateway, &next).await;
    }
    assert_eq!(found, expected, "newest first, each once");
    gateway.finish().await;
}

async fn search(gateway: &Gateway, query: &str) -> Value {
    let answer = gateway
        .admin(Method::GET, &format!("/audit/events?{query}"))
        .await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

async fn count(gateway: &Gateway, query: &str) -> usize {
    search(gateway, query).await["events"]
        .as_array()
        .expect("events")
        .len()
}

#[tokio::test]
async fn each_filter_narrows_the_search() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let served = gateway.get("/v1/graphs").await;
    let refused = gateway.get("/admin/x").await;
    let event = gateway.audit_of(&served).await;
    let key = &gateway.key().id;
    let decision = refused.problem()["decision_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let at = event["timestamp"]
        .as_str()
        .expect("a time")
        .replace(':', "%3A");
    let id = event["event_id"].as_str().expect("an id");

    for (query, expected) in [
        (format!("request_id={}", refused.request_id()), 1),
        (format!("decision_id={decision}"), 1),
        (format!("event_id={id}"), 1),
        (format!("api_key_id={key}&status=200"), 1),
        ("source_ip=127.0.0.1&status=403".to_owned(), 1),
        ("source_ip=192.0.2.1".to_owned(), 0),
        ("organization_id=nobody".to_owned(), 0),
        (format!("from={at}&request_id={}", served.request_id()), 1),
        (format!("to={at}&request_id={}", refused.request_id()), 0),
        (
            "from=2001-01-01T00%3A00%3A00Z&to=2001-01-02T00%3A00%3A00Z".to_owned(),
            0,
        ),
    ] {
        assert_eq!(count(&gateway, &query).await, expected, "{query}");
    }
    for query in [
        "limit=0",
        "limit=x",
        "from=yesterday",
        "cursor=%21",
        "organisation_id=acme",
    ] {
        let answer = gateway
            .admin(Method::GET, &format!("/audit/events?{query}"))
            .await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn the_command_line_reads_the_same_log() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let answer = gateway.get("/v1/graphs").await;
    let id = answer.request_id();
    for arguments in [
        &["audit", "search", "--data-dir", "data", "--request-id", id][..],
        &["audit", "tail", "--data-dir", "data"],
        &["audit", "export", "--data-dir", "data"],
    ] {
        let outcome = gateway.command(arguments);
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {outcome:?}");
        assert!(outcome.stdout.contains(id), "{arguments:?}: {outcome:?}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_changed_log_does_not_verify() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    for _ in 0..5 {
        gateway.get("/v1/graphs").await;
    }
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    gateway.check_log();
    gateway.damage_log();
    let verified = gateway.command(&["audit", "verify", "--data-dir", "data"]);
    assert_ne!(verified.code, Some(0), "{verified:?}");
    let said = verified.stdout + &verified.stderr;
    assert!(
        said.contains("offset") || said.contains("segment"),
        "it names the place: {said}"
    );
}

#[tokio::test]
async fn answers_wait_for_the_disk_where_the_log_is_synced() {
    let upstream = Upstream::start().await;
    let mut gateway = Setup::from(&upstream)
        .with("audit.durability", "synced")
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(gateway.get("/v1/graphs").await.status, 200);
        assert_eq!(gateway.get("/nowhere").await.status, 404);
    }
    gateway.signal("KILL");
    gateway.exit().await;
    gateway.restart().await;
    gateway.finish().await;
}

#[tokio::test]
async fn what_events_say_does_not_stand_on_the_disk_where_there_is_a_key() {
    let upstream = Upstream::start().await;
    let mut gateway = Setup::from(&upstream)
        .with("audit.encryption_key_file", "log.keys")
        .beside("log.keys", "5a".repeat(32))
        .start()
        .await;
    let request = gateway.request(Method::GET, "/v1/graphs");
    let answer = gateway.send(request.header("user-agent", "ada/1.0")).await;
    let event = gateway.audit_of(&answer).await;
    assert_eq!(event["user_agent"], "ada/1.0");
    let readable = |(_, bytes): &(_, Vec<u8>)| {
        let text = String::from_utf8_lossy(bytes);
        text.contains("ada/1.0") || text.contains(answer.request_id())
    };
    assert!(!gateway.stored_files().iter().any(readable));

    let verify = ["audit", "--data-dir", "data", "verify"];
    let refused = gateway.command(&verify);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("RG_AUDIT_ENCRYPTION_KEY_FILE"),
        "{refused:?}"
    );
    let keys = [("RG_AUDIT_ENCRYPTION_KEY_FILE", "log.keys")];
    let verified = gateway.command_with(&keys, &verify);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let exported = gateway.command_with(&keys, &["audit", "--data-dir", "data", "export"]);
    assert!(exported.stdout.contains("ada/1.0"), "{exported:?}");
    // A gateway that is started again reads on where it was.
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    gateway.restart().await;
    let found = gateway.audit_of(&answer).await;
    assert_eq!(found["event_id"], event["event_id"]);
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
}

#[tokio::test]
async fn whoever_reads_the_trail_is_in_it_with_where_from() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream).start().await;
    let answer = gateway.get("/v1/graphs").await;
    let id = gateway.audit_of(&answer).await["event_id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    let page = search(&gateway, "limit=1&text=audit.searched").await;
    let newest = &page["events"][0];
    assert_ne!(
        newest["details"]["parameters"]["text"], "audit.searched",
        "a page does not hold its own search"
    );
    // It waits for the signature, which the command then finds.
    gateway
        .admin(Method::GET, &format!("/audit/proof/{id}"))
        .await;
    let folder = ["--data-dir", "data"];
    for command in [
        ["audit", "export"].as_slice(),
        &["audit", "tail"],
        &["audit", "proof", &id],
        &["explain", &id],
        &["audit", "search"],
    ] {
        let outcome = gateway.command(&[command, &folder].concat());
        assert_eq!(outcome.code, Some(0), "{command:?}: {outcome:?}");
    }
    gateway.admin(Method::GET, &format!("/explain/{id}")).await;
    let read = |what: &str, api: bool| {
        let events = gateway.exported();
        let mut events = events.into_iter();
        events.any(|event| {
            let actor = event["actor"].as_str().unwrap_or_default().to_owned();
            let by_api = actor == "admin API" && event["source_ip"] == "127.0.0.1";
            let by_command = actor.contains("(uid ") && event["source_ip"] == "system";
            event["endpoint"] == what && if api { by_api } else { by_command }
        })
    };
    eventually("the readings to be recorded", async || {
        let commands = [
            "audit.exported",
            "audit.tailed",
            "audit.proved",
            "audit.explained",
            "audit.searched",
        ];
        let calls = ["audit.searched", "audit.proved", "audit.explained"];
        let all = commands.iter().all(|what| read(what, false))
            && calls.iter().all(|what| read(what, true));
        all.then_some(())
    })
    .await;
    let refused = gateway.admin(Method::GET, "/audit/events?status=abc").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused
            .text()
            .contains("status: must be an HTTP status: abc")
    );
    gateway.finish().await;
}

#[tokio::test]
async fn no_reader_makes_the_record_of_it_too_large_to_keep() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream).start().await;
    let tag = "q".repeat(900);
    let tags: String = (0..40)
        .map(|n| format!("&compliance_tag=t{n}{tag}"))
        .collect();
    let path = format!("/audit/events?limit=1{tags}");
    gateway.admin(Method::GET, &path).await;
    let events = gateway.exported();
    let mut newest = events.iter().rev();
    let newest = newest.find(|event| event["endpoint"] == "audit.searched");
    let tags = &newest.expect("the search")["details"]["parameters"]["compliance_tag"];
    assert_eq!(tags[16], "and 24 more", "{tags}");
    gateway.finish().await;
}
