//! The numbers the network computes with: f32 in use, f64 where it is checked against finite
//! differences.
//! It must not know what is computed.

use nalgebra::RealField;

/// What a feature that is not finite counts as: 0, the middle of its scale.
pub fn finite_or_zero(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

/// Starts a state that overflowed again from zero. ReLU can overflow, and all later states would be
/// infinite too.
pub fn restart_if_overflown(state: &mut [f32]) {
    if !state.iter().all(|value| value.is_finite()) {
        state.fill(0.0);
    }
}

/// A float whose transcendental functions come from the `libm` crate, so that their bits are the
/// same on every platform. (`exp` and `tanh` of nalgebra's `RealField` would be the platform's.)
pub trait Real: RealField + Copy {
    /// The nearest value to `value`.
    fn of(value: f64) -> Self;
    /// σ(x) = 1 / (1 + e⁻ˣ)
    fn sigmoid(self) -> Self;
    /// tanh(x)
    fn hyperbolic_tangent(self) -> Self;
    /// eˣ
    fn exponential(self) -> Self;
    /// ln x
    fn logarithm(self) -> Self;
}

impl Real for f32 {
    fn of(value: f64) -> f32 {
        value as f32
    }

    fn sigmoid(self) -> f32 {
        1.0 / (1.0 + libm::expf(-self))
    }

    fn hyperbolic_tangent(self) -> f32 {
        libm::tanhf(self)
    }

    fn exponential(self) -> f32 {
        libm::expf(self)
    }

    fn logarithm(self) -> f32 {
        libm::logf(self)
    }
}

impl Real for f64 {
    fn of(value: f64) -> f64 {
        value
    }

    fn sigmoid(self) -> f64 {
        1.0 / (1.0 + libm::exp(-self))
    }

    fn hyperbolic_tangent(self) -> f64 {
        libm::tanh(self)
    }

    fn exponential(self) -> f64 {
        libm::exp(self)
    }

    fn logarithm(self) -> f64 {
        libm::log(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_values_saturate_and_stay_finite() {
        assert_eq!((f32::of(-1000.0).sigmoid(), f32::of(1000.0).sigmoid()), (0.0, 1.0));
        assert_eq!((f64::of(-1000.0).sigmoid(), f64::of(1000.0).sigmoid()), (0.0, 1.0));
        assert_eq!(1000f32.hyperbolic_tangent(), 1.0);
        assert_eq!(0f64.sigmoid(), 0.5);
    }
}
