//! Places among the requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many requests of one key are in flight.
#[derive(Debug, Default)]
pub(super) struct InFlight(Arc<AtomicU32>);

impl InFlight {
    /// Takes a place if fewer than `max` are taken. Calls for one key must not overlap.
    pub(super) fn lease(&self, max: u32) -> Option<ConcurrencyLease> {
        // Only leases being dropped run beside this, and those only lower the count.
        if self.0.load(Ordering::Acquire) >= max {
            return None;
        }
        self.0.fetch_add(1, Ordering::AcqRel);
        Some(ConcurrencyLease(Arc::clone(&self.0)))
    }

    /// True while a lease is out.
    pub(super) fn is_held(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }
}

/// A place among a key's requests in flight; dropping it gives the place back.
#[derive(Debug)]
#[must_use = "dropping the lease gives the place back"]
pub struct ConcurrencyLease(Arc<AtomicU32>);

impl Drop for ConcurrencyLease {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
