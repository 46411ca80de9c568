//! Recursive least squares of several targets from the same features: one gain, a column of weights a target.
//! It must not know what the targets are, or choose features: those go into the gain at once, errors move weights when known.
//!
//! `w += P φ clamp(e, ±c m) / max(1, φ' P φ)`, m the mean |e|: one absurd truth moves the weights no more than a large one, and
//! the fit is drawn towards the median.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::gain::InverseCovariance;
use super::matrix;

/// A new error counts at most so many mean ones in their mean.
const JUMP: f64 = 5.0;

/// How one is set.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Settings {
    /// λ in (0, 1]: what a window ago counts beside one now.
    pub forgetting: f64,
    pub ridge: f64,
    /// Of the mean |error|, in (0, 1).
    pub step: f64,
    /// c.
    pub clip: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RlsFilter {
    settings: Settings,
    gain: InverseCovariance,
    /// A column a target.
    #[serde(with = "matrix")]
    weights: DMatrix<f64>,
    /// m of each target; 0 before its first error.
    means: Vec<f64>,
}

impl RlsFilter {
    /// Of `features` inputs and `targets`, as it begins: it says 0.
    pub fn new(settings: Settings, features: usize, targets: usize) -> Self {
        RlsFilter {
            settings,
            gain: InverseCovariance::new(features, settings.forgetting, settings.ridge),
            weights: DMatrix::zeros(features, targets),
            means: vec![0.0; targets],
        }
    }

    /// Takes features in, whatever comes of them.
    pub fn absorb(&mut self, features: &DVector<f64>) {
        self.gain.absorb(features);
    }

    pub fn say(&self, target: usize, features: &DVector<f64>) -> f64 {
        self.weights.column(target).dot(features)
    }

    /// Learns what came of features; the error it had.
    pub fn learn(&mut self, target: usize, features: &DVector<f64>, came: f64) -> f64 {
        let error = came - self.say(target, features);
        let mean = &mut self.means[target];
        let before = if *mean > 0.0 { *mean } else { error.abs() };
        *mean = before + self.settings.step * (error.abs().min(JUMP * before) - before);
        let limit = self.settings.clip * *mean;
        let direction = self.gain.direction(features);
        self.weights.column_mut(target).axpy(error.clamp(-limit, limit), &direction, 1.0);
        error
    }

    /// The mean |error| of a target; 0 before its first.
    pub fn mean(&self, target: usize) -> f64 {
        self.means[target]
    }

    /// Knows no features any more, and takes another one's word for what comes of them.
    pub fn begin_with(&mut self, other: &RlsFilter) {
        let Settings { forgetting, ridge, .. } = self.settings;
        self.gain = InverseCovariance::new(self.weights.nrows(), forgetting, ridge);
        self.weights.clone_from(&other.weights);
        self.means.clone_from(&other.means);
    }
}
