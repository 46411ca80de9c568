//! The best of some exponential smoothings, damped trends (Holt) and a median of the newest values.
//! It must not weigh them: the one whose recent errors are least forecasts alone.
//!
//! `ewma_season` smooths what is left of the values when their season is taken out: what is usual
//! at their phase.

use std::collections::VecDeque;

use crate::horizon::Horizon;
use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::expert::{Expert, ExpertShape, Label, Observation};
use crate::room;
use crate::scale::MOVE_CLIP;

/// Rates of the level and of its trend; 0: no trend.
const RATES: [(f64, f64); 6] = [(0.05, 0.0), (0.15, 0.0), (0.4, 0.0), (0.75, 0.0), (0.5, 0.1), (0.9, 0.2)];
/// φ: what is left of a trend a window further on.
const DAMPING: f64 = 0.9;
/// Values that the median is of.
const NEWEST: usize = 25;
/// The smoothings and the median.
const CANDIDATES: usize = RATES.len() + 1;
/// What an error a window ago counts beside one now.
const ERROR_MEMORY: f64 = 0.99;

/// The candidates, and how each has done at every horizon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Smoothing {
    is_seasonal: bool,
    /// Once there is a value.
    seen: Option<Box<Smoothed>>,
    /// Of each horizon and each candidate: recent |errors|, summed.
    errors: Box<[[f32; CANDIDATES]]>,
}

/// What has been made of the values.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Smoothed {
    /// Level and trend of each smoothing.
    states: [(f64, f64); RATES.len()],
    #[serde(with = "le_blob")]
    newest: VecDeque<f64>,
    median: f64,
}

/// One, and with a season one beside it that takes the season out.
pub fn members(shape: &ExpertShape) -> Vec<(&'static str, Smoothing)> {
    let of = |is_seasonal| {
        let errors = vec![[0.0; CANDIDATES]; shape.horizons].into();
        Smoothing { is_seasonal, seen: None, errors }
    };
    let seasonal = shape.seasonal.then(|| ("ewma_season", of(true)));
    [("ewma", of(false))].into_iter().chain(seasonal).collect()
}

impl Smoothing {
    /// What the season adds so many windows from now.
    fn season(&self, observation: &Observation<'_>, ahead: Horizon) -> f64 {
        if self.is_seasonal { observation.series.deviation(ahead.0).unwrap_or_default() } else { 0.0 }
    }
}

impl Smoothed {
    fn begin(x: f64) -> Box<Self> {
        Box::new(Smoothed { states: [(x, 0.0); RATES.len()], newest: VecDeque::new(), median: x })
    }

    /// Holt's damped trend: `l' = (l + φ b) + a (x - l - φ b)`, `b' = φ b + β (l' - l - φ b)`.
    fn smooth(&mut self, x: f64) {
        for ((level, trend), (rate, trend_rate)) in self.states.iter_mut().zip(RATES) {
            let (damped, before) = (DAMPING * *trend, *level);
            *level = before + damped + rate * (x - before - damped);
            *trend = if trend_rate > 0.0 { damped + trend_rate * (*level - before - damped) } else { 0.0 };
        }
    }

    fn update_median(&mut self, x: f64) {
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        room::at_the_end(&mut self.newest, 1, NEWEST);
        self.newest.push_back(x);

        let mut sorted = [0.0; NEWEST];
        let sorted = &mut sorted[..self.newest.len()];
        sorted.iter_mut().zip(&self.newest).for_each(|(to, &value)| *to = value);
        sorted.sort_unstable_by(f64::total_cmp);
        self.median = sorted[sorted.len() / 2];
    }
}

impl Expert for Smoothing {
    fn memo_len(&self) -> usize {
        CANDIDATES
    }

    fn observe(&mut self, observation: &Observation<'_>) {
        let (Some(x), true) = (observation.series.back(0), observation.is_truth) else { return };
        let x = x - self.season(observation, Horizon(0));
        if let Some(seen) = &mut self.seen {
            seen.smooth(x);
        }
        self.seen.get_or_insert_with(|| Smoothed::begin(x)).update_median(x);
    }

    fn forecast(
        &self,
        observation: &Observation<'_>,
        horizon_idx: usize,
        sigma: f64,
        memo: &mut [f32],
    ) -> f64 {
        let (Some(x), Some(seen)) = (observation.series.back(0), &self.seen) else { return 0.0 };
        let horizon = observation.horizons[horizon_idx];
        let x = x - self.season(observation, horizon);

        // φ + φ² + ... + φ^h
        let sum = DAMPING * (1.0 - libm::pow(DAMPING, f64::from(horizon))) / (1.0 - DAMPING);
        let levels = seen.states.iter().map(|(level, trend)| level + sum * trend).chain([seen.median]);
        for (candidate, level) in memo.iter_mut().zip(levels) {
            *candidate = ((level - x) / sigma).clamp(-MOVE_CLIP, MOVE_CLIP) as f32;
        }

        let errors = &self.errors[horizon_idx];
        let best = (0..CANDIDATES).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or_default();
        f64::from(memo[best])
    }

    fn learn(&mut self, horizon_idx: usize, label: &Label<'_>, memo: &[f32]) {
        for (error, &candidate) in self.errors[horizon_idx].iter_mut().zip(memo) {
            let now = (f64::from(candidate) - label.moved).abs().min(MOVE_CLIP);
            *error = (ERROR_MEMORY * f64::from(*error) + now) as f32;
        }
    }
}
