//! From a gradient to a step: the clip of its norm, the learning rate's course, and the rules of
//! the optimisers.
//! It must not know where the gradient comes from.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use super::real::Real;

/// Adam's ε and RMSprop's, as PyTorch's.
pub(crate) const EPSILON: f64 = 1e-8;

/// How a gradient becomes a step. Names and defaults are PyTorch's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum OptimizerRule {
    /// v ← μ v + g; θ ← θ − lr v
    Sgd {
        /// μ, in [0, 1).
        momentum: f64,
    },
    /// ```text
    /// m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
    /// θ ← θ − lr · m̂ / (√v̂ + ε)    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
    /// ```
    Adam {
        /// β₁ and β₂.
        betas: (f64, f64),
    },
    /// θ ← θ − lr λ θ, then as Adam (Loshchilov & Hutter 2019).
    AdamW {
        /// β₁ and β₂.
        betas: (f64, f64),
        /// λ
        weight_decay: f64,
    },
    /// v ← α v + (1 − α) g²; θ ← θ − lr · g / (√v + ε)
    RmsProp {
        /// α, the decay of the mean squared gradient.
        alpha: f64,
    },
}

/// Adam's usual decays.
pub const BETAS: (f64, f64) = (0.9, 0.999);

/// The learning rate's factor over the updates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum LrSchedule {
    /// Always 1.
    Constant,
    /// (n + 1) / updates up to 1, then 1.
    WarmUp {
        /// Updates until the factor is 1.
        updates: u64,
    },
    /// Warm-up as above, then half a cosine from 1 down to `floor` at update `updates`, and `floor`
    /// from there on.
    Cosine {
        /// Updates until the factor is 1.
        warm_up: u64,
        /// Updates until the factor is `floor`, those of the warm-up among them.
        updates: u64,
        /// The factor at the end.
        floor: f64,
    },
}

/// An optimiser: rule, learning rate, schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    /// How a gradient becomes a step.
    pub rule: OptimizerRule,
    /// The learning rate at the schedule's factor 1.
    pub lr: f64,
    /// The learning rate's course.
    pub schedule: LrSchedule,
}

impl Optimizer {
    /// Adam with its usual decays at a constant rate.
    pub fn adam(lr: f64) -> Optimizer {
        Optimizer { rule: OptimizerRule::Adam { betas: BETAS }, lr, schedule: LrSchedule::Constant }
    }

    /// The learning rate of the update after `updates` others.
    pub fn lr_at(&self, updates: u64) -> f64 {
        let rising = |length: u64| ((updates + 1) as f64 / length.max(1) as f64).min(1.0);
        let factor = match self.schedule {
            LrSchedule::Constant => 1.0,
            LrSchedule::WarmUp { updates } => rising(updates),
            LrSchedule::Cosine { warm_up, .. } if updates < warm_up => rising(warm_up),
            LrSchedule::Cosine { warm_up, updates: end, floor } => {
                let length = end.saturating_sub(warm_up).max(1) as f64;
                let done = ((updates - warm_up) as f64 / length).min(1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))
            }
        };

        self.lr * factor
    }
}

/// What PyTorch adds to the norm it divides by.
pub(crate) const CLIP_EPSILON: f64 = 1e-6;

/// The factor that shortens a gradient of norm `norm` to the norm `limit`: min(1, limit / (‖g‖ +
/// 1e-6)), as PyTorch's `clip_grad_norm_` has it.
///
/// It is 1 for a norm that is not finite: the guard refuses that step.
pub fn clip_factor<F: Real>(norm: F, limit: F) -> F {
    let factor = limit / (norm + F::of(CLIP_EPSILON));
    if norm.is_finite() && factor < F::one() { factor } else { F::one() }
}

/// g ← g · `clip_factor`. Returns the norm that the gradient had.
pub fn clip_global_norm<F: Real>(gradient: &mut DVector<F>, limit: F) -> F {
    let norm = gradient.norm();
    *gradient *= clip_factor(norm, limit);
    norm
}

/// What an optimiser carries from step to step. It is the plain implementation: tests hold the
/// kernels to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizerMoments<F: Real> {
    /// Adam's mean gradient m, or the velocity of SGD.
    pub mean: DVector<F>,
    /// v, the mean squared gradient.
    pub square: DVector<F>,
    /// β₁ᵗ and β₂ᵗ, by products in f64: `powi` may differ in its last bit between platforms, and in
    /// f32 1 − β₂ᵗ drifts by 5e-4 within 50 steps.
    pub decayed: (f64, f64),
}

impl<F: Real> OptimizerMoments<F> {
    /// No moments yet, for `len` parameters.
    pub fn new(len: usize) -> OptimizerMoments<F> {
        OptimizerMoments { mean: DVector::zeros(len), square: DVector::zeros(len), decayed: (1.0, 1.0) }
    }

    /// One step of `rule` at the learning rate `lr`.
    pub fn step(&mut self, rule: OptimizerRule, lr: f64, params: &mut DVector<F>, gradient: &DVector<F>) {
        let len = self.mean.len();
        assert!(params.len() == len && gradient.len() == len, "moments of another network");

        let (lr_f, one) = (F::of(lr), F::one());
        let epsilon = F::of(EPSILON);
        let each = params.iter_mut().zip(gradient.iter());
        let each = each.zip(self.mean.iter_mut().zip(self.square.iter_mut()));

        match rule {
            OptimizerRule::Sgd { momentum } => {
                for ((parameter, g), (velocity, _)) in each {
                    *velocity = F::of(momentum) * *velocity + *g;
                    *parameter -= lr_f * *velocity;
                }
            }
            OptimizerRule::Adam { betas } | OptimizerRule::AdamW { betas, .. } => {
                self.decayed = (self.decayed.0 * betas.0, self.decayed.1 * betas.1);
                let step_size = F::of(lr / (1.0 - self.decayed.0));
                let correction = F::of((1.0 - self.decayed.1).sqrt());
                let (rest_1, beta_2, rest_2) = (F::of(1.0 - betas.0), F::of(betas.1), F::of(1.0 - betas.1));
                let kept = match rule {
                    OptimizerRule::AdamW { weight_decay, .. } => F::of(1.0 - lr * weight_decay),
                    _ => one,
                };
                for ((parameter, g), (m, v)) in each {
                    *m += rest_1 * (*g - *m);
                    *v = beta_2 * *v + rest_2 * *g * *g;
                    *parameter = *parameter * kept - step_size * *m / (v.sqrt() / correction + epsilon);
                }
            }
            OptimizerRule::RmsProp { alpha } => {
                for ((parameter, g), (_, v)) in each {
                    *v = F::of(alpha) * *v + F::of(1.0 - alpha) * *g * *g;
                    *parameter -= lr_f * *g / (v.sqrt() + epsilon);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
