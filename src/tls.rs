//! Server certificates: loaded and checked before a listener is bound.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// A certificate in use, renewed without closing a connection.
pub struct Certificate {
    files: TlsFiles,
    acceptor: ArcSwap<ServerConfig>,
}

impl Certificate {
    /// Loads and checks a certificate and its key.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is no PEM, or key and certificate do not belong together.
    pub fn load(files: &TlsFiles) -> io::Result<Self> {
        Ok(Self {
            files: files.clone(),
            acceptor: ArcSwap::from(server_config(files)?),
        })
    }

    /// Reads the files again; on an error the certificate in use stays.
    ///
    /// # Errors
    ///
    /// As [`Certificate::load`].
    pub fn renew(&self) -> io::Result<()> {
        self.acceptor.store(server_config(&self.files)?);
        Ok(())
    }

    /// An acceptor with the certificate as it is now.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.acceptor.load_full())
    }
}

/// TLS 1.2 and 1.3, offering HTTP/2 and HTTP/1.1.
fn server_config(files: &TlsFiles) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(&files.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(&files.certificate_file, &error))?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key_file)
        .map_err(|error| unusable(&files.private_key_file, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&files.certificate_file, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn unusable(file: &std::path::Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {error}", file.display()),
    )
}
