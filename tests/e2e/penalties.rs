//! What mitigations lay upon a key: how it weighs, grows, ends, survives, and is lifted.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Collector, Gateway, Setup, Upstream, eventually};

/// One rule a mitigation, each asked for by a word of its own.
pub(crate) fn rules() -> String {
    let rule = |mitigation: &str| {
        let word = mitigation.replace('_', "");
        format!(
            "- id: test-{word}\n  name: a word of a test\n  tags: [test-{word}]\n  type: TEST_WORD\n  \
             severity: high\n  confidence: 0.95\n  match: {{contains: [{word}]}}\n  \
             mitigations: [{mitigation}]\n  tests: {{match: [{word}], no_match: [calm]}}\n"
        )
    };
    [
        "temporary_suspension",
        "rate_limit_reduction",
        "additional_verification",
        "monitoring_increase",
    ]
    .map(rule)
    .concat()
}

/// A gateway whose rules do nothing but lay penalties, behind a trusted proxy.
pub(crate) fn setup(upstream: &Upstream) -> Setup {
    Setup::from(upstream)
        .beside("rules/words.yaml", rules())
        .with("rules.directory", "rules")
        .with("trusted_proxies", json!(["127.0.0.1/32"]))
}

/// Asks with a word, from an address.
pub(crate) async fn say(gateway: &Gateway, word: &str, from: &str) -> Answer {
    let path = format!("/v1/graphs?q={word}");
    let request = gateway.request(Method::GET, &path);
    gateway.send(request.header("x-forwarded-for", from)).await
}

async fn suspend(gateway: &Gateway, from: &str) {
    for _ in 0..2 {
        assert_eq!(say(gateway, "temporarysuspension", from).await.status, 200);
    }
}

/// Penalties in force as the admin API lists them.
pub(crate) async fn penalties(gateway: &Gateway) -> Vec<Value> {
    let listed = gateway.admin(Method::GET, "/penalties").await.json();
    let penalties = listed["penalties"].as_array().expect("a list").clone();
    assert_eq!(listed["total"], penalties.len());
    penalties
}

/// The audit event of this name; there is exactly one.
pub(crate) async fn event(gateway: &Gateway, what: &str) -> Value {
    eventually(what, async || {
        let path = format!("/audit/events?text={what}");
        let found = gateway.admin(Method::GET, &path).await.json();
        let events = found["events"].as_array().expect("events").clone();
        let mut events = events.into_iter().filter(|event| event["endpoint"] == what);
        let event = events.next()?;
        assert_eq!(events.next(), None, "one event");
        Some(event)
    })
    .await
}

#[tokio::test]
async fn the_second_finding_suspends_the_key_in_its_network_alone() {
    let upstream = Upstream::start().await;
    let gateway = setup(&upstream).start().await;
    suspend(&gateway, "203.0.113.7").await;
    let reached = upstream.requests().len();
    let answer = say(&gateway, "calm", "203.0.113.99").await;
    assert_eq!(answer.refused(403), "key-suspended");
    let wait: u32 = answer.field("retry-after").parse().expect("seconds");
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(upstream.requests().len(), reached, "nothing went upstream");
    assert_eq!(say(&gateway, "calm", "198.51.100.7").await.status, 200);

    let id = answer.problem()["decision_id"].as_str().map(str::to_owned);
    let path = format!("/explain/{}", id.expect("a decision id"));
    let story = gateway.admin(Method::GET, &path).await.json();
    let advice = story["would_have_passed"].as_str().expect("advice");
    assert!(advice.contains("penalties lift"), "{story}");

    let listed = penalties(&gateway).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(story["event"]["details"]["penalty"], listed[0], "{story}");
    let cause = listed[0]["event_id"].as_str().expect("the event's id");
    let told = story["summary"].as_str().expect("a sentence");
    let id = listed[0]["penalty_id"].as_str().expect("its id");
    assert!(
        told.contains(id) && told.contains(cause) && told.contains("test-temporarysuspension"),
        "{told}"
    );
    assert_eq!(listed[0]["kind"], "temporary_suspension");
    assert_eq!(listed[0]["network"], "203.0.113.0/24");
    assert_eq!(listed[0]["rules"], json!(["test-temporarysuspension"]));

    let laid = event(&gateway, "penalty.laid").await;
    assert_eq!(laid["event_type"], "security_event");
    assert_eq!(laid["api_key_id"], gateway.key().id);
    assert_eq!(laid["source_ip"], "203.0.113.7");
    assert_eq!(laid["details"]["penalty_id"], listed[0]["penalty_id"]);
    let metrics = gateway.metrics().await;
    let laid = r#"rg_penalties_total{kind="temporary_suspension",change="laid"} 1"#;
    let current = r#"rg_penalties_current{kind="temporary_suspension"} 1"#;
    assert!(
        metrics.contains(laid) && metrics.contains(current),
        "{metrics}"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn a_suspension_survives_a_kill_right_after_the_answer() {
    let upstream = Upstream::start().await;
    let mut gateway = setup(&upstream).start().await;
    suspend(&gateway, "203.0.113.7").await;
    gateway.signal("KILL");
    gateway.exit().await;
    gateway.restart().await;
    let answer = say(&gateway, "calm", "203.0.113.7").await;
    assert_eq!(answer.refused(403), "key-suspended");
    gateway.finish().await;
}

#[tokio::test]
async fn a_suspension_ends_by_itself_and_says_so() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream).with("penalties", json!({"suspension_secs": 1}));
    let gateway = setup.start().await;
    suspend(&gateway, "203.0.113.7").await;
    eventually("the end of the suspension", async || {
        let answer = say(&gateway, "calm", "203.0.113.7").await;
        (answer.status == 200).then_some(())
    })
    .await;
    let ended = event(&gateway, "penalty.ended").await;
    assert_eq!(ended["event_type"], "security_event");
    assert_eq!(ended["details"]["kind"], "temporary_suspension");
    assert!(penalties(&gateway).await.is_empty());
    gateway.finish().await;
}

