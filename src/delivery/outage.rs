//! A sink that takes no events, and whether the trail was told of it.
//!
//! Receivers are restarted, and networks stutter: an outage is told once it has lasted a minute, and its end where its
//! beginning was. So one sink leaves at most two events a minute, whatever it does.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::untold::clipped;

/// The event of an outage, and that of its end.
pub(super) const DOWN: &str = "audit.sink.down";
pub(super) const UP: &str = "audit.sink.up";
/// How long an outage lasts before it is told.
const TOLD_AFTER: Duration = Duration::from_secs(60);

/// The outage of one sink, if there is one.
#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    told: bool,
}

impl Outage {
    /// An offer was not taken. True when it is time to tell.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let news = !self.told && now.duration_since(since) >= TOLD_AFTER;
        self.told |= news;
        news
    }

    /// An offer was taken. How long the outage was, where it was told.
    pub(super) fn ended(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take()?;
        std::mem::take(&mut self.told).then(|| now.duration_since(since))
    }
}

/// What the event of an outage says.
pub(super) fn down(sink: &str, cause: &str) -> Value {
    json!({"sink": sink, "cause": clipped(cause)})
}

/// What the event of its end says.
pub(super) fn up(sink: &str, lasted: Duration) -> Value {
    json!({"sink": sink, "down_seconds": lasted.as_secs()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_told_once_it_has_lasted_a_minute_and_so_is_its_end() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let at = |secs: u64| start + Duration::from_secs(secs);
        // A receiver that is restarted is not told of.
        assert!(!outage.failed(at(0)));
        assert!(!outage.failed(at(59)));
        assert_eq!(outage.ended(at(60)), None);
        assert!(!outage.failed(at(100)));
        assert!(outage.failed(at(160)));
        assert!(!outage.failed(at(300)));
        assert_eq!(outage.ended(at(400)), Some(Duration::from_secs(300)));
        assert_eq!(outage.ended(at(401)), None);
        assert!(!outage.failed(at(402)));
    }
}
