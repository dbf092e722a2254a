//! What stands for an event in the chain and in the tree: one digest over its two parts. Pure.
//!
//! ```text
//! line        = public ‖ personal         the stored JSON; personal is what may tell of a person, to its end
//! commitment  = BLAKE2b-256 person "rg-audit persona"  (salt ‖ personal)
//! digest      = BLAKE2b-256 person "rg-audit event 1"  (commitment ‖ public)
//! ```
//!
//! Without the salt, which is random and stored beside the line, nobody can try guesses of the personal part against the
//! commitment. So the personal part and the salt can be erased and the commitment kept: the digest stays.
//!
//! BLAKE2b (RFC 7693) and not BLAKE3, because everybody has it who has Python; and not SHA-256, because each event is
//! hashed by the thread that answers its request.

use blake2b_simd::Params;

/// Keep hashes of one purpose apart from those of another.
const PERSONAL: &[u8; 16] = b"rg-audit persona";
const EVENT: &[u8; 16] = b"rg-audit event 1";
/// What the line of an event goes on with whose personal part was erased.
const ERASED_REST: &[u8] = br#","source_ip":"erased","user_agent":"erased","api_key_id":null,"error_details":null,"geographic_location":null}"#;

/// The hash of one event. The chain and the tree hold digests, not lines, so that what is erased can leave
/// its digest behind and history still verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

/// What hides the personal part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// The salt of its commitment.
    Salt([u8; 32]),
    /// The commitment: the personal part was erased.
    Commitment([u8; 32]),
}

/// Where the personal part of a line begins, and what hides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// In bytes.
    pub personal_from: u32,
    /// Its salt, or what is left of it.
    pub seal: Seal,
}

impl Parts {
    /// The digest of a line.
    pub fn digest(&self, line: &[u8]) -> Digest {
        let (public, personal) = self.split(line);
        let commitment = match self.seal {
            Seal::Salt(salt) => hash(PERSONAL, &salt, personal),
            Seal::Commitment(commitment) => commitment,
        };
        Digest(hash(EVENT, &commitment, public))
    }

    fn split<'a>(&self, line: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let from = usize::try_from(self.personal_from).unwrap_or(usize::MAX);
        line.split_at(from.min(line.len()))
    }

    /// Whether the line still has its personal part.
    pub(crate) fn has_personal(&self, line: &[u8]) -> bool {
        let (public, personal) = self.split(line);
        matches!(self.seal, Seal::Salt(_)) && !public.is_empty() && !personal.is_empty()
    }

    /// The line without its personal part, and what then stands for that. `None` when there is nothing to take.
    pub(crate) fn redacted(&self, line: &[u8]) -> Option<(Vec<u8>, Self)> {
        let (public, personal) = self.split(line);
        let Seal::Salt(salt) = self.seal else {
            return None;
        };
        if !self.has_personal(line) {
            return None;
        }
        let commitment = hash(PERSONAL, &salt, personal);
        let parts = Self {
            seal: Seal::Commitment(commitment),
            ..*self
        };
        Some(([public, ERASED_REST].concat(), parts))
    }
}

fn hash(purpose: &[u8; 16], first: &[u8; 32], then: &[u8]) -> [u8; 32] {
    // A copy costs less than hashing by pieces.
    let input = [first.as_slice(), then].concat();
    let hash = Params::new().hash_length(32).personal(purpose).hash(&input);
    let mut out = [0; 32];
    // Invariant: so long a hash was asked for.
    out.iter_mut()
        .zip(hash.as_bytes())
        .for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_digest_is_that_of_another_implementation() {
        // hashlib.blake2b(digest_size=32, person=…) of Python 3.11 over the same bytes.
        let parts = Parts {
            personal_from: 8,
            seal: Seal::Salt([7; 32]),
        };
        let line = br#"{"a":"b","source_ip":"10.0.0.1"}"#;
        assert_eq!(
            hex(&parts.digest(line).0),
            "4ef8a26b3765b16f10d7ddd9995a9fc422e3a1f68ab742d7ad3575696a115c7f"
        );
    }

    proptest! {
        #[test]
        fn erasing_the_personal_part_keeps_the_digest(
            public in "[ -~]{1,300}", personal in "[ -~]{1,300}", salt in any::<[u8; 32]>(),
        ) {
            let parts = Parts {
                personal_from: u32::try_from(public.len()).unwrap(),
                seal: Seal::Salt(salt),
            };
            let line = format!("{public}{personal}");
            let (redacted, left) = parts.redacted(line.as_bytes()).unwrap();
            prop_assert!(redacted.starts_with(public.as_bytes()));
            prop_assert_eq!(left.digest(&redacted), parts.digest(line.as_bytes()));
            prop_assert_eq!(left.redacted(&redacted), None);
            let other = Parts { seal: Seal::Salt([0; 32]), ..parts };
            prop_assert!(salt == [0; 32] || other.digest(line.as_bytes()) != parts.digest(line.as_bytes()));
        }
    }
}
