//! From a loss and its gradient to new weights: clip, step, and the guard's judgement. Online and
//! offline learning share it.
//! It must not know what was learned from.

use super::engine::Engine;
use super::guard::{StepGuard, StepOutcome};
use super::optimizer::{Optimizer, clip_factor};
use super::train_state::{ClippedGradient, TrainState};

/// How a gradient becomes a step.
pub struct Update<'a> {
    /// Of the network that the gradient is of.
    pub engine: &'a Engine,
    /// The rule and the learning rate.
    pub optimizer: &'a Optimizer,
    /// Global norm above which a gradient is shortened to it.
    pub clip: f32,
    /// Decay of the averaged weights after their warm-up.
    pub ema: f32,
}

/// Where an update reads and writes.
pub struct UpdatePlaces<'a> {
    /// What the step starts from. If the step is taken, it holds what the step led to.
    pub fit: &'a mut TrainState,
    /// Room for what the step leads to, until it is found good.
    pub next: &'a mut TrainState,
    /// Judges the step.
    pub guard: &'a mut StepGuard,
}

/// What came of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateResult {
    /// Global norm of the gradient before the clip.
    pub gradient_norm: f32,
    /// What became of the step.
    pub outcome: StepOutcome,
}

impl Update<'_> {
    /// Steps against `gradient`. The step is taken only if loss, norm and new weights are all
    /// finite.
    pub fn take(&self, places: UpdatePlaces<'_>, loss: f32, gradient: &[f32]) -> UpdateResult {
        let UpdatePlaces { fit, next, guard } = places;
        let norm = self.engine.norm(gradient);

        let good = loss.is_finite() && norm.is_finite() && {
            let clipped = ClippedGradient { values: gradient, scale: clip_factor(norm, self.clip) };
            fit.step(self.engine, self.optimizer, self.ema, clipped, next)
        };

        let outcome = if good { guard.accept(fit, next) } else { guard.refuse(fit) };
        UpdateResult { gradient_norm: norm, outcome }
    }
}
