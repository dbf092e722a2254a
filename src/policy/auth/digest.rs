//! What is kept of a key: a keyed hash, useless without the gateway's pepper.
//!
//! Our keys carry 190 random bits, so a fast hash is enough; slow password hashes defend guessable
//! secrets. An imported key may be guessable, which is why the pepper exists and is kept in a file
//! of its own: a stolen `keys.db` alone cannot be searched offline.

use std::fmt;
use std::hash::{Hash, Hasher};

use subtle::ConstantTimeEq as _;

/// The gateway's secret, mixed into every digest. Losing it makes every stored key unknown.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key for another purpose, which tells nothing of the pepper (BLAKE3, key derivation mode).
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.0)
    }

    /// A digest by which a store recognises its own pepper without keeping it.
    pub fn mark(&self) -> Digest {
        Digest::of(self, b"rocketgraph gateway pepper mark")
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(…)")
    }
}

/// BLAKE3 in keyed mode (BLAKE3 paper, section 2.3) over a whole key. Equality takes constant time.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes a key as it was presented.
    pub fn of(pepper: &Pepper, key: &[u8]) -> Self {
        Self(*blake3::keyed_hash(&pepper.0, key).as_bytes())
    }

    /// Takes stored bytes back.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    /// The first word: the bytes are uniform already, and nobody without the pepper can choose them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let word = self.0.first_chunk().copied().map_or(0, u64::from_le_bytes);
        state.write_u64(word);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_key_and_pepper() {
        let (one, two) = (Pepper::new([1; 32]), Pepper::new([2; 32]));
        assert_eq!(Digest::of(&one, b"k"), Digest::of(&one, b"k"));
        assert_ne!(Digest::of(&one, b"k"), Digest::of(&one, b"l"));
        assert_ne!(Digest::of(&one, b"k"), Digest::of(&two, b"k"));
        assert_ne!(one.mark(), two.mark());
    }

    #[test]
    fn neither_pepper_nor_digest_shows_its_bytes() {
        let pepper = Pepper::new([0xab; 32]);
        assert_eq!(
            format!("{pepper:?} {:?}", pepper.mark()),
            "Pepper(…) Digest(…)"
        );
    }
}
