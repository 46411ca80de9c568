//! One update in one pass: the clipped gradient, the optimiser's rule, the averaged weights, the check that all is
//! finite. The plain `optimizer::Moments` is its oracle.
//! It must not know where parameters lie: all are treated alike.

use pulp::{Simd, WithSimd};
use serde::{Deserialize, Serialize};

use super::floats::Floats;
use super::lanes::parts;
use super::panels::LANES;
use crate::optimizer::{EPSILON, Rule};

/// What an optimiser carries from step to step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Adam's mean gradient m, or the velocity of SGD.
    pub mean: Floats,
    /// v, the mean squared gradient.
    pub square: Floats,
    /// β₁ᵗ and β₂ᵗ, by products in f64.
    pub decayed: (f64, f64),
}

impl Moments {
    /// No moments yet, for `len` parameters.
    pub fn new(len: usize) -> Moments {
        Moments { mean: Floats::zeros(len), square: Floats::zeros(len), decayed: (1.0, 1.0) }
    }
}

/// Parameters, moments and averages before an update, and the places for those after it.
pub struct Step<'a> {
    pub rule: Rule,
    /// Learning rate.
    pub lr: f64,
    /// The gradient's factor: what the clip of its norm leaves.
    pub scale: f32,
    /// Decay of the averaged parameters.
    pub ema_decay: f32,
    pub gradient: &'a [f32],
    pub params: (&'a [f32], &'a mut [f32]),
    pub ema: (&'a [f32], &'a mut [f32]),
    pub moments: (&'a Moments, &'a mut Moments),
}

impl WithSimd for Step<'_> {
    /// Whether every new parameter and average is finite.
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let (lr, before) = (self.lr, self.moments.0.decayed);
        let splat = |value: f64| simd.splat_f32s(value as f32);
        match self.rule {
            Rule::Sgd { momentum } => {
                let (momentum, lr) = (splat(momentum), splat(-lr));
                self.each(simd, before, |parameter, g, m, v| {
                    let m = simd.mul_add_f32s(momentum, m, g);
                    (simd.mul_add_f32s(lr, m, parameter), m, v)
                })
            }
            Rule::Adam { betas } => self.adam(simd, betas, 1.0),
            Rule::AdamW { betas, weight_decay } => self.adam(simd, betas, 1.0 - lr * weight_decay),
            Rule::RmsProp { alpha } => {
                let (alpha, rest, lr, epsilon) =
                    (splat(alpha), splat(1.0 - alpha), splat(lr), splat(EPSILON));
                self.each(simd, before, |parameter, g, m, v| {
                    let v = simd.mul_add_f32s(alpha, v, simd.mul_f32s(rest, simd.mul_f32s(g, g)));
                    let root = simd.add_f32s(simd.sqrt_f32s(v), epsilon);
                    (simd.sub_f32s(parameter, simd.div_f32s(simd.mul_f32s(lr, g), root)), m, v)
                })
            }
        }
    }
}

impl Step<'_> {
    #[inline(always)]
    fn adam<S: Simd>(self, simd: S, betas: (f64, f64), kept: f64) -> bool {
        let before = self.moments.0.decayed;
        let decayed = (before.0 * betas.0, before.1 * betas.1);
        let splat = |value: f64| simd.splat_f32s(value as f32);
        // θ − lr m̂ / (√v̂ + ε) with the corrections taken out of the loop.
        let step_size = splat(self.lr / (1.0 - decayed.0));
        let correction = splat(1.0 / (1.0 - decayed.1).sqrt());
        let (rest_1, beta_2, rest_2) = (splat(1.0 - betas.0), splat(betas.1), splat(1.0 - betas.1));
        let (kept, epsilon) = (splat(kept), splat(EPSILON));
        self.each(simd, decayed, |parameter, g, m, v| {
            let m = simd.mul_add_f32s(rest_1, simd.sub_f32s(g, m), m);
            let v = simd.mul_add_f32s(beta_2, v, simd.mul_f32s(rest_2, simd.mul_f32s(g, g)));
            let root = simd.mul_add_f32s(simd.sqrt_f32s(v), correction, epsilon);
            let step = simd.div_f32s(simd.mul_f32s(step_size, m), root);
            (simd.sub_f32s(simd.mul_f32s(parameter, kept), step), m, v)
        })
    }

    /// Runs `rule` (parameter, gradient, m, v) -> (parameter, m, v) over all parameters.
    #[inline(always)]
    fn each<S: Simd>(
        self,
        simd: S,
        decayed: (f64, f64),
        rule: impl Fn(S::f32s, S::f32s, S::f32s, S::f32s) -> (S::f32s, S::f32s, S::f32s),
    ) -> bool {
        let (scale, zero) = (simd.splat_f32s(self.scale), simd.splat_f32s(0.0));
        let nearer = simd.splat_f32s(1.0 - self.ema_decay);
        let (before, after) = self.moments;
        after.decayed = decayed;
        let read = |values| S::as_simd_f32s(values).0;
        let reads = read(self.params.0).iter().zip(read(self.gradient));
        let reads = reads.zip(read(&before.mean).iter().zip(read(&before.square))).zip(read(self.ema.0));
        let moments = S::as_mut_simd_f32s(&mut after.mean).0.iter_mut();
        let moments = moments.zip(S::as_mut_simd_f32s(&mut after.square).0);
        let writes = S::as_mut_simd_f32s(self.params.1).0.iter_mut().zip(moments);
        let writes = writes.zip(S::as_mut_simd_f32s(self.ema.1).0);
        // x − x is 0 for what is finite and NaN for all else.
        let mut unfit = zero;
        for ((((parameter, g), (m, v)), ema), ((new, (new_m, new_v)), new_ema)) in reads.zip(writes) {
            let (next, m, v) = rule(*parameter, simd.mul_f32s(*g, scale), *m, *v);
            let mean = simd.mul_add_f32s(nearer, simd.sub_f32s(next, *ema), *ema);
            (*new, *new_m, *new_v, *new_ema) = (next, m, v, mean);
            let unfit_now = simd.add_f32s(simd.sub_f32s(next, next), simd.sub_f32s(mean, mean));
            unfit = simd.add_f32s(unfit, unfit_now);
        }
        let mut lanes = [0.0; LANES];
        S::as_mut_simd_f32s(&mut lanes).0[0] = unfit;
        lanes.iter().all(|lane| *lane == 0.0)
    }
}

/// The norm of a vector whose length is a multiple of sixteen.
pub struct Norm<'a>(pub &'a [f32]);

impl WithSimd for Norm<'_> {
    type Output = f32;

    /// Four sums of sixteen lanes, vectors in turn, added up lane by lane at the end.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        const SUMS: usize = 4;
        let mut lanes = [0.0f32; SUMS * LANES];
        let (vectors, parts) = (S::as_simd_f32s(self.0).0, parts::<S>());
        for part in 0..parts {
            let mut sums = [simd.splat_f32s(0.0); SUMS];
            for group in vectors.chunks(SUMS * parts) {
                for (sum, vector) in sums.iter_mut().zip(group.chunks_exact(parts)) {
                    *sum = simd.mul_add_f32s(vector[part], vector[part], *sum);
                }
            }
            let lanes = S::as_mut_simd_f32s(&mut lanes).0;
            for (at, sum) in sums.into_iter().enumerate() {
                lanes[at * parts + part] = sum;
            }
        }
        lanes.iter().sum::<f32>().sqrt()
    }
}
