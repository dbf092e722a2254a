//! People are told of findings: once, signed, and also after everything was down.

use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::support::{Gateway, NewKey, Received, Reply, Setup, Upstream, eventually, part};

const SECRET: &str = "whsec_c2l4dGVlbiBieXRlcyBvZiBzZWNyZXQhIQ==";

fn rules() -> String {
    let rule = |word: &str, mitigation: &str| {
        format!(
            "- id: test-{word}\n  name: a word of a test\n  tags: [test-{word}]\n  type: TEST_WORD\n  \
             severity: high\n  confidence: 0.95\n  match: {{contains: [{word}]}}\n  \
             mitigations: [{mitigation}]\n  tests: {{match: [{word}], no_match: [calm]}}\n"
        )
    };
    [
        rule("securityalarm", "alert_security_team"),
        rule("anotheralarm", "alert_security_team"),
        rule("teamnotice", "notification"),
    ]
    .concat()
}

fn setup(upstream: &Upstream, notifications: Value) -> Setup {
    Setup::from(upstream)
        .beside("rules/words.yaml", rules())
        .beside("secret", SECRET)
        .with("rules.directory", "rules")
        .with("notifications", notifications)
}

/// A stand-in for the receiver of a webhook: it keeps what it is told and answers with this status.
async fn receiver(status: u16) -> Upstream {
    Upstream::answering(move |_| answer(status)).await
}

fn answer(status: u16) -> Reply {
    Reply::Whole(status, Vec::new(), Bytes::new())
}

fn security(receiver: &Upstream) -> Value {
    let url = format!("http://{}/hook?a=b", receiver.address);
    json!({"security": {"webhook": {"url": url, "secret": {"file": "secret"}}}})
}

async fn say(gateway: &Gateway, word: &str) {
    let answer = gateway.get(&format!("/v1/graphs?q={word}")).await;
    assert_eq!(answer.status, 200);
}

/// Waits until so many notifications have come.
async fn told(receiver: &Upstream, count: usize) -> Vec<Received> {
    eventually("the notifications", async || {
        let requests = receiver.requests();
        let whole = requests.iter().filter(|request| request.complete).count();
        (whole >= count).then_some(requests)
    })
    .await
}

fn document(received: &Received) -> Value {
    serde_json::from_slice(&received.body).expect("JSON")
}

