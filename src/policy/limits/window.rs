//! A sliding window in 25 cells: a quota that holds in *any* span of the window's length.
//!
//! A cell counts one 24th of the window. What is counted against the quota is the running cell and
//! the 24 before it, so two requests less than a window apart are always counted together: the
//! quota is never exceeded in any window, wherever it begins. The price is that a spent unit comes
//! back up to a 24th late (2.5 s of a minute, an hour of a day).

/// Cells that are counted: one running, 24 before it.
const CELLS: u64 = 25;

/// The length of one cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    cell_nanos: u64,
}

/// Cells of a minute.
pub(super) const MINUTE: Grain = Grain {
    cell_nanos: 60 * 1_000_000_000 / (CELLS - 1),
};
/// Cells of a day.
pub(super) const DAY: Grain = Grain {
    cell_nanos: 86_400 * 1_000_000_000 / (CELLS - 1),
};

impl Grain {
    /// The span in which the quota holds.
    pub(super) fn window_nanos(self) -> u64 {
        self.cell_nanos * (CELLS - 1)
    }

    /// When what was spent in a cell comes back.
    fn leaves_at(self, cell: u64) -> u64 {
        cell.saturating_add(CELLS).saturating_mul(self.cell_nanos)
    }
}

/// What one subject has spent within a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// Ring: cell `n` stands at `n % 25`.
    cells: [u32; 25],
    /// The running cell's number since the start of the clock.
    newest: u64,
    /// Sum of the cells.
    spent: u64,
}

impl Window {
    /// Forgets what has left the window. Time that goes back is taken to stand still.
    pub(super) fn advance(&mut self, grain: Grain, now_nanos: u64) {
        let cell = now_nanos / grain.cell_nanos;
        if cell <= self.newest {
            return;
        }
        if self.spent > 0 {
            // A cell leaves when the running one takes its place in the ring; 25 steps clear all.
            for leaving in (self.newest + 1..=cell).take(self.cells.len()) {
                let freed = self.cell_mut(leaving).map_or(0, std::mem::take);
                self.spent = self.spent.saturating_sub(u64::from(freed));
            }
        }
        self.newest = cell;
    }

    /// Time until a request of `cost` fits the quota; 0 when it does now. After `advance`.
    pub(super) fn wait(&self, grain: Grain, quota: u64, cost: u64, now_nanos: u64) -> u64 {
        let allowed_before = quota.saturating_sub(cost.min(quota));
        let mut spent = self.spent;
        if spent <= allowed_before {
            return 0;
        }
        for (cell, units) in self.oldest_first() {
            spent = spent.saturating_sub(u64::from(units));
            if spent <= allowed_before {
                return grain.leaves_at(cell).saturating_sub(now_nanos).max(1);
            }
        }
        grain.window_nanos()
    }

    /// Counts `cost`. After `advance`, and only after `wait` said 0.
    pub(super) fn spend(&mut self, cost: u64) {
        let Some(cell) = self.cell_mut(self.newest) else {
            return;
        };
        // A cell stays at four thousand million: more than passes a gateway within it.
        let before = *cell;
        *cell = before.saturating_add(u32::try_from(cost).unwrap_or(u32::MAX));
        let added = u64::from(*cell - before);
        self.spent = self.spent.saturating_add(added);
    }

    /// What is left of the quota. After `advance`.
    pub(super) fn remaining(&self, quota: u64) -> u64 {
        quota.saturating_sub(self.spent)
    }

    /// Time until `remaining` grows; 0 when nothing is spent. After `advance`.
    pub(super) fn next_gain(&self, grain: Grain, now_nanos: u64) -> u64 {
        if self.spent == 0 {
            return 0;
        }
        self.oldest_first()
            .find(|(_, units)| *units > 0)
            .map_or(0, |(cell, _)| {
                grain.leaves_at(cell).saturating_sub(now_nanos)
            })
    }

    /// When it is as if never used.
    pub(super) fn idle_at(&self, grain: Grain) -> u64 {
        if self.spent == 0 {
            0
        } else {
            grain.leaves_at(self.newest)
        }
    }

    fn cell_mut(&mut self, cell: u64) -> Option<&mut u32> {
        self.cells.get_mut(usize::try_from(cell % CELLS).ok()?)
    }

    /// The counted cells with their numbers. Before cell 24 the ring's unused places come first,
    /// all zero, under numbers that no time belongs to.
    fn oldest_first(&self) -> impl Iterator<Item = (u64, u32)> {
        let oldest = self.newest.saturating_sub(CELLS - 1);
        (oldest..=self.newest).filter_map(|cell| {
            let at = usize::try_from(cell % CELLS).ok()?;
            Some((cell, *self.cells.get(at)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CELL: u64 = MINUTE.cell_nanos;

    fn admit(window: &mut Window, quota: u64, cost: u64, now: u64) -> bool {
        window.advance(MINUTE, now);
        let admitted = window.wait(MINUTE, quota, cost, now) == 0;
        if admitted {
            window.spend(cost.min(quota));
        }
        admitted
    }

    #[test]
    fn a_quota_passes_at_once_and_comes_back_a_window_later() {
        let mut window = Window::default();
        let start = 100 * CELL + 7;
        assert_eq!(
            (0..99).filter(|_| admit(&mut window, 60, 1, start)).count(),
            60
        );
        assert_eq!(window.wait(MINUTE, 60, 1, start), 25 * CELL - 7);
        assert_eq!(window.next_gain(MINUTE, start), 25 * CELL - 7);
        assert!(!admit(&mut window, 60, 1, 125 * CELL - 1));
        assert!(admit(&mut window, 60, 60, 125 * CELL));
        assert_eq!(window.remaining(60), 0);
    }

    #[test]
    fn a_long_rest_clears_everything() {
        let mut window = Window::default();
        assert!(admit(&mut window, 10, 10, CELL));
        assert_eq!(window.idle_at(MINUTE), 26 * CELL);
        window.advance(MINUTE, u64::MAX);
        assert_eq!((window.remaining(10), window.idle_at(MINUTE)), (10, 0));
        assert_eq!(window.cells, [0; 25]);
    }

    #[test]
    fn time_that_goes_back_frees_nothing() {
        let mut window = Window::default();
        assert!(admit(&mut window, 1, 1, 30 * CELL));
        assert!(!admit(&mut window, 1, 1, 3 * CELL));
    }

    proptest! {
        /// The whole promise, against a log of all that was admitted.
        #[test]
        fn no_window_holds_more_than_the_quota(
            quota in 1_u64..30,
            steps in prop::collection::vec((0_u64..8 * CELL, 1_u64..4), 1..200),
        ) {
            let (mut window, mut now, mut log) = (Window::default(), 0, Vec::new());
            for (step, cost) in steps {
                now += step;
                let cost = cost.min(quota);
                if admit(&mut window, quota, cost, now) {
                    log.push((now, cost));
                } else {
                    let wait = window.wait(MINUTE, quota, cost, now);
                    let mut later = window;
                    later.advance(MINUTE, now + wait - 1);
                    prop_assert!(later.wait(MINUTE, quota, cost, now + wait - 1) > 0);
                    later.advance(MINUTE, now + wait);
                    prop_assert_eq!(later.wait(MINUTE, quota, cost, now + wait), 0);
                    prop_assert!(wait <= MINUTE.window_nanos() + CELL);
                }
                let recent = log.iter().filter(|(at, _)| now - at < MINUTE.window_nanos());
                prop_assert!(recent.map(|(_, cost)| cost).sum::<u64>() <= quota);
            }
        }
    }
}
