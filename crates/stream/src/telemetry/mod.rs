//! What can be seen of a run from outside: metrics, readiness, how good the forecasts were.
//! It must not change what a run does, nor serve anything itself.

mod health;
mod lag;
mod metrics;
mod registry;

pub use health::{Health, HealthPart, Readiness};
pub(crate) use metrics::now_us;
pub use metrics::{DriftAlarm, Metrics};
pub use prometheus::TEXT_FORMAT;

// What `Metrics::scoreboard` hands out.
pub use crate::evaluate::{HorizonScore, Scoreboard, TargetScores};
