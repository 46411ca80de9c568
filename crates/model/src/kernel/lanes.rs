//! Vectors of lanes: loads, stores and activations, on whatever width the CPU has.
//! It must not know cells or layers.
//!
//! Bits: a lane never meets another lane here. Every sum is a chain of fused multiply-adds in one
//! order. All else is single IEEE operations: additions, products, quotients, roots, comparisons.
//! So the width does not matter. A CPU without FMA computes `f32::mul_add` in software: it gives
//! the same bits, slowly.

use pulp::Simd;

use super::panels::LANES;

/// Vectors of the CPU that make up sixteen lanes.
pub const fn parts<S: Simd>() -> usize {
    LANES / S::F32_LANES
}

/// Columns of a tile of `vectors` sums each: as many as the CPU's registers hold beside the
/// factors.
pub const fn columns_of_a_tile<S: Simd>(vectors: usize) -> usize {
    let sums = if S::REGISTER_COUNT >= 32 { 16 } else { 8 };
    if vectors >= 3 { sums / 4 } else { sums / 2 }
}

/// The vector of lanes that begins at `at`.
#[inline(always)]
pub fn load<S: Simd>(_: S, values: &[f32], at: usize) -> S::f32s {
    S::as_simd_f32s(&values[at..at + S::F32_LANES]).0[0]
}

/// Puts a vector of lanes where `at` begins.
#[inline(always)]
pub fn store<S: Simd>(_: S, values: &mut [f32], at: usize, vector: S::f32s) {
    S::as_mut_simd_f32s(&mut values[at..at + S::F32_LANES]).0[0] = vector;
}

/// 1 − x²
#[inline(always)]
pub fn one_less_square<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.mul_add_f32s(simd.neg_f32s(x), x, simd.splat_f32s(1.0))
}

/// x (1 − x)
#[inline(always)]
pub fn times_rest<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.mul_f32s(x, simd.sub_f32s(simd.splat_f32s(1.0), x))
}

/// Where tanh has reached its limit to f32's precision. Up to there the quotient below stays under
/// 1.
const FAR: f32 = 7.9;

/// tanh(x) = x P(x²) / Q(x²), both of degree four, for |x| <= FAR: the error is at most 3e-7,
/// relative and absolute. Minimax coefficients by `benches/peers/fit_tanh.py`, the highest first.
const NUMERATOR: [f32; 5] = [1.5428222e-8, 2.202342e-5, 3.5790026e-3, 0.1345063, 1.0];
const DENOMINATOR: [f32; 5] = [8.598881e-7, 3.4236678e-4, 2.6192278e-2, 0.46783957, 1.0];

/// The coefficients of `last` · P(y / 4): powers of two, so not a bit is lost.
const fn of_the_half(coefficients: [f32; 5], last: f32) -> [f32; 5] {
    let [a, b, c, d, e] = coefficients;
    [last * a / 256.0, last * b / 64.0, last * c / 16.0, last * d / 4.0, last * e]
}

/// tanh(x). NaN stays NaN.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    quotient(simd, x, FAR, &NUMERATOR, &DENOMINATOR)
}

/// σ(x) = ½ + ½ tanh(x/2)
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const BELOW: [f32; 5] = of_the_half(DENOMINATOR, 1.0);
    const ABOVE: [f32; 5] = of_the_half(NUMERATOR, 0.25);
    simd.add_f32s(quotient(simd, x, 2.0 * FAR, &ABOVE, &BELOW), simd.splat_f32s(0.5))
}

/// x P(x²) / Q(x²) with x held between ±`far`.
#[inline(always)]
fn quotient<S: Simd>(simd: S, x: S::f32s, far: f32, above: &[f32; 5], below: &[f32; 5]) -> S::f32s {
    let (most, least) = (simd.splat_f32s(far), simd.splat_f32s(-far));
    // Comparisons with NaN are false, so NaN stays. `min` and `max` would treat it as the CPU does.
    let x = simd.select_f32s(simd.less_than_f32s(x, least), least, x);
    let x = simd.select_f32s(simd.less_than_f32s(most, x), most, x);
    let y = simd.mul_f32s(x, x);

    let mut p = simd.splat_f32s(above[0]);
    let mut q = simd.splat_f32s(below[0]);
    for k in 1..above.len() {
        p = simd.mul_add_f32s(p, y, simd.splat_f32s(above[k]));
        q = simd.mul_add_f32s(q, y, simd.splat_f32s(below[k]));
    }

    simd.div_f32s(simd.mul_f32s(x, p), q)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    #[test]
    fn tanh_and_sigmoid_are_right_to_three_in_ten_million() {
        for step in -400_000..=400_000 {
            let x = step as f32 / 40_000.0;
            let truth = libm::tanh(f64::from(x));
            let error = (f64::from(tanh(Scalar, x)) - truth).abs();
            assert!(error <= 3e-7 * truth.abs().max(1e-30), "tanh({x}) is off by {error}");
            let error = (f64::from(sigmoid(Scalar, x)) - 1.0 / (1.0 + libm::exp(-f64::from(x)))).abs();
            assert!(error <= 2e-7, "σ({x}) is off by {error}");
        }
    }

    #[test]
    fn the_far_ends_stay_below_one_and_nan_stays_nan() {
        for x in [7.9, 8.0, 1e30, f32::INFINITY] {
            assert!(tanh(Scalar, x) < 1.0 && tanh(Scalar, x) > 0.999_999);
            assert!(tanh(Scalar, -x) > -1.0 && sigmoid(Scalar, -2.0 * x) >= 0.0);
        }
        assert!(tanh(Scalar, f32::NAN).is_nan() && sigmoid(Scalar, f32::NAN).is_nan());
        assert_eq!((tanh(Scalar, 0.0), sigmoid(Scalar, 0.0)), (0.0, 0.5));
    }
}
