//! The proof that the trail is what was written: a Merkle tree over all events, signed as it grows.
//!
//! # Promises
//!
//! - At most a second after an event is synced (sooner with 10,000 events), and when the log is closed, a *signed
//!   checkpoint* covers it: the number of events, the Merkle root over all of them, the chain, the time, and an
//!   Ed25519 signature. Whoever holds any checkpoint can tell whether a later log still has the same past.
//! - History cannot be changed without the key. Rewriting events together with chain, tree and unsigned files still
//!   leaves the signatures, and [`verify`](crate::audit::verify()) names the first event they do not cover.
//! - Every event that is kept is proved by its own bytes, some twenty hashes and one signature, also after older
//!   events were dropped or others erased.
//!
//! It cannot tell that the newest events and the signatures over them were both removed: for that, a checkpoint has
//! to be kept elsewhere. Whoever has the private key can sign another history.
//!
//! # How
//!
//! ```text
//! digest n = BLAKE2b-256 over the parts of event n   the stored JSON line, byte for byte; n counts from 1
//! leaf n   = SHA-256(0x00 ‖ digest n)
//! node     = SHA-256(0x01 ‖ left ‖ right)            RFC 6962, RFC 9162
//! ```
//!
//! A tree of digests and not of lines: each event is hashed once, where its request is answered, and its personal
//! part can be erased. All three hashes are in Python's library. The tree is the work of the thread that syncs. Checkpoints are C2SP `tlog-checkpoint` texts (`note`), kept in one bounded
//! file (`notes`); leaf hashes are kept in blocks that outlive the events (`tree`).
//!
//! After each accepted sync the thread takes in the digests of what was synced. To sign, it syncs the tree's files, then appends the
//! checkpoint and syncs it: so whatever a checkpoint covers is durable, and recovery believes it. The log drops
//! a segment only when a durable checkpoint covers it.

pub(crate) mod check;
pub(crate) mod erasures;
pub mod key;
pub mod merkle;
pub(crate) mod notary;
pub mod note;
pub(crate) mod notes;
pub mod prove;
pub mod signed_by;
pub(crate) mod tree;

pub use check::Trust;
pub use merkle::Hash;
pub use note::{PublicKey, TreeHead};
pub use prove::{Proof, ProofError, Unproved, prove_dir};
