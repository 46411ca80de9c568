//! How good forecasts are: each measure and its formula once, for metrics, backtests and pages.
//! It must not know where records come from, nor what is done with a measure.

mod coverage;
mod error_sums;
#[cfg(test)]
pub(crate) mod fixture;
mod formula;
mod measures;
mod pairing;
mod scoreboard;
pub mod text;

pub use coverage::{COVERAGE_WINDOWS, CoverageTimeline, RollingCoverage};
pub use error_sums::ErrorSums;
pub use formula::{brier_score, interval_score, log_loss, skill};
pub use measures::{DirectionMeasures, ExpertMeasures, HorizonMeasures, LevelMeasures};
pub use pairing::{DirectionForecast, OpenForecast, OpenForecasts, Pair};
pub use scoreboard::{HorizonScore, Scoreboard, TargetScores};

pub use crate::record::Interval;
