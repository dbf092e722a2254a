//! Says once that something is wrong with the log, and once that it is over.
//!
//! What is wrong is looked at many times a second and may come and go as often; people get two log lines for it.
//! It does not decide what is wrong, and counts nothing: metrics have their own figures.

use std::sync::PoisonError;
use std::time::Duration;

use super::health::Standing;
use super::live::Shared;
use crate::now::Now;

/// How long a trouble must be gone before it counts as over.
const QUIET: Duration = Duration::from_secs(1);

/// What changed about a trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<T> {
    /// It began, or became another one.
    Began(T),
    /// It is over; how long it lasted.
    Ended(T, Duration),
}

/// One kind of trouble.
#[derive(Debug)]
pub(super) struct Alarm<T> {
    quiet: Duration,
    trouble: Option<Trouble<T>>,
}

#[derive(Debug)]
struct Trouble<T> {
    what: T,
    began: Now,
    seen: Now,
}

impl<T: Copy + PartialEq> Alarm<T> {
    /// One that is over when it was not seen for a second.
    pub(super) fn new() -> Self {
        Self {
            quiet: QUIET,
            trouble: None,
        }
    }

    /// One that is over as soon as something succeeds.
    pub(super) fn of_attempts() -> Self {
        Self {
            quiet: Duration::ZERO,
            trouble: None,
        }
    }

    /// Takes note of what is seen now, and answers with what is worth a line.
    pub(super) fn observe(&mut self, seen: Option<T>, now: Now) -> Option<Change<T>> {
        match (seen, self.trouble.as_mut()) {
            (None, None) => None,
            (Some(what), Some(trouble)) if trouble.what == what => {
                trouble.seen = now;
                None
            }
            (Some(what), _) => {
                self.trouble = Some(Trouble {
                    what,
                    began: now,
                    seen: now,
                });
                Some(Change::Began(what))
            }
            (None, Some(trouble)) => {
                let over = now.since(trouble.seen) >= self.quiet;
                let ended = Change::Ended(trouble.what, trouble.seen.since(trouble.began));
                over.then(|| {
                    self.trouble = None;
                    ended
                })
            }
        }
    }
}

impl Shared {
    /// Tells people how the log stands, where that has changed. Whoever finds that it takes no more tells at once: the
    /// log's own thread may be waiting for the disk.
    pub(super) fn tell(&self, standing: Standing) {
        let trouble = !matches!(standing, Standing::Writable | Standing::Closed);
        let mut alarm = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let change = alarm.observe(trouble.then_some(standing), Now::read());
        drop(alarm);
        match change {
            Some(Change::Began(Standing::Full)) => {
                let cause = if self.lock().writer.is_at_bound() {
                    "audit.total_bytes_max is reached"
                } else {
                    "no space left on the disk"
                };
                tracing::error!(
                    cause,
                    "the audit log is full: requests are refused until there is room"
                );
            }
            Some(Change::Began(Standing::Behind)) => {
                tracing::warn!("the disk cannot keep up with the audit log: requests are refused");
            }
            Some(Change::Began(_)) => {
                tracing::error!("the audit log cannot be written: requests are refused");
            }
            Some(Change::Ended(before, lasted)) => {
                let (was, lasted_ms) = (before.as_str(), millis(lasted));
                tracing::warn!(was, lasted_ms, "the audit log takes events again");
            }
            None => {}
        }
    }
}

/// What else the log's own thread tells people.
pub(super) struct Alarms {
    syncing: Alarm<()>,
    signing: Alarm<()>,
    /// Whether it was told that history is not what was signed, which does not end.
    told_broken: bool,
}

impl Alarms {
    pub(super) fn new() -> Self {
        Self {
            syncing: Alarm::new(),
            signing: Alarm::of_attempts(),
            told_broken: false,
        }
    }

    /// What became of a group commit.
    pub(super) fn synced(&mut self, failure: Option<&std::io::Error>) {
        match self.syncing.observe(failure.map(|_| ()), Now::read()) {
            Some(Change::Began(())) => {
                let error = failure.map(ToString::to_string).unwrap_or_default();
                tracing::error!(
                    error,
                    "the audit log could not be synced: what was not durable goes to a new segment"
                );
            }
            Some(Change::Ended((), lasted)) => {
                let lasted_ms = millis(lasted);
                tracing::warn!(lasted_ms, "the audit log is synced again");
            }
            None => {}
        }
    }

    /// What became of an attempt to sign.
    pub(super) fn signed(&mut self, failure: Option<&std::io::Error>) {
        match self.signing.observe(failure.map(|_| ()), Now::read()) {
            Some(Change::Began(())) => {
                let error = failure.map(ToString::to_string).unwrap_or_default();
                tracing::error!(
                    error,
                    "the audit log is not signed: new events have no proof until it is"
                );
            }
            Some(Change::Ended((), lasted)) => {
                let lasted_ms = millis(lasted);
                tracing::warn!(lasted_ms, "the audit log is signed again");
            }
            None => {}
        }
    }

    /// Whether history is what was signed. True the first time that it is not.
    pub(super) fn history(&mut self, broken: bool) -> bool {
        let news = broken && !self.told_broken;
        if news {
            self.told_broken = true;
            tracing::error!(
                "the audit log is not what was signed: run `rg-gateway audit verify` on it and keep a copy"
            );
        }
        news
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now::default().plus(Duration::from_millis(millis))
    }

    #[test]
    fn a_trouble_that_comes_and_goes_is_told_once_and_ends_once() {
        let mut alarm = Alarm::new();
        assert_eq!(alarm.observe(None, at(0)), None);
        assert_eq!(alarm.observe(Some(1), at(100)), Some(Change::Began(1)));
        for step in 1..20 {
            let seen = (step % 2 == 0).then_some(1);
            assert_eq!(alarm.observe(seen, at(100 + step * 100)), None);
        }
        assert_eq!(alarm.observe(None, at(2_899)), None);
        let ended = Change::Ended(1, Duration::from_millis(1_800));
        assert_eq!(alarm.observe(None, at(2_900)), Some(ended));
        assert_eq!(alarm.observe(None, at(9_000)), None);
        assert_eq!(alarm.observe(Some(1), at(9_100)), Some(Change::Began(1)));
    }

    #[test]
    fn another_trouble_is_told_and_only_the_last_one_ends() {
        let mut alarm = Alarm::new();
        assert_eq!(alarm.observe(Some(1), at(0)), Some(Change::Began(1)));
        assert_eq!(alarm.observe(Some(2), at(100)), Some(Change::Began(2)));
        let ended = Change::Ended(2, Duration::ZERO);
        assert_eq!(alarm.observe(None, at(1_100)), Some(ended));
    }

    #[test]
    fn a_successful_attempt_ends_it_at_once() {
        let mut alarm = Alarm::of_attempts();
        assert_eq!(alarm.observe(Some(()), at(0)), Some(Change::Began(())));
        assert_eq!(alarm.observe(Some(()), at(1_000)), None);
        let ended = Change::Ended((), Duration::from_secs(1));
        assert_eq!(alarm.observe(None, at(1_001)), Some(ended));
    }
}
