//! Drives the real executable on free ports, from the outside only.
//!
//! Each module states facts about one part of a request's life; `support` is the vocabulary they
//! are written in.

// Clippy lets test code unwrap, index and panic; this tells it that all of it is.
#![cfg(test)]

mod support;

mod admission;
mod audit;
mod command_line;
mod complexity;
mod crash;
mod damage;
mod dashboards;
mod demo;
mod disk_full;
mod enrichment;
mod exclusions;
mod explain;
mod identity;
mod inspection;
mod keys;
mod lifecycle;
mod limits;
mod link_faults;
mod notifications;
mod penalties;
mod procedures;
mod proof;
mod protocol;
mod real_stores;
mod recording;
mod replay;
mod retention;
mod sanitize;
mod signing;
mod sink_faults;
mod sink_parts;
mod sinks;
mod store_search;
mod stores;
mod telemetry;
mod timeouts;
mod tls;
mod transparency;
mod upstream_faults;
mod verification;
mod vocabulary;
mod websocket;
