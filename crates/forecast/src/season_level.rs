//! What is usual for a series at each phase of a season: its mean over the last season, and how far
//! from that mean it is at the phase.
//! It must not know the times of windows: a phase is a window's number modulo the season.
//!
//! A season ago there was one value, noise and all. This is the mean of some twenty:
//! `d[p] += max(0.05, 1/n) (x - m - d[p])`.

use crate::horizon::Horizon;
use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::scale::{MeanError, StepScale};

/// Longer seasons have no table: a year of hours would weigh more than all else, and be seen too
/// seldom.
const LONGEST: u32 = 1024;
/// Rate of a deviation once it is warm.
const RATE: f64 = 0.05;
/// Rate of the mean size of errors.
const ERROR_RATE: f64 = 0.01;
/// The most that an error counts in a deviation, in mean errors.
const ERROR_CLIP: f64 = 3.0;
/// Errors before their size is known.
const KNOWN: u64 = 10;

/// What is usual at each phase of one season.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SeasonLevel {
    /// m: the mean over the last season; none before there was one.
    middle: Option<f64>,
    /// d, one a phase.
    #[serde(with = "le_blob")]
    deviations: Box<[f64]>,
    /// How many values each phase has had, to the point where it does not matter.
    counts: Box<[u8]>,
    errors: MeanError,
    /// Of how far values are from what is usual so many windows later.
    scales: Vec<(Horizon, StepScale)>,
}

impl SeasonLevel {
    /// Whether a season of so many windows has one.
    pub fn is_for(period: u32) -> bool {
        period <= LONGEST
    }

    /// Nothing is usual yet.
    pub fn new(period: u32, horizons: &[Horizon]) -> Self {
        let len = period as usize;
        let deviations = vec![0.0; len].into();
        let scales = horizons.iter().map(|&horizon| (horizon, StepScale::default())).collect();
        let counts = vec![0; len].into();
        SeasonLevel { middle: None, deviations, counts, errors: MeanError::default(), scales }
    }

    /// Windows in the season.
    pub fn period(&self) -> u32 {
        self.deviations.len() as u32
    }

    fn phase(&self, n: i64) -> usize {
        n.rem_euclid(i64::from(self.period())) as usize
    }

    /// Takes in the mean over the season that ends with the window numbered `n`, and its value
    /// where one was observed.
    pub fn update(&mut self, n: i64, middle: Option<f64>, observed: Option<f64>) {
        self.middle = middle;
        let (Some(middle), Some(value)) = (middle, observed) else { return };

        let phase = self.phase(n);
        let error = value - middle - self.deviations[phase];
        self.errors.update(error, ERROR_RATE, KNOWN);
        let limit = ERROR_CLIP * self.errors.mean;
        self.counts[phase] = self.counts[phase].saturating_add(1);
        let rate = RATE.max(1.0 / f64::from(self.counts[phase]));
        self.deviations[phase] += rate * error.clamp(-limit, limit);

        for at in 0..self.scales.len() {
            if let Some(usual) = self.at(n + i64::from(self.scales[at].0)) {
                self.scales[at].1.update(usual - value);
            }
        }
    }

    /// How far `value` in the window numbered `n` is from what is usual `horizon` windows later, in
    /// units of how far it is as a rule; 0 while that is not known.
    pub fn to_usual(&self, n: i64, value: f64, horizon: Horizon) -> f64 {
        let scale = self.scales.iter().find(|(own, _)| *own == horizon);
        let to = self.at(n + i64::from(horizon)).map(|usual| usual - value);
        scale.zip(to).map_or(0.0, |((_, scale), to)| scale.scaled(to))
    }

    /// How far values at the phase of the window numbered `n` are from the mean; none before it is
    /// known.
    pub fn deviation(&self, n: i64) -> Option<f64> {
        let phase = self.phase(n);
        (self.counts[phase] > 0).then(|| self.deviations[phase])
    }

    /// What is usual now at the phase of the window numbered `n`; none before it is known.
    fn at(&self, n: i64) -> Option<f64> {
        Some(self.middle? + self.deviation(n)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_and_follows_the_mean() {
        let mut level = SeasonLevel::new(3, &[]);
        assert_eq!(level.at(0), None);
        for n in 0..300 {
            level.update(n, Some(10.0), Some([7.0, 10.0, 13.0][n as usize % 3]));
        }
        level.update(300, Some(20.0), None);
        let at = |n| (level.at(n).unwrap() * 1e6).round() / 1e6;
        assert_eq!([at(300), at(301), at(-1)], [17.0, 20.0, 23.0]);
        level.update(301, None, Some(5.0));
        assert_eq!(level.at(301), None);
    }

    #[test]
    fn an_absurd_value_moves_it_little() {
        let mut level = SeasonLevel::new(2, &[]);
        for n in 0..400 {
            let value = if n == 200 { 1e12 } else { f64::from(n % 2 == 0) + [0.1, -0.1][n as usize / 2 % 2] };
            level.update(n, Some(0.5), Some(value));
        }
        assert!((level.at(400).unwrap() - 1.0).abs() < 0.2, "{:?}", level.at(400));
    }
}
