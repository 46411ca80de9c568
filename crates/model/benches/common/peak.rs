//! The most that one core does: fused multiply-adds on registers alone, with the instructions the
//! kernels take.
//! It must not know networks.

use std::hint::black_box;

use pulp::{Arch, Simd, WithSimd};

use super::clock::time;

/// Independent sums, enough to fill the pipelines of two units (latency 4), few enough for AVX2's
/// 16 registers.
const CHAINS: usize = 12;
const ROUNDS: usize = 20_000;

/// FLOP a second; a multiply-add is two.
pub fn flops() -> f64 {
    let arch = Arch::new();
    let mut flop = 0;
    let times = time(|| {
        let (done, sum) = arch.dispatch(MultiplyAdds);
        flop = done;
        sum
    });
    flop as f64 / times.least
}

struct MultiplyAdds;

impl WithSimd for MultiplyAdds {
    /// FLOP done, and what came out.
    type Output = (usize, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (usize, f32) {
        let (factor, term) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
        // All different: equal chains would be computed once.
        let mut sums: [S::f32s; CHAINS] = std::array::from_fn(|n| simd.splat_f32s(black_box(n as f32)));
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, factor, term);
            }
        }
        let total = sums.into_iter().fold(simd.splat_f32s(0.0), |total, sum| simd.add_f32s(total, sum));
        (2 * S::F32_LANES * CHAINS * ROUNDS, simd.reduce_sum_f32s(total))
    }
}
