//! Start, reload, drain, end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Gateway, Reply, Setup, Upstream, eventually};

#[tokio::test]
async fn sigterm_under_load_fails_no_request() {
    let upstream = Upstream::answering(|_| {
        Reply::After(Duration::from_millis(50), Box::new(Reply::json("{}")))
    })
    .await;
    let mut gateway = Setup::from(&upstream)
        .with("shutdown.drain_delay_ms", 500)
        .with("shutdown.drain_timeout_ms", 5_000)
        .start()
        .await;
    let (ready, answers) = (
        Arc::new(AtomicBool::new(true)),
        Arc::new(AtomicUsize::new(0)),
    );
    let running = Arc::new(gateway);
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (gateway, ready, answers) = (
                Arc::clone(&running),
                Arc::clone(&ready),
                Arc::clone(&answers),
            );
            tokio::spawn(async move {
                // A balancer stops sending when readiness is off; until then nothing may fail.
                while ready.load(Ordering::SeqCst) {
                    let answer = gateway.get("/v1/graphs").await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    eventually("the load to be under way", async || {
        (answers.load(Ordering::SeqCst) > 50).then_some(())
    })
    .await;

    let asked = Instant::now();
    running.signal("TERM");
    eventually("readiness to go off", async || {
        let answer = running.admin(Method::GET, "/readyz").await;
        (answer.status == 503).then_some(())
    })
    .await;
    ready.store(false, Ordering::SeqCst);
    for client in clients {
        client.await.expect("no request failed");
    }
    gateway = Arc::into_inner(running).expect("the only owner");
    assert_eq!(gateway.exit().await, Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(7),
        "delay, drain and flush: {:?}",
        asked.elapsed()
    );
    gateway.check_log();
}

#[tokio::test]
async fn sigterm_cuts_what_does_not_end_within_the_drain_timeout() {
    let upstream = Upstream::answering(|_| Reply::Never).await;
    let mut gateway = Setup::from(&upstream)
        .with("shutdown.drain_timeout_ms", 300)
        .start()
        .await;
    let mut wire = gateway.wire().await;
    let key = &gateway.key().secret;
    wire.send(format!(
        "GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
    ))
    .await;
    eventually("the request to be under way", async || {
        (!upstream.requests().is_empty()).then_some(())
    })
    .await;
    let asked = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    gateway.check_log();
}

#[tokio::test]
async fn an_idle_gateway_ends_at_once_although_clients_keep_connections() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    let asked = Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.exit().await, Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
}

fn new_route() -> serde_json::Value {
    json!({"name": "new", "path": "/v2/graphs", "methods": ["GET"]})
}

#[tokio::test]
async fn a_reload_swaps_the_configuration() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    assert_eq!(gateway.get("/v2/graphs").await.status, 404);

    gateway.rewrite(|file| {
        file["routes"]
            .as_array_mut()
            .expect("routes")
            .push(new_route())
    });
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{reloaded:?}");
    assert_eq!(gateway.get("/v2/graphs").await.status, 200);

    gateway.rewrite(|file| {
        file["routes"].as_array_mut().expect("routes").pop();
    });
    gateway.signal("HUP");
    eventually("the route to be gone", async || {
        (gateway.get("/v2/graphs").await.status == 404).then_some(())
    })
    .await;
    gateway.finish().await;
}

#[tokio::test]
async fn a_bad_file_leaves_the_old_configuration_serving() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    gateway.rewrite(|file| {
        file["routes"]
            .as_array_mut()
            .expect("routes")
            .push(new_route());
        file["plans"][0]["burst"] = json!(-1);
    });
    let refused = gateway.admin(Method::POST, "/reload").await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(
        refused.text().contains("burst"),
        "it says what is wrong: {}",
        refused.text()
    );

    assert_eq!(gateway.get("/v2/graphs").await.status, 404);
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("rg_config_last_reload_successful 0"),
        "{metrics}"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn a_reload_says_what_needs_a_restart_and_keeps_it_as_it_is() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    let printed = gateway
        .admin(Method::GET, "/config")
        .await
        .text()
        .to_owned();
    gateway.rewrite(|file| {
        file["threads"] = json!(7);
        file["audit"]["segment_bytes_max"] = json!(33_554_432);
        file["routes"]
            .as_array_mut()
            .expect("routes")
            .push(new_route());
    });
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    let body: serde_json::Value = serde_json::from_str(reloaded.text()).expect("JSON");
    assert_eq!(body["result"], "reloaded", "{body}");
    let pending = json!(["threads", "audit.segment_bytes_max"]);
    assert_eq!(body["needs_restart"], pending, "{body}");
    assert_eq!(gateway.get("/v2/graphs").await.status, 200);
    let now = gateway
        .admin(Method::GET, "/config")
        .await
        .text()
        .to_owned();
    assert!(now.starts_with("# What is in force."), "{now}");
    let line = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("threads:"))
            .map(str::to_owned)
    };
    assert_eq!(line(&now), line(&printed));
    let event = gateway
        .exported()
        .into_iter()
        .find(|event| event["endpoint"] == "configuration.reload");
    let event = event.expect("the reload is audited");
    assert_eq!(event["actor"], "admin API", "{event}");
    assert_eq!(event["details"]["needs_restart"], pending, "{event}");
    gateway.finish().await;
}

