//! The linear read-out, along the lanes of the hidden units: it has few outputs, so lanes of outputs would be idle.
//! It must not know cells or layers.

use std::array::from_fn;

use pulp::{Simd, WithSimd};

use super::lanes::parts;
use super::panels::{Head, LANES, padded};
use super::products::Columns;

/// y_t = b_y + W_skip x_t + W_hy h_t, for every column.
pub struct ReadOut<'a> {
    pub head: &'a Head,
    pub params: &'a [f32],
    /// Padded I each.
    pub inputs: Columns<'a>,
    /// Padded H each.
    pub hidden: Columns<'a>,
    /// O each.
    pub outputs: &'a mut [f32],
    pub columns: usize,
}

impl WithSimd for ReadOut<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let head = self.head;
        let params = &self.params[head.range()];
        let outputs = self.outputs.chunks_exact_mut(head.outputs).take(self.columns);
        for (column, outputs) in outputs.enumerate() {
            let x = S::as_simd_f32s(self.inputs.column(column, padded(head.inputs))).0;
            let h = S::as_simd_f32s(self.hidden.column(column, padded(head.hidden))).0;
            for (o, output) in outputs.iter_mut().enumerate() {
                let row = S::as_simd_f32s(&params[head.row(o)..][..head.row_len()]).0;
                let (skip, from_hidden) = row.split_at(x.len());
                let mut lanes = [0.0; LANES];
                for part in 0..parts::<S>() {
                    let mut sum = simd.splat_f32s(0.0);
                    for (weights, values) in [(skip, x), (from_hidden, h)] {
                        let pairs = weights.chunks_exact(parts::<S>()).zip(values.chunks_exact(parts::<S>()));
                        for (weight, value) in pairs {
                            sum = simd.mul_add_f32s(weight[part], value[part], sum);
                        }
                    }
                    S::as_mut_simd_f32s(&mut lanes).0[part] = sum;
                }
                *output = params[o] + total(lanes);
            }
        }
    }
}

/// The sum of sixteen lanes, halves added to halves.
#[inline(always)]
fn total(lanes: [f32; LANES]) -> f32 {
    let eight: [f32; 8] = from_fn(|k| lanes[k] + lanes[k + 8]);
    let four: [f32; 4] = from_fn(|k| eight[k] + eight[k + 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// From the derivatives by the outputs: that by the top layer's h, and the gradient by the head's weights.
pub struct ReadBack<'a> {
    pub head: &'a Head,
    pub params: &'a [f32],
    /// Padded I each.
    pub inputs: Columns<'a>,
    /// Padded H each.
    pub hidden: Columns<'a>,
    /// O each.
    pub slopes: &'a [f32],
    /// Out: padded H each.
    pub d_h: &'a mut [f32],
    pub gradient: &'a mut [f32],
    pub columns: usize,
}

impl WithSimd for ReadBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let head = self.head;
        let params = &self.params[head.range()];
        let gradient = &mut self.gradient[head.range()];
        let slopes = self.slopes.chunks_exact(head.outputs).take(self.columns);
        let d_h = self.d_h.chunks_exact_mut(padded(head.hidden));
        for (column, (slopes, d_h)) in slopes.zip(d_h).enumerate() {
            let x = S::as_simd_f32s(self.inputs.column(column, padded(head.inputs))).0;
            let h = S::as_simd_f32s(self.hidden.column(column, padded(head.hidden))).0;
            let d_h = S::as_mut_simd_f32s(d_h).0;
            d_h.fill(simd.splat_f32s(0.0));
            for (o, slope) in slopes.iter().enumerate() {
                gradient[o] += slope;
                let factor = simd.splat_f32s(*slope);
                let weights =
                    S::as_simd_f32s(&params[head.row(o) + padded(head.inputs)..][..padded(head.hidden)]).0;
                for (d_h, weight) in d_h.iter_mut().zip(weights) {
                    *d_h = simd.mul_add_f32s(*weight, factor, *d_h);
                }
                let row = S::as_mut_simd_f32s(&mut gradient[head.row(o)..][..head.row_len()]).0;
                for (sum, value) in row.iter_mut().zip(x.iter().chain(h)) {
                    *sum = simd.mul_add_f32s(*value, factor, *sum);
                }
            }
        }
        // A filled-up unit may hold a number (σ(0) is one): its weight is none, so it has no gradient.
        for o in 0..head.outputs {
            let row = &mut gradient[head.row(o)..][..head.row_len()];
            row[padded(head.inputs) + head.hidden..].fill(0.0);
        }
    }
}
