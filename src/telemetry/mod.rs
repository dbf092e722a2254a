//! What the gateway tells about itself: metrics, spans and logs.
//!
//! Promises: nothing here waits in the request path, every label set, queue and batch is bounded,
//! and a collector or scraper that is gone costs counted telemetry, never a request. It does not
//! audit: what must not be lost goes to the audit log.

mod audit;
pub mod families;
pub mod logs;
pub mod metrics;
mod process;
mod requests;
mod series;
mod sinks;
pub mod spans;
pub mod trace;