fn assert_signed(received: &Received) {
    let [id, at, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| received.field(name).to_owned());
    let key = STANDARD.decode(&SECRET[6..]).expect("base 64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let signed = [format!("{id}.{at}.").as_bytes(), &received.body].concat();
    let tag = STANDARD
        .decode(signature.strip_prefix("v1,").expect("version 1"))
        .expect("base 64");
    hmac::verify(&key, &signed, &tag).expect("the right signature");
    assert_eq!(document(received)["data"]["event_id"], id);
}

#[tokio::test]
async fn the_security_team_is_told_once_for_each_rule_and_key() {
    let (upstream, hook) = (Upstream::start().await, receiver(200).await);
    let setup = setup(&upstream, security(&hook)).also_key(NewKey::of("other"));
    let gateway = setup.start().await;
    for _ in 0..3 {
        say(&gateway, "securityalarm").await;
        say(&gateway, "teamnotice").await;
    }
    say(&gateway, "anotheralarm").await;
    let other = gateway.key_of("other").clone();
    let request = gateway.request_with(&other, Method::GET, "/v1/graphs?q=securityalarm");
    let last = gateway.send(request).await;

    // The log is delivered in order: when the last has come, no other is on its way.
    let received = told(&hook, 3).await;
    let expected = [
        ("test-securityalarm", gateway.key().id.clone()),
        ("test-anotheralarm", gateway.key().id.clone()),
        ("test-securityalarm", other.id),
    ];
    assert_eq!(received.len(), expected.len(), "{received:?}");
    for (request, (rule, key)) in received.iter().zip(expected) {
        assert_eq!((&*request.method, &*request.target), ("POST", "/hook?a=b"));
        assert_signed(request);
        let document = document(request);
        assert_eq!(document["type"], "threat.detected");
        assert_eq!(document["data"]["findings"][0]["rule"], rule);
        assert_eq!(document["data"]["api_key_id"], key);
    }
    let event = gateway.audit_of(&last).await;
    assert_eq!(received[2].field("webhook-id"), event["event_id"]);
    assert_eq!(
        event["indicators"][0]["mitigations"],
        json!(["alert_security_team"])
    );
    gateway.finish().await;
}

#[tokio::test]
async fn an_organization_is_told_of_its_own_requests() {
    let (upstream, hook) = (Upstream::start().await, receiver(200).await);
    let url = format!("http://{}/", hook.address);
    let organizations =
        json!([{"organization": "other", "url": url, "secret": {"file": "secret"}}]);
    let setup = setup(&upstream, json!({"organizations": organizations}));
    let gateway = setup.also_key(NewKey::of("other")).start().await;
    say(&gateway, "teamnotice").await;
    say(&gateway, "securityalarm").await;
    let other = gateway.key_of("other").clone();
    let request = gateway.request_with(&other, Method::GET, "/v1/graphs?q=teamnotice");
    gateway.send(request).await;
    let received = told(&hook, 1).await;
    assert_eq!(received.len(), 1);
    assert_signed(&received[0]);
    let data = document(&received[0])["data"].clone();
    assert_eq!(data["organization_id"], "other");
    assert_eq!(data["findings"][0]["rule"], "test-teamnotice");
    gateway.finish().await;
}

#[tokio::test]
async fn a_notification_outlives_a_receiver_that_is_down_and_a_kill() {
    let (upstream, hook) = (Upstream::start().await, receiver(503).await);
    let mut gateway = setup(&upstream, security(&hook)).start().await;
    say(&gateway, "securityalarm").await;
    let first = told(&hook, 2).await;
    assert_eq!(
        first[0].field("webhook-id"),
        first[1].field("webhook-id"),
        "offered again"
    );
    gateway.signal("KILL");
    gateway.exit().await;
    let mended = receiver(200).await;
    gateway.rewrite(|file| file["notifications"] = security(&mended));
    gateway.restart().await;
    let received = told(&mended, 1).await;
    assert_eq!(
        received[0].field("webhook-id"),
        first[0].field("webhook-id")
    );
    // Taken once, it is not offered again: what comes next is the next finding.
    say(&gateway, "anotheralarm").await;
    let received = told(&mended, 2).await;
    let rule = |received: &Received| document(received)["data"]["findings"][0]["rule"].clone();
    assert_eq!(received.len(), 2);
    assert_eq!(rule(&received[1]), "test-anotheralarm");
    gateway.finish().await;
}

#[tokio::test]
async fn a_notification_that_is_found_fault_with_does_not_stop_the_others() {
    let upstream = Upstream::start().await;
    let hook = Upstream::answering(|request| {
        let fault = request.body.windows(18).any(|w| w == b"test-securityalarm");
        answer(if fault { 422 } else { 200 })
    })
    .await;
    let gateway = setup(&upstream, security(&hook)).start().await;
    say(&gateway, "securityalarm").await;
    say(&gateway, "anotheralarm").await;
    let received = told(&hook, 2).await;
    assert_eq!(received.len(), 2, "neither is offered again");
    eventually("the refused one to be among the dead letters", async || {
        let stored = gateway.stored_files();
        let mut letters = stored.iter().filter(|(name, bytes)| {
            let name = name.to_string_lossy();
            name.contains("notify-security") && String::from_utf8_lossy(bytes).contains("422")
        });
        letters.next().map(|_| ())
    })
    .await;
    gateway.finish().await;
}

/// A real Alertmanager; ended with the test.
struct Alertmanager {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Alertmanager {
    async fn start() -> Option<Self> {
        const PROGRAM: &str = "prometheus-alertmanager";
        part(PROGRAM, vec!["--version".to_owned()], String::new()).await?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("alertmanager.yml");
        std::fs::write(
            &file,
            "route: {receiver: none}\nreceivers: [{name: none}]\n",
        )
        .expect("a writable folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let child = Command::new(PROGRAM)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.path().display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let running = Self {
            child,
            url: format!("http://{address}"),
            _folder: folder,
        };
        eventually("Alertmanager to be ready", async || {
            let ready = reqwest::get(format!("{}/-/ready", running.url)).await;
            ready
                .is_ok_and(|answer| answer.status() == 200)
                .then_some(())
        })
        .await;
        Some(running)
    }

    async fn alerts(&self) -> Vec<Value> {
        let alerts = reqwest::get(format!("{}/api/v2/alerts", self.url)).await;
        let alerts: Value = alerts.expect("an answer").json().await.expect("JSON");
        alerts.as_array().expect("a list").clone()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _gone_already = self.child.wait();
    }
}

#[tokio::test]
async fn alertmanager_takes_the_alerts_and_shows_one_for_each_rule_and_key() {
    let Some(alertmanager) = Alertmanager::start().await else {
        return;
    };
    let upstream = Upstream::start().await;
    let notifications = json!({"security": {"alertmanager": {"url": alertmanager.url}}});
    let gateway = setup(&upstream, notifications).start().await;
    for word in ["securityalarm", "securityalarm", "calm", "anotheralarm"] {
        say(&gateway, word).await;
    }
    let alerts = eventually("both alerts", async || {
        let alerts = alertmanager.alerts().await;
        (alerts.len() >= 2).then_some(alerts)
    })
    .await;
    assert_eq!(alerts.len(), 2, "{alerts:?}");
    for alert in &alerts {
        assert_eq!(alert["labels"]["alertname"], "RocketGraphThreat");
        assert_eq!(alert["labels"]["api_key_id"], gateway.key().id);
        assert_eq!(alert["labels"]["organization_id"], "acme");
        assert_eq!(alert["status"]["state"], "active");
    }
    gateway.finish().await;
}
