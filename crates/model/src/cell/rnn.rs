//! The simple (Elman) cell, as PyTorch's `nn.RNN`.
//! It must not know time, batch or layers.

use super::recurrence::{BackwardStep, ForwardStep, Recurrence};
use crate::real::Real;
use crate::spec::Activation;

/// h_t = φ(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), φ = tanh, max(0, ·) or σ
pub struct Rnn {
    /// φ.
    pub activation: Activation,
}

impl<F: Real> Recurrence<F> for Rnn {
    fn forward(&self, step: ForwardStep<'_, F>) {
        for j in 0..step.h.len() {
            let sum = step.gates[j] + step.hidden[j];
            step.h[j] = match self.activation {
                Activation::Tanh => sum.hyperbolic_tangent(),
                // Not max(0, ·), which would turn NaN into 0 and hide it from the guard.
                Activation::Relu if sum < F::zero() => F::zero(),
                Activation::Relu => sum,
                Activation::Sigmoid => sum.sigmoid(),
            };
        }
    }

    fn backward(&self, step: BackwardStep<'_, F>) {
        for j in 0..step.h.len() {
            let slope = match self.activation {
                // tanh′ = 1 − tanh²
                Activation::Tanh => F::one() - step.h[j] * step.h[j],
                // PyTorch takes 0 at the kink.
                Activation::Relu if step.h[j] > F::zero() => F::one(),
                Activation::Relu => F::zero(),
                // σ′ = σ(1 − σ)
                Activation::Sigmoid => step.h[j] * (F::one() - step.h[j]),
            };

            step.d_input[j] = step.d_h[j] * slope;
            step.d_hidden[j] = step.d_input[j];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(activation: Activation, input: f64, hidden: f64) -> f64 {
        let (mut gates, mut h) = ([input], [0.0]);
        Rnn { activation }.forward(ForwardStep {
            gates: &mut gates,
            hidden: &[hidden],
            h_before: &[0.0],
            c_before: &[],
            h: &mut h,
            c: &mut [],
        });
        h[0]
    }

    #[test]
    fn one_step_is_what_the_hand_computes() {
        // tanh(0.25 + 0.25) = (e − 1) / (e + 1)
        let e = std::f64::consts::E;
        assert!((run(Activation::Tanh, 0.25, 0.25) - (e - 1.0) / (e + 1.0)).abs() < 1e-15);
        assert_eq!(run(Activation::Relu, 0.25, 0.5), 0.75);
        assert_eq!(run(Activation::Relu, 0.25, -0.5), 0.0);
        assert!(run(Activation::Relu, f64::NAN, 0.0).is_nan());
    }
}
