//! The file of the signing key: PKCS #8 in PEM, as `openssl genpkey -algorithm ed25519` writes it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::Ed25519KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

/// The key's file in the data folder, where none is configured.
pub const SIGNING_KEY_FILE: &str = "audit-signing.key";
/// DER of an Ed25519 private key (RFC 8410) up to its 32 bytes.
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const SEED_BYTES: usize = 32;

/// The key of a file. A file that is absent is made, readable by its owner only.
pub(crate) fn load_or_create(path: &Path) -> io::Result<Ed25519KeyPair> {
    match fs::read(path) {
        Ok(pem) => parse(&pem),
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path),
        Err(error) => Err(error),
    }
}

fn parse(pem: &[u8]) -> io::Result<Ed25519KeyPair> {
    let bad = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "not an Ed25519 key in PKCS #8 PEM",
        )
    };
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| bad())?;
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).map_err(|_| bad())
}

fn create(path: &Path) -> io::Result<Ed25519KeyPair> {
    let mut seed = [0; SEED_BYTES];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    let der = [PKCS8_HEAD.as_slice(), &seed].concat();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    );
    // Under another name first: a crash must not leave half a key, which no later start could read.
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    parse(pem.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use ring::signature::KeyPair as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        let made = load_or_create(&path).unwrap();
        let read = load_or_create(&path).unwrap();
        assert_eq!(made.public_key().as_ref(), read.public_key().as_ref());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.pem");
        fs::write(
            &path,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        )
        .unwrap();
        let refused = load_or_create(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert!(fs::read(&path).unwrap().starts_with(b"-----"));
    }
}
