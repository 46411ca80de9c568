//! The value that the target had at the same phase, the last time that phase is known.

use serde::{Deserialize, Serialize};

use super::{Expert, ExpertShape, Observation};
use crate::lags::to_phase;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SeasonalNaive;

/// None without a season: there is nothing to repeat.
pub fn members(shape: &ExpertShape) -> Vec<(&'static str, SeasonalNaive)> {
    if shape.seasonal { vec![("seasonal_naive", SeasonalNaive)] } else { Vec::new() }
}

impl Expert for SeasonalNaive {
    fn forecast(&self, seen: &Observation<'_>, slot: usize, sigma: f64, _: &mut [f32]) -> f64 {
        let Some(season) = seen.season else { return 0.0 };
        // A horizon of whole seasons ends at the phase of the last value.
        let back = to_phase(season, seen.horizons[slot]) % season;
        seen.series.difference(back).map_or(0.0, |difference| -difference / sigma)
    }
}
