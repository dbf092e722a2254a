//! What was told lately: one notification for each rule and key in a time.
//!
//! Times are those of the events, so that a delay on the way changes nothing. After a restart of the gateway
//! everything may be told once more.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

/// Pairs of rule and key remembered at once. When all are in their time, the rest shares one place: a flood from
/// ever new keys is told once in a time.
const PAIRS_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Recent {
    window_micros: i64,
    pairs: HashMap<(String, String), Last>,
}

#[derive(Debug)]
struct Last {
    event_id: Uuid,
    at_micros: i64,
    /// Findings since then that were not told.
    held_back: u64,
}

/// Whether a rule's finding about a key was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// In this time, or with this very event.
    Lately,
    /// Not in this time.
    Not {
        /// Findings since the last notification that were not told.
        held_back: u64,
    },
}

impl Recent {
    pub(super) fn within(window: Duration) -> Self {
        Self {
            window_micros: i64::try_from(window.as_micros()).unwrap_or(i64::MAX),
            pairs: HashMap::new(),
        }
    }

    pub(super) fn window_micros(&self) -> i64 {
        self.window_micros
    }

    /// Whether to tell of a finding; counts it where it is held back.
    pub(super) fn ask(&mut self, rule: &str, key: &str, event_id: Uuid, at_micros: i64) -> Told {
        let window = self.window_micros;
        let pair = self.pair(rule, key, at_micros);
        match self.pairs.get_mut(&pair) {
            None => Told::Not { held_back: 0 },
            Some(last) if last.event_id == event_id => Told::Lately,
            Some(last) if at_micros < last.at_micros.saturating_add(window) => {
                last.held_back += 1;
                Told::Lately
            }
            Some(last) => Told::Not {
                held_back: last.held_back,
            },
        }
    }

    /// A finding was told.
    pub(super) fn told(&mut self, rule: &str, key: &str, event_id: Uuid, at_micros: i64) {
        let pair = self.pair(rule, key, at_micros);
        let last = Last {
            event_id,
            at_micros,
            held_back: 0,
        };
        self.pairs.insert(pair, last);
    }

    /// The place of a rule and a key: their own, or the shared one when all are taken.
    fn pair(&mut self, rule: &str, key: &str, at_micros: i64) -> (String, String) {
        let own = (rule.to_owned(), key.to_owned());
        if self.pairs.len() < PAIRS_MAX || self.pairs.contains_key(&own) {
            return own;
        }
        let window = self.window_micros;
        self.pairs
            .retain(|_, last| at_micros < last.at_micros.saturating_add(window));
        if self.pairs.len() < PAIRS_MAX {
            own
        } else {
            (String::new(), String::new())
        }
    }
}
