//! The durable log of audit events: one writer, any number of readers, no database.
//!
//! # Promises
//!
//! - An event [appended](Log::append) with durability `written` or `synced` is in the kernel's hands when
//!   the call returns: a killed process loses nothing. With `relaxed` it is there within
//!   [`sync_interval`](LogOptions::sync_interval).
//! - An event [synced](Log::synced) survives a power cut. With `written` and `relaxed` a power cut takes at
//!   most the events of the last `sync_interval`, and never more than 10,000 events or 16 MiB: at that bound
//!   appends are refused until a sync has caught up.
//! - What was acknowledged is never reordered, replaced or invented. Damage is found, counted and located.
//! - History cannot be edited, cut or reordered without [`verify`](crate::audit::verify()) naming the place, not even
//!   by whoever rewrites every later hash: the history is signed every second; see
//!   [`proof`](crate::audit::proof). The log itself drops its oldest segments only once a system event that names
//!   them is durable, so that `verify` tells it from anybody else's removing them; see `dropping`.
//! - The disk used is bounded by [`total_bytes_max`](LogOptions::total_bytes_max); what happens there is
//!   [`WhenFull`].
//! - With [keys](LogOptions::encryption) what events say does not stand readable on the disk; see `encrypted`.
//!
//! It does not choose what is recorded, or deliver events elsewhere.
//!
//! # On disk
//!
//! One flat directory (mode 0700, files 0600), integers little endian:
//!
//! ```text
//! lock                  locked by the one process that writes
//! checkpoint            two slots of 256 bytes, written in turn after each sync
//! reserve               space given up when the disk is full, so that the last events still fit
//! 000000000007.seg      a segment; ordinals only grow
//! 000000000007.idx      summaries of a sealed segment's blocks; can be rebuilt, may be absent, never half there
//! *.torn                what a recovery did not believe, kept for people
//! 000000000008.new      a segment being put together; removed at open
//! checkpoints.signed    signed checkpoints, as text, oldest first; the newest vouches for what `checkpoint` does
//! keys.pub              the keys they are signed with
//! tree-000000000000     Merkle leaves in blocks, and tree-roots: see `proof`
//!
//! segment    = header frame*
//! header     = magic[8] "rg-audit"  version u16  zero[6]  log id[16]  ordinal u64  first sequence u64
//!              synced through u64  chain before the first frame[32]  begun u32  crc32c u32        96 bytes
//! frame      = length u32  crc32c u32  sequence u64  kind u32  chain[32]  personal from u32  seal[32]
//!              payload[length]                                                              88 + length bytes
//! checkpoint = magic[8] "rg-check"  version u16  zero[6]  log id[16]  sequence u64  unix micros u64
//!              chain[32]  closed u8  zero to 252  crc32c u32                                     256 bytes
//! ```
//!
//! A frame's checksum covers everything but itself. Its kind is 1 for an event (the payload is one JSON
//! object on one line), 3 for an erased event (the payload is its digest, 32 bytes), which readers skip, 4 for an event
//! whose personal part was erased; 2 is reserved. An event's seal is the salt of its personal part, a redacted one's
//! the commitment. Sequences begin at 1 and have no gaps.
//!
//! ```text
//! digest  = BLAKE2b over both parts of the payload, see `digest`
//! chain n = BLAKE3 keyed "chain" ‖ kind ‖ sequence  (chain n-1 ‖ digest)       an erased event has the kind it had
//! chain 0 = BLAKE3 keyed "genesis" (log id)
//! ```
//!
//! The chain and the tree are over digests, so an event or its personal part can later be erased and the history still
//! verifies.
//!
//! A segment says whether it was *begun* in order (1) or after a crash or failure (2), and so whether the one before
//! it may have bytes after its last event; 0 is of versions that did not say. When the log is closed with everything
//! synced and signed, both slots of the checkpoint are written, *closed* and alike, and both again, not closed, before the
//! next open lets anything be appended. So of a closed log `verify` knows where each file ends, and of one that runs or
//! crashed what may be unfinished.
//!
//! # Abandonment
//!
//! After a failed sync the kernel may drop the pages it could not write and report success the next time. So
//! a file that failed is never trusted again: its unsynced frames, kept in memory until a sync covers them, are
//! written to a new segment that begins with the first unsynced sequence. Hence one rule for all readers: *a
//! segment ends where a later segment begins*. The same happens at open to frames nobody knows to be synced.
//! A write that fails for lack of space is not distrusted; it is tried again at the same place.
//!
//! # Recovery
//!
//! The newest checkpoint (or segment header) says how far the log was synced. Up to there every frame was durable:
//! one that is missing or changed is *damage*, reported with its place, and the frames after it are still
//! believed. Past there pages may have reached the disk in any order: belief ends at the first frame that is not
//! whole, next in sequence and chained. What is not believed is copied to a `.torn` file and counted.
//! If the log ends before its checkpoint, events are *missing*: that is reported, and their sequences are
//! not used again.
//!
//! Recovery cuts nothing. Frames past the checkpoint move to a new segment, which supersedes the old bytes once it
//! is synced; until then a crash finds both and takes, frame by frame, the later segment's where it has one.
//! A file is written on only when a sync of it is known to have succeeded and nothing stands after its last event.
//! Segments before the one that holds the checkpoint are not read at open; `verify` reads everything.
//!
//! # Search
//!
//! The segments are also the store that is searched. A sealed segment has an index file with one summary per block
//! of 256 events; the summaries of the segment being written are in memory. See [`search`](crate::audit::search).

mod alarm;
mod digest;
mod dropping;
pub(crate) mod encrypted;
mod erase;
mod expire;
mod follow;
pub(crate) mod format;
pub(crate) mod frames;
mod health;
mod keeper;
mod live;
mod options;
mod paced;
mod proved;
mod recover;
mod report;
pub(crate) mod segments;
mod soundness;
pub(crate) mod storage;
pub(crate) mod summary;
mod upkeep;
pub(crate) mod writer;

#[cfg(test)]
mod model;
#[cfg(test)]
mod simulated;

pub use digest::{Digest, Parts, Seal};
pub use dropping::{LOG_DROPPED, RETENTION_DROPPED};
pub use encrypted::{KeyRing, KeyRingError};
pub use erase::{ERASURE_BEGUN, ERASURE_DONE, EraseError, Erasure, ErasurePlan, Extent};
pub(crate) use expire::Due;
pub use follow::{Followed, FollowedEvent, Follower, Lost};
pub use format::{Chain, FormatError};
pub use health::Standing;
pub use live::Log;
pub use options::{Durability, LogOptions, WhenFull};
pub(crate) use paced::{Pace, Stop};
pub use report::{AppendError, Damage, LogStats, OpenError, Position, Recovery};
pub use soundness::Soundness;
