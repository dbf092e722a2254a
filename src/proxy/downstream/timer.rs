//! A deadline that costs nothing while bytes flow.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer registration reused for all waits of a connection.
///
/// A wait that ends in time leaves the registration where it is; a later, longer wait finds it
/// firing early and re-arms it then. So a request that never waits long costs no timer operation.
#[derive(Debug, Default)]
pub(super) struct Timer {
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Starts a wait, unless one is under way.
    pub(super) fn start(&mut self, within: Duration) {
        if self.deadline.is_none() {
            self.deadline = Some(Instant::now() + within);
        }
    }

    /// Ends the wait.
    pub(super) fn stop(&mut self) {
        self.deadline = None;
    }

    /// Ready when the wait that was started has lasted too long.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn a_wait_expires_at_its_own_deadline_after_a_longer_one_was_stopped() {
        let mut timer = Timer::default();
        let begin = Instant::now();
        timer.start(Duration::from_secs(75));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx).is_pending())).await);
        timer.stop();
        timer.start(Duration::from_secs(10));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(begin.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_longer_wait_outlives_an_earlier_registration() {
        let mut timer = Timer::default();
        let begin = Instant::now();
        timer.start(Duration::from_secs(1));
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_expired(cx).is_pending())).await);
        timer.stop();
        timer.start(Duration::from_secs(5));
        poll_fn(|cx| timer.poll_expired(cx)).await;
        assert_eq!(begin.elapsed().as_secs(), 5);
    }
}
