//! What the plan says of the network, and what the network is told: its shape, its labels, its longest step.
//! It must not know how any of it is done.

use std::sync::Arc;

use tickcast_model::{LearnerSettings, LearnerTemplate, NetworkSpec};

use crate::features::Features;
use crate::spec::ForecastSpec;

/// Labels are clipped to this many scales.
const LABEL_CLIP: f64 = 8.0;

/// The network that a pipeline's forecasts come from.
pub fn network_spec(plan: &ForecastSpec) -> NetworkSpec {
    let model = &plan.model;
    NetworkSpec {
        cell: model.cell,
        activation: model.activation,
        inputs: Features::new(plan).width(),
        hidden: model.hidden,
        layers: model.layers,
        outputs: plan.horizons.len() * model.loss.width(),
        skip: model.skip,
    }
}

/// How the network of a pipeline learns, and what its learners share.
pub fn recipe(plan: &ForecastSpec) -> Arc<LearnerTemplate> {
    LearnerTemplate::new(network_spec(plan), settings(plan))
}

fn settings(plan: &ForecastSpec) -> LearnerSettings {
    let model = &plan.model;
    LearnerSettings {
        bptt: model.bptt,
        longest_lag: plan.horizons.last().map_or(1, |&horizon| horizon as usize),
        stride: model.stride,
        replay: model.replay,
        loss: model.loss.clone(),
        optimizer: model.optimizer,
        clip: model.clip,
        ema: model.ema,
        seed: model.seed,
    }
}

/// What a forecast should have said: `(actual - naive) / sigma`, with the naive forecast and sigma_h of its origin. None
/// while nothing has moved.
pub fn label(actual: f64, naive: f64, sigma: f64) -> Option<f32> {
    let label = ((actual - naive) / sigma).clamp(-LABEL_CLIP, LABEL_CLIP) as f32;
    (sigma > 0.0 && !label.is_nan()).then_some(label)
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
