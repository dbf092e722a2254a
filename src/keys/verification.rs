//! Enrolling a key for one-time codes: the secret that its authenticator and the gateway share.
//!
//! Unlike a key's own secret it has to be readable, so it is kept sealed: ChaCha20-Poly1305 (RFC
//! 8439) under a key derived from the pepper, bound to the key's id. A stolen `keys.db` alone gives
//! no code, and a sealed secret moved to another key does not open.

use std::fmt;
use std::io::Write;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::record::{KeyChange, Transition};
use super::store::{KeyStore, note, wrong_state};
use super::{KeysError, Result, files};
use crate::now::Now;
use crate::policy::auth::{KeyId, Pepper};
use crate::policy::totp::{SECRET_BYTES, TotpSecret};

/// What the sealing key is derived for (BLAKE3, key derivation mode).
const PURPOSE: &str = "rocketgraph gateway 2026-11 sealing of verification secrets";

/// `rg-gateway keys verification`.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum VerificationCommand {
    /// Let a key present one-time codes, and print the address for its authenticator, this once
    Enrol {
        /// The key's id
        id: KeyId,
        /// Take the place of an earlier enrolment
        #[arg(long)]
        replace: bool,
        /// Who does this, for the audit log
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
    /// Let a key present codes no longer
    Remove {
        /// The key's id
        id: KeyId,
        /// Who does this, for the audit log
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
}

impl VerificationCommand {
    pub(super) fn run(
        self,
        store: &mut KeyStore,
        now: Now,
        out: &mut dyn Write,
    ) -> Result<Vec<KeyChange>> {
        let change = match self {
            Self::Enrol { id, replace, by } => {
                let (uri, change) = store.enrol_verification(id, replace, &by, now)?;
                writeln!(out, "{uri}\n").map_err(KeysError::Output)?;
                let said =
                    "The address is shown this once: make a QR code of it, or type in its secret.";
                writeln!(out, "{said}").map_err(KeysError::Output)?;
                change
            }
            Self::Remove { id, by } => {
                let change = store.remove_verification(id, &by, now)?;
                writeln!(out, "removed {id}").map_err(KeysError::Output)?;
                change
            }
        };
        Ok(vec![change])
    }
}

impl KeyStore {
    /// Gives a key a secret for one-time codes. The address for its authenticator is in the answer
    /// and nowhere else.
    ///
    /// # Errors
    ///
    /// `WrongState` if the key is revoked, or enrolled and not to be replaced.
    pub fn enrol_verification(
        &mut self,
        id: KeyId,
        replace: bool,
        by: &str,
        now: Now,
    ) -> Result<(String, KeyChange)> {
        let secret = TotpSecret::new(files::random()?);
        let sealed = Sealed::seal(self.pepper(), id, &secret)?;
        let mut uri = String::new();
        let note = note(Transition::VerificationEnrolled, by);
        let change = self.transition(id, &note, now, |record| {
            if record.verification.is_some() && !replace {
                return Err(KeysError::WrongState {
                    id,
                    action: "enrol",
                    state: "enrolled already",
                });
            }
            uri = secret.otpauth_uri(&record.terms.organization_id, id.as_str());
            record.verification = Some(sealed);
            Ok(())
        })?;
        Ok((uri, change))
    }

    /// Takes the secret away; codes that are demanded of the key can no longer be given.
    ///
    /// # Errors
    ///
    /// `WrongState` if the key is revoked or not enrolled.
    pub fn remove_verification(&mut self, id: KeyId, by: &str, now: Now) -> Result<KeyChange> {
        let note = note(Transition::VerificationRemoved, by);
        self.transition(id, &note, now, |record| match record.verification.take() {
            Some(_) => Ok(()),
            None => Err(wrong_state(record, "remove the verification of")),
        })
    }
}

/// A secret as the store keeps it: nonce, then sealed bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sealed(Vec<u8>);

impl Sealed {
    pub(super) fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn seal(pepper: &Pepper, id: KeyId, secret: &TotpSecret) -> Result<Self> {
        let nonce: [u8; NONCE_LEN] = files::random()?;
        let mut text = secret.expose().to_vec();
        let aad = Aad::from(id.as_str());
        key(pepper)
            .and_then(|key| {
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.seal_in_place_append_tag(nonce, aad, &mut text).ok()
            })
            .ok_or_else(|| damaged(id))?;
        Ok(Self([&nonce[..], &text].concat()))
    }

    /// The secret; `None` for bytes that were not sealed for this key with this pepper.
    pub(super) fn open(&self, pepper: &Pepper, id: KeyId) -> Option<TotpSecret> {
        let (nonce, sealed) = self.0.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(id.as_str());
        let opened = key(pepper)?.open_in_place(nonce, aad, &mut sealed).ok()?;
        let bytes: [u8; SECRET_BYTES] = (&*opened).try_into().ok()?;
        Some(TotpSecret::new(bytes))
    }

    /// The same secret, sealed for the key that replaces this one.
    pub(super) fn for_successor(
        &self,
        pepper: &Pepper,
        id: KeyId,
        successor: KeyId,
    ) -> Result<Self> {
        let secret = self.open(pepper, id).ok_or_else(|| damaged(id))?;
        Self::seal(pepper, successor, &secret)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

fn key(pepper: &Pepper) -> Option<LessSafeKey> {
    // Invariant: the key has the algorithm's length, and so is never refused.
    UnboundKey::new(&CHACHA20_POLY1305, &pepper.derive(PURPOSE))
        .ok()
        .map(LessSafeKey::new)
}

fn damaged(id: KeyId) -> KeysError {
    KeysError::Damaged {
        id: id.to_string(),
        field: "verification",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> KeyId {
        text.parse().unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_key_and_pepper_alone() {
        let (pepper, other) = (Pepper::new([1; 32]), Pepper::new([2; 32]));
        let secret = TotpSecret::new([7; SECRET_BYTES]);
        let sealed = Sealed::seal(&pepper, id("ab12CD34"), &secret).unwrap();
        assert_eq!(sealed.open(&pepper, id("ab12CD34")), Some(secret.clone()));
        assert_eq!(sealed.open(&other, id("ab12CD34")), None);
        assert_eq!(sealed.open(&pepper, id("ab12CD35")), None);
        let moved = sealed.for_successor(&pepper, id("ab12CD34"), id("ab12CD35"));
        assert_eq!(moved.unwrap().open(&pepper, id("ab12CD35")), Some(secret));
        assert!(!sealed.as_bytes().windows(8).any(|w| w == [7; 8]));
        assert_eq!(format!("{sealed:?}"), "[sealed]");
        for length in 0..sealed.as_bytes().len() {
            let cut = Sealed::from_stored(sealed.as_bytes()[..length].to_vec());
            assert_eq!(cut.open(&pepper, id("ab12CD34")), None);
        }
    }

    #[test]
    fn an_enrolment_follows_its_key_through_rotation_and_ends_with_removal() {
        use crate::keys::{KeyView, NewKey};
        use crate::policy::auth::Environment;
        let folder = tempfile::tempdir().unwrap();
        let mut store = KeyStore::open(folder.path()).unwrap();
        let terms = crate::keys::KeyTerms {
            organization_id: "acme".to_owned(),
            plan: "free".to_owned(),
            ..Default::default()
        };
        let environment = Environment::Live;
        let now = Now::read();
        let key = store.create(NewKey { environment, terms }, now).unwrap();
        let id = key.record.id;
        let (view, _) = KeyView::load(&store).unwrap();
        assert_eq!(view.verification(id.as_str()), None);

        let (uri, change) = store.enrol_verification(id, false, "ada", now).unwrap();
        assert_eq!(change.transition, Transition::VerificationEnrolled);
        assert!(uri.starts_with("otpauth://totp/RocketGraph:acme%20"));
        assert!(store.enrol_verification(id, false, "ada", now).is_err());
        view.refresh(&store).unwrap();
        let secret = view.verification(id.as_str()).unwrap();
        assert!(uri.contains(&secret.base32()));

        let successor = store.rotate(id, std::time::Duration::from_secs(60), "ada", now);
        let successor = successor.unwrap().record.id;
        drop(store);
        let mut store = KeyStore::open(folder.path()).unwrap();
        let (view, _) = KeyView::load(&store).unwrap();
        assert_eq!(view.verification(successor.as_str()), Some(secret.clone()));

        store
            .enrol_verification(successor, true, "ada", now)
            .unwrap();
        store.remove_verification(id, "ada", now).unwrap();
        assert!(store.remove_verification(id, "ada", now).is_err());
        view.refresh(&store).unwrap();
        assert_eq!(view.verification(id.as_str()), None);
        assert_ne!(view.verification(successor.as_str()), Some(secret));
        let words: Vec<_> = store.unaudited(100).unwrap();
        let last = words.last().unwrap();
        assert_eq!(last.transition.as_str(), "verification_removed");
    }
}
