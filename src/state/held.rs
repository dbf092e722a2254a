//! A budget for request bodies held in memory until they are judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A share of the gateway's budget; dropping it gives the bytes back.
#[derive(Debug)]
pub struct HeldBytes {
    total: Arc<AtomicUsize>,
    total_max: usize,
    mine: usize,
}

impl HeldBytes {
    /// A fresh budget of so many bytes.
    pub fn budget(bytes_max: u64) -> Self {
        Self {
            total: Arc::new(AtomicUsize::new(0)),
            total_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            mine: 0,
        }
    }

    /// An empty share of the same budget.
    #[must_use]
    pub fn none(&self) -> Self {
        Self {
            total: self.total.clone(),
            total_max: self.total_max,
            mine: 0,
        }
    }

    /// Takes more; false, and nothing taken, when the budget does not have it.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let before = self.total.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.total_max {
            self.total.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.mine += bytes;
        true
    }

    /// Bytes held by all shares.
    pub fn held(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.total.fetch_sub(self.mine, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_never_exceed_the_budget_and_give_back_on_drop() {
        let budget = HeldBytes::budget(100);
        let mut a = budget.none();
        let mut b = budget.none();
        assert!(a.grow(60));
        assert!(!b.grow(41));
        assert!(b.grow(40));
        assert_eq!(budget.held(), 100);
        drop(a);
        assert_eq!(budget.held(), 40);
        assert!(b.grow(60));
    }
}
