//! All that forecasts one series: its experts, and for every horizon their mixture, its intervals
//! and the forecasts that wait for their truth.
//! It must not know other series, or how the network learns.

#[cfg(test)]
mod parts;

use std::collections::VecDeque;

use crate::horizon::Horizon;
use serde::{Deserialize, Serialize};
use tickcast_model::{half, le_blob};

use super::experts::AnyExpert;
use super::experts::expert::{ExpertInputs, Label, NetworkMoves, Observation};
use super::interval::{IntervalShape, IntervalTracker, IntervalTruth};
use super::layout::{Details, ForecasterLayout};
use super::mixture::{Mixture, MixtureOutput, MixtureTruth};
use super::network::NetworkOutput;
use super::pending::{DueForecast, Intervals, PendingForecast, PendingQueue, TruthWindow};
use super::phases::{PhaseMeans, phases_of};
use super::scale::MOVE_CLIP;
use super::series::SeriesHistory;
use super::spread::{Spread, SpreadInputs};
use super::volatility::RecentVolatility;
use crate::error::{ForecastError, Result};
use crate::room;
use crate::window_times::WindowTimes;

/// The most that the mean move at a phase may be, as an expert's input.
const PHASE_CLIP: f64 = 5.0;

/// One horizon.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct HorizonForecaster {
    pending: PendingQueue,
    mixture: Mixture,
    interval: IntervalTracker,
}

/// The forecasters of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeriesForecaster {
    experts: Vec<AnyExpert>,
    horizons: Vec<HorizonForecaster>,
    phases: PhaseMeans,
    volatility: RecentVolatility,
    /// Features of the newest windows as halves, `ForecasterLayout::width` of them each.
    #[serde(with = "le_blob")]
    features: VecDeque<u16>,
}

/// A forecast whose truth has come.
pub struct ScoredForecast {
    /// The forecast.
    pub made: PendingForecast,
    /// The truth.
    pub actual: f64,
    /// The published ones.
    pub intervals: Intervals,
    /// What each expert had forecast, in the order of `ForecasterLayout::names`.
    pub experts: Vec<f64>,
}

/// A forecast that was made.
pub struct IssuedForecast {
    /// The forecast.
    pub made: PendingForecast,
    /// One a level.
    pub intervals: Intervals,
    /// The heaviest expert's index; none: the forecast is the naive one.
    pub heaviest: Option<usize>,
}

/// Which window is worked on.
#[derive(Clone, Copy)]
pub struct WindowContext<'a> {
    /// The series, this window included.
    pub series: &'a SeriesHistory,
    /// The window's number.
    pub number: i64,
    /// When it ended, and those around it do.
    pub times: &'a WindowTimes,
    /// The series' windows so far, this one included.
    pub step: u64,
    /// Whether the target was observed in it.
    pub is_truth: bool,
}

/// What the forecast of one horizon is made from, beside the observation.
#[derive(Clone, Copy)]
struct HorizonInputs<'a> {
    horizon_idx: usize,
    spread: SpreadInputs<'a>,
    /// The network's own intervals, as moves; none where it has none.
    heads: &'a [(f64, f64)],
}

impl SeriesForecaster {
    /// Forecasters that have learned nothing.
    pub fn new(layout: &ForecasterLayout) -> Self {
        let phases = phases_of(layout.season);
        let horizon_forecaster = |&horizon: &Horizon| HorizonForecaster {
            pending: PendingQueue::default(),
            mixture: Mixture::new(layout.experts.len()),
            interval: IntervalTracker::new(&IntervalShape {
                levels: &layout.levels,
                correction: layout.correction,
                has_heads: layout.has_heads,
                horizon,
                others: layout.others,
                phases,
            }),
        };

        SeriesForecaster {
            experts: layout.experts.clone(),
            horizons: layout.horizons.iter().map(horizon_forecaster).collect(),
            phases: PhaseMeans::new(phases, layout.horizons.len()),
            volatility: RecentVolatility::default(),
            features: VecDeque::new(),
        }
    }

