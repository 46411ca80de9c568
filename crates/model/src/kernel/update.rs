//! One update in one pass: the clipped gradient, the optimiser's rule, the averaged weights, the
//! check that all is finite. The plain `optimizer::OptimizerMoments` is its oracle.
//! It must not know where parameters lie: all are treated alike.

use pulp::{Simd, WithSimd};
use serde::{Deserialize, Serialize};

use super::floats::AlignedFloats;
use super::lanes::parts;
use super::panels::LANES;
use crate::optimizer::{EPSILON, OptimizerRule};

/// What an optimiser carries from step to step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelMoments {
    /// Adam's mean gradient m, or the velocity of SGD.
    pub mean: AlignedFloats,
    /// v, the mean squared gradient.
    pub square: AlignedFloats,
    /// β₁ᵗ and β₂ᵗ, by products in f64.
    pub decayed: (f64, f64),
}

impl KernelMoments {
    /// No moments yet, for `len` parameters.
    pub fn new(len: usize) -> KernelMoments {
        KernelMoments {
            mean: AlignedFloats::zeros(len),
            square: AlignedFloats::zeros(len),
            decayed: (1.0, 1.0),
        }
    }

    /// Becomes `other`, of the same length, without an allocation.
    pub fn copy_from(&mut self, other: &KernelMoments) {
        self.mean.copy_from_slice(&other.mean);
        self.square.copy_from_slice(&other.square);
        self.decayed = other.decayed;
    }
}

/// What an update reads, and the place for what it writes.
pub struct BeforeAfter<'a, T: ?Sized> {
    /// As it was before the update.
    pub before: &'a T,
    /// Overwritten with what it is after the update.
    pub after: &'a mut T,
}

/// Parameters, moments and averages before an update, and the places for those after it.
pub struct KernelUpdate<'a> {
    /// How the gradient becomes a step.
    pub rule: OptimizerRule,
    /// Learning rate.
    pub lr: f64,
    /// The gradient's factor: what the clip of its norm leaves.
    pub scale: f32,
    /// Decay of the averaged parameters.
    pub ema_decay: f32,
    /// By the parameters, before the clip.
    pub gradient: &'a [f32],
    /// The parameters θ.
    pub params: BeforeAfter<'a, [f32]>,
    /// Their moving average.
    pub ema: BeforeAfter<'a, [f32]>,
    /// The optimiser's own memory.
    pub moments: BeforeAfter<'a, KernelMoments>,
}

impl WithSimd for KernelUpdate<'_> {
    /// Whether every new parameter and average is finite.
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> bool {
        let (lr, before) = (self.lr, self.moments.before.decayed);
        let splat = |value: f64| simd.splat_f32s(value as f32);

        match self.rule {
            OptimizerRule::Sgd { momentum } => {
                let rule = Momentum::<S> { momentum: splat(momentum), lr: splat(-lr) };
                self.each(simd, before, rule)
            }
            OptimizerRule::Adam { betas } => self.adam(simd, betas, 1.0),
            OptimizerRule::AdamW { betas, weight_decay } => self.adam(simd, betas, 1.0 - lr * weight_decay),
            OptimizerRule::RmsProp { alpha } => {
                let (alpha, rest, epsilon) = (splat(alpha), splat(1.0 - alpha), splat(EPSILON));
                self.each(simd, before, Root::<S> { alpha, rest, lr: splat(lr), epsilon })
            }
        }
    }
}

/// A rule on one vector: parameter, gradient, m and v give the new parameter, m and v.
trait Apply<S: Simd>: Copy {
    fn apply(self, simd: S, parameter: S::f32s, g: S::f32s, m: S::f32s, v: S::f32s) -> [S::f32s; 3];
}

#[derive(Clone, Copy)]
struct Momentum<S: Simd> {
    momentum: S::f32s,
    /// −lr
    lr: S::f32s,
}

impl<S: Simd> Apply<S> for Momentum<S> {
    #[inline(always)]
    fn apply(self, simd: S, parameter: S::f32s, g: S::f32s, m: S::f32s, v: S::f32s) -> [S::f32s; 3] {
        let m = simd.mul_add_f32s(self.momentum, m, g);
        [simd.mul_add_f32s(self.lr, m, parameter), m, v]
    }
}

#[derive(Clone, Copy)]
struct Root<S: Simd> {
    alpha: S::f32s,
    /// 1 − α
    rest: S::f32s,
    lr: S::f32s,
    epsilon: S::f32s,
}

