//! What learning has found so far: the parameters, their moving average and the optimizer's moments.
//! It must not know gradients' origin, nor whether a step is safe: `guard.rs` judges that.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use super::optimizer::{Moments, Optimizer};

/// Decay of the averaged weights once warm.
const EMA_DECAY: f32 = 0.995;

/// Everything that one update moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    pub params: DVector<f32>,
    /// The exponential moving average of `params` over the updates.
    pub ema: DVector<f32>,
    pub moments: Moments<f32>,
    /// Updates that led here.
    pub updates: u64,
}

impl Fit {
    /// Nothing learned yet.
    pub fn new(params: DVector<f32>) -> Fit {
        Fit { ema: params.clone(), moments: Moments::new(params.len()), params, updates: 0 }
    }

    /// One step of the optimiser against `gradient`, then the average
    ///
    /// ```text
    /// ema ← ema + (1 − d)(θ − ema)     d = min(0.995, (1 + n) / (10 + n)), n updates so far
    /// ```
    ///
    /// The warm-up lets the average leave the untrained weights within tens of updates, not hundreds.
    pub fn updated(&self, gradient: &DVector<f32>, optimizer: &Optimizer) -> Fit {
        let mut next = self.clone();
        next.moments.step(optimizer.rule, optimizer.lr_at(self.updates), &mut next.params, gradient);
        let n = self.updates as f32;
        let decay = EMA_DECAY.min((1.0 + n) / (10.0 + n));
        for (mean, now) in next.ema.iter_mut().zip(next.params.iter()) {
            *mean += (1.0 - decay) * (now - *mean);
        }
        next.updates += 1;
        next
    }

    pub fn is_finite(&self) -> bool {
        self.params.iter().chain(self.ema.iter()).all(|value| value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_warms_up_and_then_lags() {
        let mut fit = Fit::new(DVector::from_element(1, 1.0));
        let gradient = DVector::from_element(1, 1.0);
        fit = fit.updated(&gradient, &Optimizer::adam(0.1));
        // Adam's first step is lr: 1.0 → 0.9; d = 1/10.
        assert!((fit.params[0] - 0.9).abs() < 1e-6 && (fit.ema[0] - 0.91).abs() < 1e-6);
        for _ in 0..2999 {
            fit = fit.updated(&gradient, &Optimizer::adam(0.1));
        }
        // Against a steady slope the average trails by d / (1 − d) = 199 steps of 0.1.
        assert!((fit.ema[0] - fit.params[0] - 19.9).abs() < 0.1, "{}", fit.ema[0] - fit.params[0]);
        assert_eq!(fit.updates, 3000);
        assert!(fit.is_finite());
    }
}
