//! The audit trail: what happened, written down so that it stays and can be checked.
//!
//! An [`AuditEvent`] is appended to the [`Log`] before the last byte of an answer leaves. The log's segments are
//! also the store that [`Search`] looks through and [`verify`](verify()) checks; there is no second copy. The
//! event's identity is its id, its place in history the [`Position`] the log gave it.
//!
//! This module neither decides what is recorded nor delivers events elsewhere.

mod compliance;
mod encode;
pub mod event;
mod event_id;
pub mod log;
pub mod project;
pub mod proof;
mod read;
pub mod report;
mod retention;
mod schema;
pub mod search;
mod source_filter;
pub mod timestamp;
pub mod verify;
mod view;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use compliance::{Grounds, compliance_tags, severity_for_status, tag_threats};
pub use event::{
    AuditEvent, DataAccessed, EventType, Evidence, GeographicLocation, IndicatorRecord, Inspection,
    Outcome, Severity, Source,
};
pub use event_id::EventIds;
pub use log::{
    AppendError, Durability, ERASURE_BEGUN, ERASURE_DONE, EraseError, Erasure, ErasurePlan, Extent,
    Followed, FollowedEvent, Follower, KeyRing, KeyRingError, Log, LogOptions, LogStats, Lost,
    OpenError, Position, Recovery, Soundness, Standing, WhenFull,
};
pub use proof::key::SIGNING_KEY_FILE;
pub use proof::{Proof, ProofError, PublicKey, TreeHead, Trust, Unproved, prove_dir, signed_by};
pub use read::{ReadAll, ReadError, read_all};
pub use retention::Retention;
pub use schema::schema;
pub use search::{Matcher, Page, RawEvent, Search, SearchError, SourceFilter, Tail, search_dir};
pub use verify::{Bad, BadReason, LogFile, Verification, verify};
