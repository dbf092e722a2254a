//! What of a batch is still to be offered, after each answer of a sink.
//!
//! Pure: it neither waits nor writes. Every event of a batch leaves it exactly once, delivered or rejected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Delivery, Record};

/// The pieces of one batch that no sink has settled yet, in the log's order but for what was asked for again.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    pieces: VecDeque<Vec<Record>>,
}

/// What one answer settled.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settled {
    /// Events that arrived.
    pub(super) delivered: usize,
    /// Events that never will, and why.
    pub(super) rejected: Vec<(Record, String)>,
    /// Wait before the next offer.
    pub(super) pause: Option<Pause>,
}

/// Why and how long to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pause {
    /// At least this, where the receiver said so.
    pub(super) after: Option<Duration>,
    pub(super) cause: String,
}

impl Outstanding {
    pub(super) fn of(batch: Vec<Record>) -> Self {
        let pieces = if batch.is_empty() {
            VecDeque::new()
        } else {
            VecDeque::from([batch])
        };
        Self { pieces }
    }

    /// What to offer now; `None` when all is settled.
    pub(super) fn piece(&self) -> Option<&[Record]> {
        self.pieces.front().map(Vec::as_slice)
    }

    /// The oldest event that waits.
    pub(super) fn oldest_micros(&self) -> Option<i64> {
        let waiting = self.pieces.iter().flatten();
        waiting.map(|record| record.timestamp).min()
    }

    /// The piece that was offered was too much at once: its halves are offered one after the other.
    pub(super) fn halve(&mut self) {
        if let Some(mut piece) = self.pieces.pop_front() {
            let second = piece.split_off(piece.len().div_ceil(2));
            if !second.is_empty() {
                self.pieces.push_front(second);
            }
            self.pieces.push_front(piece);
        }
    }

    /// Takes the answer to the piece that was offered.
    pub(super) fn settle(&mut self, answer: Delivery) -> Settled {
        let mut settled = Settled::default();
        let Some(piece) = self.pieces.pop_front() else {
            return settled;
        };
        match answer {
            Delivery::Accepted => settled.delivered = piece.len(),
            Delivery::Retry { after, cause } => {
                settled.pause = Some(Pause { after, cause });
                self.pieces.push_front(piece);
            }
            Delivery::Reject { cause } => {
                // Halved until the event to blame stands alone.
                if piece.len() == 1 {
                    let rejected = piece.into_iter().map(|record| (record, cause.clone()));
                    settled.rejected.extend(rejected);
                } else {
                    self.pieces.push_front(piece);
                    self.halve();
                }
            }
            Delivery::Partly {
                rejected,
                again,
                after,
                cause,
            } => {
                let (mut rejected, again) =
                    (BTreeMap::from_iter(rejected), BTreeSet::from_iter(again));
                let mut waiting = Vec::new();
                for (index, record) in piece.into_iter().enumerate() {
                    match rejected.remove(&index) {
                        Some(reason) => settled.rejected.push((record, reason)),
                        None if again.contains(&index) => waiting.push(record),
                        None => settled.delivered += 1,
                    }
                }
                if !waiting.is_empty() {
                    settled.pause = Some(Pause { after, cause });
                    self.pieces.push_front(waiting);
                }
            }
        }
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn record(sequence: u64) -> Record {
        Record {
            sequence,
            event_id: Uuid::from_u128(u128::from(sequence)),
            timestamp: 0,
            json: "{}".into(),
        }
    }

    /// A store that answers as each event of the piece is to be treated.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        Taken,
        /// Makes the whole batch unacceptable.
        Poison,
        /// Refused alone.
        Refused,
    }

    fn fates() -> impl Strategy<Value = Vec<Fate>> {
        let fate = prop_oneof![
            20 => Just(Fate::Taken),
            1 => Just(Fate::Poison),
            1 => Just(Fate::Refused),
        ];
        prop::collection::vec(fate, 1..200)
    }

    proptest! {
        #[test]
        fn every_event_leaves_once_and_exactly_the_poison_is_rejected(
            fates in fates(), moods in prop::collection::vec(0_u8..4, 0..400)
        ) {
            let fate = |record: &Record| fates[usize::try_from(record.sequence).unwrap()];
            let mut moods = moods.into_iter();
            let batch: Vec<Record> = (0..fates.len() as u64).map(record).collect();
            let mut outstanding = Outstanding::of(batch);
            let (mut stored, mut rejected) = (Vec::new(), Vec::new());
            while let Some(piece) = outstanding.piece() {
                let offered: Vec<Record> = piece.to_vec();
                let index = |wanted: Fate| -> Vec<usize> {
                    (0..offered.len()).filter(|i| fate(&offered[*i]) == wanted).collect()
                };
                let again = match moods.next() {
                    Some(0) => {
                        let settled = outstanding.settle(Delivery::Retry { after: None, cause: "down".into() });
                        prop_assert!(settled.pause.is_some() && settled.delivered == 0);
                        continue;
                    }
                    Some(1) => vec![index(Fate::Taken).first().copied().unwrap_or(usize::MAX)],
                    _ => Vec::new(),
                };
                let answer = if !index(Fate::Poison).is_empty() {
                    Delivery::Reject { cause: "no".into() }
                } else {
                    let refused = index(Fate::Refused);
                    for (i, record) in offered.iter().enumerate() {
                        if !again.contains(&i) && !refused.contains(&i) {
                            stored.push(record.sequence);
                        }
                    }
                    let rejected = refused.into_iter().map(|i| (i, "bad".to_owned())).collect();
                    Delivery::Partly { rejected, again, after: None, cause: String::new() }
                };
                let settled = outstanding.settle(answer);
                rejected.extend(settled.rejected.into_iter().map(|(record, _)| record.sequence));
            }
            stored.sort_unstable();
            rejected.sort_unstable();
            let of = |taken: bool| (0..fates.len() as u64)
                .filter(|n| (fate(&record(*n)) == Fate::Taken) == taken)
                .collect::<Vec<_>>();
            prop_assert_eq!(stored, of(true));
            prop_assert_eq!(rejected, of(false));
        }
    }

    #[test]
    fn one_poison_event_costs_a_number_of_offers_that_grows_with_the_logarithm() {
        let mut outstanding = Outstanding::of((0..1024).map(record).collect());
        let mut offers = 0;
        while let Some(piece) = outstanding.piece() {
            offers += 1;
            let poisoned = piece.iter().any(|record| record.sequence == 700);
            let answer = if poisoned {
                Delivery::Reject {
                    cause: "mapping".into(),
                }
            } else {
                Delivery::Accepted
            };
            outstanding.settle(answer);
        }
        assert_eq!(offers, 21);
    }

    #[test]
    fn order_is_kept_while_a_batch_is_halved() {
        let mut outstanding = Outstanding::of((0..10).map(record).collect());
        let mut order = Vec::new();
        while let Some(piece) = outstanding.piece() {
            let answer = match piece {
                [only] => {
                    order.push(only.sequence);
                    Delivery::Accepted
                }
                _ => Delivery::Reject {
                    cause: "413".into(),
                },
            };
            outstanding.settle(answer);
        }
        assert_eq!(order, (0..10).collect::<Vec<_>>());
    }
}
