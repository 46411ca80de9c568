//! From a loss and its gradient to new weights: clip, step, and the guard's word on them. Online and offline alike.
//! It must not know what was learned from.

use super::guard::{StepGuard, StepOutcome};
use super::kernel::KernelEngine;
use super::optimizer::{Optimizer, clip_factor};
use super::train_state::TrainState;

/// How a gradient becomes a step.
pub struct Update<'a> {
    pub engine: &'a KernelEngine,
    pub optimizer: &'a Optimizer,
    /// Longest gradient that is applied as it is, in its global norm.
    pub clip: f32,
    /// Decay of the averaged weights once warm.
    pub ema: f32,
}

impl Update<'_> {
    /// Steps from `fit` against `gradient`, by way of `next`. The norm before the clip, and what became of the step: it
    /// is taken only if loss, norm and new weights are all finite.
    pub fn take(
        &self,
        (fit, next, guard): (&mut TrainState, &mut TrainState, &mut StepGuard),
        loss: f32,
        gradient: &[f32],
    ) -> (f32, StepOutcome) {
        let norm = self.engine.norm(gradient);
        let good = loss.is_finite() && norm.is_finite() && {
            let clipped = (clip_factor(norm, self.clip), gradient);
            fit.step(self.engine, self.optimizer, self.ema, clipped, next)
        };
        (norm, guard.settle(fit, next, good))
    }
}
