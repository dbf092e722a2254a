//! Plans limit what a key may ask, and say so.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{ApiKey, Gateway, NewKey, Reply, Setup, Upstream, eventually};

async fn exhaust(gateway: &Gateway, key: &ApiKey) -> crate::support::Answer {
    for _ in 0..40 {
        let answer = gateway
            .send(gateway.request_with(key, Method::GET, "/v1/graphs"))
            .await;
        if answer.status != 200 {
            return answer;
        }
        assert!(answer.field("ratelimit").contains("r="), "{answer:?}");
        assert!(
            answer.field("ratelimit-policy").contains("q="),
            "{answer:?}"
        );
    }
    panic!("40 requests in a row were within the limit");
}

#[tokio::test]
async fn a_key_beyond_its_plan_is_refused_with_429() {
    let upstream = Upstream::start().await;
    let slow = json!({"name": "slow", "requests_per_second": 1, "burst": 3});
    let minute = json!({"name": "minute", "requests_per_minute": 4});
    let gateway = Setup::from(&upstream)
        .plan(slow)
        .plan(minute)
        .also_key(NewKey::of("by-second").plan("slow"))
        .also_key(NewKey::of("by-minute").plan("minute"))
        .start()
        .await;
    for organization in ["by-second", "by-minute"] {
        let answer = exhaust(&gateway, gateway.key_of(organization)).await;
        assert_eq!(answer.refused(429), "quota-exceeded");
        let wait: u32 = answer.field("retry-after").parse().expect("whole seconds");
        // A window, and the cell of it by which a spent request comes back late.
        assert!((1..=64).contains(&wait), "{answer:?}");
        assert!(answer.field("ratelimit").contains("r=0"), "{answer:?}");
    }
    // Another key is another budget.
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("rg_rate_limit_violations_total{"),
        "{metrics}"
    );
    gateway.finish().await;
}

#[tokio::test]
async fn requests_at_once_are_limited_and_released() {
    let (feed, pieces) = mpsc::channel::<Bytes>(1);
    let pieces = std::sync::Mutex::new(Some(pieces));
    let upstream =
        Upstream::answering(move |_| match pieces.lock().expect("not poisoned").take() {
            Some(pieces) => Reply::Fed(pieces),
            None => Reply::json("{}"),
        })
        .await;
    let setup = Setup::from(&upstream)
        .plan(json!({"name": "single", "concurrency": 1}))
        .key(NewKey::of("acme").plan("single"));
    let gateway = Arc::new(setup.start().await);

    let first = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.get("/v1/graphs").await }
    });
    eventually("the first request to be under way", async || {
        (!upstream.requests().is_empty()).then_some(())
    })
    .await;
    let second = gateway.get("/v1/graphs").await;
    assert_eq!(second.refused(429), "quota-exceeded");
    drop(feed);
    assert_eq!(first.await.expect("no panic").status, 200);
    assert_eq!(gateway.get("/v1/graphs").await.status, 200);
    Arc::into_inner(gateway)
        .expect("the only owner")
        .finish()
        .await;
}

#[tokio::test]
async fn a_key_exempt_from_limits_is_not_held_to_its_plan() {
    let upstream = Upstream::start().await;
    let gateway = Setup::from(&upstream)
        .plan(json!({"name": "minute", "requests_per_minute": 2}))
        .also_key(
            NewKey::of("monitoring")
                .plan("minute")
                .flag("--limits-exempt"),
        )
        .also_key(NewKey::of("customer").plan("minute"))
        .start()
        .await;
    let exempt = gateway.key_of("monitoring");
    for _ in 0..8 {
        let request = gateway.request_with(exempt, Method::GET, "/v1/graphs");
        assert_eq!(gateway.send(request).await.status, 200);
    }
    let answer = exhaust(&gateway, gateway.key_of("customer")).await;
    assert_eq!(answer.refused(429), "quota-exceeded");
    gateway.finish().await;
}
