//! Calibrated forecasts of many series at once, learned online: experts, their mixture, and
//! intervals that hold what they claim.
//! It must not know Arrow, Kafka, files or clocks: numbers of closed windows come in, forecasts and
//! their scores go out.
//!
//! ```
//! use tickcast_forecast::{ClosedWindow, ForecastSpec, Forecaster, Horizon, Result, WindowRow};
//!
//! const HOUR_US: i64 = 3_600_000_000;
//!
//! # fn main() -> Result<()> {
//! // What to forecast: the load, one and six hours ahead, with an interval that holds 90 %.
//! let mut spec = ForecastSpec::new("load");
//! spec.horizons = vec![Horizon(1), Horizon(6)];
//! spec.season = Some(24);
//! let mut forecaster = Forecaster::new(&spec, HOUR_US);
//!
//! // Each hour, what was measured in it. Here that is a wave of a day, with some noise.
//! let noise = |hour: i64| ((hour * 7919) % 1009) as f64 / 1009.0;
//! let day = |hour: i64| (hour as f64 * std::f64::consts::TAU / 24.0).sin();
//! let load = |hour: i64| 50.0 + 20.0 * day(hour) + noise(hour);
//! let (mut error, mut naive_error, mut held, mut scores) = (0.0, 0.0, 0, 0);
//! for hour in 0..24 * 14 {
//!     let rows = vec![WindowRow::observed(0, "plant 1", &[load(hour)])];
//!     let results = forecaster.collect(ClosedWindow::numbered(hour, HOUR_US), rows)?;
//!
//!     // Forecasts that this hour's value proves right or wrong.
//!     for score in results.scores.iter().filter(|_| hour >= 24 * 7) {
//!         error += score.abs_error();
//!         naive_error += score.naive_abs_error();
//!         held += i32::from(score.is_covered(0) == Some(true));
//!         scores += 1;
//!     }
//!
//!     // Forecasts that begin in this hour.
//!     for made in results.forecasts.iter().filter(|_| hour == 24 * 14 - 1) {
//!         let (lower, upper) = made.intervals[0];
//!         println!("in {} h: {:.1}, 90 % in {lower:.1}..{upper:.1}", made.horizon, made.forecast);
//!     }
//! }
//! println!("{:.0} % of the naive error, {held} of {scores} held", 100.0 * error / naive_error);
//! assert!(error < 0.4 * naive_error && f64::from(held) > 0.8 * f64::from(scores));
//!
//! // Its state is bytes; a forecaster of the same spec goes on from them, bit for bit.
//! let state = forecaster.freeze()()?;
//! Forecaster::new(&spec, HOUR_US).restore(&state)?;
//! # Ok(())
//! # }
//! ```
//!
//! `examples/forecast_a_csv.rs` measures forecasts of a file; `examples/own_expert.rs` mixes an
//! expert of your own with those of the crate.
//!
//! # Rooms
//!
//! ```text
//! spec, window, collect, time     what goes in and comes out
//! grid, calendar_unit             where windows begin and end, also by the calendar of a zone
//! window_order                    how windows follow each other: on a grid, or by series
//! forecaster                      all series of a partition, and the state of all
//!   └▶ series_forecaster          one series: its experts, and for every horizon
//!        ├─ experts               who forecasts; rls_filter, inverse_covariance below them
//!        ├─ mixture               how much each counts
//!        ├─ interval              bounds that hold what they claim; spread, dtaci, ring,
//!        │                        largest, one_sided below it
//!        └─ pending               forecasts that wait for their truth
//! series, features, network       what the experts and the network see
//!   └▶ scale, season_level, phases, lags
//! drift                           whether errors have changed: for people, nothing acts on it
//! recorder                        the same features and labels as histories, to train on
//! ```
//!
//! # Order
//!
//! For every window a forecaster predicts, scores what came true, then learns. No forecast depends
//! on a value later than its window. The same rows in the same order give the same bits.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bounds;
mod calendar_unit;
mod collect;
mod drift;
mod dtaci;
mod error;
mod experts;
mod features;
mod forecaster;
mod forgetting;
mod grid;
#[cfg(test)]
mod heap;
mod horizon;
mod interval;
mod inverse_covariance;
mod lags;
mod largest;
mod layout;
mod mean;
mod mixture;
mod network;
mod one_sided;
mod pending;
mod phases;
mod recorder;
mod ring;
mod rls_filter;
mod room;
mod scale;
mod season_level;
mod series;
mod series_forecaster;
mod spec;
mod spread;
mod time;
mod volatility;
mod window;
mod window_order;
mod window_times;

pub use bounds::Bounds;
pub use calendar_unit::{CalendarUnit, CalendarUnits};
pub use collect::{CollectedForecast, CollectedResults, CollectedScore};
pub use error::{ForecastError, Result};
pub use experts::custom::CustomExpert;
pub use experts::expert::{Expert, Label, Observation};
pub use experts::kind::ExpertKind;
pub use forecaster::{
    ExpertWeight, Forecaster, ForecasterStats, FrozenForecaster, WeightsKind, WindowLesson, meaning,
};
pub use forgetting::{new_places, who_stays};
pub use grid::WindowGrid;
pub use horizon::Horizon;
pub use mean::Mean;
pub use network::network_spec;
pub use recorder::Recorder;
pub use spec::{
    BPTT_MARGIN, Calendar, Correction, ForecastSpec, LearnerSpec, MixtureRule, Scope, level_label,
    usual_seasons, week_of,
};
/// The networks: their types are in [`LearnerSpec`].
pub use tickcast_model as model;
pub use time::EventTime;
pub use window::{ClosedWindow, Forecast, Results, Score, WindowRow};
pub use window_order::WindowOrder;
