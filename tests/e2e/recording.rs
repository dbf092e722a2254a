//! Inspected requests are kept where the operator wants it, without what nobody may keep.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Setup, Upstream, eventually};

#[tokio::test]
async fn recorded_requests_hold_no_credentials_and_can_be_replayed() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .with("rules.recording", json!({"directory": "kept"}))
        .start()
        .await;
    let honest = json!({"title": "a note", "password": "hunter2"});
    let request = gateway.request(Method::POST, "/v1/graphs?page=2&invite_token=s3cret");
    let request = request
        .header("cookie", "sid=s3cret")
        .header("user-agent", "reader/1");
    assert_eq!(gateway.send(request.json(&honest)).await.status, 200);
    let large = json!({"title": "lorem ipsum ".repeat(9_000)});
    let request = gateway.request(Method::POST, "/v1/graphs").json(&large);
    assert_eq!(gateway.send(request).await.status, 200);
    let attack = gateway
        .get("/v1/graphs?q=1%27%20UNION%20SELECT%20a%20FROM%20b--")
        .await;
    assert_eq!(attack.refused(403), "threat-blocked");

    let lines = eventually("three recorded requests", async || {
        let files = gateway.files_in("kept");
        let text: String = files
            .iter()
            .map(|bytes| String::from_utf8_lossy(bytes))
            .collect();
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|l| serde_json::from_str(l).ok())
            .collect();
        (lines.len() == 3).then_some(lines)
    })
    .await;
    let all = format!("{lines:?}");
    for secret in ["hunter2", "s3cret", "sid=", &gateway.key().secret] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
    assert_eq!(lines[0]["path"], "/v1/graphs?page=2&invite_token=[secret]");
    assert_eq!(lines[0]["key"], gateway.key().id);
    assert_eq!(lines[0]["headers"]["user-agent"], "reader/1");
    let body: Value = serde_json::from_str(lines[0]["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(body, json!({"title": "a note", "password": "[secret]"}));
    assert_eq!(lines[1]["body_cut"], true);
    assert_eq!(lines[2]["verdict"], "block");
    assert_eq!(lines[2]["id"], attack.problem()["decision_id"]);

    let replayed = gateway.command(&["rules", "replay", "kept", "-c", "gateway.yaml", "--json"]);
    let report: Value = serde_json::from_str(&replayed.stdout).expect("JSON");
    assert_eq!(report["tally"]["all"]["requests"], 3, "{report}");
    assert_eq!(report["tally"]["all"]["blocked"], 1, "{report}");
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("rg_recordings_total{result=\"taken\"} 3\n"),
        "{metrics}"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn nothing_is_recorded_unless_it_is_asked_for() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream).start().await;
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    let stored = gateway.stored_files();
    let recorded = stored
        .iter()
        .any(|(path, _)| path.extension() == Some("jsonl".as_ref()));
    assert!(!recorded);
    gateway.finish().await;
}
