//! Where and how a log is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::encrypted::KeyRing;
use super::writer::Limits;

/// Space kept back for the last events before a full disk, in bytes.
const RESERVE_BYTES: u64 = 1 << 20;
/// The smallest and largest segment, in bytes; recovery and verification hold one in memory.
const SEGMENT_BYTES: (u64, u64) = (64 << 10, 1 << 30);

/// When an append counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At once; a killed process loses up to one sync interval.
    Relaxed,
    /// When the kernel has it; a power cut loses up to one sync interval.
    Written,
    /// When the disk has it.
    Synced,
}

/// What happens when the log reaches its size or the disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// Appends fail, and so should the requests they belong to.
    Refuse,
    /// The oldest segments are removed, counted, and a system event says which.
    DropOldest,
}

/// Where and how a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Its directory, on a local disk; created if absent.
    pub dir: PathBuf,
    /// When an append counts as done.
    pub durability: Durability,
    /// The Ed25519 key checkpoints are signed with, PKCS #8 in PEM; made if absent.
    pub signing_key_file: PathBuf,
    /// The keys events are encrypted with on the disk; without one they are not.
    pub encryption: KeyRing,
    /// Size at which the next segment is begun; at most a quarter of the whole, 64 KiB to 1 GiB.
    pub segment_bytes_max: u64,
    /// Size of all segments together.
    pub total_bytes_max: u64,
    /// What happens at that size.
    pub when_full: WhenFull,
    /// Time between syncs with `relaxed` and `written`: the loss window of a power cut.
    pub sync_interval: Duration,
}

impl LogOptions {
    /// The defaults for a directory: `written`, 64 MiB segments, 10 GiB in all, refuse, 100 ms, the key in it.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            signing_key_file: dir.join("signing.key"),
            dir,
            durability: Durability::Written,
            encryption: KeyRing::default(),
            segment_bytes_max: 64 << 20,
            total_bytes_max: 10 << 30,
            when_full: WhenFull::Refuse,
            sync_interval: Duration::from_millis(100),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        let (least, most) = SEGMENT_BYTES;
        let total = self.total_bytes_max.max(4 * least);
        Limits {
            durability: self.durability,
            segment_bytes_max: self.segment_bytes_max.clamp(least, most.min(total / 4)),
            total_bytes_max: total,
            reserve_bytes: RESERVE_BYTES.min(total / 16),
            when_full: self.when_full,
        }
    }
}
