//! RocketGraph Gateway: a reverse-proxy API gateway with inline threat inspection, built-in
//! observability and a provable audit trail.
//!
//! The modules in the order a request meets them:
//!
//! | module | what it does |
//! |---|---|
//! | [`listen`], [`tls`] | accepts connections, within bounds |
//! | `proxy` | a request's phases; the only code that knows Pingora |
//! | [`policy`] | pure decisions: hygiene, route, caller, limits, threats |
//! | [`keys`] | who the callers are: the key store and its view |
//! | [`recording`], `replay` | inspected requests kept, and judged again |
//! | `rules` | the threat rules as the process holds them |
//! | [`state`] | what outlives a request: penalties, failures, held bytes |
//! | [`geoip`] | where addresses are, for events |
//! | [`audit`] | the event, the durable log, search and verification |
//! | [`delivery`] | audit events on their way to other systems |
//! | `erasure`, `retention` | audit events taken out again, on request and in time |
//! | `damage` | the audit log verified beside the requests |
//! | [`telemetry`] | metrics, spans, logs |
//! | [`admin`] | health, metrics, audit search, explain, reload |
//! | [`app`], [`serve`] | the composition root: start, reload, stop |
//! | [`config`], [`diagnostic`] | the configuration, and what is wrong with it |
//! | [`cli`], [`demo`], [`shipped`] | the command line and the demonstration |

pub mod admin;
pub mod app;
pub mod audit;
pub mod cli;
pub mod config;
mod damage;
pub mod delivery;
pub mod demo;
pub mod diagnostic;
mod erasure;
pub mod geoip;
mod hex;
pub mod keys;
pub mod listen;
mod notes;
pub mod now;
pub mod policy;
mod proxy;
pub mod random;
pub mod recording;
mod replay;
mod retention;
mod rules;
pub mod serve;
pub mod shipped;
mod signals;
pub mod state;
pub mod telemetry;
pub mod tls;
