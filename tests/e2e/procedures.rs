//! What statements may call is what the configuration says, from one reload to the next.

use serde_json::json;

use crate::support::{Gateway, Setup, Upstream};

const LOAD: &str = "CALL apoc.load.json('http://h/') YIELD value RETURN value";
const RANK: &str = "CALL gds.pageRank.stream('g') YIELD nodeId RETURN nodeId";

/// The answers to both statements, each sent often enough to be remembered where nothing speaks against it.
async fn answers(gateway: &Gateway) -> [u16; 2] {
    let mut last = [0; 2];
    for _ in 0..4 {
        for (status, text) in last.iter_mut().zip([LOAD, RANK]) {
            *status = gateway.query("g1", &json!({"query": text})).await.status;
        }
    }
    last
}

#[tokio::test]
async fn a_list_allows_by_name_and_where_only_it_holds_nothing_else() {
    let upstream = Upstream::start().await;
    let mut gateway = Setup::from(&upstream).start().await;
    assert_eq!(answers(&gateway).await, [403, 200]);
    for (procedures, expected) in [
        (json!({"allow": ["apoc.load.JSON"]}), [200, 200]),
        (json!({"only": true}), [403, 403]),
        (
            json!({"allow": ["apoc.*", "gds.pageRank.*"], "only": true}),
            [403, 200],
        ),
        (json!({}), [403, 200]),
    ] {
        gateway.rewrite(|file| file["rules"]["procedures"] = procedures.clone());
        let reloaded = gateway.admin(http::Method::POST, "/reload").await;
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        assert_eq!(answers(&gateway).await, expected, "{procedures}");
    }
    gateway.finish().await;
}
