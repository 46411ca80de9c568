//! The gated recurrent unit, as PyTorch's `nn.GRU`: the reset gate acts after the hidden product.
//! It must not know time, batch or layers.

use super::recurrence::{BackwardStep, ForwardStep, Recurrence};
use crate::real::Real;

/// With u = W_ih x_t + b_ih and v = W_hh h_{t-1} + b_hh in PyTorch's order r, z, n:
///
/// ```text
/// r = σ(u_r + v_r)   z = σ(u_z + v_z)   n = tanh(u_n + r v_n)
/// h_t = (1 − z) n + z h_{t-1}
/// ```
pub struct Gru;

impl<F: Real> Recurrence<F> for Gru {
    fn forward(&self, step: ForwardStep<'_, F>) {
        let units = step.h.len();
        for j in 0..units {
            let [at_r, at_z, at_n] = [j, units + j, 2 * units + j];
            let r = (step.gates[at_r] + step.hidden[at_r]).sigmoid();
            let z = (step.gates[at_z] + step.hidden[at_z]).sigmoid();
            let n = (step.gates[at_n] + r * step.hidden[at_n]).hyperbolic_tangent();
            step.h[j] = (F::one() - z) * n + z * step.h_before[j];
            step.gates[at_r] = r;
            step.gates[at_z] = z;
            step.gates[at_n] = n;
        }
    }

    /// σ′ = σ(1 − σ), tanh′ = 1 − tanh²
    fn backward(&self, step: BackwardStep<'_, F>) {
        let (one, units) = (F::one(), step.h.len());
        for j in 0..units {
            let [at_r, at_z, at_n] = [j, units + j, 2 * units + j];
            let (r, z, n) = (step.gates[at_r], step.gates[at_z], step.gates[at_n]);
            let d_n = step.d_h[j] * (one - z) * (one - n * n);
            let d_z = step.d_h[j] * (step.h_before[j] - n) * z * (one - z);
            let d_r = d_n * step.hidden[at_n] * r * (one - r);
            step.d_input[at_r] = d_r;
            step.d_input[at_z] = d_z;
            step.d_input[at_n] = d_n;
            step.d_hidden[at_r] = d_r;
            step.d_hidden[at_z] = d_z;
            step.d_hidden[at_n] = d_n * r;
            step.d_h_before[j] = step.d_h[j] * z;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_is_what_the_hand_computes() {
        // r = σ(ln 3) = ¾, z = σ(−ln 3) = ¼, n = tanh(¼ ln 3 + ¾ ln 3) = ⅘; h = ¾·⅘ + ¼·2 = 1.1
        let ln3 = 3f64.ln();
        let mut gates = [ln3, 0.0, 0.25 * ln3];
        let mut h = [0.0];

        Gru.forward(ForwardStep {
            gates: &mut gates,
            hidden: &[0.0, -ln3, ln3],
            h_before: &[2.0],
            c_before: &[],
            h: &mut h,
            c: &mut [],
        });

        for (gate, expected) in gates.into_iter().zip([0.75, 0.25, 0.8]) {
            assert!((gate - expected).abs() < 1e-15, "{gate} {expected}");
        }
        assert!((h[0] - 1.1).abs() < 1e-15);
    }
}
