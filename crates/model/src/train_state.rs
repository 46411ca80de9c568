//! Everything that one update moves: weights, optimiser moments, averaged weights.
//! It must not know a gradient's origin, nor whether a step is safe: `guard.rs` judges that.

use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::kernel::{AlignedFloats, BeforeAfter, KernelMoments, KernelUpdate};
use super::optimizer::Optimizer;

/// Weights and what belongs to them, in the order of the kernels' panels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// The weights θ.
    pub params: AlignedFloats,
    /// The exponential moving average of `params` over the updates.
    pub ema: AlignedFloats,
    /// The optimiser's own memory.
    pub moments: KernelMoments,
    /// Updates that led here.
    pub updates: u64,
}

/// A gradient and what the clip of its norm leaves of it.
#[derive(Debug, Clone, Copy)]
pub struct ClippedGradient<'a> {
    /// As it came, in the order of the panels.
    pub values: &'a [f32],
    /// The factor that shortens it, at most 1.
    pub scale: f32,
}

impl TrainState {
    /// Nothing learned yet.
    pub fn new(params: AlignedFloats) -> TrainState {
        TrainState { ema: params.clone(), moments: KernelMoments::new(params.len()), params, updates: 0 }
    }

    /// Steps from `self` against `gradient`, and leaves in `next` what it leads to. Then the
    /// average:
    ///
    /// ```text
    /// ema ← ema + (1 − d)(θ − ema)     d = min(ema_decay, (1 + n) / (10 + n)), n updates so far
    /// ```
    ///
    /// The warm-up lets the average leave the untrained weights within tens of updates, not
    /// hundreds.
    ///
    /// Returns whether all of `next` is finite.
    pub fn step(
        &self,
        engine: &Engine,
        optimizer: &Optimizer,
        ema_decay: f32,
        gradient: ClippedGradient<'_>,
        next: &mut TrainState,
    ) -> bool {
        let n = self.updates as f32;
        next.updates = self.updates + 1;

        engine.update(KernelUpdate {
            rule: optimizer.rule,
            lr: optimizer.lr_at(self.updates),
            scale: gradient.scale,
            ema_decay: ema_decay.min((1.0 + n) / (10.0 + n)),
            gradient: gradient.values,
            params: BeforeAfter { before: &self.params, after: &mut next.params },
            ema: BeforeAfter { before: &self.ema, after: &mut next.ema },
            moments: BeforeAfter { before: &self.moments, after: &mut next.moments },
        })
    }

    /// Becomes `other` without an allocation.
    pub fn copy_from(&mut self, other: &TrainState) {
        self.params.copy_from_slice(&other.params);
        self.ema.copy_from_slice(&other.ema);
        self.moments.copy_from(&other.moments);
        self.updates = other.updates;
    }

    /// Whether every vector has `len` elements.
    pub fn is_of_len(&self, len: usize) -> bool {
        [&self.params, &self.ema, &self.moments.mean, &self.moments.square].iter().all(|v| v.len() == len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Backend;
    use crate::spec::{Activation, CellKind, NetworkSpec};

    #[test]
    fn the_average_warms_up_and_then_lags() {
        let spec = NetworkSpec {
            cell: CellKind::Rnn,
            activation: Activation::Tanh,
            inputs: 1,
            hidden: 1,
            layers: 1,
            outputs: 1,
            skip: false,
        };

        let engine = Engine::new(spec, Backend::Fused);
        let ones = |value: f32| AlignedFloats::from_slice(&vec![value; engine.len()]);

        let (mut fit, gradient) = (TrainState::new(ones(1.0)), ones(1.0));
        let mut next = fit.clone();
        for update in 0..3000 {
            let clipped = ClippedGradient { values: &gradient, scale: 1.0 };
            assert!(fit.step(&engine, &Optimizer::adam(0.1), 0.995, clipped, &mut next));
            std::mem::swap(&mut fit, &mut next);
            if update == 0 {
                // Adam's first step is lr: 1.0 → 0.9; d = 1/10.
                assert!((fit.params[0] - 0.9).abs() < 1e-6 && (fit.ema[0] - 0.91).abs() < 1e-6);
            }
        }

        // Against a steady slope the average trails by d / (1 − d) = 199 steps of 0.1.
        assert!((fit.ema[0] - fit.params[0] - 19.9).abs() < 0.1, "{}", fit.ema[0] - fit.params[0]);
        assert_eq!(fit.updates, 3000);
        next.copy_from(&fit);
        assert_eq!(next, fit);
    }
}
