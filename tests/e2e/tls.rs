//! TLS listeners: HTTP/2 and HTTP/1.1 by ALPN, certificates read again on reload.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Gateway, Setup, Upstream};

struct Identity {
    certificate: CertificateDer<'static>,
    pem: String,
    key_pem: String,
}

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["api.test".to_owned()]).expect("a certificate");
    Identity {
        certificate: made.cert.der().clone(),
        pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    }
}

async fn gateway_with(upstream: &Upstream, identity: &Identity) -> Gateway {
    let files = json!({"certificate_file": "cert.pem", "private_key_file": "key.pem"});
    let listener =
        json!({"name": "tls", "address": "127.0.0.1:0", "protocol": "https", "tls": files});
    let mut setup = Setup::from(upstream);
    setup.file["listeners"]
        .as_array_mut()
        .expect("listeners")
        .push(listener);
    setup
        .beside("cert.pem", &identity.pem)
        .beside("key.pem", &identity.key_pem)
        .start()
        .await
}

/// A connection that trusts this certificate only.
async fn connect(
    address: SocketAddr,
    identity: &Identity,
    alpn: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(identity.certificate.clone())
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("api.test").expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn http1_is_served_over_tls() {
    let upstream = Upstream::start().await;
    let identity = identity();
    let gateway = gateway_with(&upstream, &identity).await;
    let mut stream = connect(gateway.address("tls"), &identity, b"http/1.1")
        .await
        .expect("TLS");
    let key = &gateway.key().secret;
    let request = format!(
        "GET /v1/graphs HTTP/1.1\r\nHost: api.test\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a live connection");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("a clean end");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(upstream.only_request().field("x-forwarded-proto"), "https");
    gateway.finish().await;
}

#[tokio::test]
async fn http2_is_served_over_tls() {
    let upstream = Upstream::start().await;
    let identity = identity();
    let gateway = gateway_with(&upstream, &identity).await;
    let stream = connect(gateway.address("tls"), &identity, b"h2")
        .await
        .expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let request = http::Request::get("https://api.test/v1/graphs");
    let request = request.header("x-api-key", &gateway.key().secret);
    let answer = gateway
        .http2_over(stream, request, vec![])
        .await
        .expect("an answer");
    assert_eq!(answer.status, 200);
    gateway.finish().await;
}

#[tokio::test]
async fn a_new_certificate_is_served_after_a_reload() {
    let upstream = Upstream::start().await;
    let old = identity();
    let gateway = gateway_with(&upstream, &old).await;
    let new = identity();
    gateway.write("cert.pem", &new.pem);
    gateway.write("key.pem", &new.key_pem);
    assert!(connect(gateway.address("tls"), &new, b"h2").await.is_err());
    assert_eq!(
        gateway.admin(http::Method::POST, "/reload").await.status,
        200
    );
    assert!(connect(gateway.address("tls"), &new, b"h2").await.is_ok());
    assert!(connect(gateway.address("tls"), &old, b"h2").await.is_err());
    gateway.finish().await;
}
