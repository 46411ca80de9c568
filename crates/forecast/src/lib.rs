//! Calibrated forecasts of many series at once, learned online: experts, their mixture, and intervals that hold what they
//! claim.
//! It must not know Arrow, Kafka, files or clocks: numbers of closed windows come in, forecasts and their scores go out.

mod drift;
mod dtaci;
mod error;
mod experts;
mod features;
mod forecaster;
mod gain;
mod interval;
mod lags;
mod matrix;
mod mean;
mod mixture;
mod network;
mod phases;
mod recorder;
mod recursion;
mod ring;
mod scale;
mod season_level;
mod series;
mod series_forecaster;
mod spec;
mod time;
mod waiting;
mod window;

pub use error::{ForecastError, Result};
pub use forecaster::{ExpertWeight, Forecaster, ForecasterStats, FrozenForecaster, Weights, meaning};
pub use mean::Mean;
pub use network::network_spec;
pub use recorder::Recorder;
pub use spec::{
    BPTT_MARGIN, Calendar, Correction, ExpertKind, ForecastSpec, LearnerSpec, MixtureRule, Scope,
    level_label, week_of,
};
pub use time::EventTime;
pub use window::{ClosedWindow, Forecast, Results, Score, WindowRow};
