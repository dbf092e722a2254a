//! Connections to sinks: name resolution, TCP, and TLS that always checks the certificate.
//!
//! No deadlines here: the worker gives one to the whole batch.

use std::io;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{Server, TlsClient};

/// Either kind of connection.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection to a sink.
pub(super) type Stream = Box<dyn Connection>;

/// Connects to one server.
pub(super) struct Connector {
    server: Server,
    /// Most bytes the kernel keeps that the receiver has not confirmed; `None` leaves it to the kernel.
    unconfirmed_bytes_max: Option<usize>,
    /// Made at the first connection, for it may read the system's certificates.
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    pub(super) fn to(server: &Server) -> Self {
        Self {
            server: server.clone(),
            unconfirmed_bytes_max: None,
            tls: None,
        }
    }

    /// Bounds what is lost when a connection breaks whose receiver acknowledges nothing.
    pub(super) fn with_unconfirmed_max(mut self, bytes: usize) -> Self {
        self.unconfirmed_bytes_max = Some(bytes);
        self
    }

    pub(super) async fn connect(&mut self) -> io::Result<Stream> {
        let address = (&*self.server.host, self.server.port);
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if let Some(bytes) = self.unconfirmed_bytes_max {
            socket2::SockRef::from(&stream).set_send_buffer_size(bytes)?;
        }
        let Some(settings) = &self.server.tls else {
            return Ok(Box::new(stream));
        };
        let (connector, name) = match &self.tls {
            Some(ready) => ready,
            None => {
                let connector = TlsConnector::from(client_config(settings)?);
                self.tls.insert((connector, settings.server_name.clone()))
            }
        };
        Ok(Box::new(connector.connect(name.clone(), stream).await?))
    }
}

/// What rustls needs to know to speak with a server.
///
/// # Errors
///
/// No authority is usable, or the identity is not.
pub(super) fn client_config(settings: &TlsClient) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match &settings.authorities {
        Some(authorities) => {
            for authority in &**authorities {
                roots.add(authority.clone()).map_err(io::Error::other)?;
            }
        }
        None => {
            let system = rustls_native_certs::load_native_certs()?;
            roots.add_parsable_certificates(system);
        }
    }
    if roots.is_empty() {
        return Err(io::Error::other(
            "the system has no certificate authorities",
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let config = match &settings.identity {
        Some(identity) => builder
            .with_client_auth_cert(identity.certificates.to_vec(), identity.key.clone_key())
            .map_err(io::Error::other)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}
