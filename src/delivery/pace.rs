//! How many events are offered at once: fewer to a receiver that did not answer in time, more again as it does.
//!
//! A batch that takes a receiver longer than the sink's `timeout_ms` would take it longer each time it is offered. What
//! is halved until it is answered arrives, as long as one event does.

/// Batches after which a receiver that answers in time gets whole ones again, at the most.
const STEPS: usize = 16;

#[derive(Debug)]
pub(super) struct Pace {
    events_max: usize,
    events: usize,
}

impl Pace {
    pub(super) fn of(events_max: usize) -> Self {
        Self {
            events_max,
            events: events_max,
        }
    }

    /// Events of the next batch; at least one.
    pub(super) fn events(&self) -> usize {
        self.events
    }

    /// So many events were not answered in time.
    pub(super) fn slower(&mut self, offered: usize) {
        self.events = (offered / 2).clamp(1, self.events_max);
    }

    /// A batch was answered in time.
    pub(super) fn faster(&mut self) {
        let step = self.events_max.div_ceil(STEPS);
        self.events = self.events.saturating_add(step).min(self.events_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_gets_half_of_what_was_too_much_and_whole_batches_again_by_steps() {
        let mut pace = Pace::of(500);
        assert_eq!(pace.events(), 500);
        pace.slower(500);
        assert_eq!(pace.events(), 250);
        pace.slower(1);
        assert_eq!(pace.events(), 1);
        for _ in 0..STEPS {
            assert!(pace.events() < 500);
            pace.faster();
        }
        assert_eq!(pace.events(), 500);
    }

    #[test]
    fn one_event_at_a_time_is_the_least_and_the_most_there_may_be() {
        let mut pace = Pace::of(1);
        pace.slower(1);
        assert_eq!(pace.events(), 1);
        pace.faster();
        assert_eq!(pace.events(), 1);
    }
}
