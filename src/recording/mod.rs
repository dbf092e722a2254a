//! Recorded requests: the form they are kept in.
//!
//! A recording is JSON Lines, one [`Recorded`] request a line; `rg-gateway rules replay` reads it.

mod line;

pub use line::Recorded;
