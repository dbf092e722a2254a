use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::TlsClient;

#[test]
fn only_bounded_seconds_are_waited_for() {
    let after = |value: &str| {
        let mut fields = HeaderMap::new();
        fields.insert(RETRY_AFTER, value.parse().unwrap());
        retry_after(&fields)
    };
    assert_eq!(after("7"), Some(Duration::from_secs(7)));
    assert_eq!(after("99999999999"), Some(RETRY_AFTER_MAX));
    assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    assert_eq!(after("-1"), None);
}

/// Reads one request with its body; false when the client has gone.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
    }
}

fn service_at(listener: &TcpListener) -> Service {
    let server = Server {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        tls: None,
    };
    Service {
        server,
        path: "/base".into(),
        authorization: None,
    }
}

async fn service() -> (TcpListener, HttpClient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = HttpClient::of(&service_at(&listener));
    (listener, client)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let (listener, mut client) = service().await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < 2 {
            seen.push(request(&mut stream).await.unwrap());
            stream.write_all(OK).await.unwrap();
        }
        seen
    });
    for body in ["first", "second"] {
        let answer = client
            .send(Ask::json(Method::POST, "/_bulk", body))
            .await
            .unwrap();
        assert_eq!(
            (answer.status, &answer.body[..]),
            (StatusCode::OK, &b"ok"[..])
        );
    }
    let seen = serving.await.unwrap();
    assert!(
        seen[0].starts_with("POST /base/_bulk HTTP/1.1\r\n"),
        "{}",
        seen[0]
    );
    assert!(seen[1].ends_with("\r\n\r\nsecond"), "{}", seen[1]);
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_is_replaced() {
    let (listener, mut client) = service().await;
    let serving = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await.unwrap();
            stream.write_all(OK).await.unwrap();
        }
    });
    client.send(Ask::get("/")).await.unwrap();
    // The service closes; the client must have seen it before the next request, or the case is another.
    while !client.idle.as_ref().unwrap().sender.is_closed() {
        tokio::task::yield_now().await;
    }
    client.send(Ask::get("/")).await.unwrap();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_dropped_call_leaves_no_half_read_connection() {
    let (listener, mut client) = service().await;
    let (arrived, waiting) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        request(&mut first).await.unwrap();
        arrived.send(()).unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        // The late answer to the first request goes where nobody listens.
        let _closed = first
            .write_all(b"HTTP/1.1 500 Late\r\ncontent-length: 0\r\n\r\n")
            .await;
        request(&mut second).await.unwrap();
        second.write_all(OK).await.unwrap();
        first
    });
    tokio::select! {
        answer = client.send(Ask::get("/")) => panic!("{answer:?}"),
        told = waiting => told.unwrap(),
    }
    let answer = client.send(Ask::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_cut_in_the_answer_is_a_failure() {
    let (listener, mut client) = service().await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")
            .await
            .unwrap();
    });
    let answer = client.send(Ask::get("/")).await;
    assert!(answer.is_err(), "{answer:?}");
    assert!(client.idle.is_none());
    serving.await.unwrap();
}

/// Serves one connection over TLS: the answer to one request, or why there was none.
async fn served(listener: &TcpListener, made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return false;
    };
    let mut head = [0; 4096];
    let read = stream.read(&mut head).await.unwrap();
    assert!(head[..read].starts_with(b"GET /base/ HTTP/1.1\r\n"));
    stream.write_all(OK).await.unwrap();
    stream.flush().await.unwrap();
    true
}

#[tokio::test]
async fn a_service_is_spoken_to_over_tls_only_with_a_certificate_that_is_trusted() {
    let made = || rcgen::generate_simple_self_signed(["store.test".to_owned()]).unwrap();
    let (ours, other) = (made(), made());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut service = service_at(&listener);
    service.server.tls = Some(TlsClient {
        authorities: Some(Arc::from(vec![ours.cert.der().clone()])),
        server_name: "store.test".try_into().unwrap(),
        identity: None,
    });
    let mut client = HttpClient::of(&service);
    let (answer, answered) = tokio::join!(client.send(Ask::get("/")), served(&listener, &ours));
    assert_eq!((answer.unwrap().status, answered), (StatusCode::OK, true));

    let mut client = HttpClient::of(&service);
    let (answer, answered) = tokio::join!(client.send(Ask::get("/")), served(&listener, &other));
    let cause = answer.unwrap_err();
    assert!(cause.contains("certificate") && !answered, "{cause}");
}

#[tokio::test]
async fn an_answer_that_repeats_credentials_does_not_show_them() {
    for (authorization, secrets) in [
        ("Splunk 0123-secret", &["0123-secret"][..]),
        ("Basic cmc6aHVudGVyMg==", &["cmc6aHVudGVyMg==", "hunter2"]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = HttpClient::of(&Service {
            authorization: Some(crate::config::Secret::new(authorization)),
            ..service_at(&listener)
        });
        let said = format!("bad {authorization}, that is {secrets:?}");
        let answer = format!(
            "HTTP/1.1 401 No\r\ncontent-length: {}\r\n\r\n{said}",
            said.len()
        );
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let answer = client.send(Ask::get("/")).await.unwrap();
        serving.await.unwrap();
        let shown = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(
            shown.starts_with("bad ") && shown.contains("[secret]"),
            "{shown}"
        );
        for secret in secrets {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
