//! Who reaches the gateway and how: listeners, admin, trusted proxies, plans.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Compiler, Seen, all, is_missing, narrow, text};
use crate::audit::KeyRing;
use crate::config::file::{AdminShape, FileShape, ListenerShape, PlanShape, TlsShape};
use crate::config::findings::shown;
use crate::config::model::{Admin, Listener, PlanSettings, Protocol, Secret, TlsFiles};
use crate::config::placed::Placed;
use crate::config::read_bounded;

/// Size of a certificate, key or CA file.
pub(super) const PEM_BYTES_MAX: usize = 1024 * 1024;
/// Size of a token.
const TOKEN_BYTES_MAX: usize = 4096;
/// Size of a file of encryption keys.
const KEY_RING_BYTES_MAX: usize = 16 * 1024;

impl Compiler<'_> {
    pub(super) fn listeners(&mut self, shapes: &[Placed<ListenerShape>]) -> Option<Vec<Listener>> {
        let mut names = Seen::default();
        all(shapes.iter().map(|shape| {
            names.once(&shape.value.name, self.findings);
            self.listener(shape)
        }))
    }

    fn listener(&mut self, shape: &Placed<ListenerShape>) -> Option<Listener> {
        let protocol = shape.value.protocol.value;
        let name = self.parsed(&shape.value.name, text::name);
        let address = self.address(&shape.value.address);
        let tls = match (&shape.value.tls, protocol) {
            (Some(tls), Protocol::Https) => Some(self.tls_files(&tls.value)?),
            (None, Protocol::Https) if self.findings.names(&format!("{}.tls", shape.path)) => None,
            (None, Protocol::Https) => {
                let hint = "an https listener needs certificate_file and private_key_file";
                self.error_with_hint(shape, "missing key: tls", hint);
                None
            }
            (Some(_), _) if self.findings.names(&format!("{}.protocol", shape.path)) => None,
            (Some(tls), _) => {
                let word = if protocol == Protocol::H2c {
                    "h2c"
                } else {
                    "http1"
                };
                let reason = format!("must be absent where protocol is not https: {word}");
                self.error(tls, reason);
                None
            }
            (None, _) => None,
        };
        Some(Listener {
            name: name?,
            address: address?,
            protocol,
            tls,
        })
    }

    fn tls_files(&mut self, shape: &TlsShape) -> Option<TlsFiles> {
        let certificates = self.certificates(&shape.certificate_file);
        let key = self.private_key(&shape.private_key_file);
        let (certificates, key) = (certificates?, key?);
        let provider = rustls::crypto::ring::default_provider();
        match CertifiedKey::from_der(certificates, key, &provider) {
            Ok(_) => Some(TlsFiles {
                certificate_file: self.path(&shape.certificate_file),
                private_key_file: self.path(&shape.private_key_file),
            }),
            Err(cause) => {
                let file = &shape.private_key_file;
                let cause = match cause {
                    rustls::Error::InconsistentKeys(_) => {
                        "must be the key of the certificate".to_owned()
                    }
                    cause => format!("must be usable with the certificate ({cause})"),
                };
                self.error(file, format!("{cause}: {}", shown(&file.value)));
                None
            }
        }
    }

    /// The certificates of a PEM file; at least one.
    pub(super) fn certificates(
        &mut self,
        file: &Placed<String>,
    ) -> Option<Vec<CertificateDer<'static>>> {
        let pem = self.file(file, PEM_BYTES_MAX)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Some(certificates),
            _ => {
                let reason = format!("must hold certificates in PEM: {}", shown(&file.value));
                self.error(file, reason);
                None
            }
        }
    }

    pub(super) fn private_key(&mut self, file: &Placed<String>) -> Option<PrivateKeyDer<'static>> {
        let pem = self.file(file, PEM_BYTES_MAX)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).ok();
        if key.is_none() {
            let reason = format!("must hold a private key in PEM: {}", shown(&file.value));
            self.error(file, reason);
        }
        key
    }

    /// What a file named in the configuration holds.
    pub(super) fn file(&mut self, name: &Placed<String>, bytes_max: usize) -> Option<Vec<u8>> {
        if is_missing(name) {
            return None;
        }
        match read_bounded(&self.path(name), bytes_max) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let cause = match error.kind() {
                    io::ErrorKind::NotFound => "no such file".to_owned(),
                    io::ErrorKind::PermissionDenied => "no permission to read the file".to_owned(),
                    _ => format!("cannot be read ({error})"),
                };
                let reason = format!("{cause}: {}", shown(&name.value));
                if Path::new(&name.value).is_relative() {
                    let hint = "relative to the folder of the configuration file";
                    self.error_with_hint(name, reason, hint);
                } else {
                    self.error(name, reason);
                }
                None
            }
        }
    }

    /// The keys of a file.
    pub(super) fn key_ring(&mut self, name: &Placed<String>) -> Option<KeyRing> {
        let bytes = self.file(name, KEY_RING_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&bytes);
        let keys = KeyRing::parse(&text);
        keys.map_err(|error| self.error(name, format!("{error}: {}", shown(&name.value))))
            .ok()
    }

    pub(super) fn admin(&mut self, shape: &Placed<AdminShape>) -> Option<Admin> {
        let address = self.address(&shape.value.address);
        let token = match (&shape.value.token_file, &shape.value.token) {
            (None, None) => None,
            (Some(file), None) => Some(self.token_of_file(file)?),
            (None, Some(reference)) => Some(self.token_of_environment(reference)?),
            (Some(_), Some(token)) => {
                self.error(token, "must be absent where token_file is given");
                return None;
            }
        };
        Some(Admin {
            address: address?,
            token,
        })
    }

    fn token_of_file(&mut self, file: &Placed<String>) -> Option<Secret> {
        let bytes = self.file(file, TOKEN_BYTES_MAX)?;
        let text = String::from_utf8(bytes).unwrap_or_default();
        let token = token(&text);
        if token.is_none() {
            let reason = format!(
                "must hold one line of visible ASCII: {}",
                shown(&file.value)
            );
            self.error(file, reason);
        }
        token
    }

    fn token_of_environment(&mut self, reference: &Placed<String>) -> Option<Secret> {
        let name = reference.value.strip_prefix("${");
        let name = name.and_then(|name| name.strip_suffix('}'));
        let may_stand = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let Some(name) = name.filter(|name| !name.is_empty() && name.chars().all(may_stand)) else {
            let hint = "write ${NAME} for an environment variable, or use token_file";
            let reason = "must be an environment reference, not the token itself: [redacted]";
            self.error_with_hint(reference, reason, hint);
            return None;
        };
        let Ok(text) = std::env::var(name) else {
            let reason = format!("environment variable is not set: {}", shown(name));
            self.error(reference, reason);
            return None;
        };
        let token = token(&text);
        if token.is_none() {
            let reason = format!("must hold one line of visible ASCII: {}", shown(name));
            self.error(reference, reason);
        }
        token
    }

    /// Reports listeners and admin that would want the same port.
    pub(super) fn addresses_are_unique(&mut self, file: &FileShape) {
        let listeners = file
            .listeners
            .value
            .iter()
            .map(|shape| &shape.value.address);
        let mut seen: Vec<(SocketAddr, &Placed<String>)> = Vec::new();
        for text in listeners.chain([&file.admin.value.address]) {
            let Ok(address) = text.value.parse::<SocketAddr>() else {
                continue;
            };
            let earlier = seen
                .iter()
                .find(|(other, _)| text::collide(*other, address));
            let Some((_, earlier)) = earlier else {
                seen.push((address, text));
                continue;
            };
            if text.stands_in_file() {
                let reason = format!("must not share its port: {address}");
                let hint = format!("already used at line {}", earlier.spot().line);
                self.error_with_hint(text, reason, hint);
            } else {
                // The admin address is the default: the listener has to give way.
                let reason = format!("must not share its port: {}", earlier.value);
                let hint = format!("{address} is the default of admin.address");
                self.error_with_hint(earlier, reason, hint);
            }
        }
    }

    pub(super) fn networks(&mut self, shapes: &[Placed<String>]) -> Option<Vec<IpNet>> {
        let mut seen = Seen::default();
        all(shapes.iter().map(|shape| {
            seen.once(shape, self.findings);
            self.parsed(shape, text::network)
        }))
    }

    pub(super) fn plans(&mut self, shapes: &[Placed<PlanShape>]) -> Option<Vec<PlanSettings>> {
        let mut names = Seen::default();
        all(shapes.iter().map(|shape| {
            names.once(&shape.value.name, self.findings);
            self.plan(&shape.value)
        }))
    }

    fn plan(&mut self, shape: &PlanShape) -> Option<PlanSettings> {
        let name = self.parsed(&shape.name, text::name);
        if let (Some(burst), None) = (&shape.burst, &shape.requests_per_second)
            && !self
                .findings
                .names(&burst.path.replace("burst", "requests_per_second"))
        {
            let reason = format!("must stand beside requests_per_second: {}", burst.value);
            self.error(burst, reason);
        }
        let requests_per_second = shape.requests_per_second.as_ref().map(narrow);
        let query_complexity = self.complexity(shape);
        Some(PlanSettings {
            name: name?,
            requests_per_second,
            burst: shape.burst.as_ref().map(narrow).or(requests_per_second),
            requests_per_minute: shape.requests_per_minute.as_ref().map(narrow),
            requests_per_day: shape.requests_per_day.as_ref().map(|limit| limit.value),
            concurrency: shape.concurrency.as_ref().map(narrow),
            query_complexity: query_complexity?,
        })
    }
}

/// A bearer token: one line of visible ASCII.
fn token(text: &str) -> Option<Secret> {
    let line = text.trim_end_matches(['\r', '\n']);
    let visible = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_graphic());
    visible.then(|| Secret::new(line))
}
