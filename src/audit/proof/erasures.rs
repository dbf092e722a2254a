//! Compares the events that were erased with the records of erasures.

use memchr::memmem;
use serde::Deserialize;

use super::check::Place;
use crate::audit::log::format::{Frame, Kind};
use crate::audit::log::{ERASURE_BEGUN, Extent};

/// Runs of erased events, and runs that records name.
#[derive(Debug, Default)]
pub(crate) struct Erasures {
    /// Where a run begins, and its last sequence.
    erased: Vec<(Place, u64)>,
    /// The same of events without their personal part.
    redacted: Vec<(Place, u64)>,
    recorded: Vec<(u64, u64)>,
    recorded_redactions: Vec<(u64, u64)>,
}

#[derive(Deserialize)]
struct Record {
    endpoint: String,
    method: String,
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    extent: Extent,
    sequences: Vec<(u64, u64)>,
}

impl Erasures {
    pub(crate) fn take(&mut self, place: Place, frame: &Frame<'_>) {
        match frame.kind {
            Kind::Erased => extend(&mut self.erased, place),
            Kind::Redacted => extend(&mut self.redacted, place),
            Kind::Event | Kind::Checkpoint => self.read(place, frame),
        }
    }

    fn read(&mut self, place: Place, frame: &Frame<'_>) {
        if memmem::find(frame.payload, ERASURE_BEGUN.as_bytes()).is_some()
            && let Ok(record) = serde_json::from_slice::<Record>(frame.payload)
            // No request has such a path, nor this method.
            && record.endpoint == ERASURE_BEGUN
            && record.method == "SYSTEM"
        {
            let recorded = match record.details.extent {
                Extent::Whole => &mut self.recorded,
                Extent::Personal => &mut self.recorded_redactions,
            };
            let earlier = |(_, last): &(u64, u64)| *last < place.sequence;
            recorded.extend(record.details.sequences.into_iter().filter(earlier));
        }
    }

    /// Where something was erased that no record names, the first of each run.
    pub(crate) fn unrecorded(&mut self) -> Vec<Place> {
        let whole = std::mem::take(&mut self.recorded);
        // What may go as a whole may go in part.
        let any = [whole.as_slice(), &self.recorded_redactions].concat();
        let mut found = outside(&self.erased, &joined(whole));
        found.extend(outside(&self.redacted, &joined(any)));
        found.sort_by_key(|place| place.sequence);
        found
    }
}

fn extend(runs: &mut Vec<(Place, u64)>, place: Place) {
    match runs.last_mut() {
        Some((_, last)) if *last + 1 == place.sequence => *last = place.sequence,
        _ => runs.push((place, place.sequence)),
    }
}

/// The same runs, none touching another, in order.
fn joined(mut runs: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    runs.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (first, last) in runs {
        match joined.last_mut() {
            Some((_, end)) if first <= *end + 1 => *end = (*end).max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// The runs that are not all inside one of the recorded ones.
fn outside(runs: &[(Place, u64)], recorded: &[(u64, u64)]) -> Vec<Place> {
    let is_recorded = |first: u64, last: u64| {
        let after = recorded.partition_point(|(start, _)| *start <= first);
        let run = after.checked_sub(1).and_then(|at| recorded.get(at));
        run.is_some_and(|(_, end)| *end >= last)
    };
    let runs = runs.iter();
    runs.filter(|(place, last)| !is_recorded(place.sequence, *last))
        .map(|(place, _)| *place)
        .collect()
}
