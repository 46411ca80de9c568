//! The sums of a tile over the rows of a panel: the inner loop of all products with weights.
//! It must not know cells, layers or where the rows come from.

use std::array::from_fn;

use pulp::Simd;

use super::lanes::parts;

/// sums[n] += Σ_k rows[k] x[n][k], k ascending. Gate v of a row goes to the sum `sum_of(v)`.
///
/// `V` are the vectors of a row, `A` the sums of a column, `N` the columns of the tile.
#[inline(always)]
pub fn accumulate<S: Simd, const V: usize, const A: usize, const N: usize>(
    simd: S,
    sums: &mut [[S::f32s; A]; N],
    rows: &[S::f32s],
    part: usize,
    x: &[&[f32]; N],
    sum_of: impl Fn(usize) -> usize,
) {
    let length = x[0].len();
    // Loops, not closures: the compiler may not inline a closure, and would then compile it without
    // the CPU's instructions.
    let mut x = *x;
    for x in &mut x {
        *x = &x[..length];
    }

    // A copy that no reference points to: it stays in registers.
    let mut held = *sums;
    for (k, row) in (0..length).zip(rows.chunks_exact(V * parts::<S>())) {
        let weights: [S::f32s; V] = from_fn(|v| row[v * parts::<S>() + part]);
        for n in 0..N {
            let factor = simd.splat_f32s(x[n][k]);
            for v in 0..V {
                held[n][sum_of(v)] = simd.mul_add_f32s(weights[v], factor, held[n][sum_of(v)]);
            }
        }
    }

    *sums = held;
}
