//! What each cell does with its sums, vector by vector: the equations of `cell/`, and their
//! derivatives.
//! It must not know layers, memory or products.

use pulp::Simd;

use super::lanes::{one_less_square, sigmoid, tanh, times_rest};
use crate::spec::Activation;

/// What the backward step of one vector of units has at hand.
pub struct Past<S: Simd> {
    /// h_t, of the simple RNN only.
    pub h: S::f32s,
    /// h_{t-1}, of the GRU only.
    pub h_before: S::f32s,
    /// c_{t-1}, of the LSTM only.
    pub c_before: S::f32s,
    /// tanh(c_t), of the LSTM only.
    pub tanh_c: S::f32s,
}

/// The elementwise part of a cell. `SUMS` vectors come in for each vector of units. Forwards they
/// become the activated gates, which the tape keeps. Backwards they become the derivatives by the
/// sums.
pub trait Fused: Copy {
    /// Vectors of sums for a vector of units.
    const SUMS: usize;
    /// Whether it has a cell state c.
    const MEMORY: bool;
    /// Whether the tape has to keep its gates.
    const TAPED: bool;
    /// Whether the hidden product of gate 2 has a sum of its own, the last.
    const APART: bool = false;
    /// Gives h_t of one vector of units from its sums, h_{t-1} and c_{t-1}. Out: the activated
    /// gates in `sums`, c_t in `c`, tanh(c_t) in `tanh_c`.
    fn forward<S: Simd>(
        self,
        simd: S,
        sums: &mut [S::f32s],
        h_before: S::f32s,
        c: &mut S::f32s,
        tanh_c: &mut S::f32s,
    ) -> S::f32s;
    /// From the derivative by h_t: the derivative by the sums, in place of `gates`. `d_c` comes in
    /// as the derivative by c_t and goes out as that by c_{t-1}.
    ///
    /// Returns the part of the derivative by h_{t-1} that does not go through a product.
    fn backward<S: Simd>(
        self,
        simd: S,
        gates: &mut [S::f32s],
        past: &Past<S>,
        d_h: S::f32s,
        d_c: &mut S::f32s,
    ) -> S::f32s;
}

/// Its sums are i, f, g, o.
#[derive(Clone, Copy)]
pub struct Lstm;

impl Fused for Lstm {
    const SUMS: usize = 4;
    const MEMORY: bool = true;
    const TAPED: bool = true;

    /// c_t = f c_{t-1} + i g, h_t = o tanh(c_t)
    #[inline(always)]
    fn forward<S: Simd>(
        self,
        simd: S,
        sums: &mut [S::f32s],
        _: S::f32s,
        c: &mut S::f32s,
        tanh_c: &mut S::f32s,
    ) -> S::f32s {
        let (i, f) = (sigmoid(simd, sums[0]), sigmoid(simd, sums[1]));
        let (g, o) = (tanh(simd, sums[2]), sigmoid(simd, sums[3]));
        *c = simd.mul_add_f32s(f, *c, simd.mul_f32s(i, g));
        *tanh_c = tanh(simd, *c);
        (sums[0], sums[1], sums[2], sums[3]) = (i, f, g, o);

        simd.mul_f32s(o, *tanh_c)
    }

    #[inline(always)]
    fn backward<S: Simd>(
        self,
        simd: S,
        gates: &mut [S::f32s],
        past: &Past<S>,
        d_h: S::f32s,
        d_c: &mut S::f32s,
    ) -> S::f32s {
        let [i, f, g, o] = [gates[0], gates[1], gates[2], gates[3]];
        let through = simd.mul_f32s(d_h, o);
        let d = simd.mul_add_f32s(through, one_less_square(simd, past.tanh_c), *d_c);
        gates[0] = simd.mul_f32s(simd.mul_f32s(d, g), times_rest(simd, i));
        gates[1] = simd.mul_f32s(simd.mul_f32s(d, past.c_before), times_rest(simd, f));
        gates[2] = simd.mul_f32s(simd.mul_f32s(d, i), one_less_square(simd, g));
        gates[3] = simd.mul_f32s(simd.mul_f32s(d_h, past.tanh_c), times_rest(simd, o));
        *d_c = simd.mul_f32s(d, f);

        simd.splat_f32s(0.0)
    }
}

