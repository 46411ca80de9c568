//! What the plan says of the network, and what the network is told: its shape, its labels, its longest step.
//! It must not know how it learns.

use super::features::Features;
use crate::config::plan::ForecastPlan;
use crate::model::NetworkSpec;

/// Labels are clipped to this many scales.
const LABEL_CLIP: f64 = 8.0;
/// The longest step of the gradient, in its global norm.
pub const GRADIENT_CLIP: f32 = 1.0;

/// The network that a pipeline's forecasts come from.
pub fn network_spec(plan: &ForecastPlan) -> NetworkSpec {
    let model = &plan.model;
    NetworkSpec {
        cell: model.cell,
        activation: model.activation,
        inputs: Features::new(plan).width(),
        hidden: model.hidden,
        layers: model.layers,
        outputs: plan.horizons.len() * model.loss.width(),
        skip: true,
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
