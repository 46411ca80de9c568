//! From a gradient to a step: the clip of its norm and Adam.
//! It must not know where the gradient comes from.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Scales `gradient` down to the norm `limit` if it is longer; returns the norm it had.
/// PyTorch's `clip_grad_norm_`. A norm that is not finite scales nothing: the guard refuses the step.
pub fn clip_global_norm(gradient: &mut DVector<f32>, limit: f32) -> f32 {
    let norm = gradient.norm();
    if norm.is_finite() && norm > limit {
        *gradient *= limit / norm;
    }
    norm
}

/// Adam's moments (Kingma & Ba 2015, as PyTorch's `optim.Adam` computes it).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// m, the mean gradient.
    mean: DVector<f32>,
    /// v, the mean squared gradient.
    square: DVector<f32>,
    /// β₁ᵗ and β₂ᵗ, by products: `powi` may differ in its last bit between platforms.
    decayed: (f64, f64),
}

impl Adam {
    /// No moments yet, for `len` parameters.
    pub fn new(len: usize) -> Adam {
        Adam { mean: DVector::zeros(len), square: DVector::zeros(len), decayed: (1.0, 1.0) }
    }

    /// Parameters it is for.
    pub fn len(&self) -> usize {
        self.mean.len()
    }

    pub fn is_empty(&self) -> bool {
        self.mean.is_empty()
    }

    /// ```text
    /// m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
    /// θ ← θ − lr · m̂ / (√v̂ + ε)    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
    /// ```
    pub fn step(&mut self, params: &mut DVector<f32>, gradient: &DVector<f32>, lr: f64) {
        self.decayed = (self.decayed.0 * BETA_1, self.decayed.1 * BETA_2);
        let step_size = (lr / (1.0 - self.decayed.0)) as f32;
        let correction = (1.0 - self.decayed.1).sqrt() as f32;
        let (rest_1, beta_2, rest_2) = ((1.0 - BETA_1) as f32, BETA_2 as f32, (1.0 - BETA_2) as f32);
        let moments = self.mean.iter_mut().zip(self.square.iter_mut());
        for ((parameter, g), (m, v)) in params.iter_mut().zip(gradient.iter()).zip(moments) {
            *m += rest_1 * (g - *m);
            *v = beta_2 * *v + rest_2 * g * g;
            *parameter -= step_size * *m / (v.sqrt() / correction + EPSILON as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::golden::Golden;

    #[test]
    fn the_steps_are_pytorchs() {
        let golden = Golden::load(include_str!("../../tests/golden/adam.json"));
        let vector = |name: &str| DVector::from_vec(golden.singles(name));
        let mut params = vector("initial");
        let mut adam = Adam::new(params.len());
        for step in 0..5 {
            let mut gradient = vector(&format!("gradient_{step}"));
            let norm = clip_global_norm(&mut gradient, 1.0);
            assert!((norm / golden.singles(&format!("norm_{step}"))[0] - 1.0).abs() < 1e-6);
            adam.step(&mut params, &gradient, 0.01);
            let expected = vector(&format!("params_{step}"));
            assert!((&params - &expected).amax() < 1e-6, "step {step}: {params} {expected}");
        }
    }

    #[test]
    fn the_first_step_is_the_learning_rate() {
        let mut params = DVector::from_element(2, 1.0);
        Adam::new(2).step(&mut params, &DVector::from_vec(vec![0.5, -0.001]), 0.01);
        assert!((params[0] - 0.99).abs() < 1e-6 && (params[1] - 1.01).abs() < 1e-6, "{params}");
    }

    #[test]
    fn a_short_gradient_is_not_clipped() {
        let mut gradient = DVector::from_vec(vec![0.3, 0.4]);
        assert_eq!(clip_global_norm(&mut gradient, 1.0), 0.5);
        assert_eq!(gradient.as_slice(), [0.3, 0.4]);
        assert_eq!(clip_global_norm(&mut gradient, 0.25), 0.5);
        assert_eq!(gradient.as_slice(), [0.15, 0.2]);
        gradient[0] = f32::NAN;
        assert!(clip_global_norm(&mut gradient, 1.0).is_nan());
    }
}
