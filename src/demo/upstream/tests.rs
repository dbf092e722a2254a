use super::*;

use std::net::{SocketAddr, TcpListener};
use tokio::sync::oneshot;

/// A served upstream; it is stopped when dropped.
struct Served {
    address: SocketAddr,
    client: reqwest::Client,
    _stop: oneshot::Sender<()>,
}

impl Served {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(serve(listener, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            _stop: stop,
        }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let method = method.parse().unwrap();
        let url = format!("http://{}{path}", self.address);
        self.client
            .request(method, url)
            .body(body)
            .send()
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn a_query_answers_rows_and_their_count() {
    let served = Served::start();
    let body = json!({
        "query": "MATCH (n:Person {city: $city}) RETURN n.name ORDER BY n.name",
        "parameters": {"city": "London"},
    });
    let answer = served
        .send("POST", "/v1/graphs/social/query", body.to_string())
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-row-count"], "2");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["columns"], json!(["n.name"]));
    assert_eq!(answer["rows"], json!([["Ada"], ["Alan"]]));
}

#[tokio::test]
async fn graphs_are_created_listed_described_and_deleted() {
    let served = Served::start();
    for (method, path, body, status) in [
        ("POST", "/v1/graphs", r#"{"id": "mine"}"#, 201),
        ("POST", "/v1/graphs", r#"{"id": "mine"}"#, 409),
        ("POST", "/v1/graphs", r#"{"id": "../x"}"#, 400),
        ("POST", "/v1/graphs", "nonsense", 400),
        ("GET", "/v1/graphs/mine", "", 200),
        ("PUT", "/v1/graphs/mine", "", 200),
        ("PUT", "/v1/graphs/other", "", 201),
        (
            "POST",
            "/v1/graphs/mine/query",
            r#"{"query": "CREATE (n:A {x: 1})"}"#,
            200,
        ),
        (
            "POST",
            "/v1/graphs/mine/query",
            r#"{"query": "LOAD CSV"}"#,
            400,
        ),
        (
            "POST",
            "/v1/graphs/absent/query",
            r#"{"query": "MATCH (n) RETURN n"}"#,
            404,
        ),
        ("DELETE", "/v1/graphs/other", "", 204),
        ("DELETE", "/v1/graphs/other", "", 404),
        ("GET", "/v1/unknown", "", 404),
        ("PATCH", "/v1/graphs", "", 405),
        ("GET", "/healthz", "", 200),
    ] {
        let answer = served.send(method, path, body).await;
        assert_eq!(answer.status(), status, "{method} {path} {body}");
    }
    let list: Value = served
        .send("GET", "/v1/graphs", "")
        .await
        .json()
        .await
        .unwrap();
    let ids: Vec<&Value> = list["graphs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| &g["id"])
        .collect();
    assert_eq!(ids, ["mine", "social"]);
    assert_eq!(list["graphs"][0]["nodes"], 1);
}

#[tokio::test]
async fn uploads_are_counted_and_a_broken_line_is_named() {
    let served = Served::start();
    let path = "/v1/graphs/social/upload";
    let lines = served.send("POST", path, "{\"a\":1}\n\n{\"a\":2}\n").await;
    assert_eq!(lines.headers()["x-row-count"], "2");
    let broken: Value = served
        .send("PUT", path, "{}\n{")
        .await
        .json()
        .await
        .unwrap();
    assert!(broken["error"].as_str().unwrap().starts_with("line 2: "));
    let url = format!("http://{}{path}", served.address);
    let csv = served
        .client
        .post(url)
        .header("content-type", "text/csv; charset=utf-8");
    let csv = csv
        .body("name,age\nAda,36\nAlan,41\n")
        .send()
        .await
        .unwrap();
    assert_eq!(csv.headers()["x-row-count"], "2");
}

#[tokio::test]
async fn failing_slow_streamed_and_echoed_answers_are_as_asked() {
    let served = Served::start();
    assert_eq!(
        served.send("GET", "/v1/fail?status=503", "").await.status(),
        503
    );
    assert_eq!(
        served.send("GET", "/v1/fail?status=7", "").await.status(),
        500
    );
    let slow: Value = served
        .send("GET", "/v1/slow?ms=1", "")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(slow["waited_ms"], 1);
    let stream = served.send("GET", "/v1/stream?bytes=100000", "").await;
    assert_eq!(stream.headers()["transfer-encoding"], "chunked");
    assert_eq!(stream.bytes().await.unwrap().len(), 100_000);
    let back = served.send("POST", "/v1/stream", "there and back").await;
    assert_eq!(back.text().await.unwrap(), "there and back");
    let echo: Value = served
        .send("PUT", "/v1/echo?a=b", "12345")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (
            &echo["method"],
            &echo["path"],
            &echo["query"],
            &echo["body_bytes"]
        ),
        (&json!("PUT"), &json!("/v1/echo"), &json!("a=b"), &json!(5))
    );
    assert_eq!(echo["headers"]["host"], json!([served.address.to_string()]));
}

#[tokio::test]
async fn it_returns_when_told_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    serve(listener, std::future::ready(())).await.unwrap();
}
