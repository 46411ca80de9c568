//! Calibrated forecasts of many series at once, learned online: experts, their mixture, and
//! intervals that hold what they claim.
//! It must not know Arrow, Kafka, files or clocks: numbers of closed windows come in, forecasts and
//! their scores go out.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod collect;
mod drift;
mod dtaci;
mod error;
mod experts;
mod features;
mod forecaster;
mod interval;
mod inverse_covariance;
mod lags;
mod layout;
mod matrix;
mod mean;
mod mixture;
mod network;
mod pending;
mod phases;
mod recorder;
mod ring;
mod rls_filter;
mod scale;
mod season_level;
mod series;
mod series_forecaster;
mod spec;
mod spread;
mod time;
mod volatility;
mod window;

pub use collect::{CollectedForecast, CollectedResults, CollectedScore};
pub use error::{ForecastError, Result};
pub use experts::custom::CustomExpert;
pub use experts::expert::{Expert, Label, Observation};
pub use experts::kind::ExpertKind;
pub use forecaster::{ExpertWeight, Forecaster, ForecasterStats, FrozenForecaster, WeightsKind, meaning};
pub use mean::Mean;
pub use network::network_spec;
pub use recorder::Recorder;
pub use spec::{
    BPTT_MARGIN, Calendar, Correction, ForecastSpec, LearnerSpec, MixtureRule, Scope, level_label, week_of,
};
pub use time::EventTime;
pub use window::{ClosedWindow, Forecast, Results, Score, WindowRow};
