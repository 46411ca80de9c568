//! What goes into a forecaster and what comes out: rows of closed windows, forecasts, scores.
//! It must not know how any of it is computed.

use crate::horizon::Horizon;
use crate::time::EventTime;

/// Which window has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedWindow {
    /// Its place among all windows: the next one has the next number. Where every series has
    /// windows of its own, all of them are counted as they close.
    pub number: i64,
    /// When it started.
    pub start: EventTime,
    /// When it ended.
    pub end: EventTime,
}

impl ClosedWindow {
    /// The window of this number, where windows of `size_us` microseconds follow each other from
    /// the Unix epoch on.
    pub fn numbered(number: i64, size_us: i64) -> Self {
        let start = EventTime(number.saturating_mul(size_us));
        ClosedWindow { number, start, end: start.plus_us(size_us) }
    }
}

/// One series in one closed window.
#[derive(Debug, Clone)]
pub struct WindowRow<'a> {
    /// A small number that stands for the series in every window: its place in a list of all.
    pub series_id: u32,
    /// The name of the series.
    pub series: &'a str,
    /// The features in the spec's order, the target first; none for a null and for what is not
    /// finite.
    pub values: Vec<Option<f64>>,
    /// False for a row that repeats the last one.
    pub observed: bool,
}

impl<'a> WindowRow<'a> {
    /// A row that was observed. `series_id`: the series' index in a list of all; `values`: the
    /// spec's features, the target first.
    pub fn observed(series_id: u32, series: &'a str, values: &[f64]) -> Self {
        let values = values.iter().map(|&value| value.is_finite().then_some(value)).collect();
        WindowRow { series_id, series, values, observed: true }
    }
}

/// A forecast that was made.
#[derive(Debug, Clone, Copy)]
pub struct Forecast<'a> {
    /// The name of the series.
    pub series: &'a str,
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
    pub intervals: &'a [(f64, f64)],
    /// The probability of a rise, where the network has a direction head.
    pub prob_up: Option<f64>,
    /// The heaviest expert of the mixture.
    pub expert: &'a str,
    /// Updates that the network had learned from.
    pub model_updates: u64,
    /// Whether the window's target was its last value repeated, not observed.
    pub carried: bool,
}

/// A forecast whose truth has come.
#[derive(Debug, Clone, Copy)]
pub struct Score<'a> {
    /// The name of the series.
    pub series: &'a str,
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
    pub intervals: &'a [(f64, f64)],
    /// The experts' names, and the forecast of each of them, in the same order.
    pub experts: (&'a [&'static str], &'a [f64]),
}

/// Takes what a forecaster makes, in order.
pub trait Results {
    /// A forecast was made.
    fn forecast(&mut self, forecast: &Forecast<'_>);

    /// A forecast's truth has come.
    fn score(&mut self, score: &Score<'_>);
}
