//! Recursive least squares of several targets from the same features: one inverse covariance, a
//! column of weights a target.
//! It must not know what the targets are, or choose features. Features go into the inverse
//! covariance at once; errors move weights when they are known.
//!
//! `w += P φ clamp(e, ±c m) / max(1, φ' P φ)`, m the mean |e|. The clip keeps one absurd truth from
//! moving the weights more than a large one, and draws the fit towards the median.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::inverse_covariance::InverseCovariance;
use super::matrix;

/// The most that a new error counts in the mean |error|, in means.
const JUMP: f64 = 5.0;

/// How a filter forgets and judges its errors.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct RlsSettings {
    /// λ in (0, 1]: what a window ago counts beside one now.
    pub forgetting: f64,
    /// How strongly weights are held at zero at first, > 0: P starts as I / ridge.
    pub ridge: f64,
    /// Rate of the mean |error|, in (0, 1).
    pub step: f64,
    /// c: the most that an error moves the weights by, in mean |errors|.
    pub clip: f64,
}

/// Weights of every target, learned one truth after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RlsFilter {
    settings: RlsSettings,
    covariance: InverseCovariance,
    /// A column a target.
    #[serde(with = "matrix")]
    weights: DMatrix<f64>,
    /// m of each target; 0 before its first error.
    means: Vec<f64>,
}

impl RlsFilter {
    /// A filter of `features` inputs and `targets` that predicts 0.
    pub fn new(settings: RlsSettings, features: usize, targets: usize) -> Self {
        RlsFilter {
            settings,
            covariance: InverseCovariance::new(features, settings.forgetting, settings.ridge),
            weights: DMatrix::zeros(features, targets),
            means: vec![0.0; targets],
        }
    }

    /// Takes features in, whatever comes of them.
    pub fn absorb(&mut self, features: &DVector<f64>) {
        self.covariance.absorb(features);
    }

    /// What it expects of a target at these features.
    pub fn predict(&self, target: usize, features: &DVector<f64>) -> f64 {
        self.weights.column(target).dot(features)
    }

    /// Learns what came of features. Returns the error it had.
    pub fn learn(&mut self, target: usize, features: &DVector<f64>, came: f64) -> f64 {
        let error = came - self.predict(target, features);
        let mean = &mut self.means[target];
        let before = if *mean > 0.0 { *mean } else { error.abs() };
        *mean = before + self.settings.step * (error.abs().min(JUMP * before) - before);

        let limit = self.settings.clip * *mean;
        let gain = self.covariance.gain(features);
        self.weights.column_mut(target).axpy(error.clamp(-limit, limit), &gain, 1.0);
        error
    }

    /// The mean |error| of a target; 0 before its first.
    pub fn mean(&self, target: usize) -> f64 {
        self.means[target]
    }

    /// Forgets all features, and takes the other's weights.
    pub fn begin_with(&mut self, other: &RlsFilter) {
        let RlsSettings { forgetting, ridge, .. } = self.settings;
        self.covariance = InverseCovariance::new(self.weights.nrows(), forgetting, ridge);
        self.weights.clone_from(&other.weights);
        self.means.clone_from(&other.means);
    }
}
