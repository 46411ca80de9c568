//! What an expert is: what it sees, what it forecasts, and what it learns from.
//! It must not know any expert, or how experts are mixed.

use crate::horizon::Horizon;
use crate::series::SeriesHistory;
use crate::time::EventTime;
use crate::window_times::WindowTimes;

/// What linear experts see of a window.
#[derive(Debug, Clone)]
pub struct ExpertInputs {
    /// Clipped features, the first of them 1.
    pub all: Vec<f64>,
    /// Those that tell most about the newest steps and the season.
    pub short: Vec<f64>,
}

impl ExpertInputs {
    /// `short`: indices of the features that linear experts with a short memory see.
    pub fn new(features: &[f32], short: &[usize]) -> Self {
        ExpertInputs {
            all: features.iter().map(|&feature| f64::from(feature)).collect(),
            short: short.iter().map(|&at| f64::from(features[at])).collect(),
        }
    }
}

/// What is known at the newest window of a series.
#[derive(Clone, Copy)]
pub struct Observation<'a> {
    pub(crate) series: &'a SeriesHistory,
    pub(crate) times: &'a WindowTimes,
    pub(crate) horizons: &'a [Horizon],
    pub(crate) season: Option<u32>,
    /// Whether the target was observed in the window.
    pub(crate) is_truth: bool,
    pub(crate) inputs: &'a ExpertInputs,
    pub(crate) network: NetworkMoves<'a>,
}

/// The network's moves, one a horizon.
#[derive(Clone, Copy)]
pub(crate) struct NetworkMoves<'a> {
    /// By its weights as the newest update left them.
    pub raw: &'a [f64],
    /// By its averaged weights.
    pub averaged: &'a [f64],
}

impl<'a> Observation<'a> {
    /// The target's value `steps` windows before the newest. In a gap it is the value before the
    /// gap. None before the first value, and further back than the forecaster remembers: the
    /// longest horizon, lag (12) or season.
    pub fn value(&self, steps: u32) -> Option<f64> {
        self.series.back(steps)
    }

    /// The end of the window.
    pub fn end(&self) -> EventTime {
        self.times.end
    }

    /// The end of the window that the forecast for this horizon is about; none where nobody knows
    /// it: where every series has windows of its own.
    pub fn target_time(&self, horizon_idx: usize) -> Option<EventTime> {
        self.times.target(horizon_idx)
    }

    /// The horizons of the spec, in windows, ascending.
    pub fn horizons(&self) -> &'a [Horizon] {
        self.horizons
    }

    /// Windows in a season, where the spec has one.
    pub fn season(&self) -> Option<u32> {
        self.season
    }

    /// Whether the target was observed in this window. If not, `value(0)` repeats an older one.
    pub fn is_observed(&self) -> bool {
        self.is_truth
    }

    /// The network's inputs in this window, clipped to ±5, with a constant 1 before them.
    pub fn features(&self) -> &'a [f64] {
        &self.inputs.all
    }
}

/// The truth of a forecast.
#[derive(Clone, Copy)]
pub struct Label<'a> {
    pub(crate) moved: f64,
    pub(crate) inputs: &'a ExpertInputs,
    /// Whether the target was observed where the forecast began.
    pub(crate) from_truth: bool,
}

impl<'a> Label<'a> {
    /// How far the target has moved since the forecast was made, in units of the `sigma` of that
    /// forecast, clipped to ±8.
    pub fn moved(&self) -> f64 {
        self.moved
    }

    /// [`Observation::features`] of the window that the forecast was made from, each rounded to the
    /// nearest number of half precision.
    pub fn features(&self) -> &'a [f64] {
        &self.inputs.all
    }

    /// [`Observation::is_observed`] of the window that the forecast was made from.
    pub fn from_observed(&self) -> bool {
        self.from_truth
    }
}

/// One way to forecast a series.
///
/// An expert forecasts *moves*: how far the target will have moved from its last value, in units of
/// sigma. Sigma is the scale of the target's differences over the horizon. So every expert's
/// forecasts have the same size, and 0 is the naive forecast.
///
/// In every window the calls come in this order: `learn` for each horizon whose forecast has come
/// true, `observe`, `forecast` for each horizon.
pub trait Expert {
    /// How many numbers it wants to keep beside each forecast, to have them when the truth comes.
    /// It must always return the same.
    fn memo_len(&self) -> usize {
        0
    }

    /// Takes in the newest window.
    fn observe(&mut self, _observation: &Observation<'_>) {}

    /// The move to the horizon `observation.horizons()[horizon_idx]`, in units of `sigma` > 0.
    /// What is not finite counts as 0; larger moves than ±8 are clipped.
    ///
    /// `memo`: [`memo_len`](Expert::memo_len) zeros to write to; `learn` gets them back.
    fn forecast(
        &self,
        observation: &Observation<'_>,
        horizon_idx: usize,
        sigma: f64,
        memo: &mut [f32],
    ) -> f64;

    /// Learns from the truth of a forecast that it made for this horizon.
    fn learn(&mut self, _horizon_idx: usize, _label: &Label<'_>, _memo: &[f32]) {}
}

/// How large the experts of a pipeline are.
#[derive(Debug, Clone, Copy)]
pub struct ExpertShape {
    /// Features in [`ExpertInputs::all`].
    pub features: usize,
    /// Features in [`ExpertInputs::short`].
    pub short: usize,
    /// Horizons to forecast.
    pub horizons: usize,
    /// Whether there is a season.
    pub seasonal: bool,
}
