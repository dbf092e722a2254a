//! Recorded requests: what inspected requests are kept as, where the operator wants that.
//!
//! A recording is JSON Lines, one [`Recorded`] request a line; `rg-gateway rules replay` reads it. It is written off
//! the request path, holds no credentials (headers by an allow list, named values redacted, our API keys taken out
//! wherever they stand) and never grows beyond its bound. A request that finds the queue full is not recorded, and
//! counted; the request itself never waits.

mod line;
mod redact;
mod writer;

pub use line::Recorded;
pub(crate) use writer::Recorder;
