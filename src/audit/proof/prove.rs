//! Proofs as documents: made from a log's files, checked with nothing but a public key.
//!
//! ```text
//! { "format":      "rg-audit-proof/v2",
//!   "sequence":    1043,                 the event's place, from 1; its leaf's index is one less
//!   "event":       "{…}",                the stored line, to the letter
//!   "personal_from": 480,                where in it the personal part begins, in bytes of UTF-8
//!   "salt":        "<base64>",           of the personal part; where that was erased, instead of it
//!   "commitment":  "<base64>",           what is left of the personal part
//!   "leaf_hash":   "<base64>",           SHA-256(0x00 ‖ digest)
//!   "inclusion":   ["<base64>", …],      RFC 9162 inclusion proof, lowest first
//!   "checkpoint":  "…",                  the signed checkpoint it leads to, whole
//!   "public_key":  "…",                  the key that signed it; trust your own copy, not this one
//!   "consistency": {"from": 500, "proof": ["<base64>", …]} }
//! ```
//!
//! ```text
//! commitment = BLAKE2b-256 with person "rg-audit persona" over salt ‖ personal part
//! digest     = BLAKE2b-256 with person "rg-audit event 1" over commitment ‖ public part
//! ```
//!
//! The consistency proof, where asked for, shows that the tree of an earlier checkpoint is the beginning of this one.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::merkle::{Hash, consistency, extends, includes, inclusion};
use super::note::{NoteError, PublicKey, TreeHead, open_checkpoint};
use super::notes;
use super::signed_by::newest_in;
use super::tree::Reader;
use crate::audit::log::storage::{Directory, Storage};
use crate::audit::log::{Parts, Seal};
use crate::audit::search::RawEvent;

/// What the document says it is.
const FORMAT: &str = "rg-audit-proof/v2";

/// The proof of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// `rg-audit-proof/v2`.
    pub format: String,
    /// The event's place, from 1.
    pub sequence: u64,
    /// The stored line.
    pub event: String,
    /// Its parts.
    #[serde(flatten)]
    pub parts: SealedParts,
    /// The leaf, base64.
    pub leaf_hash: String,
    /// The inclusion proof, base64.
    pub inclusion: Vec<String>,
    /// The signed checkpoint.
    pub checkpoint: String,
    /// The key that signed it.
    pub public_key: String,
    /// That an earlier tree is the beginning of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
}

/// Where a line's personal part begins and what hides it, as documents say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedParts {
    /// In bytes of UTF-8.
    pub personal_from: u32,
    /// The salt of the personal part, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// What is left of a personal part that was erased, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<String>,
}

impl SealedParts {
    /// As documents say it.
    pub fn of(parts: &Parts) -> Self {
        let (salt, commitment) = match parts.seal {
            Seal::Salt(salt) => (Some(STANDARD.encode(salt)), None),
            Seal::Commitment(commitment) => (None, Some(STANDARD.encode(commitment))),
        };
        Self {
            personal_from: parts.personal_from,
            salt,
            commitment,
        }
    }

    fn read(&self) -> Option<Parts> {
        let seal = match (&self.salt, &self.commitment) {
            (Some(salt), None) => Seal::Salt(hash(salt)?.0),
            (None, Some(commitment)) => Seal::Commitment(hash(commitment)?.0),
            _ => return None,
        };
        Some(Parts {
            personal_from: self.personal_from,
            seal,
        })
    }
}

/// That the tree of an earlier checkpoint is the beginning of a later one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Size of the earlier tree.
    pub from: u64,
    /// The proof, base64.
    pub proof: Vec<String>,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// No signature covers the event yet.
    #[error(
        "no signed checkpoint covers the event yet; they come every second while the gateway runs"
    )]
    NotSigned,
    /// The size a consistency proof was asked from is larger than the tree.
    #[error("from: must be 1 to {0}")]
    From(u64),
    /// The disk cannot be read, or the hashes around the event are no longer kept.
    #[error("the proof cannot be made: {0}")]
    Storage(#[from] io::Error),
}

/// What makes proofs for a log in a directory.
pub struct Dir(Directory);

impl Dir {
    /// Reads the log in this directory, changing nothing.
    pub fn read_only(dir: &Path) -> Self {
        Self(Directory::read_only(dir))
    }

    /// Proofs under the newest checkpoint.
    ///
    /// # Errors
    ///
    /// When there is none, or the disk cannot be read.
    pub fn prover(&self) -> Result<Prover<'_>, ProofError> {
        Prover::open(&self.0)
    }
}

/// The proof of an event, made from the log in a directory.
///
/// # Errors
///
/// When no signature covers the event yet, or the disk cannot be read.
pub fn prove_dir(dir: &Path, event: &RawEvent, from: Option<u64>) -> Result<Proof, ProofError> {
    let storage = Directory::read_only(dir);
    Prover::open(&storage)?.prove(event, from)
}

/// Makes proofs under one signed checkpoint.
pub struct Prover<'s> {
    reader: Reader<'s>,
    head: TreeHead,
    checkpoint: String,
    public_key: String,
}

