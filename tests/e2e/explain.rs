//! `rules explain` tells what was found, and how to live with it where it is honest.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Upstream};

const ATTACK: &str = "1' UNION SELECT password FROM users--";

async fn send(gateway: &Gateway) -> Answer {
    let request = gateway.request(Method::POST, "/v1/graphs");
    gateway.send(request.json(&json!({"lesson": ATTACK}))).await
}

#[tokio::test]
async fn the_exclusion_a_decision_proposes_lets_the_same_request_pass() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    let refused = send(&gateway).await;
    assert_eq!(refused.refused(403), "threat-blocked");
    let problem = refused.problem();
    let decision = problem["decision_id"].as_str().expect("a decision id");

    let told = gateway.command(&["rules", "explain", decision]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for part in [
        "field     $.lesson",
        "would have passed:",
        "0.9 blocks",
        "route: graphs",
    ] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    let told = gateway.command(&["rules", "explain", decision, "--json"]);
    let story: Value = serde_json::from_str(&told.stdout).expect("JSON");
    let findings = story["findings"].as_array().expect("findings");
    let counted = findings.iter().filter(|f| f["mode"] == "enforce");
    let shares: f64 = counted
        .clone()
        .filter_map(|f| f["share_percent"].as_f64())
        .sum();
    assert!(shares >= 99.0, "{story}");

    let mut exclusions = Vec::new();
    for finding in counted {
        let text = finding["exclude_with"].as_str().expect("a proposal");
        let proposal: Value = serde_saphyr::from_str(text).expect("YAML");
        exclusions.push(proposal["rules"]["exclusions"][0].clone());
    }
    gateway.rewrite(|file| file["rules"]["exclusions"] = Value::from(exclusions));
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(send(&gateway).await.status, 200);
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_in_a_file_is_judged_without_a_gateway() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let body = json!({"lesson": ATTACK}).to_string();
    let head = "POST /v1/graphs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n";
    gateway.write("sent.http", format!("{head}{body}"));
    let line = json!({"id": "1", "method": "GET", "path": "/v1/graphs?limit=10"});
    gateway.write("line.jsonl", format!("{line}\n"));

    let told = gateway.command(&["rules", "explain", "sent.http", "-c", "gateway.yaml"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for part in ["was refused with 403", "$.lesson", "route: graphs"] {
        assert!(told.stdout.contains(part), "{part}: {}", told.stdout);
    }
    let told = gateway.command(&["rules", "explain", "line.jsonl", "-c", "gateway.yaml"]);
    assert!(told.stdout.contains("no rule matched"), "{told:?}");
    let told = gateway.command(&["rules", "explain", "neither-file-nor-decision"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn the_thresholds_of_a_category_decide_and_are_told() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    gateway.rewrite(|file| file["rules"]["thresholds"] = json!({"sqlli": {"block": 1.0}}));
    let told = gateway.command(&["check", "-c", "gateway.yaml"]);
    assert_eq!(told.code, Some(78), "{told:?}");
    let message = "rules.thresholds.sqlli: no such category: sqlli\n  hint: did you mean `sqli`?";
    assert!(told.stderr.contains(message), "{told:?}");

    gateway.rewrite(|file| file["rules"]["thresholds"] = json!({"sqli": {"block": 1.0}}));
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    let passed = send(&gateway).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    let event = gateway.audit_of(&passed).await;
    let of_sql = |i: &&Value| {
        i["rule"]
            .as_str()
            .is_some_and(|rule| rule.starts_with("sql-"))
    };
    let indicators = event["indicators"].as_array().expect("indicators");
    assert_eq!(
        indicators.iter().find(of_sql).expect("one of SQL")["blocks_from"],
        1.0
    );
    let id = event["event_id"].as_str().expect("an id");
    let told = gateway.command(&["rules", "explain", id]);
    assert!(told.stdout.contains("; 1.0 blocks"), "{told:?}");

    gateway.write(
        "line.jsonl",
        json!({"id": "1", "method": "GET", "path": "/v1/graphs?q=1'%20OR%201=1--"}).to_string(),
    );
    let told = gateway.command(&["rules", "explain", "line.jsonl", "-c", "gateway.yaml"]);
    assert!(told.stdout.contains("; 1.0 blocks"), "{told:?}");
    gateway.finish().await;
}
