//! How wrong one output is, and which way it should move.
//! It must not know weights, batches or means: the caller weighs and sums.

use super::real::Real;
use crate::config::plan::Loss;

/// Where Huber's loss turns from square to straight, in units of the scaled target.
pub const HUBER_DELTA: f64 = 1.5;

/// e² and its derivative 2e, e = output − label: PyTorch's `MSELoss(reduction="none")`, without a half.
pub fn mse<F: Real>(error: F) -> (F, F) {
    (error * error, F::of(2.0) * error)
}

/// e²/2 where |e| <= δ, else δ(|e| − δ/2); the derivative is e clamped to ±δ.
/// PyTorch's `HuberLoss(reduction="none", delta=δ)`.
pub fn huber<F: Real>(error: F, delta: F) -> (F, F) {
    let half = F::of(0.5);
    // NaN is in none of the branches but the last, and stays NaN there for the guard to see.
    if error > delta {
        (delta * (error - half * delta), delta)
    } else if error < -delta {
        (delta * (-error - half * delta), -delta)
    } else {
        (half * error * error, error)
    }
}

/// Value and derivative by the output of the loss that the plan names.
pub fn of<F: Real>(loss: Loss, output: F, label: F) -> (F, F) {
    match loss {
        Loss::Mse => mse(output - label),
        Loss::Huber => huber(output - label, F::of(HUBER_DELTA)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_pytorchs() {
        assert_eq!(of(Loss::Mse, 3.0, 1.0), (4.0, 4.0));
        assert_eq!(of(Loss::Huber, 1.0, 0.0), (0.5, 1.0));
        assert_eq!(of(Loss::Huber, 1.5, 0.0), (1.125, 1.5));
        assert_eq!(of(Loss::Huber, 0.0, 3.0), (3.375, -1.5));
        assert_eq!(of(Loss::Huber, 3.0, 0.0), (3.375, 1.5));
        assert!(of(Loss::Huber, f32::NAN, 0.0).0.is_nan());
    }
}
