//! Decisions, pure: no I/O, no async, no clock, no logging, no Pingora.
//!
//! Time and randomness come in as arguments; the limit table is the only state. Modules in the order
//! a request meets them.

pub mod hygiene;
pub mod client;
pub mod route;
pub mod auth;
pub mod limits;
pub mod cypher;
pub mod threat;
pub mod refusal;
