//! Recorded requests judged again: by one set of rules, or by two to see the difference.
//!
//! Requests are judged as the gateway judges them, by the same engine with what the same routes know. Nothing
//! is sent anywhere. Files are streamed: memory does not grow with their length.

mod request;
mod run;
mod side;
mod tally;

pub(crate) use request::Parts;
pub(crate) use run::replay;
pub(crate) use side::Side;
pub(crate) use tally::{Counts, Example, Tally};
