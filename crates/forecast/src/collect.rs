//! Results that are kept: forecasts and scores with their own strings and vectors.
//! It must not know how they are made.

use crate::horizon::Horizon;
use crate::time::EventTime;
use crate::window::{Forecast, Results, Score};

/// Keeps what a forecaster makes, in order. See
/// [`Forecaster::collect`](crate::Forecaster::collect).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CollectedResults {
    /// Forecasts that were made.
    pub forecasts: Vec<CollectedForecast>,
    /// Forecasts whose truth has come.
    pub scores: Vec<CollectedScore>,
}

/// A forecast that was made: [`Forecast`] with its own data.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectedForecast {
    /// The name of the series.
    pub series: String,
    /// The end of the window that it was made from.
    pub issued_at: EventTime,
    /// The end of the window that it is about; none where nobody knows it yet.
    pub target_time: Option<EventTime>,
    /// From the one to the other, in windows.
    pub horizon: Horizon,
    /// The mixture of all experts, in the target's unit.
    pub forecast: f64,
    /// The last value of the target.
    pub naive: f64,
    /// Lower and upper bound, one pair a level; empty while there is no scale.
    pub intervals: Vec<(f64, f64)>,
    /// The probability of a rise, where the network has a direction head.
    pub prob_up: Option<f64>,
    /// The heaviest expert of the mixture.
    pub expert: String,
    /// Updates that the network had learned from.
    pub model_updates: u64,
    /// Whether the window's target was its last value repeated, not observed.
    pub carried: bool,
}

/// A forecast whose truth has come: [`Score`] with its own data.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectedScore {
    /// The name of the series.
    pub series: String,
    /// The end of the window that the forecast was made from.
    pub issued_at: EventTime,
    /// The end of the window that it was about.
    pub target_time: EventTime,
    /// From the one to the other, in windows.
    pub horizon: Horizon,
    /// The truth, in the target's unit.
    pub actual: f64,
    /// What was published.
    pub forecast: f64,
    /// The last value of the target when it was made.
    pub naive: f64,
    /// Lower and upper bound, one pair a level; empty while there was no scale.
    pub intervals: Vec<(f64, f64)>,
    /// What each expert had forecast, by its name, in the order in which they are weighed.
    pub experts: Vec<(String, f64)>,
}

impl CollectedScore {
    /// How far the forecast was from the truth.
    pub fn abs_error(&self) -> f64 {
        (self.actual - self.forecast).abs()
    }

    /// How far the last value was from the truth.
    pub fn naive_abs_error(&self) -> f64 {
        (self.actual - self.naive).abs()
    }

    /// Whether the interval of the level with this index held the truth; none while there was no
    /// scale.
    pub fn is_covered(&self, level_idx: usize) -> Option<bool> {
        let &(lower, upper) = self.intervals.get(level_idx)?;
        Some(lower <= self.actual && self.actual <= upper)
    }
}

impl Results for CollectedResults {
    fn forecast(&mut self, forecast: &Forecast<'_>) {
        self.forecasts.push(CollectedForecast {
            series: forecast.series.to_owned(),
            issued_at: forecast.issued_at,
            target_time: forecast.target_time,
            horizon: forecast.horizon,
            forecast: forecast.forecast,
            naive: forecast.naive,
            intervals: forecast.intervals.to_vec(),
            prob_up: forecast.prob_up,
            expert: forecast.expert.to_owned(),
            model_updates: forecast.model_updates,
            carried: forecast.carried,
        });
    }

    fn score(&mut self, score: &Score<'_>) {
        let (names, forecasts) = score.experts;
        let named = names.iter().zip(forecasts);
        self.scores.push(CollectedScore {
            series: score.series.to_owned(),
            issued_at: score.issued_at,
            target_time: score.target_time,
            horizon: score.horizon,
            actual: score.actual,
            forecast: score.forecast,
            naive: score.naive,
            intervals: score.intervals.to_vec(),
            experts: named.map(|(&name, &forecast)| (name.to_owned(), forecast)).collect(),
        });
    }
}
