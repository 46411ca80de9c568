//! The value that the target had at the same phase, the last time that phase is known.

use serde::{Deserialize, Serialize};

use super::expert::{Expert, ExpertShape, Observation};
use crate::lags::to_phase;

/// The value a season before the target time.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SeasonalNaive;

/// None without a season: there is nothing to repeat.
pub fn members(shape: &ExpertShape) -> Vec<(&'static str, SeasonalNaive)> {
    if shape.seasonal { vec![("seasonal_naive", SeasonalNaive)] } else { Vec::new() }
}

impl Expert for SeasonalNaive {
    fn forecast(&self, observation: &Observation<'_>, horizon_idx: usize, sigma: f64, _: &mut [f32]) -> f64 {
        let Some(season) = observation.season else { return 0.0 };
        // A horizon of whole seasons ends at the phase of the last value.
        let back = to_phase(season, observation.horizons[horizon_idx]) % season;
        observation.series.difference(back).map_or(0.0, |difference| -difference / sigma)
    }
}
