//! Dynamically tuned adaptive conformal inference (DtACI, Gibbs and Candès 2022): how often an
//! interval should miss by its own quantiles, so that it misses as often as it claims.
//! It must not know residuals: it is told at which miscoverage the truth would just have been held.
//!
//! Adaptive conformal inference moves α by `α_i += γ_i (α - missed_i)`. The best step γ depends on
//! how fast the series changes. So several run side by side, weighed by the pinball loss of their
//! α.

use crate::horizon::Horizon;

use serde::{Deserialize, Serialize};

/// γ of each that runs.
const STEPS: [f64; 8] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128];
/// Truths over which the weights are to be good.
const SPAN: f64 = 500.0;

/// The miscoverage of one level.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Dtaci {
    /// α: how often it may miss.
    target: f64,
    alphas: [f64; STEPS.len()],
    /// They sum to 1.
    weights: [f64; STEPS.len()],
}

impl Dtaci {
    /// All of them ask for what the level claims.
    pub fn new(level: f64) -> Self {
        let target = 1.0 - level;
        Dtaci { target, alphas: [target; STEPS.len()], weights: [1.0 / STEPS.len() as f64; STEPS.len()] }
    }

    /// The miscoverage to ask of the quantiles now.
    pub fn alpha(&self) -> f64 {
        let mean: f64 = self.alphas.iter().zip(self.weights).map(|(alpha, weight)| alpha * weight).sum();
        mean.clamp(0.0, 1.0)
    }

    /// Learns from a truth. `held_at`: the largest miscoverage at which it would have been held;
    /// `horizon`: so many truths overlap, and are late.
    pub fn update(&mut self, held_at: f64, horizon: Horizon) {
        let alpha = self.target;
        let count = STEPS.len() as f64;
        // Its choice in the paper: η² = 3/I (ln(K I) + 2) / ((1 - α)² α³ + α² (1 - α)³).
        let (miss, hold) = (alpha * alpha, (1.0 - alpha) * (1.0 - alpha));
        let eta = (3.0 / SPAN * (libm::log(count * SPAN) + 2.0)
            / (hold * miss * alpha + miss * hold * (1.0 - alpha)))
            .sqrt();
        let share = 1.0 / (2.0 * SPAN);

        for (weight, own) in self.weights.iter_mut().zip(self.alphas) {
            let short = held_at - own;
            *weight *= libm::exp(-eta / f64::from(horizon) * (alpha * short - short.min(0.0)));
        }
        let total: f64 = self.weights.iter().sum();
        for weight in &mut self.weights {
            *weight = if total > 0.0 { (1.0 - share) * *weight / total + share / count } else { 1.0 / count };
        }

        for (own, step) in self.alphas.iter_mut().zip(STEPS) {
            let missed = if *own > held_at { 1.0 } else { 0.0 };
            *own = (*own + step / f64::from(horizon) * (alpha - missed)).clamp(-1.0, 2.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(n: u64) -> f64 {
        ((n * 7919 + 13) % 1009) as f64 / 1009.0
    }

    #[test]
    fn quantiles_that_claim_too_much_are_asked_for_less() {
        // The truth lies further out than the quantiles say: it is held at a tenth of the
        // miscoverage that it should be.
        for sharpness in [1.0, 3.0] {
            let mut dtaci = Dtaci::new(0.9);
            let mut missed = 0.0;
            for n in 0..6000 {
                let held_at = libm::pow(draw(n), sharpness);
                missed += if n >= 3000 && dtaci.alpha() > held_at { 1.0 } else { 0.0 };
                dtaci.update(held_at, Horizon(1));
            }
            assert!((missed / 3000.0 - 0.1f64).abs() < 0.04, "{sharpness}: {missed}");
        }
    }

    #[test]
    fn whatever_it_hears_it_asks_for_a_share() {
        let mut dtaci = Dtaci::new(0.5);
        for held_at in [0.0, 1.0].repeat(2000).into_iter().chain(vec![0.0; 2000]) {
            dtaci.update(held_at, Horizon(1));
            assert!((0.0..=1.0).contains(&dtaci.alpha()));
        }
    }
}
