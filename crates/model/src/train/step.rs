//! One update of offline training: gradient, clip, optimiser, and the guard against numbers that
//! are not finite.
//! It must not know where the examples come from.

use crate::engine::{Engine, EngineTape};
use crate::error::{ModelError, Result};
use crate::gradient::GradientPass;
use crate::guard::{StepGuard, StepOutcome};
use crate::kernel::AlignedFloats;
use crate::loss::Loss;
use crate::optimizer::Optimizer;
use crate::tbptt::TrainingExample;
use crate::train_state::TrainState;
use crate::update::{Update, UpdatePlaces};

/// Rollbacks in a row, with no step taken between them, after which training gives up.
const GIVE_UP: u32 = 2;

/// Weights on their way.
pub struct Stepper {
    fit: TrainState,
    /// The weights after a step, until they are found good.
    next: TrainState,
    gradient: AlignedFloats,
    guard: StepGuard,
    optimizer: Optimizer,
    clip: f32,
    /// Rollbacks since a step was taken.
    in_vain: u32,
}

impl Stepper {
    /// From `params` in the order of the panels.
    pub fn new(params: AlignedFloats, optimizer: Optimizer, clip: f32) -> Stepper {
        let fit = TrainState::new(params);
        let (next, gradient) = (fit.clone(), AlignedFloats::zeros(fit.params.len()));
        Stepper { guard: StepGuard::new(&fit), fit, next, gradient, optimizer, clip, in_vain: 0 }
    }

    /// In the order of the panels.
    pub fn params(&self) -> &AlignedFloats {
        &self.fit.params
    }

    /// Learning rate of the next update.
    pub fn lr(&self) -> f64 {
        self.optimizer.lr_at(self.fit.updates)
    }

    /// Counts of skipped steps and rollbacks.
    pub fn guard(&self) -> &StepGuard {
        &self.guard
    }

    /// Makes one update against the gradient of the examples' loss, and returns that loss.
    ///
    /// Returns none if loss, gradient or new weights are not finite. Then the weights are as
    /// before, or after several such steps an older good copy.
    ///
    /// # Errors
    /// If no step can be taken from the good copy either.
    pub fn step(
        &mut self,
        engine: &Engine,
        tape: &mut EngineTape,
        loss: &Loss,
        examples: &[TrainingExample<'_, f32>],
    ) -> Result<Option<f32>> {
        let Stepper { fit, next, gradient, .. } = self;
        let longest = examples.iter().map(|example| example.inputs.len()).max().unwrap_or(0);
        let pass = GradientPass { engine, params: &fit.params, loss, longest };
        let value = pass.run(examples.iter(), tape, gradient);

        // The average is of no use here.
        let update = Update { engine, optimizer: &self.optimizer, clip: self.clip, ema: 0.0 };
        let places = UpdatePlaces { fit, next, guard: &mut self.guard };

        match update.take(places, value, gradient).outcome {
            StepOutcome::Applied => self.in_vain = 0,
            StepOutcome::Skipped => return Ok(None),
            StepOutcome::RolledBack => {
                self.in_vain += 1;
                return if self.in_vain < GIVE_UP { Ok(None) } else { Err(self.stuck()) };
            }
        }

        Ok(Some(value))
    }

    /// Why training cannot go on.
    pub fn stuck(&self) -> ModelError {
        ModelError(format!(
            "training gets nowhere: loss or gradient was not finite in {} steps, at the end from good weights too. Lower the \
             learning rate, or look for absurd values among the features",
            self.guard.skipped()
        ))
    }
}
