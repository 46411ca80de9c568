//! How many windows back a forecaster looks: fixed lags, seasons, and the phases of its horizons.
//! It must not know values.

use crate::horizon::Horizon;
use crate::spec::ForecastSpec;

/// Steps back whose scaled differences are inputs.
pub const LAGS: [u32; 5] = [1, 2, 3, 6, 12];

/// The seasons of a spec, in windows: its own, and the week.
pub fn seasons(spec: &ForecastSpec) -> Vec<u32> {
    spec.season.into_iter().chain(spec.week).collect()
}

/// The lengths of steps that inputs are made of, in windows.
pub fn lengths(spec: &ForecastSpec) -> impl Iterator<Item = u32> {
    let seasons = seasons(spec);
    let horizons = spec.horizons.clone();
    let hints = seasons
        .clone()
        .into_iter()
        .flat_map(move |season| horizons.clone().into_iter().map(move |h| to_phase(season, h)));
    LAGS.into_iter().chain(seasons).chain(hints)
}

/// How far back the phase of a horizon is found in the last season; a horizon of whole seasons has
/// its own phase.
pub fn to_phase(season: u32, horizon: Horizon) -> u32 {
    season - horizon.0 % season
}