/// Its sums are r, z, the input's part u_n of n, and the hidden part v_n. The last two are kept
/// apart because the reset gate multiplies v_n alone.
#[derive(Clone, Copy)]
pub struct Gru;

impl Fused for Gru {
    const SUMS: usize = 4;
    const MEMORY: bool = false;
    const TAPED: bool = true;
    const APART: bool = true;

    /// h_t = (1 − z) n + z h_{t-1} = n + z (h_{t-1} − n)
    #[inline(always)]
    fn forward<S: Simd>(
        self,
        simd: S,
        sums: &mut [S::f32s],
        h_before: S::f32s,
        _: &mut S::f32s,
        _: &mut S::f32s,
    ) -> S::f32s {
        let (r, z) = (sigmoid(simd, sums[0]), sigmoid(simd, sums[1]));
        let n = tanh(simd, simd.mul_add_f32s(r, sums[3], sums[2]));
        (sums[0], sums[1], sums[2]) = (r, z, n);

        simd.mul_add_f32s(z, simd.sub_f32s(h_before, n), n)
    }

    #[inline(always)]
    fn backward<S: Simd>(
        self,
        simd: S,
        gates: &mut [S::f32s],
        past: &Past<S>,
        d_h: S::f32s,
        _: &mut S::f32s,
    ) -> S::f32s {
        let [r, z, n, v_n] = [gates[0], gates[1], gates[2], gates[3]];
        let rest = simd.sub_f32s(simd.splat_f32s(1.0), z);
        let d_n = simd.mul_f32s(simd.mul_f32s(d_h, rest), one_less_square(simd, n));
        let d_z = simd.mul_f32s(d_h, simd.sub_f32s(past.h_before, n));
        gates[0] = simd.mul_f32s(simd.mul_f32s(d_n, v_n), times_rest(simd, r));
        gates[1] = simd.mul_f32s(d_z, simd.mul_f32s(z, rest));
        gates[2] = d_n;
        gates[3] = simd.mul_f32s(d_n, r);

        simd.mul_f32s(d_h, z)
    }
}

/// The simple RNN: one sum, bent by its activation.
#[derive(Clone, Copy)]
pub struct Simple(pub Activation);

impl Fused for Simple {
    const SUMS: usize = 1;
    const MEMORY: bool = false;
    const TAPED: bool = false;

    /// h_t = φ(sum)
    #[inline(always)]
    fn forward<S: Simd>(
        self,
        simd: S,
        sums: &mut [S::f32s],
        _: S::f32s,
        _: &mut S::f32s,
        _: &mut S::f32s,
    ) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        match self.0 {
            Activation::Tanh => tanh(simd, sums[0]),
            Activation::Sigmoid => sigmoid(simd, sums[0]),
            // NaN stays NaN, for the guard to see.
            Activation::Relu => simd.select_f32s(simd.less_than_f32s(sums[0], zero), zero, sums[0]),
        }
    }

    /// φ′ from φ; 0 at ReLU's kink, as PyTorch takes it.
    #[inline(always)]
    fn backward<S: Simd>(
        self,
        simd: S,
        gates: &mut [S::f32s],
        past: &Past<S>,
        d_h: S::f32s,
        _: &mut S::f32s,
    ) -> S::f32s {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let slope = match self.0 {
            Activation::Tanh => one_less_square(simd, past.h),
            Activation::Sigmoid => times_rest(simd, past.h),
            Activation::Relu => simd.select_f32s(simd.less_than_f32s(zero, past.h), one, zero),
        };

        gates[0] = simd.mul_f32s(d_h, slope);
        zero
    }
}
