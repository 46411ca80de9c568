//! What the spec says of the network, what the network is told (its shape, its labels, its longest
//! lag), and what it predicts.
//! It must not know how the network works.

use std::sync::Arc;

use tickcast_model::{LearnerSettings, LearnerTemplate, NetworkSpec};

use crate::features::Features;
use crate::scale::MOVE_CLIP;
use crate::spec::ForecastSpec;

/// The network that a pipeline's forecasts come from.
pub fn network_spec(spec: &ForecastSpec) -> NetworkSpec {
    let model = &spec.model;
    NetworkSpec {
        cell: model.cell,
        activation: model.activation,
        inputs: Features::new(spec).width(),
        hidden: model.hidden,
        layers: model.layers,
        outputs: spec.horizons.len() * model.loss.width(),
        skip: model.skip,
    }
}

/// How the network of a pipeline learns, and what its learners share.
pub fn template_of(spec: &ForecastSpec) -> Arc<LearnerTemplate> {
    LearnerTemplate::new(network_spec(spec), settings(spec))
}

fn settings(spec: &ForecastSpec) -> LearnerSettings {
    let model = &spec.model;
    LearnerSettings {
        bptt: model.bptt,
        longest_lag: spec.horizons.last().map_or(1, |&horizon| horizon.steps()),
        stride: model.stride,
        replay: model.replay,
        loss: model.loss.clone(),
        optimizer: model.optimizer,
        clip: model.clip,
        ema: model.ema,
        seed: model.seed,
        backend: model.backend,
    }
}

/// The move that a forecast should have made: `(actual - naive) / sigma`, with the naive forecast
/// and sigma_h of its origin, clipped. None while nothing has moved.
pub fn label(actual: f64, naive: f64, sigma: f64) -> Option<f32> {
    let label = ((actual - naive) / sigma).clamp(-MOVE_CLIP, MOVE_CLIP) as f32;
    (sigma > 0.0 && !label.is_nan()).then_some(label)
}

/// What the network has to do with one window.
pub struct NetworkOutput {
    /// What it sees.
    pub inputs: Vec<f32>,
    /// By its weights as they are: a move a horizon, in units of sigma_h; zeros without a network.
    pub raw: Vec<f64>,
    /// By its averaged weights, as `raw`.
    pub averaged: Vec<f64>,
    /// Its own intervals, as moves: of each horizon one a level; empty where it has none.
    pub heads: Vec<Vec<(f64, f64)>>,
    /// The probability of a rise, one a horizon, where it has a direction head.
    pub prob_up: Vec<Option<f64>>,
}

impl NetworkOutput {
    /// What a pipeline without a network has.
    pub fn none(inputs: Vec<f32>, horizons: usize) -> Self {
        NetworkOutput {
            inputs,
            raw: vec![0.0; horizons],
            averaged: vec![0.0; horizons],
            heads: Vec::new(),
            prob_up: Vec::new(),
        }
    }

    /// Its own intervals of a horizon.
    pub fn heads(&self, horizon_idx: usize) -> &[(f64, f64)] {
        self.heads.get(horizon_idx).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_scaled_clipped_or_none() {
        assert_eq!(label(13.0, 10.0, 2.0), Some(1.5));
        assert_eq!(label(-90.0, 10.0, 2.0), Some(-8.0));
        assert_eq!(label(13.0, 10.0, 0.0), None);
        assert_eq!(label(10.0, 10.0, 0.0), None);
        assert_eq!(label(f64::NAN, 10.0, 1.0), None);
    }
}
