//! The best of some exponential smoothings, damped trends (Holt) and a median of the newest values.
//! It must not weigh them: the one whose recent errors are least forecasts alone.
//!
//! `ewma_season` does so with what is left of the values without what is usual at their phase of the season.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::{Expert, ExpertShape, Label, Observation};

/// Rates of the level and of its trend; 0: no trend.
const RATES: [(f64, f64); 6] = [(0.05, 0.0), (0.15, 0.0), (0.4, 0.0), (0.75, 0.0), (0.5, 0.1), (0.9, 0.2)];
/// What is left of a trend a window further on.
const DAMPING: f64 = 0.9;
/// Values that the median is of.
const NEWEST: usize = 25;
/// The smoothings and the median.
const ALL: usize = RATES.len() + 1;
const ERROR_MEMORY: f64 = 0.99;
const CLIP: f64 = 8.0;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Smoothing {
    is_seasonal: bool,
    /// Level and trend of each, once there is a value.
    states: Vec<(f64, f64)>,
    #[serde(with = "le_blob")]
    newest: VecDeque<f64>,
    median: f64,
    /// Of each horizon and each of them: recent |errors|, summed.
    errors: Vec<[f64; ALL]>,
}

pub fn members(shape: &ExpertShape) -> Vec<(&'static str, Smoothing)> {
    let of = |is_seasonal| {
        let errors = vec![[0.0; ALL]; shape.horizons];
        Smoothing { is_seasonal, errors, ..Smoothing::default() }
    };
    let seasonal = shape.seasonal.then(|| ("ewma_season", of(true)));
    [("ewma", of(false))].into_iter().chain(seasonal).collect()
}

impl Smoothing {
    /// What the season adds so many windows from now.
    fn season(&self, seen: &Observation<'_>, ahead: u32) -> f64 {
        if self.is_seasonal { seen.series.deviation(ahead).unwrap_or_default() } else { 0.0 }
    }
}

impl Expert for Smoothing {
    fn notes(&self) -> usize {
        ALL
    }

    /// `l' = (l + φ b) + a (x - l - φ b)`, `b' = φ b + β (l' - l - φ b)`.
    fn observe(&mut self, seen: &Observation<'_>) {
        let (Some(x), true) = (seen.series.back(0), seen.is_truth) else { return };
        let x = x - self.season(seen, 0);
        if self.states.is_empty() {
            self.states = vec![(x, 0.0); RATES.len()];
        } else {
            for ((level, trend), (rate, trend_rate)) in self.states.iter_mut().zip(RATES) {
                let (damped, before) = (DAMPING * *trend, *level);
                *level = before + damped + rate * (x - before - damped);
                *trend =
                    if trend_rate > 0.0 { damped + trend_rate * (*level - before - damped) } else { 0.0 };
            }
        }
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back(x);
        let mut sorted: Vec<f64> = self.newest.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        self.median = sorted[sorted.len() / 2];
    }

    fn forecast(&self, seen: &Observation<'_>, slot: usize, sigma: f64, notes: &mut [f32]) -> f64 {
        let (Some(x), false) = (seen.series.back(0), self.states.is_empty()) else { return 0.0 };
        // φ + φ² + ... + φ^h
        let sum = DAMPING * (1.0 - libm::pow(DAMPING, f64::from(seen.horizons[slot]))) / (1.0 - DAMPING);
        let levels = self.states.iter().map(|(level, trend)| level + sum * trend).chain([self.median]);
        let x = x - self.season(seen, seen.horizons[slot]);
        for (note, level) in notes.iter_mut().zip(levels) {
            *note = ((level - x) / sigma).clamp(-CLIP, CLIP) as f32;
        }
        let errors = &self.errors[slot];
        let best = (0..ALL).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or_default();
        f64::from(notes[best])
    }

    fn learn(&mut self, slot: usize, truth: &Label<'_>, notes: &[f32]) {
        for (error, &note) in self.errors[slot].iter_mut().zip(notes) {
            *error = ERROR_MEMORY * *error + (f64::from(note) - truth.moved).abs().min(CLIP);
        }
    }
}
