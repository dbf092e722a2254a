//! How long events are kept, by their compliance tags. Pure.
//!
//! Days are whole days of UTC: an event is kept to the end of the last of them, so that a log is not rewritten for each
//! event that comes of age. It erases nothing: the log does.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::view::EventView;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// How long events are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days of events with none of the tags; `None`: for good.
    pub default_days: Option<u32>,
    /// Days by tag. Of those that an event carries the longest counts.
    pub tags: Vec<(&'static str, u32)>,
}

impl Retention {
    /// The fewest days that any event is kept.
    pub fn shortest(&self) -> Option<u32> {
        let tags = self.tags.iter().map(|(_, days)| *days);
        tags.chain(self.default_days).min()
    }

    /// The terms as the records of what goes by them state them.
    pub(crate) fn told(&self) -> Value {
        let tags = self.tags.iter().map(|(tag, days)| (*tag, *days));
        json!({"default_days": self.default_days, "tags": tags.collect::<BTreeMap<_, _>>()})
    }

    /// When the stored event is past, in microseconds since 1970. `None`: it is kept for good, or is none this
    /// version knows.
    pub(crate) fn past_from(&self, json: &[u8]) -> Option<i64> {
        let event = EventView::parse(json)?;
        let carried = |tag: &str| {
            event
                .compliance_tags
                .iter()
                .any(|carried| **carried == *tag)
        };
        let tagged = self.tags.iter().filter(|(tag, _)| carried(tag));
        let days = tagged.map(|(_, days)| *days).max().or(self.default_days)?;
        Some(past_from(event.timestamp, days))
    }

    /// When the first event could be past that happened at this instant.
    pub(crate) fn earliest(&self, unix_micros: i64) -> Option<i64> {
        Some(past_from(unix_micros, self.shortest()?))
    }
}

/// The end of the last day that an event of this instant is kept.
fn past_from(unix_micros: i64, days: u32) -> i64 {
    let last = unix_micros.div_euclid(DAY).saturating_add(i64::from(days));
    last.saturating_add(1).saturating_mul(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditEvent, EventIds, EventType, Severity};

    fn line(at: i64, tags: &[&'static str]) -> Vec<u8> {
        let id = EventIds::new(1).next(at);
        let event = AuditEvent {
            compliance_tags: tags.iter().map(|tag| (*tag).into()).collect(),
            ..AuditEvent::new(id, at, EventType::ApiRequest, Severity::Info)
        };
        serde_json::to_vec(&event).unwrap()
    }

    #[test]
    fn the_longest_of_an_events_tags_counts_and_else_the_default() {
        let retention = Retention {
            default_days: Some(30),
            tags: vec![("gdpr", 10), ("hipaa", 2_190), ("pci_dss", 365)],
        };
        let noon = 20_000 * DAY + DAY / 2;
        for (tags, days) in [
            (&[][..], 30),
            (&["data_access"], 30),
            (&["gdpr"], 10),
            (&["gdpr", "pci_dss"], 365),
            (&["hipaa", "pci_dss"], 2_190),
        ] {
            let past = retention.past_from(&line(noon, tags));
            assert_eq!(past, Some((20_000 + days + 1) * DAY), "{tags:?}");
        }
        assert_eq!(retention.earliest(noon), Some((20_000 + 10 + 1) * DAY));
    }

    #[test]
    fn without_a_default_other_events_are_kept_and_so_is_what_is_no_event() {
        let retention = Retention {
            default_days: None,
            tags: vec![("hipaa", 1)],
        };
        assert_eq!(retention.past_from(&line(0, &[])), None);
        assert_eq!(retention.past_from(&line(-1, &["hipaa"])), Some(DAY));
        assert_eq!(retention.past_from(b"{}"), None);
        assert_eq!(Retention::default().shortest(), None);
    }
}