#[tokio::test]
async fn the_admin_api_lifts_a_penalty_at_once() {
    let upstream = Upstream::start().await;
    let mut gateway = setup(&upstream).start().await;
    suspend(&gateway, "203.0.113.7").await;
    let id = penalties(&gateway).await[0]["penalty_id"].clone();
    let path = format!("/penalties/{}", id.as_str().expect("an id"));
    assert_eq!(gateway.admin(Method::DELETE, &path).await.status, 200);
    assert_eq!(say(&gateway, "calm", "203.0.113.7").await.status, 200);
    assert_eq!(gateway.admin(Method::DELETE, &path).await.status, 404);
    let none = "/penalties/none-of-these";
    assert_eq!(gateway.admin(Method::DELETE, none).await.status, 404);
    let lifted = event(&gateway, "penalty.lifted").await;
    assert_eq!(lifted["event_type"], "configuration_change");
    assert_eq!(lifted["actor"], "admin API");
    gateway.signal("KILL");
    gateway.exit().await;
    gateway.restart().await;
    assert_eq!(say(&gateway, "calm", "203.0.113.7").await.status, 200);
    gateway.finish().await;
}

#[tokio::test]
async fn the_admin_token_guards_penalties() {
    let upstream = Upstream::start().await;
    let setup = setup(&upstream)
        .beside("token", "0123456789abcdef0123456789abcdef")
        .with("admin.token_file", "token");
    let gateway = setup.start().await;
    for (method, path) in [
        (Method::GET, "/penalties"),
        (Method::DELETE, "/penalties/x"),
    ] {
        assert_eq!(gateway.admin(method, path).await.status, 401, "{path}");
    }
    let asked = gateway.exported().into_iter();
    let asked: Vec<_> = asked
        .filter(|event| event["endpoint"] == "admin.unauthorized")
        .map(|event| {
            (
                event["event_type"].clone(),
                event["severity"].clone(),
                event["source_ip"].clone(),
                event["details"]["path"].clone(),
            )
        })
        .collect();
    let told = |path: &str| {
        (
            json!("authentication"),
            json!("warning"),
            json!("127.0.0.1"),
            json!(path),
        )
    };
    assert_eq!(asked, [told("/penalties"), told("/penalties/x")]);
    gateway.finish().await;
}