impl<S: Simd> Apply<S> for Root<S> {
    #[inline(always)]
    fn apply(self, simd: S, parameter: S::f32s, g: S::f32s, m: S::f32s, v: S::f32s) -> [S::f32s; 3] {
        let v = simd.mul_add_f32s(self.alpha, v, simd.mul_f32s(self.rest, simd.mul_f32s(g, g)));
        let root = simd.add_f32s(simd.sqrt_f32s(v), self.epsilon);
        [simd.sub_f32s(parameter, simd.div_f32s(simd.mul_f32s(self.lr, g), root)), m, v]
    }
}

/// θ − lr m̂ / (√v̂ + ε), the corrections taken out of the loop.
#[derive(Clone, Copy)]
struct Corrected<S: Simd> {
    /// 1 − β₁
    rest_1: S::f32s,
    beta_2: S::f32s,
    /// 1 − β₂
    rest_2: S::f32s,
    /// lr / (1 − β₁ᵗ)
    step_size: S::f32s,
    /// 1 / √(1 − β₂ᵗ)
    correction: S::f32s,
    epsilon: S::f32s,
    /// What the weight decay leaves.
    kept: S::f32s,
}

impl<S: Simd> Apply<S> for Corrected<S> {
    #[inline(always)]
    fn apply(self, simd: S, parameter: S::f32s, g: S::f32s, m: S::f32s, v: S::f32s) -> [S::f32s; 3] {
        let m = simd.mul_add_f32s(self.rest_1, simd.sub_f32s(g, m), m);
        let v = simd.mul_add_f32s(self.beta_2, v, simd.mul_f32s(self.rest_2, simd.mul_f32s(g, g)));
        let root = simd.mul_add_f32s(simd.sqrt_f32s(v), self.correction, self.epsilon);
        let step = simd.div_f32s(simd.mul_f32s(self.step_size, m), root);
        [simd.sub_f32s(simd.mul_f32s(parameter, self.kept), step), m, v]
    }
}

impl KernelUpdate<'_> {
    #[inline(always)]
    fn adam<S: Simd>(self, simd: S, betas: (f64, f64), kept: f64) -> bool {
        let before = self.moments.before.decayed;
        let decayed = (before.0 * betas.0, before.1 * betas.1);
        let splat = |value: f64| simd.splat_f32s(value as f32);

        let rule = Corrected::<S> {
            rest_1: splat(1.0 - betas.0),
            beta_2: splat(betas.1),
            rest_2: splat(1.0 - betas.1),
            step_size: splat(self.lr / (1.0 - decayed.0)),
            correction: splat(1.0 / (1.0 - decayed.1).sqrt()),
            epsilon: splat(EPSILON),
            kept: splat(kept),
        };

        self.each(simd, decayed, rule)
    }

    /// Runs `rule` over all parameters.
    #[inline(always)]
    fn each<S: Simd>(self, simd: S, decayed: (f64, f64), rule: impl Apply<S>) -> bool {
        let (scale, nearer) = (simd.splat_f32s(self.scale), simd.splat_f32s(1.0 - self.ema_decay));
        let BeforeAfter { before, after } = self.moments;
        after.decayed = decayed;
        let vectors = self.gradient.len() / S::F32_LANES;
        let read = |values| &S::as_simd_f32s(values).0[..vectors];
        let (params, gradient, ema) = (read(self.params.before), read(self.gradient), read(self.ema.before));
        let (mean, square) = (read(&before.mean), read(&before.square));
        let next_params = &mut S::as_mut_simd_f32s(self.params.after).0[..vectors];
        let next_ema = &mut S::as_mut_simd_f32s(self.ema.after).0[..vectors];
        let next_mean = &mut S::as_mut_simd_f32s(&mut after.mean).0[..vectors];
        let next_square = &mut S::as_mut_simd_f32s(&mut after.square).0[..vectors];

        // x − x is 0 for what is finite and NaN for all else.
        let mut unfit = simd.splat_f32s(0.0);
        for at in 0..vectors {
            let g = simd.mul_f32s(gradient[at], scale);
            let [parameter, m, v] = rule.apply(simd, params[at], g, mean[at], square[at]);
            let average = simd.mul_add_f32s(nearer, simd.sub_f32s(parameter, ema[at]), ema[at]);
            next_params[at] = parameter;
            next_ema[at] = average;
            next_mean[at] = m;
            next_square[at] = v;
            let sum = simd.add_f32s(parameter, average);
            unfit = simd.add_f32s(unfit, simd.sub_f32s(sum, sum));
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
