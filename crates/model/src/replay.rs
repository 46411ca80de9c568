//! Past windows whose truth is known in full, to learn from again: they steady an online learner that would
//! otherwise see only the newest hours.
//! It must not know which series a window came from.

use rand::Rng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::tbptt::{Example, Target};

/// Windows kept.
pub const CAPACITY: usize = 256;

/// T steps of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The carried state before the first step (S).
    pub start: Vec<f32>,
    /// T × I, one step after another.
    pub inputs: Vec<f32>,
    /// T × O, one step after another.
    pub labels: Vec<f32>,
}

impl Window {
    /// All labels, each with `weight` in the loss.
    pub fn example(&self, inputs: usize, outputs: usize, weight: f32) -> Example<'_, f32> {
        let target = |(at, value): (usize, &f32)| Target {
            step: at / outputs,
            output: at % outputs,
            value: *value,
            weight,
        };
        Example {
            start: &self.start,
            inputs: self.inputs.chunks_exact(inputs).collect(),
            targets: self.labels.iter().enumerate().map(target).collect(),
        }
    }
}

/// A bounded set of windows, shared by all series of a learner.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    windows: Vec<Window>,
}

impl Pool {
    /// Takes a window in; once full it replaces a random one, so ages fall off geometrically (mean: 256 offers).
    pub fn offer(&mut self, window: Window, rng: &mut Pcg64) {
        if self.windows.len() < CAPACITY {
            self.windows.push(window);
        } else {
            self.windows[rng.random_range(0..CAPACITY)] = window;
        }
    }

    /// Up to `count` distinct windows, uniformly at random (the first steps of a Fisher–Yates shuffle).
    pub fn draw(&self, count: usize, rng: &mut Pcg64) -> Vec<&Window> {
        let mut order: Vec<&Window> = self.windows.iter().collect();
        let count = count.min(order.len());
        for at in 0..count {
            let chosen = rng.random_range(at..order.len());
            order.swap(at, chosen);
        }
        order.truncate(count);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn window(value: f32) -> Window {
        Window { start: vec![0.0], inputs: vec![value; 4], labels: vec![value; 2] }
    }

    #[test]
    fn the_pool_is_bounded_and_draws_are_distinct() {
        let mut rng = Pcg64::seed_from_u64(1);
        let mut pool = Pool::default();
        assert!(pool.draw(2, &mut rng).is_empty());
        for value in 0..1000 {
            pool.offer(window(value as f32), &mut rng);
        }
        assert_eq!(pool.windows.len(), CAPACITY);
        let old = pool.windows.iter().filter(|window| window.inputs[0] < 500.0).count();
        // A window offered k offers ago is still there with probability (1 − 1/256)^k.
        assert!((10..70).contains(&old), "{old}");
        let mut drawn: Vec<i64> = pool.draw(300, &mut rng).iter().map(|w| w.inputs[0] as i64).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), CAPACITY);
    }

    #[test]
    fn an_example_has_every_label() {
        let window = Window { start: vec![], inputs: vec![1.0, 2.0], labels: vec![5.0, 6.0, 7.0, 8.0] };
        let example = window.example(1, 2, 0.25);
        assert_eq!(example.inputs, [[1.0], [2.0]]);
        assert_eq!(example.targets[3], Target { step: 1, output: 1, value: 8.0, weight: 0.25 });
    }
}