#[tokio::test]
async fn the_command_line_lists_and_lifts_with_and_without_a_running_gateway() {
    let upstream = Upstream::start().await;
    let mut gateway = setup(&upstream).start().await;
    let command = |gateway: &Gateway, words: &[&str]| {
        let outcome = gateway.command(&[&["penalties", "--data-dir", "data"], words].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stdout
    };
    let first_id = |listed: &str| {
        let first: Value =
            serde_json::from_str(listed.lines().next().expect("one penalty")).expect("JSON a line");
        first["penalty_id"].as_str().expect("an id").to_owned()
    };
    for running in [true, false] {
        suspend(&gateway, "203.0.113.7").await;
        if !running {
            gateway.signal("TERM");
            gateway.exit().await;
        }
        let id = first_id(&command(&gateway, &["list", "--json"]));
        let table = command(&gateway, &["list"]);
        assert!(
            table.contains(&id) && table.contains("203.0.113.0/24"),
            "{table}"
        );
        command(&gateway, &["lift", &id, "--by", "ada"]);
        assert!(command(&gateway, &["list"]).contains("0 penalties"));
        let again = ["penalties", "--data-dir", "data", "lift", id.as_str()];
        assert_eq!(gateway.command(&again).code, Some(1));
        if !running {
            gateway.restart().await;
        }
        eventually("the lift to take effect", async || {
            let answer = say(&gateway, "calm", "203.0.113.7").await;
            (answer.status == 200).then_some(())
        })
        .await;
        eventually("the lift to be recorded", async || {
            let of_id = format!("/audit/events?text={id}");
            let found = gateway.admin(Method::GET, &of_id).await.json();
            let events = found["events"].as_array()?.clone();
            events
                .into_iter()
                .find(|event| event["endpoint"] == "penalty.lifted" && event["actor"] == "ada")
        })
        .await;
    }
    gateway.finish().await;
}

#[tokio::test]
async fn each_finding_halves_the_limits_of_its_network_alone() {
    let upstream = Upstream::start().await;
    let plan = json!({"name": "metered", "requests_per_minute": 6_400});
    let key = crate::support::NewKey::of("acme").plan("metered");
    let gateway = setup(&upstream).plan(plan).key(key).start().await;
    let quota = async |word: &str, from: &str| {
        let answer = say(&gateway, word, from).await;
        let policy = answer.field("ratelimit-policy").to_owned();
        let quota = policy.split(';').find_map(|part| part.strip_prefix("q="));
        quota.map(str::to_owned).unwrap_or(policy)
    };
    assert_eq!(quota("ratelimitreduction", "203.0.113.7").await, "6400");
    assert_eq!(quota("ratelimitreduction", "203.0.113.7").await, "3200");
    for expected in ["1600", "800", "400", "400"] {
        assert_eq!(quota("ratelimitreduction", "203.0.113.7").await, expected);
    }
    assert_eq!(quota("calm", "198.51.100.7").await, "6400");
    let laid = event(&gateway, "penalty.laid").await;
    assert_eq!(laid["details"]["kind"], "rate_limit_reduction");
    gateway.finish().await;
}

#[tokio::test]
async fn a_monitored_key_is_traced_and_recorded_in_detail() {
    let upstream = Upstream::start().await;
    let collector = Collector::start().await;
    let traces = json!({"otlp_endpoint": collector.endpoint(), "sample_ratio": 0.0});
    let setup = setup(&upstream).with("telemetry.traces", traces);
    let gateway = setup.start().await;
    let before = say(&gateway, "calm", "203.0.113.7").await;
    assert_eq!(gateway.audit_of(&before).await["details"], Value::Null);
    say(&gateway, "monitoringincrease", "203.0.113.7").await;

    let path = "/v1/graphs/g1/query?secret=4711";
    let request = gateway.request(Method::POST, path);
    let request = request
        .header("x-forwarded-for", "198.51.100.7")
        .json(&json!({"query": "MATCH (n:A {b: 4711}) RETURN n"}));
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 200);
    let event = gateway.audit_of(&answer).await;
    let detail = &event["details"]["monitoring"];
    assert_eq!(
        detail["query_parameter_names"],
        json!(["secret"]),
        "{event}"
    );
    assert_eq!(detail["content_type"], "application/json");
    assert_eq!(detail["query"]["class"], "read");
    assert_eq!(
        detail["penalty_id"],
        penalties(&gateway).await[0]["penalty_id"]
    );
    assert!(!event.to_string().contains("4711"), "no values: {event}");
    let id = answer.request_id().to_owned();
    collector.batch_with(&[id.as_bytes()]).await;
    let upstream_saw = upstream.requests().pop().expect("a request");
    assert!(upstream_saw.field("traceparent").ends_with("-01"));
    gateway.finish().await;
}
