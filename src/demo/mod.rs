//! A small RocketGraph-like API for first runs and tests. Nothing of it is part of the gateway.

mod cypher;
mod graph;
pub mod upstream;
