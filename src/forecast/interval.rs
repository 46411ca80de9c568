//! Prediction intervals from the quantiles of past residuals, one ring a series and horizon.
//! It must not know what made the forecast: residuals in, quantiles out.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::block;

/// Newest residuals kept.
const RING: usize = 256;

/// Quantiles of the standard normal at (i + 1/2) / 20: what is believed before residuals tell better. They leave
/// the ring first.
const PRIOR: [f64; 10] = [
    0.062_707, 0.189_118, 0.318_639, 0.453_762, 0.597_760, 0.755_415, 0.934_589, 1.150_349, 1.439_531,
    1.959_964,
];

/// The newest residuals in units of the scale at their origin: `(actual - forecast) / sigma_h`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Residuals {
    #[serde(with = "block")]
    ring: VecDeque<f64>,
}

impl Default for Residuals {
    fn default() -> Self {
        // The tails leave first: real ones replace them best.
        let ring = PRIOR.iter().rev().flat_map(|&z| [-z, z]).collect();
        Residuals { ring }
    }
}

impl Residuals {
    pub fn push(&mut self, scaled: f64) {
        if self.ring.len() == RING {
            self.ring.pop_front();
        }
        self.ring.push_back(scaled);
    }

    /// The residuals in order, to read several quantiles from.
    pub fn sorted(&self) -> Vec<f64> {
        let mut sorted: Vec<f64> = self.ring.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }
}

/// The central interval of `level` in (0, 1): its two quantiles, linear between order statistics at i / (n + 1).
pub fn central(sorted: &[f64], level: f64) -> (f64, f64) {
    let tail = (1.0 - level) / 2.0;
    (quantile(sorted, tail), quantile(sorted, 1.0 - tail))
}

fn quantile(sorted: &[f64], p: f64) -> f64 {
    let rank = (p * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, (sorted.len() - 1) as f64);
    let (low, part) = (rank.floor() as usize, rank.fract());
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + part * (sorted[high] - sorted[low])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_any_residual_the_interval_is_the_normal_one() {
        let (lower, upper) = central(&Residuals::default().sorted(), 0.9);
        assert!((upper - 1.645).abs() < 0.3 && (lower + upper).abs() < 1e-12, "{lower} {upper}");
    }

    #[test]
    fn quantiles_cover_what_they_claim_on_exchangeable_residuals() {
        let mut residuals = Residuals::default();
        // A permutation of 0..=250 spreads values evenly over time.
        (0..1255).for_each(|i| residuals.push(((i * 97) % 251) as f64));
        let (lower, upper) = central(&residuals.sorted(), 0.5);
        let inside = (0..251).filter(|&v| lower <= v as f64 && v as f64 <= upper).count();
        assert!((inside as f64 / 251.0 - 0.5).abs() < 0.02, "{inside}");
    }
}
