//! The measures of one horizon, as a backtest prints them and `--json` names them.
//! It must not compute them.

use serde::Serialize;
use tickcast_forecast::Horizon;

/// Forecasts of one horizon, judged. A measure is none where there is nothing to make it of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HorizonMeasures {
    /// In windows.
    pub horizon: Horizon,
    /// Forecasts that it is made of.
    pub scored: u64,
    /// Mean absolute error, in the target's unit.
    pub mae: Option<f64>,
    /// Root of the mean squared error, in the target's unit.
    pub rmse: Option<f64>,
    /// MAE over the mean step of the series from one window to the next.
    pub mase: Option<f64>,
    /// Mean absolute error of the last value.
    pub naive_mae: Option<f64>,
    /// `1 - mae / naive_mae`.
    pub skill: Option<f64>,
    /// The intervals, in the order of their columns.
    pub levels: Vec<LevelMeasures>,
    /// Every expert, by name.
    pub experts: Vec<ExpertMeasures>,
    /// Where the direction was forecast too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<DirectionMeasures>,
}

/// The intervals of one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelMeasures {
    /// How often they claim to hold the truth.
    pub level: f64,
    /// Forecasts that had an interval.
    pub scored: u64,
    /// Share of truths within the interval or on its bounds.
    pub coverage: Option<f64>,
    /// Mean width, in the target's unit.
    pub width: Option<f64>,
    /// Mean interval score (Winkler 1972; Gneiting and Raftery 2007, eq. 43).
    pub winkler: Option<f64>,
    /// In units of the naive MAE over the same records.
    pub winkler_ratio: Option<f64>,
    /// The least coverage over 250 consecutive scored windows.
    pub worst_coverage_250: Option<f64>,
}

/// One expert alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpertMeasures {
    /// Its name in the score records.
    pub name: String,
    /// Truths that it had forecast.
    pub scored: u64,
    /// Mean absolute error, in the target's unit.
    pub mae: Option<f64>,
    /// Beside naive, over the truths that it had forecast.
    pub skill: Option<f64>,
}

/// The probability of a rise above the last value, beside the share of rises so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DirectionMeasures {
    /// Forecasts that had a probability.
    pub scored: u64,
    /// Share of rises.
    pub ups: f64,
    /// In nats.
    pub log_loss: f64,
    /// Of the share of rises as the forecast, in nats.
    pub base_log_loss: f64,
    /// Mean squared error of the probability.
    pub brier: f64,
    /// Of the share of rises as the forecast.
    pub base_brier: f64,
}
