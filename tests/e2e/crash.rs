//! `kill -9` under load loses no event of an answered request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::support::{Gateway, Setup, Upstream, eventually};

/// Crashes of one run; `RG_CRASHES` raises it.
fn crashes() -> u32 {
    let asked = std::env::var("RG_CRASHES").ok();
    asked.map_or(2, |text| text.parse().expect("RG_CRASHES is a number"))
}

#[tokio::test]
async fn every_answered_request_is_in_the_log_after_kill_9() {
    let upstream = Upstream::start().await;
    let mut gateway = Setup::from(&upstream).start().await;
    for _ in 0..crashes() {
        let running = Arc::new(gateway);
        let answers = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                tokio::spawn(ask_until_it_dies(
                    Arc::clone(&running),
                    Arc::clone(&answers),
                ))
            })
            .collect();
        eventually("the load to be under way", async || {
            (answers.load(Ordering::Relaxed) > 200).then_some(())
        })
        .await;
        running.signal("KILL");
        for client in clients {
            client.await.expect("no panic");
        }
        gateway = Arc::into_inner(running).expect("the only owner");
        gateway.exit().await;
        // Before anything repairs it, and after the restart that does.
        gateway.restart().await;
        gateway.check_log();
    }
    gateway.finish().await;
}

/// Whole answers are remembered by the gateway under test; the first broken one ends the client.
async fn ask_until_it_dies(gateway: Arc<Gateway>, answers: Arc<AtomicUsize>) {
    let query = json!({"query": "MATCH (n) RETURN n LIMIT 1"});
    loop {
        let request = gateway
            .request(http::Method::POST, "/v1/graphs/g1/query")
            .json(&query);
        let Ok(answer) = gateway.try_send(request).await else {
            return;
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        answers.fetch_add(1, Ordering::Relaxed);
    }
}