impl<'s> Prover<'s> {
    /// Under the newest checkpoint.
    pub(crate) fn open(storage: &'s dyn Storage) -> Result<Self, ProofError> {
        let checkpoint = newest_in(storage)?.ok_or(ProofError::NotSigned)?;
        let (keys, _) = notes::keys(storage)?;
        let signed = keys.iter().rev().find_map(|key| {
            let head = open_checkpoint(&checkpoint, std::slice::from_ref(key)).ok()?;
            Some((head, key.to_string()))
        });
        let (head, public_key) = signed.ok_or(ProofError::NotSigned)?;
        Ok(Self {
            reader: Reader::new(storage)?,
            head,
            checkpoint,
            public_key,
        })
    }

    /// The inclusion proof of the event at a sequence.
    ///
    /// # Errors
    ///
    /// When the checkpoint does not cover it, or the disk cannot be read.
    pub fn inclusion(&mut self, sequence: u64) -> Result<Vec<String>, ProofError> {
        if sequence == 0 || sequence > self.head.size {
            return Err(ProofError::NotSigned);
        }
        let reader = &mut self.reader;
        let path = inclusion(sequence - 1, self.head.size, &mut |run| reader.root_of(run))?;
        Ok(path.iter().map(text).collect())
    }

    /// What was signed.
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The signed checkpoint, and the key that signed it.
    pub fn checkpoint(&self) -> (&str, &str) {
        (&self.checkpoint, &self.public_key)
    }

    /// The proof that the first so many events are the same as ever.
    pub(crate) fn consistency(&mut self, from: u64) -> Result<Consistency, ProofError> {
        let size = self.head.size;
        if from == 0 || from > size {
            return Err(ProofError::From(size));
        }
        let reader = &mut self.reader;
        let path = consistency(from, size, &mut |run| reader.root_of(run))?;
        let proof = path.iter().map(text).collect();
        Ok(Consistency { from, proof })
    }

    /// The whole document of one event.
    pub(crate) fn prove(
        &mut self,
        event: &RawEvent,
        from: Option<u64>,
    ) -> Result<Proof, ProofError> {
        let (sequence, line) = (event.position.0, event.json.get());
        Ok(Proof {
            format: FORMAT.to_owned(),
            sequence,
            event: line.to_owned(),
            parts: SealedParts::of(&event.parts),
            leaf_hash: text(&leaf(&event.parts, line)),
            inclusion: self.inclusion(sequence)?,
            checkpoint: self.checkpoint.clone(),
            public_key: self.public_key.clone(),
            consistency: from.map(|from| self.consistency(from)).transpose()?,
        })
    }
}

/// The leaf of a stored line.
fn leaf(parts: &Parts, line: &str) -> Hash {
    Hash::of_leaf(&parts.digest(line.as_bytes()).0)
}

fn text(hash: &Hash) -> String {
    STANDARD.encode(hash.0)
}

fn hash(text: &str) -> Option<Hash> {
    Some(Hash(STANDARD.decode(text).ok()?.try_into().ok()?))
}

/// What is wrong with a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// It is of another format, or a hash in it is none.
    #[error("not a proof of this format")]
    Shape,
    /// The checkpoint cannot be believed.
    #[error("the checkpoint is {0}")]
    Checkpoint(#[from] NoteError),
    /// The event does not have the leaf.
    #[error("the event is not the one the leaf was made of")]
    Event,
    /// The leaf is not in the tree.
    #[error("the event is not part of the signed history")]
    Inclusion,
    /// The earlier tree is not the beginning of this one.
    #[error("the earlier checkpoint is not the beginning of the signed history")]
    Consistency,
}

impl Proof {
    /// Checks it against keys of one's own, and against an earlier checkpoint where there is one. Answers with
    /// what was signed.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(
        &self,
        keys: &[PublicKey],
        earlier: Option<&TreeHead>,
    ) -> Result<TreeHead, Unproved> {
        if self.format != FORMAT {
            return Err(Unproved::Shape);
        }
        let head = open_checkpoint(&self.checkpoint, keys)?;
        let leaf = hash(&self.leaf_hash).ok_or(Unproved::Shape)?;
        let parts = self.parts.read().ok_or(Unproved::Shape)?;
        if self::leaf(&parts, &self.event) != leaf {
            return Err(Unproved::Event);
        }
        let index = self.sequence.checked_sub(1).ok_or(Unproved::Shape)?;
        let path = hashes(&self.inclusion)?;
        if !includes(index, head.size, leaf, &path, &head.root) {
            return Err(Unproved::Inclusion);
        }
        if let Some(earlier) = earlier {
            let given = self.consistency.as_ref().ok_or(Unproved::Consistency)?;
            let path = hashes(&given.proof)?;
            let old = (earlier.size, &earlier.root);
            let same = given.from == earlier.size && head.origin == earlier.origin;
            if !same || !extends(old, (head.size, &head.root), &path) {
                return Err(Unproved::Consistency);
            }
        }
        Ok(head)
    }
}

fn hashes(texts: &[String]) -> Result<Vec<Hash>, Unproved> {
    let hashes = texts.iter().map(|text| hash(text).ok_or(Unproved::Shape));
    hashes.collect()
}
