//! The vocabulary itself: an upstream that did not count a body byte would prove nothing.

use crate::support::{Reply, Upstream, chunked, direct};

#[tokio::test]
async fn the_upstream_counts_every_byte_of_a_body_and_none_of_a_head() {
    let upstream = Upstream::start().await;
    let mut wire = direct(&upstream).await;
    wire.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    wire.answer_to("GET").await;
    assert_eq!(upstream.body_bytes(), 0);
    wire.send("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        .await;
    wire.send("lo").await;
    wire.answer_to("POST").await;
    assert_eq!(upstream.body_bytes(), 5);

    let mut wire = direct(&upstream).await;
    wire.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    wire.send(chunked([&b"hel"[..], b"lo"])).await;
    wire.answer_to("POST").await;
    assert_eq!(
        upstream.body_bytes(),
        5 + "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n".len()
    );
    let bodies: Vec<Vec<u8>> = upstream.requests().into_iter().map(|r| r.body).collect();
    assert_eq!(bodies, [&b""[..], b"hello", b"hello"]);
}

#[tokio::test]
async fn an_unfinished_body_is_counted_too() {
    let upstream = Upstream::start().await;
    let mut wire = direct(&upstream).await;
    wire.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
        .await;
    crate::support::eventually("the byte to arrive", async || {
        (upstream.body_bytes() == 1).then_some(())
    })
    .await;
    assert!(!upstream.only_request().complete);
}

#[tokio::test]
async fn interim_answers_are_told_apart_from_the_final_one() {
    let upstream = Upstream::answering(|_| Reply::Bare(204)).await;
    let mut wire = direct(&upstream).await;
    wire.send("PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx")
        .await;
    let answer = wire.answer_to("PUT").await;
    assert_eq!((answer.status, &answer.interim[..]), (204, &[100][..]));
}
