//! How large the newest steps of a series are, beside what is usual.
//! It must not know forecasts: steps are fresher than any residual.

use serde::{Deserialize, Serialize};

/// The mean |residual| of a standard normal, about: what is believed of means at first.
pub const NORMAL_MEAN: f64 = 0.8;
/// The most that a new value counts in a mean, in means.
pub const JUMP: f64 = 6.0;
/// No mean is below this part of sigma.
const LEAST: f64 = 1e-3;
/// Rates of the means of steps.
const RATES: [f64; 2] = [0.2, 0.03];

/// Moves a mean towards a value that is at most [`JUMP`] means.
pub fn follow(mean: &mut f64, value: f64, rate: f64) {
    *mean = (*mean + rate * (value.min(JUMP * *mean) - *mean)).max(LEAST);
}

/// The least rate of a mean that has taken in `count` values: it starts quickly.
pub fn rate_at_first(count: u64) -> f64 {
    1.0 / (count + 4) as f64
}

/// Means of the newest steps of a series, in units of sigma_1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecentVolatility {
    means: [f64; RATES.len()],
    count: u64,
}

impl Default for RecentVolatility {
    fn default() -> Self {
        RecentVolatility { means: [NORMAL_MEAN; RATES.len()], count: 0 }
    }
}

impl RecentVolatility {
    /// How many means there are.
    pub const LEN: usize = RATES.len();

    /// The means, that of the fastest first.
    pub fn means(&self) -> [f64; RATES.len()] {
        self.means
    }

    /// Takes in the size of a step.
    pub fn update(&mut self, step: f64) {
        self.count += 1;
        let at_first = rate_at_first(self.count);
        for (mean, rate) in self.means.iter_mut().zip(RATES) {
            follow(mean, step, rate.max(at_first));
        }
    }
}
