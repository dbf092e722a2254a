use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::connection::NextHead;
use super::*;

fn limits() -> WireLimits {
    WireLimits {
        header_timeout: Duration::from_secs(10),
        keepalive_timeout: Duration::from_secs(75),
        body_stall_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(60),
        write_stall_timeout: Duration::from_secs(30),
        head: HeadLimits::default(),
    }
}

/// A client's end and the gateway's end of one connection.
async fn pair(limits: WireLimits) -> (TcpStream, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    let downstream = Arc::new(Downstream::new(peer, false));
    let socket = Socket::Plain(server);
    (
        client,
        Connection::new(socket, downstream, Arc::new(limits), false).unwrap(),
    )
}

/// Everything of the current message, then whether the connection holds back what follows.
async fn message(connection: &mut Connection, bytes: usize) -> Vec<u8> {
    assert!(matches!(connection.next_head(true).await, NextHead::Ready));
    let mut whole = vec![0; bytes];
    connection.read_exact(&mut whole).await.unwrap();
    whole
}

async fn has_nothing_more(connection: &mut Connection) -> bool {
    let mut one = [0];
    tokio::time::timeout(Duration::from_millis(50), connection.read(&mut one))
        .await
        .is_err()
}

#[tokio::test]
async fn a_message_ends_where_its_framing_says_and_pipelined_bytes_wait() {
    let first = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    let second =
        b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let third = b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n";
    let (mut client, mut connection) = pair(limits()).await;
    client
        .write_all(&[&first[..], second, third].concat())
        .await
        .unwrap();
    for expected in [&first[..], second, third] {
        assert_eq!(message(&mut connection, expected.len()).await, expected);
        assert!(connection.is_message_over());
        assert!(has_nothing_more(&mut connection).await);
    }
}

#[tokio::test]
async fn a_body_longer_than_the_buffers_passes_whole() {
    let (mut client, mut connection) = pair(limits()).await;
    let body = vec![b'x'; 300_000];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let sent = [head.as_bytes(), &body].concat();
    let sending = sent.clone();
    let client = tokio::spawn(async move {
        client.write_all(&sending).await.unwrap();
        client
    });
    assert_eq!(message(&mut connection, sent.len()).await, sent);
    assert!(connection.is_message_over());
    drop(client.await.unwrap());
}

#[tokio::test]
async fn a_bad_chunk_ends_the_message_with_a_recorded_violation() {
    let (mut client, mut connection) = pair(limits()).await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        .await
        .unwrap();
    assert!(matches!(connection.next_head(true).await, NextHead::Ready));
    let mut all = Vec::new();
    assert!(connection.read_to_end(&mut all).await.is_err());
    let fault = connection.downstream().fault();
    assert!(matches!(fault, Some(WireFault::Violation(_))), "{fault:?}");
}

#[tokio::test]
async fn a_dripped_head_is_cut_at_its_deadline() {
    let short = WireLimits {
        header_timeout: Duration::from_millis(120),
        ..limits()
    };
    let (mut client, mut connection) = pair(short).await;
    let dripping = tokio::spawn(async move {
        client.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
        while client.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let next = connection.next_head(true).await;
    assert!(matches!(next, NextHead::Refused(WireFault::HeaderTimeout)));
    drop(connection);
    dripping.await.unwrap();
}

#[tokio::test]
async fn a_stalled_body_is_cut_and_recorded() {
    let short = WireLimits {
        body_stall_timeout: Duration::from_millis(50),
        ..limits()
    };
    let (mut client, mut connection) = pair(short).await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    assert!(matches!(connection.next_head(true).await, NextHead::Ready));
    let mut all = Vec::new();
    let error = connection.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(
        connection.downstream().fault(),
        Some(WireFault::BodyTimeout)
    );
}

#[tokio::test]
async fn the_http2_preface_is_told_from_a_request() {
    let (mut client, mut connection) = pair(limits()).await;
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    assert!(connection.greet().await);
    assert!(connection.is_http2());

    let (mut client, mut connection) = pair(limits()).await;
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(connection.greet().await);
    assert!(!connection.is_http2());
    assert!(matches!(connection.next_head(true).await, NextHead::Ready));
}

#[tokio::test]
async fn an_answer_waits_for_what_holds_it_and_fails_with_it() {
    let (mut client, mut connection) = pair(limits()).await;
    let (release, released) = tokio::sync::oneshot::channel();
    let held = async move { released.await.unwrap_or(false) };
    connection.downstream().hold_answer(held);
    connection.write_all(b"answer").await.unwrap();
    let flushing = tokio::spawn(async move {
        let flushed = connection.flush().await;
        (connection, flushed)
    });
    let mut answer = [0; 6];
    let early = Duration::from_millis(50);
    assert!(
        tokio::time::timeout(early, client.read_exact(&mut answer))
            .await
            .is_err()
    );
    release.send(true).unwrap();
    let (mut connection, flushed) = flushing.await.unwrap();
    flushed.unwrap();
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer");

    connection
        .downstream()
        .hold_answer(std::future::ready(false));
    connection.write_all(b"another").await.unwrap();
    assert!(connection.flush().await.is_err());
}

#[tokio::test]
async fn after_a_switch_of_protocols_bytes_pass_unframed() {
    let (mut client, mut connection) = pair(limits()).await;
    let head = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(head).await.unwrap();
    assert_eq!(message(&mut connection, head.len()).await, head);
    client.write_all(b"frames").await.unwrap();
    assert!(has_nothing_more(&mut connection).await);
    connection.downstream().become_tunnel();
    let mut frames = [0; 6];
    connection.read_exact(&mut frames).await.unwrap();
    assert_eq!(&frames, b"frames");
}
