//! Compares the events that were erased with the records of erasures.

use memchr::memmem;
use serde::Deserialize;

use super::check::Place;
use crate::audit::log::ERASURE_BEGUN;
use crate::audit::log::format::{Frame, Kind};

/// Runs of erased events, and runs that records name.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// Where a run begins, and its last sequence.
    erased: Vec<(Place, u64)>,
    recorded: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
struct Record {
    endpoint: String,
    method: String,
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    sequences: Vec<(u64, u64)>,
}

impl Erasures {
    pub(crate) fn take(&mut self, place: Place, frame: &Frame<'_>) {
        if frame.kind == Kind::Erased {
            match self.erased.last_mut() {
                Some((_, last)) if *last + 1 == place.sequence => *last = place.sequence,
                _ => self.erased.push((place, place.sequence)),
            }
        } else if memmem::find(frame.payload, ERASURE_BEGUN.as_bytes()).is_some()
            && let Ok(record) = serde_json::from_slice::<Record>(frame.payload)
            // No request has such a path, nor this method.
            && record.endpoint == ERASURE_BEGUN
            && record.method == "SYSTEM"
        {
            let earlier = |(_, last): &(u64, u64)| *last < place.sequence;
            self.recorded
                .extend(record.details.sequences.into_iter().filter(earlier));
        }
    }

    /// Where events were erased that no record names, the first of each run.
    pub(crate) fn unrecorded(&mut self) -> Vec<Place> {
        self.recorded.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (first, last) in self.recorded.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if first <= *end + 1 => *end = (*end).max(last),
                _ => joined.push((first, last)),
            }
        }
        let is_recorded = |first: u64, last: u64| {
            let after = joined.partition_point(|(start, _)| *start <= first);
            let run = after.checked_sub(1).and_then(|at| joined.get(at));
            run.is_some_and(|(_, end)| *end >= last)
        };
        let erased = self.erased.drain(..);
        erased
            .filter(|(place, last)| !is_recorded(place.sequence, *last))
            .map(|(place, _)| place)
            .collect()
    }
}
