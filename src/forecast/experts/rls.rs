//! Recursive least squares of the features: a linear forecast a horizon, all from one gain recursion.
//! It must not see a target before its time: features go into the gain at once, errors move the weights when they are known.
//!
//! An error is clipped to 1.5 of their mean size, so one absurd truth moves the weights no more than a large one.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::{Expert, Seen, Shape, Truth};
use crate::forecast::gain::Gain;
use crate::forecast::matrix;

const ERROR_CLIP: f64 = 1.5;
const ERROR_STEP: f64 = 0.01;
/// A new error counts at most so many mean ones in their mean.
const ERROR_JUMP: f64 = 5.0;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rls {
    /// Whether it sees the short features alone: what forgets fast can learn only few weights.
    is_short: bool,
    gain: Gain,
    /// A column a horizon.
    #[serde(with = "matrix")]
    weights: DMatrix<f64>,
    /// Mean |error| a horizon; 0 before the first.
    errors: Vec<f64>,
}

/// Name, forgetting, ridge, short.
const MEMBERS: [(&str, f64, f64, bool); 5] = [
    ("rls", 1.0, 1000.0, false),
    ("rls_0.9995", 0.9995, 100.0, false),
    ("rls_0.998", 0.998, 100.0, false),
    ("rls_0.98", 0.98, 30.0, true),
    ("rls_0.95", 0.95, 10.0, true),
];

pub fn members(shape: &Shape) -> Vec<(&'static str, Rls)> {
    let of = |(name, forgetting, ridge, is_short)| {
        let len = if is_short { shape.short } else { shape.features };
        let weights = DMatrix::zeros(len, shape.horizons);
        let gain = Gain::new(len, forgetting, ridge);
        (name, Rls { is_short, gain, weights, errors: vec![0.0; shape.horizons] })
    };
    MEMBERS.into_iter().map(of).collect()
}

impl Rls {
    fn select(&self, features: &[f32], short: &[usize]) -> DVector<f64> {
        match self.is_short {
            true => DVector::from_iterator(short.len(), short.iter().map(|&at| f64::from(features[at]))),
            false => {
                DVector::from_iterator(features.len(), features.iter().map(|&feature| f64::from(feature)))
            }
        }
    }
}

impl Expert for Rls {
    fn observe(&mut self, seen: &Seen<'_>) {
        if seen.is_truth {
            self.gain.absorb(&self.select(seen.features, seen.short));
        }
    }

    fn forecast(&self, seen: &Seen<'_>, slot: usize, _: f64, _: &mut [f32]) -> f64 {
        self.weights.column(slot).dot(&self.select(seen.features, seen.short))
    }

    fn learn(&mut self, slot: usize, truth: &Truth<'_>, _: &[f32]) {
        if !truth.from_truth {
            return;
        }
        let features = self.select(truth.features, truth.short);
        let mut column = self.weights.column_mut(slot);
        let error = truth.moved - column.dot(&features);
        let mean = &mut self.errors[slot];
        let before = if *mean > 0.0 { *mean } else { error.abs() };
        *mean = before + ERROR_STEP * (error.abs().min(ERROR_JUMP * before) - before);
        let limit = ERROR_CLIP * *mean;
        column.axpy(error.clamp(-limit, limit), &self.gain.direction(&features), 1.0);
    }
}