    /// Whether it is of a pipeline like this.
    pub fn fits(&self, layout: &ForecasterLayout) -> bool {
        self.experts.len() == layout.experts.len() && self.horizons.len() == layout.horizons.len()
    }

    /// Gives custom experts that were read from a state their types.
    /// Errors: when they are not the layout's.
    pub fn revive(&mut self, layout: &ForecasterLayout) -> Result<()> {
        for (expert, prototype) in self.experts.iter_mut().zip(&layout.experts) {
            match (expert, prototype) {
                (AnyExpert::Custom(state), AnyExpert::Custom(prototype)) => state.revive(prototype)?,
                (AnyExpert::Custom(_), _) | (_, AnyExpert::Custom(_)) => {
                    return Err(ForecastError::new("this state is of other experts"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes out the forecast of a horizon that was made for this window, and learns from it where
    /// the target was observed.
    pub fn score(
        &mut self,
        layout: &ForecasterLayout,
        horizon_idx: usize,
        window: &WindowContext<'_>,
    ) -> Option<ScoredForecast> {
        let queue = layout.queue(layout.horizons[horizon_idx]);
        let times = window.times;
        let (end, issued_at) = (times.end, times.origin(horizon_idx));
        let truth = TruthWindow { end, issued_at, step: window.step };
        let due = self.horizons[horizon_idx].pending.take(&queue, &layout.bounds, truth)?;
        let actual = window.series.back(0).filter(|_| window.is_truth)?;

        let made = due.made;
        let limits = layout.limits(window.series);
        let experts = if due.details.is_empty() {
            vec![made.naive; layout.names.len()]
        } else {
            let forecast = |&moved: &f32| limits.clamp(made.naive + made.sigma * f64::from(moved));
            layout.details(&due.details).moves.iter().map(forecast).collect()
        };

        if made.sigma > 0.0 {
            self.learn(layout, horizon_idx, &due, actual, window);
        }
        Some(ScoredForecast { made, actual, intervals: due.intervals, experts })
    }

    fn learn(
        &mut self,
        layout: &ForecasterLayout,
        horizon_idx: usize,
        due: &DueForecast,
        actual: f64,
        window: &WindowContext<'_>,
    ) {
        let made = &due.made;
        let horizon = layout.horizons[horizon_idx];
        let raw = finite((actual - made.naive) / made.sigma);
        let moved = raw.clamp(-MOVE_CLIP, MOVE_CLIP);
        let Details { moves, memo, heads, factors } = layout.details(&due.details);

        let HorizonForecaster { mixture, interval, .. } = &mut self.horizons[horizon_idx];
        mixture.learn(layout.rule, &MixtureTruth { output: &made.mixture, moves, moved, horizon });
        let is_miss = |&(lower, upper): &(f64, f64)| actual < lower || upper < actual;
        let missed: Vec<bool> = due.intervals.iter().map(is_miss).collect();
        interval.learn(&IntervalTruth {
            residual: raw - made.mixture.mixed,
            sigma: made.sigma,
            sigma_now: window.series.sigma(horizon),
            spread: &made.spread,
            factors,
            heads: &relative(heads, &made.mixture, &made.spread),
            levels: &layout.levels,
            missed: &missed,
            phase: layout.phase(window.number),
            horizon,
        });

        self.phases.learn(layout.phase(window.number - i64::from(horizon)), horizon_idx, moved);
        // The newest features are those of the window before this one.
        let steps_back = usize::try_from(window.step - made.step).unwrap_or(usize::MAX);
        if let Some(inputs) = self.inputs(layout, steps_back) {
            let label = Label { moved, inputs: &inputs, from_truth: made.from_truth };
            self.teach_experts(horizon_idx, &label, memo);
        }
    }

    /// What linear experts saw at the end of so many windows, counted back from the newest; none if
    /// that is forgotten.
    fn inputs(&self, layout: &ForecasterLayout, steps_back: usize) -> Option<ExpertInputs> {
        let back = steps_back.checked_mul(layout.width)?;
        let from = self.features.len().checked_sub(back)?;
        let features = self.features.range(from..from + layout.width);
        let features: Vec<f32> = features.map(|&feature| half::value(feature)).collect();
        Some(ExpertInputs::new(&features, &layout.short))
    }

    fn teach_experts(&mut self, horizon_idx: usize, label: &Label<'_>, mut memo: &[f32]) {
        for expert in self.experts.iter_mut().rev() {
            let expert = expert.get_mut();
            let (own, rest) = memo.split_at(expert.memo_len());
            expert.learn(horizon_idx, label, own);
            memo = rest;
        }
    }

    /// Takes the window in and forecasts from it.
    pub fn issue(
        &mut self,
        layout: &ForecasterLayout,
        predicted: &NetworkOutput,
        window: &WindowContext<'_>,
        mut take: impl FnMut(usize, &IssuedForecast),
    ) {
        let series = window.series;
        let Some(naive) = series.back(0) else { return };
        let features = self.features_of(layout, predicted, window);
        let observation = Observation {
            series,
            times: window.times,
            horizons: &layout.horizons,
            season: layout.season,
            is_truth: window.is_truth,
            inputs: &ExpertInputs::new(&features, &layout.short),
            network: NetworkMoves { raw: &predicted.raw, averaged: &predicted.averaged },
        };
        self.observe(&observation);

        let others = series.others();
        for (horizon_idx, &horizon) in layout.horizons.iter().enumerate() {
            let mut made = unmixed(horizon_idx, horizon, naive, window);
            let phase = layout.phase(window.number + i64::from(horizon));
            let spread = SpreadInputs { volatility: &self.volatility, others: &others, phase };
            let inputs = HorizonInputs { horizon_idx, spread, heads: predicted.heads(horizon_idx) };
            let mut details = vec![0.0; if made.sigma > 0.0 { layout.details_len() } else { 0 }];
            let intervals = if made.sigma > 0.0 {
                self.predict(layout, &observation, inputs, &mut made, &mut details)
            } else {
                made.forecast = layout.limits(series).clamp(naive);
                still(layout, series, horizon, made.forecast)
            };

            // A move of exactly 0 is the naive forecast, whichever expert made it.
            let is_naive = made.mixture.mixed == 0.0;
            let horizon_forecaster = &mut self.horizons[horizon_idx];
            let heaviest = (!is_naive).then(|| heaviest(horizon_forecaster.mixture.weights()));
            let issued = IssuedForecast { made, intervals, heaviest };
            take(horizon_idx, &issued);
            let queue = layout.queue(horizon);
            horizon_forecaster.pending.push(&queue, &issued.made, &issued.intervals, &details);
        }
        self.remember(layout, &features);
    }

    /// What experts see of a window: the constant, the network's inputs, the phase's means.
    fn features_of(
        &self,
        layout: &ForecasterLayout,
        predicted: &NetworkOutput,
        window: &WindowContext<'_>,
    ) -> Vec<f32> {
        let means = self.phases.at(layout.phase(window.number));
        let means = means.map(|mean| mean.clamp(-PHASE_CLIP, PHASE_CLIP) as f32);
        [1.0].into_iter().chain(predicted.inputs.iter().copied()).chain(means).collect()
    }

    fn observe(&mut self, observation: &Observation<'_>) {
        self.experts.iter_mut().for_each(|expert| expert.get_mut().observe(observation));
        if let (Some(step), true) = (observation.series.scaled_step(), observation.is_truth) {
            self.volatility.update(step.abs());
        }
    }

    /// Fills in a forecast that has a scale, and the numbers that its learners want back. Returns
    /// its intervals.
    fn predict(
        &self,
        layout: &ForecasterLayout,
        observation: &Observation<'_>,
        inputs: HorizonInputs<'_>,
        made: &mut PendingForecast,
        details: &mut [f32],
    ) -> Intervals {
        let HorizonInputs { horizon_idx, spread, heads: own } = inputs;
        let HorizonForecaster { mixture, interval, .. } = &self.horizons[horizon_idx];
        let Details { moves, mut memo, heads, factors } = layout.details_mut(details);
        for (head, bound) in heads.iter_mut().zip(own.iter().flat_map(|&(lower, upper)| [lower, upper])) {
            *head = clipped(bound);
        }
        for (expert, moved) in self.experts.iter().zip(moves.iter_mut()).rev() {
            let expert = expert.get();
            let (own, rest) = memo.split_at_mut(expert.memo_len());
            *moved = clipped(expert.forecast(observation, horizon_idx, made.sigma, own));
            memo = rest;
        }

        made.mixture = mixture.predict(moves);
        made.spread = interval.spread(spread, factors);
        let limits = layout.limits(observation.series);
        let (naive, sigma) = (made.naive, made.sigma);
        made.mixture.mixed = limits.clamp_move(made.mixture.mixed, naive, sigma);
        made.forecast = limits.clamp(naive + sigma * made.mixture.mixed);

        let width = made.sigma * made.spread.scale;
        let bound = |bound: f64| limits.clamp(made.forecast + width * bound);
        let heads = relative(heads, &made.mixture, &made.spread);
        let bounds = interval.bounds(&layout.levels, &heads, layout.horizons[horizon_idx], width);
        bounds.into_iter().map(|(lower, upper)| (bound(lower), bound(upper))).collect()
    }

    /// Keeps the features as long as a truth can ask for them.
    fn remember(&mut self, layout: &ForecasterLayout, features: &[f32]) {
        let longest = layout.horizons.last().map_or(1, |&horizon| horizon.steps());
        if self.features.len() >= longest * layout.width {
            self.features.drain(..layout.width);
        }
        room::at_the_end(&mut self.features, layout.width, longest * layout.width);
        self.features.extend(features.iter().map(|&feature| half::of(feature)));
    }

    /// The share of each expert in the forecasts of a horizon.
    pub fn weights(&self, horizon_idx: usize) -> impl Iterator<Item = f64> {
        self.horizons[horizon_idx].mixture.weights()
    }
}

/// The naive forecast, before experts are asked.
fn unmixed(horizon_idx: usize, horizon: Horizon, naive: f64, window: &WindowContext<'_>) -> PendingForecast {
    let WindowContext { series, times, step, is_truth, .. } = *window;
    PendingForecast {
        issued_at: times.end,
        target_time: times.target(horizon_idx),
        forecast: naive,
        naive,
        sigma: series.sigma(horizon),
        step,
        from_truth: is_truth,
        mixture: MixtureOutput::default(),
        spread: Spread::default(),
    }
}

/// Intervals of a series without a scale: they hold the value that has always come. None before
/// that is long.
fn still(layout: &ForecasterLayout, series: &SeriesHistory, horizon: Horizon, forecast: f64) -> Intervals {
    let (limits, rounding) = (layout.limits(series), series.rounding());
    let interval = (limits.clamp(forecast - rounding), limits.clamp(forecast + rounding));
    if series.is_still(horizon) { vec![interval; layout.levels.len()] } else { Intervals::new() }
}

/// The network's own intervals around the forecast, in units of its spread. `heads`: the network's
/// moves, lower, upper, lower, upper, ...
fn relative(heads: &[f32], mixture: &MixtureOutput, spread: &Spread) -> Vec<(f64, f64)> {
    let relative = |bound: f32| (f64::from(bound) - mixture.mixed) / spread.scale;
    heads.as_chunks().0.iter().map(|&[lower, upper]| (relative(lower), relative(upper))).collect()
}

/// A move that others can learn from.
fn clipped(moved: f64) -> f32 {
    if moved.is_finite() { moved.clamp(-MOVE_CLIP, MOVE_CLIP) as f32 } else { 0.0 }
}

/// Sums of numbers near the largest are infinite.
fn finite(value: f64) -> f64 {
    value.clamp(f64::MIN, f64::MAX)
}

fn heaviest(weights: impl Iterator<Item = f64>) -> usize {
    let first = (0, f64::NEG_INFINITY);
    weights.enumerate().fold(first, |best, other| if other.1 > best.1 { other } else { best }).0
}
