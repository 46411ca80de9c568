//! The linear read-out. Its lanes are hidden units: it has few outputs, so lanes of outputs would
//! be idle.
//! It must not know cells or layers.

use std::array::from_fn;

use pulp::{Simd, WithSimd};

use super::lanes::parts;
use super::panels::{HeadPanels, LANES, padded};
use super::products::Columns;

/// y_t = b_y + W_skip x_t + W_hy h_t, for every column.
pub struct ReadOut<'a> {
    /// Where the head's weights lie.
    pub head: &'a HeadPanels,
    /// All parameters of the network.
    pub params: &'a [f32],
    /// Padded I each.
    pub inputs: Columns<'a>,
    /// Padded H each.
    pub hidden: Columns<'a>,
    /// O each.
    pub outputs: &'a mut [f32],
    /// How many: steps times series.
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

/// From the derivatives by the outputs: the derivative by the top layer's h, and the gradient by
/// the head's weights.
pub struct ReadBack<'a> {
    /// Where the head's weights lie.
    pub head: &'a HeadPanels,
    /// All parameters of the network.
    pub params: &'a [f32],
    /// Padded I each.
    pub inputs: Columns<'a>,
    /// Padded H each.
    pub hidden: Columns<'a>,
    /// O each.
    pub slopes: &'a [f32],
    /// Out: padded H each.
    pub d_h: &'a mut [f32],
    /// In and out: by all parameters of the network; the head adds to its own.
    pub gradient: &'a mut [f32],
    /// How many: steps times series.
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

        for (slopes, d_h) in slopes.zip(d_h) {
            let d_h = S::as_mut_simd_f32s(d_h).0;
            d_h.fill(simd.splat_f32s(0.0));

            for (o, slope) in slopes.iter().enumerate() {
                gradient[o] += slope;
                let factor = simd.splat_f32s(*slope);
                let weights = &params[head.row(o) + padded(head.inputs)..][..padded(head.hidden)];
                for (d_h, weight) in d_h.iter_mut().zip(S::as_simd_f32s(weights).0) {
                    *d_h = simd.mul_add_f32s(*weight, factor, *d_h);
                }
            }
        }

        for o in 0..head.outputs {
            let slopes = Columns { values: &self.slopes[o..], stride: head.outputs };
            let row = &mut gradient[head.row(o)..][..head.row_len()];
            let (skip, from_hidden) = row.split_at_mut(padded(head.inputs));
            add_row(simd, skip, slopes, self.inputs, self.columns);
            add_row(simd, from_hidden, slopes, self.hidden, self.columns);
        }

        // A filled-up unit may hold a number: σ(0) is a half. It has no weight in the network, so
        // no gradient may be left for it.
        for o in 0..head.outputs {
            let row = &mut gradient[head.row(o)..][..head.row_len()];
            row[padded(head.inputs) + head.hidden..].fill(0.0);
        }
    }
}

/// row += Σ_n slope[n] x[n], n ascending.
#[inline(always)]
fn add_row<S: Simd>(simd: S, row: &mut [f32], slopes: Columns<'_>, x: Columns<'_>, count: usize) {
    let mut rest = S::as_mut_simd_f32s(row).0;
    let mut lane = 0;
    while !rest.is_empty() {
        let taken = match rest.len() {
            4.. => add_vectors::<S, 4>(simd, rest, lane, slopes, x, count),
            2.. => add_vectors::<S, 2>(simd, rest, lane, slopes, x, count),
            _ => add_vectors::<S, 1>(simd, rest, lane, slopes, x, count),
        };
        rest = &mut rest[taken..];
        lane += taken * S::F32_LANES;
    }
}

/// The first `N` vectors of `row`, which begin at `lane` of x: their sums stay in registers over
/// all columns.
#[inline(always)]
fn add_vectors<S: Simd, const N: usize>(
    simd: S,
    row: &mut [S::f32s],
    lane: usize,
    slopes: Columns<'_>,
    x: Columns<'_>,
    count: usize,
) -> usize {
    let mut sums = [simd.splat_f32s(0.0); N];
    sums.copy_from_slice(&row[..N]);

    for column in 0..count {
        let factor = simd.splat_f32s(slopes.values[column * slopes.stride]);
        let values = &x.values[column * x.stride + lane..][..N * S::F32_LANES];
        for (sum, value) in sums.iter_mut().zip(S::as_simd_f32s(values).0) {
            *sum = simd.mul_add_f32s(*value, factor, *sum);
        }
    }

    row[..N].copy_from_slice(&sums);
    N
}
