//! How wrong the outputs of one step are, and which way each should move.
//! It must not know weights, batches or means: the caller weighs and sums.

use serde::{Deserialize, Serialize};

use super::real::Real;

/// The usual δ of Huber's loss, in units of the scaled target.
pub const HUBER_DELTA: f64 = 1.5;

/// The least variance that `Loss::GaussianNll` divides by, as in PyTorch. Without a floor a label
/// that never moves would draw ln σ² down until e⁻ˢ overflows.
const VARIANCE_FLOOR: f64 = 1e-6;

/// What a network is trained to make small. A label is one number; a loss reads `width` outputs for
/// it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Loss {
    /// One output, the mean: e², e = output − label.
    Mse,
    /// One output, between mean and median.
    Huber {
        /// The error |e| from which on the loss is straight, > 0.
        delta: f64,
    },
    /// One output a level, the quantiles: ascending levels, each in (0, 1).
    Pinball {
        /// The levels of the quantiles, ascending.
        levels: Vec<f64>,
    },
    /// Two outputs, the mean and the logarithm of the variance.
    GaussianNll,
    /// One output a class, the logits; the label is the class's number.
    CrossEntropy {
        /// How many classes there are, >= 2.
        classes: usize,
    },
    /// The outputs of `point`, then two logits: one that the label is not above zero, one that it
    /// is. Half the cross-entropy of the logits is added to the loss of the point.
    Directed {
        /// The loss of the value itself.
        point: Box<Loss>,
    },
}

/// What the cross-entropy of a direction counts beside the loss of its point.
const DIRECTION_WEIGHT: f64 = 0.5;
/// Logits of a direction.
const DIRECTIONS: usize = 2;

impl Loss {
    /// Outputs that it reads for one label, >= 1.
    pub fn width(&self) -> usize {
        match self {
            Loss::Mse | Loss::Huber { .. } => 1,
            Loss::Pinball { levels } => levels.len(),
            Loss::GaussianNll => 2,
            Loss::CrossEntropy { classes } => *classes,
            Loss::Directed { point } => point.width() + DIRECTIONS,
        }
    }

    /// Returns `weight` times the loss of `outputs` (`width` of them) against `label`, and adds
    /// `weight` times its derivative by the outputs to `slopes`.
    ///
    /// A label or an output that is NaN makes both NaN, and so does a label that is no class. The
    /// guard refuses such a step.
    ///
    /// # Panics
    ///
    /// If there are not `width` outputs and slopes.
    pub fn add<F: Real>(&self, outputs: &[F], label: F, weight: F, slopes: &mut [F]) -> F {
        assert_eq!((outputs.len(), slopes.len()), (self.width(), self.width()), "outputs of another loss");
        let value = match self {
            Loss::Mse => straight(mse(outputs[0] - label), weight, slopes),
            Loss::Huber { delta } => straight(huber(outputs[0] - label, F::of(*delta)), weight, slopes),
            Loss::Pinball { levels } => pinball(levels, outputs, label, weight, slopes),
            Loss::GaussianNll => gaussian_nll(outputs, label, weight, slopes),
            Loss::CrossEntropy { .. } => cross_entropy(outputs, label, weight, slopes),
            Loss::Directed { point } => return directed(point, outputs, label, weight, slopes),
        };
        weight * value
    }
}

/// A loss of one output, and its derivative by that output.
pub struct PointLoss<F> {
    /// The loss.
    pub value: F,
    /// Its derivative by the output.
    pub slope: F,
}

fn straight<F: Real>(loss: PointLoss<F>, weight: F, slopes: &mut [F]) -> F {
    slopes[0] += weight * loss.slope;
    loss.value
}

/// e² and its derivative 2e, e = output − label: PyTorch's `MSELoss(reduction="none")`, without a
/// half.
pub fn mse<F: Real>(error: F) -> PointLoss<F> {
    PointLoss { value: error * error, slope: F::of(2.0) * error }
}

/// e²/2 where |e| <= δ, else δ(|e| − δ/2); the derivative is e clamped to ±δ.
/// PyTorch's `HuberLoss(reduction="none", delta=δ)`.
pub fn huber<F: Real>(error: F, delta: F) -> PointLoss<F> {
    let half = F::of(0.5);
    // NaN is in none of the branches but the last, and stays NaN there for the guard to see.
    if error > delta {
        PointLoss { value: delta * (error - half * delta), slope: delta }
    } else if error < -delta {
        PointLoss { value: delta * (-error - half * delta), slope: -delta }
    } else {
        PointLoss { value: half * error * error, slope: error }
    }
}

/// The mean over the levels τ of max(τ e, (τ − 1) e), e = label − quantile. At e = 0 the slope is
/// that of e > 0; PyTorch's `maximum` would take the middle of both.
fn pinball<F: Real>(levels: &[f64], outputs: &[F], label: F, weight: F, slopes: &mut [F]) -> F {
    let share = F::one() / F::of(levels.len() as f64);
    let mut total = F::zero();
    for ((level, output), slope) in levels.iter().zip(outputs).zip(slopes) {
        let error = label - *output;
        let factor = if error < F::zero() { F::of(*level) - F::one() } else { F::of(*level) };
        total += share * factor * error;
        // The slope is by the output, so its sign is turned. NaN stays NaN for the guard to see.
        *slope -= weight * share * (factor + F::zero() * error);
    }
    total
}

