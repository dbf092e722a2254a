//! Decisions, pure: no I/O, no async, no clock, no logging, no Pingora.
//!
//! Time and randomness come in as arguments; the limit table is the only state. Modules in the order
//! a request meets them.

pub mod auth;
pub mod client;
pub mod cypher;
pub mod hygiene;
pub mod limits;
pub(crate) mod mask;
pub mod penalty;
pub mod pii;
pub mod refusal;
pub mod route;
pub mod threat;
pub mod totp;
mod words;

#[cfg(any(test, fuzzing))]
pub use mask::properties::masking;
