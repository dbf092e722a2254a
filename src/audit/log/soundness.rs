//! Whether a log that is being written still says what was written before: verified beside its writer.
//!
//! [`verify`](crate::audit::verify()) may take what the writer does meanwhile for damage, such as an erasure whose
//! record is newer than what it looks at. Hence two looks: damage is what both find.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Log;
use super::paced::{Pace, Paced};
use super::report::Recovery;
use crate::audit::proof::Trust;
use crate::audit::verify::{Bad, BadReason, LogFile, Verification, verify_storage};
use crate::now::Now;

/// Places of a recovery that are listed.
const LISTED_MAX: usize = 100;

/// What is known of damage to a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Soundness {
    /// When all of it was last verified, in microseconds since 1970.
    pub verified_micros: Option<i64>,
    /// The bad places that were found, a hundred at most, the first one first.
    pub bad: Vec<Bad>,
}

impl Recovery {
    /// Where synced history is damaged or missing, as `verify` would name it.
    pub(crate) fn bad(&self) -> Vec<Bad> {
        let damaged = self.damaged.iter().map(|damage| Bad {
            file: LogFile::Segment(damage.segment),
            offset: damage.offset,
            event_seq: damage.after_sequence + 1,
            reason: BadReason::Damaged,
        });
        let missing = (self.missing_events > 0).then(|| Bad {
            file: LogFile::Folder,
            offset: 0,
            event_seq: self.last_sequence.saturating_sub(self.missing_events) + 1,
            reason: BadReason::Truncated,
        });
        damaged.take(LISTED_MAX).chain(missing).collect()
    }
}

impl Log {
    /// What is known of damage to it.
    pub fn soundness(&self) -> Soundness {
        let soundness = &self.owner.shared.soundness;
        let soundness = soundness.lock().unwrap_or_else(PoisonError::into_inner);
        soundness.clone()
    }

    /// Verifies all of it at a pace, while it is written. Answers with what is damaged, which
    /// [`soundness`](Self::soundness) tells from then on.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read, or the pace was told to stop.
    pub(crate) fn verify(&self, trust: &Trust, pace: &Arc<Pace>) -> io::Result<Vec<Bad>> {
        let mut bad = self.verify_once(trust, pace)?.bad;
        if !bad.is_empty() {
            let again = self.verify_once(trust, pace)?.bad;
            bad.retain(|bad| again.contains(bad));
        }
        let soundness = &self.owner.shared.soundness;
        let mut soundness = soundness.lock().unwrap_or_else(PoisonError::into_inner);
        soundness.verified_micros = Some(Now::read().unix_micros);
        soundness.bad.clone_from(&bad);
        Ok(bad)
    }

    fn verify_once(&self, trust: &Trust, pace: &Arc<Pace>) -> io::Result<Verification> {
        let storage = Paced::new(self.owner.shared.storage.clone(), pace.clone());
        let seen = verify_storage(&storage, trust)?;
        // What could not be read because the reading was stopped is no damage.
        pace.wait(Duration::ZERO)?;
        Ok(seen)
    }
}
