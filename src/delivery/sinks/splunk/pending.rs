//! A batch that waits for its acknowledgement, and how long it may.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::delivery::Record;

/// The longest an acknowledgement is waited for.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// A batch on its way through the indexer.
pub(super) struct Pending {
    first: Uuid,
    last: Uuid,
    count: usize,
    /// The number to ask by.
    pub(super) ack_id: u64,
    /// When it is posted again.
    pub(super) until: Instant,
}

impl Pending {
    /// `None` where the collector gave no number to ask by.
    pub(super) fn of(batch: &[Record], ack_id: Option<u64>, until: Instant) -> Option<Self> {
        Some(Self {
            first: batch.first()?.event_id,
            last: batch.last()?.event_id,
            count: batch.len(),
            ack_id: ack_id?,
            until,
        })
    }

    pub(super) fn is_of(&self, batch: &[Record]) -> bool {
        let is = |record: Option<&Record>, id| record.is_some_and(|record| record.event_id == id);
        self.count == batch.len() && is(batch.first(), self.first) && is(batch.last(), self.last)
    }
}

/// How long an acknowledgement is waited for: twice as long after each that did not come, so that an indexer that is
/// merely slow is not sent one copy after the other.
#[derive(Debug)]
pub(super) struct Patience {
    at_first: Duration,
    now: Duration,
}

impl Patience {
    pub(super) fn of(timeout: Duration) -> Self {
        Self {
            at_first: timeout,
            now: timeout,
        }
    }

    pub(super) fn time(&self) -> Duration {
        self.now
    }

    /// One did not come. Answers how long it was waited for.
    pub(super) fn exhausted(&mut self) -> Duration {
        let next = self.now.saturating_mul(2).min(TIMEOUT_MAX);
        std::mem::replace(&mut self.now, next.max(self.at_first))
    }

    pub(super) fn acknowledged(&mut self) {
        self.now = self.at_first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledgement_is_waited_for_longer_each_time_and_never_longer_than_five_minutes() {
        let mut patience = Patience::of(Duration::from_secs(60));
        let waited: Vec<u64> = (0..5).map(|_| patience.exhausted().as_secs()).collect();
        assert_eq!(waited, [60, 120, 240, 300, 300]);
        patience.acknowledged();
        assert_eq!(patience.time(), Duration::from_secs(60));
    }
}
