//! What a forecaster reports of itself.
//! It must not change what it describes.

use crate::horizon::Horizon;
use tickcast_model::Learner;

use super::Forecaster;
use crate::drift::Drift;
use crate::mean::Mean;

/// How much an expert counts in the published forecast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpertWeight {
    /// In windows.
    pub horizon: Horizon,
    /// The expert's name.
    pub expert: &'static str,
    /// In [0, 1]; those of a horizon sum to 1.
    pub weight: f64,
}

/// What a forecaster reports of itself. Totals count from its first window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ForecasterStats {
    /// Series of which a value of the target has come.
    pub series: u64,
    /// Updates of all networks.
    pub train_steps: u64,
    /// Of the newest step.
    pub train_loss: f64,
    /// Of the newest step, before clipping.
    pub gradient_norm: f64,
    /// Times that bad steps restored the last good weights.
    pub model_rollbacks: u64,
    /// Mean weight of an expert over the series of the newest window, by horizon; empty while
    /// experts are not mixed.
    pub weights: Vec<ExpertWeight>,
    /// Alarms of the drift detectors, by horizon.
    pub drift_alarms: Vec<(Horizon, u64)>,
}

impl Forecaster {
    /// Its totals, and how it did in the newest window.
    pub fn stats(&self) -> ForecasterStats {
        let sum = |of: fn(&Learner) -> u64| self.state.learners.iter().map(|learner| of(learner)).sum();
        let horizons = || self.spec.horizons.iter().copied();

        let mut weights = Vec::new();
        for (horizon, means) in horizons().zip(&self.weights) {
            let weight = |(mean, &expert): (&Mean, &&'static str)| {
                Some(ExpertWeight { horizon, expert, weight: mean.value()? })
            };
            weights.extend(means.iter().zip(&self.layout.names).filter_map(weight));
        }

        ForecasterStats {
            series: self.state.series.len() as u64,
            train_steps: sum(Learner::updates),
            train_loss: f64::from(self.state.newest.loss),
            gradient_norm: f64::from(self.state.newest.gradient_norm),
            model_rollbacks: sum(|learner| learner.guard().rollbacks()),
            weights,
            drift_alarms: horizons().zip(self.state.drifts.iter().map(Drift::alarms)).collect(),
        }
    }
}
