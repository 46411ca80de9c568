//! One update of offline training: gradient, clip, optimiser, and the guard that no step leaves the numbers.
//! It must not know where the examples come from.

use nalgebra::DVector;

use crate::error::{ModelError, Result};
use crate::fit::Fit;
use crate::guard::{Guard, Outcome};
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::{Optimizer, clip_global_norm};
use crate::tbptt::{Example, loss_and_gradient};

/// Times in a row that the good weights are called back and no step can be taken from them either.
const GIVE_UP: u32 = 2;

/// Weights on their way.
pub struct Stepper {
    fit: Fit,
    guard: Guard,
    optimizer: Optimizer,
    clip: f32,
    /// Rollbacks since a step was taken.
    in_vain: u32,
}

impl Stepper {
    pub fn new(params: DVector<f32>, optimizer: Optimizer, clip: f32) -> Stepper {
        let fit = Fit::new(params);
        Stepper { guard: Guard::new(&fit), fit, optimizer, clip, in_vain: 0 }
    }

    pub fn params(&self) -> &DVector<f32> {
        &self.fit.params
    }

    /// Of the next update.
    pub fn lr(&self) -> f64 {
        self.optimizer.lr_at(self.fit.updates)
    }

    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// One update against the gradient of the examples' loss, which is returned; none, if loss, gradient or new weights
    /// were not finite: then the weights are as before, or after several such steps an older good copy.
    ///
    /// # Errors
    /// If no step can be taken from the good copy either.
    pub fn step(
        &mut self,
        network: &Network,
        loss: &Loss,
        examples: &[Example<'_, f32>],
    ) -> Result<Option<f32>> {
        let (value, mut gradient) = loss_and_gradient(network, &self.fit.params, loss, examples);
        let norm = clip_global_norm(&mut gradient, self.clip);
        let next =
            (value.is_finite() && norm.is_finite()).then(|| self.fit.updated(&gradient, &self.optimizer));
        match self.guard.settle(&mut self.fit, next.filter(Fit::is_finite)) {
            Outcome::Applied => self.in_vain = 0,
            Outcome::Skipped => return Ok(None),
            Outcome::RolledBack => {
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
