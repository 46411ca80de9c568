//! Past windows whose labels are all known, to learn from again. They steady an online learner,
//! which would otherwise see only the newest hours.
//! It must not know which series a window came from.

use rand::Rng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Windows kept.
pub const CAPACITY: usize = 256;

/// T steps of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayWindow {
    /// T
    pub steps: usize,
    /// The carried state before the first step (S).
    pub start: Vec<f32>,
    /// T × I, one step after another.
    pub inputs: Vec<f32>,
    /// T × label slots, one step after another.
    pub labels: Vec<f32>,
}

impl ReplayWindow {
    /// Whether it has `steps` steps of so many inputs and labels each, after a state of so many
    /// numbers.
    fn is_of(&self, steps: usize, inputs: usize, labels: usize, state: usize) -> bool {
        let lengths = (self.steps, self.inputs.len(), self.labels.len(), self.start.len());
        lengths == (steps, steps * inputs, steps * labels, state)
    }
}

/// A bounded set of windows, shared by all series of a learner.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayPool {
    windows: Vec<ReplayWindow>,
}

impl ReplayPool {
    /// The place for one more window. Once the pool is full it is the place of a random window, so
    /// the ages of windows fall off geometrically (mean: 256 offers).
    pub fn place(&mut self, rng: &mut Pcg64) -> &mut ReplayWindow {
        let at = if self.windows.len() < CAPACITY {
            self.windows.push(ReplayWindow::default());
            self.windows.len() - 1
        } else {
            rng.random_range(0..CAPACITY)
        };
        &mut self.windows[at]
    }

    /// Draws up to `count` distinct windows, uniformly at random: the first steps of a Fisher–Yates
    /// shuffle. Their numbers are the first of `order`. Returns how many there are.
    pub fn draw(&self, count: usize, rng: &mut Pcg64, order: &mut Vec<usize>) -> usize {
        order.clear();
        order.extend(0..self.windows.len());
        let count = count.min(order.len());
        for at in 0..count {
            let chosen = rng.random_range(at..order.len());
            order.swap(at, chosen);
        }
        count
    }

    /// The window of that number.
    pub fn window(&self, at: usize) -> &ReplayWindow {
        &self.windows[at]
    }

    /// Whether every window is of that shape: steps, inputs and labels a step, numbers in a state.
    pub fn is_of(&self, steps: usize, inputs: usize, labels: usize, state: usize) -> bool {
        let fits = |window: &ReplayWindow| window.is_of(steps, inputs, labels, state);
        self.windows.len() <= CAPACITY && self.windows.iter().all(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_pool_is_bounded_and_draws_are_distinct() {
        let mut rng = Pcg64::seed_from_u64(1);
        let (mut pool, mut order) = (ReplayPool::default(), Vec::new());
        assert_eq!(pool.draw(2, &mut rng, &mut order), 0);

        for value in 0..1000 {
            pool.place(&mut rng).inputs = vec![value as f32];
        }
        assert_eq!(pool.windows.len(), CAPACITY);

        let old = pool.windows.iter().filter(|window| window.inputs[0] < 500.0).count();
        // A window offered k offers ago is still there with probability (1 − 1/256)^k.
        assert!((10..70).contains(&old), "{old}");

        let drawn = pool.draw(300, &mut rng, &mut order);
        let mut drawn: Vec<i64> = order[..drawn].iter().map(|at| pool.window(*at).inputs[0] as i64).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), CAPACITY);
        assert!(!pool.is_of(1, 1, 0, 0), "steps are part of the shape");
    }
}