/// ½(ln v + (label − μ)²/v), v = max(eˢ, 1e-6), with μ and s the two outputs: PyTorch's
/// `GaussianNLLLoss` of var = eˢ. As there, the floor lets the slope through: below it ∂v/∂s is
/// still eˢ, so a variance that fell too low can come back.
fn gaussian_nll<F: Real>(outputs: &[F], label: F, weight: F, slopes: &mut [F]) -> F {
    let (half, one, floor) = (F::of(0.5), F::one(), F::of(VARIANCE_FLOOR));
    let (error, variance) = (outputs[0] - label, outputs[1].exponential());

    // ln v, 1/v and ∂ ln v/∂s. Above the floor they come from s itself, because eˢ may overflow
    // where s does not. NaN is not below the floor.
    let (log, precision, passed) = if variance < floor {
        (floor.logarithm(), one / floor, variance / floor)
    } else {
        (outputs[1], (-outputs[1]).exponential(), one)
    };

    let square = error * error * precision;
    slopes[0] += weight * error * precision;
    slopes[1] += weight * half * passed * (one - square);

    half * (log + square)
}

/// ln Σ exp(zₖ) − z_label over the logits z; the derivative is softmax(z) − onehot(label).
/// PyTorch's `CrossEntropyLoss`. The largest logit is taken out of both terms first: no exponential
/// overflows, and a small loss is not lost beside large logits.
fn cross_entropy<F: Real>(logits: &[F], label: F, weight: F, slopes: &mut [F]) -> F {
    let Some(right) = (0..logits.len()).find(|class| label == F::of(*class as f64)) else {
        slopes.fill(F::of(f64::NAN));
        return F::of(f64::NAN);
    };
    let largest = logits.iter().fold(logits[0], |most, z| if *z > most { *z } else { most });
    let total = logits.iter().fold(F::zero(), |sum, z| sum + (*z - largest).exponential());

    for (class, (z, slope)) in logits.iter().zip(slopes).enumerate() {
        let onehot = if class == right { F::one() } else { F::zero() };
        *slope += weight * ((*z - largest).exponential() / total - onehot);
    }

    total.logarithm() - (logits[right] - largest)
}

/// The loss of a point and its direction.
fn directed<F: Real>(point: &Loss, outputs: &[F], label: F, weight: F, slopes: &mut [F]) -> F {
    let (outputs, logits) = outputs.split_at(point.width());
    let (slopes, logit_slopes) = slopes.split_at_mut(point.width());
    let up = if label > F::zero() { F::one() } else { label * F::zero() };
    let share = weight * F::of(DIRECTION_WEIGHT);
    point.add(outputs, label, weight, slopes) + share * cross_entropy(logits, up, share, logit_slopes)
}

impl Loss {
    /// The probability that the label is above zero, by the softmax of its two logits; none without
    /// them.
    pub fn prob_up(&self, outputs: &[f32]) -> Option<f64> {
        let Loss::Directed { point } = self else { return None };
        let [down, up] = outputs[point.width()..] else { return None };
        Some(1.0 / (1.0 + f64::from(down - up).exponential()))
    }

    /// The bounds of the central interval of `level` in (0, 1), where the outputs are quantiles and
    /// have both.
    pub fn bounds(&self, outputs: &[f32], level: f64) -> Option<(f32, f32)> {
        match self {
            Loss::Pinball { levels } => {
                let at = |wanted: f64| levels.iter().position(|level| (level - wanted).abs() < 1e-9);
                let (lower, upper) = (at((1.0 - level) / 2.0)?, at((1.0 + level) / 2.0)?);
                Some((outputs[lower], outputs[upper]))
            }
            Loss::Directed { point } => point.bounds(&outputs[..point.width()], level),
            Loss::Mse | Loss::Huber { .. } | Loss::GaussianNll | Loss::CrossEntropy { .. } => None,
        }
    }

    /// The one number that stands for the outputs of one label (`width` of them), in the label's
    /// unit. It is the mean; of quantiles the one nearest the median; of classes the number of the
    /// likeliest.
    pub fn point(&self, outputs: &[f32]) -> f32 {
        match self {
            Loss::Mse | Loss::Huber { .. } | Loss::GaussianNll => outputs[0],
            Loss::Pinball { levels } => {
                let distance = |at: &usize| (levels[*at] - 0.5).abs();
                let median = (0..levels.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
                outputs[median.unwrap_or_default()]
            }
            Loss::Directed { point } => point.point(&outputs[..point.width()]),
            Loss::CrossEntropy { .. } => {
                let likeliest = (0..outputs.len()).max_by(|a, b| outputs[*a].total_cmp(&outputs[*b]));
                likeliest.unwrap_or_default() as f32
            }
        }
    }
}

#[cfg(test)]
mod tests;
