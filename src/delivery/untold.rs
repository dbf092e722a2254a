//! Dead letters that no event tells of yet.
//!
//! The first of a sink is told at once, those of the next minute together: a receiver that takes nothing cannot fill
//! the log with what is told of it. An event that tells of dead letters and is one itself is not told of, for it would
//! go on for ever.

use std::time::Duration;

use memchr::memmem;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::Record;
use crate::policy::mask;

/// The event that tells of them.
pub(super) const DEAD_LETTERS: &str = "audit.sink.dead_letters";
/// How such an event says what it is. Strings of clients hold no bare quotes.
const ENDPOINT: &[u8] = br#""endpoint":"audit.sink.dead_letters""#;
/// Least time between two of a sink.
const INTERVAL: Duration = Duration::from_secs(60);
/// Longest reason that is told, in bytes; the dead letter has more of it.
const REASON_BYTES_MAX: usize = 256;

/// What became of a sink's dead letters since the last event.
#[derive(Debug, Default)]
pub(super) struct Untold {
    letters: Option<Letters>,
    told_at: Option<Instant>,
}

/// The first of some dead letters, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letters {
    pub(super) events: u64,
    pub(super) reason: String,
    first_event: Uuid,
    first_sequence: u64,
    last_sequence: u64,
}

impl Untold {
    /// Takes note of events that a sink will never take.
    pub(super) fn add(&mut self, rejected: &[(Record, String)]) {
        let tells_itself =
            |record: &Record| memmem::find(record.json.as_bytes(), ENDPOINT).is_some();
        for (record, reason) in rejected.iter().filter(|(record, _)| !tells_itself(record)) {
            let letters = self.letters.get_or_insert_with(|| Letters {
                events: 0,
                reason: clipped(reason),
                first_event: record.event_id,
                first_sequence: record.sequence,
                last_sequence: record.sequence,
            });
            letters.events += 1;
            letters.last_sequence = letters.last_sequence.max(record.sequence);
        }
    }

    /// When those that wait are to be told of; `None` where none do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.letters.as_ref()?;
        self.told_at.map(|told| told + INTERVAL)
    }

    /// What is to be told now.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Letters> {
        let waits = self.due().is_some_and(|due| due > now);
        if waits { None } else { self.take(now) }
    }

    /// What is to be told at the end.
    pub(super) fn take(&mut self, now: Instant) -> Option<Letters> {
        let letters = self.letters.take()?;
        self.told_at = Some(now);
        Some(letters)
    }

    /// They could not be told of: later, with those that come until then.
    pub(super) fn put_back(&mut self, mut letters: Letters) {
        if let Some(later) = self.letters.take() {
            letters.events += later.events;
            letters.last_sequence = letters.last_sequence.max(later.last_sequence);
        }
        self.letters = Some(letters);
    }
}

impl Letters {
    /// What the event says.
    pub(super) fn details(&self, sink: &str) -> Value {
        json!({
            "sink": sink,
            "events": self.events,
            "reason": self.reason,
            "first_event_id": self.first_event.to_string(),
            "first_sequence": self.first_sequence,
            "last_sequence": self.last_sequence,
        })
    }
}

/// What a receiver said, as events keep it: it may repeat what it was sent.
pub(super) fn clipped(reason: &str) -> String {
    let masked = mask::text(reason);
    let end = masked.floor_char_boundary(REASON_BYTES_MAX);
    masked.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(sequence: u64, json: &str) -> (Record, String) {
        let record = Record {
            sequence,
            event_id: Uuid::from_u128(u128::from(sequence)),
            timestamp: 0,
            json: json.into(),
        };
        (
            record,
            format!("bad number {sequence}, of ann.smith@example.com"),
        )
    }

    fn after(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_those_of_a_minute_together() {
        let (mut untold, start) = (Untold::default(), Instant::now());
        assert_eq!((untold.due(), untold.take_due(start)), (None, None));
        untold.add(&[rejected(7, "{}")]);
        let first = untold.take_due(start).unwrap();
        let details = first.details("siem");
        assert_eq!(details["events"], 1);
        assert_eq!(
            details["first_event_id"],
            "00000000-0000-0000-0000-000000000007"
        );
        assert_eq!(details["reason"], "bad number 7, of [email]");
        for sequence in 8..1_000 {
            untold.add(&[rejected(sequence, "{}")]);
            assert_eq!(untold.take_due(after(start, 59)), None);
        }
        assert_eq!(untold.due(), Some(after(start, 60)));
        let rest = untold.take_due(after(start, 60)).unwrap();
        assert_eq!(
            (rest.events, rest.first_sequence, rest.last_sequence),
            (992, 8, 999)
        );
        assert_eq!(untold.take_due(after(start, 600)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_told_waits_for_its_turn() {
        let (mut untold, start) = (Untold::default(), Instant::now());
        untold.add(&[rejected(7, "{}")]);
        let first = untold.take_due(start).unwrap();
        untold.add(&[rejected(8, "{}")]);
        untold.put_back(first);
        assert_eq!(untold.take_due(after(start, 59)), None);
        let both = untold.take_due(after(start, 60)).unwrap();
        assert_eq!(
            (both.events, both.first_sequence, both.last_sequence),
            (2, 7, 8)
        );
    }

    #[test]
    fn an_event_of_dead_letters_that_is_one_is_not_told_of() {
        let mut untold = Untold::default();
        untold.add(&[rejected(
            7,
            r#"{"endpoint":"audit.sink.dead_letters","a":1}"#,
        )]);
        assert_eq!(untold.letters, None);
        untold.add(&[rejected(
            8,
            r#"{"a":"\"endpoint\":\"audit.sink.dead_letters\""}"#,
        )]);
        assert_eq!(untold.letters.unwrap().events, 1);
    }
}