#[tokio::test]
async fn a_secret_in_clear_is_shown_nowhere() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    gateway.rewrite(|file| {
        let sink =
            json!({"name": "m", "mongodb": {"uri": "mongodb://a@db:1", "password": "hunter2pw"}});
        file["audit"]["sinks"] = json!([sink]);
    });
    let refused = gateway.admin(Method::POST, "/reload").await;
    assert!(
        refused.text().contains("its value is not shown"),
        "{}",
        refused.text()
    );
    let checked = gateway.command(&["check", "-c", "gateway.yaml"]);
    let events = json!(gateway.exported()).to_string();
    assert!(events.contains("its value is not shown"), "{events}");
    for text in [refused.text().to_owned(), format!("{checked:?}"), events] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_rules_folder_without_rules_is_refused_unless_it_is_meant() {
    let upstream = Upstream::start().await;
    let mut gateway = Gateway::before(&upstream).await;
    gateway.write("none/README", "");
    gateway.rewrite(|file| file["rules"] = json!({"directory": "none"}));
    let refused = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(
        refused.text().contains("must hold a rule file"),
        "{}",
        refused.text()
    );
    gateway.rewrite(|file| file["rules"] = json!({"directory": "none", "required": false}));
    let reloaded = gateway.admin(Method::POST, "/reload").await;
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    gateway.finish().await;
}

#[tokio::test]
async fn a_request_keeps_the_configuration_it_began_with() {
    let upstream = Upstream::answering(|_| {
        Reply::After(Duration::from_millis(500), Box::new(Reply::json("{}")))
    })
    .await;
    let mut gateway = Gateway::before(&upstream).await;
    let mut wire = gateway.wire().await;
    let key = gateway.key().secret.clone();
    wire.send(format!(
        "GET /v1/graphs HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"
    ))
    .await;
    eventually("the request to be under way", async || {
        (!upstream.requests().is_empty()).then_some(())
    })
    .await;
    gateway.rewrite(|file| {
        let routes = file["routes"].as_array_mut().expect("routes");
        routes.retain(|route| route["name"] != "graphs");
    });
    assert_eq!(gateway.admin(Method::POST, "/reload").await.status, 200);
    assert_eq!(wire.answer_to("GET").await.status, 200);
    assert_eq!(gateway.get("/v1/graphs").await.status, 404);
    gateway.finish().await;
}

#[tokio::test]
async fn health_and_readiness_are_answered() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(gateway.admin(Method::GET, path).await.status, 200, "{path}");
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_second_gateway_on_the_same_folder_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::before(&upstream).await;
    let outcome = gateway.command(&["run", "-c", "gateway.yaml"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    gateway.finish().await;
}
