//! The long short-term memory cell, as PyTorch's `nn.LSTM`.
//! It must not know time, batch or layers.

use super::recurrence::{BackwardStep, ForwardStep, Recurrence};
use crate::real::Real;

/// With the gates a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh in PyTorch's order i, f, g, o:
///
/// ```text
/// i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)
/// c_t = f c_{t-1} + i g     h_t = o tanh(c_t)
/// ```
pub struct Lstm;

impl<F: Real> Recurrence<F> for Lstm {
    fn forward(&self, step: ForwardStep<'_, F>) {
        let units = step.h.len();
        for j in 0..units {
            let at = [j, units + j, 2 * units + j, 3 * units + j];
            let [a_i, a_f, a_g, a_o] = at.map(|k| step.gates[k] + step.hidden[k]);
            let (i, f, g, o) = (a_i.sigmoid(), a_f.sigmoid(), a_g.hyperbolic_tangent(), a_o.sigmoid());
            step.c[j] = f * step.c_before[j] + i * g;
            step.h[j] = o * step.c[j].hyperbolic_tangent();
            for (k, gate) in at.into_iter().zip([i, f, g, o]) {
                step.gates[k] = gate;
            }
        }
    }

    /// σ′ = σ(1 − σ), tanh′ = 1 − tanh²; c_t is reached through h_t and from c_{t+1}.
    fn backward(&self, step: BackwardStep<'_, F>) {
        let (one, units) = (F::one(), step.h.len());
        for j in 0..units {
            let at = [j, units + j, 2 * units + j, 3 * units + j];
            let [i, f, g, o] = at.map(|k| step.gates[k]);
            let tanh_c = step.c[j].hyperbolic_tangent();
            let d_c = step.d_c[j] + step.d_h[j] * o * (one - tanh_c * tanh_c);

            let slopes = [
                d_c * g * i * (one - i),
                d_c * step.c_before[j] * f * (one - f),
                d_c * i * (one - g * g),
                step.d_h[j] * tanh_c * o * (one - o),
            ];

            for (k, slope) in at.into_iter().zip(slopes) {
                step.d_input[k] = slope;
                step.d_hidden[k] = slope;
            }

            step.d_c[j] = d_c * f;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_is_what_the_hand_computes() {
        // σ(ln 3) = 3/4, σ(−ln 3) = 1/4, tanh(ln 3) = 4/5; c = ¼·2 + ¾·⅘ = 1.1; h = ½ tanh(1.1).
        let ln3 = 3f64.ln();
        let mut gates = [ln3, 0.0, 0.0, 0.5];
        let (mut h, mut c) = ([0.0], [0.0]);

        Lstm.forward(ForwardStep {
            gates: &mut gates,
            hidden: &[0.0, -ln3, ln3, -0.5],
            h_before: &[0.3],
            c_before: &[2.0],
            h: &mut h,
            c: &mut c,
        });

        for (gate, expected) in gates.into_iter().zip([0.75, 0.25, 0.8, 0.5]) {
            assert!((gate - expected).abs() < 1e-15, "{gate} {expected}");
        }
        assert!((c[0] - 1.1).abs() < 1e-15);
        assert!((h[0] - 0.5 * 1.1f64.tanh()).abs() < 1e-15);
    }
}
