//! The spread that a forecast's residual is expected to have, of one series and horizon.
//! It must not know quantiles or levels: it is one number, in units of sigma_h.
//!
//! The spread is `exp(b + θ·f)`. The base b is a geometric mean of a fast and two slow means of
//! |residual|. The factors f are how much five means of other memories, the newest steps, the other
//! columns and the season's phase differ from it. θ learns the second moment:
//! `θ += G f (u² - 1) / 2`, u the residual in units of the spread, G the gain of least squares.

use crate::horizon::Horizon;

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::inverse_covariance::{self as inverse, Forgetting};
use super::volatility::{NORMAL_MEAN, RecentVolatility, follow, rate_at_first};

/// Rates of the means of |residual|, at one window ahead; what is further ahead changes more
/// slowly.
const RATES: [f64; 5] = [0.3, 0.1, 0.03, 0.01, 0.002];
/// Shares of them in the base.
const BASE: [f64; 5] = [0.0, 0.5, 0.0, 0.3, 0.2];
/// The most that |b| may be.
const BASE_CLIP: f64 = 12.0;
/// The most that a factor may be.
const FACTOR_CLIP: f64 = 2.0;
/// The most that the factors may add to b.
const TILT_CLIP: f64 = 1.5;
/// The most that u² counts.
const SQUARE_CLIP: f64 = 16.0;
const FORGETTING: f64 = 0.9995;
const RIDGE: f64 = 30.0;
/// Rate of what is learned of a phase.
const PHASE_STEP: f64 = 0.03;

/// The spread of one forecast.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spread {
    /// Of the residual, in sigmas.
    pub scale: f64,
    /// b: the logarithm of its base.
    base: f64,
}

/// What is known when a spread is expected.
#[derive(Debug, Clone, Copy)]
pub struct SpreadInputs<'a> {
    /// Of the newest steps of the series.
    pub volatility: &'a RecentVolatility,
    /// Standardised values of the columns beside the target.
    pub others: &'a [f64],
    /// The phase of the target time, where the season has a table.
    pub phase: Option<usize>,
}

/// A spread whose residual has come.
#[derive(Debug, Clone, Copy)]
pub struct SpreadTruth<'a> {
    /// In sigmas.
    pub residual: f64,
    /// What had been expected.
    pub spread: &'a Spread,
    /// From which factors.
    pub factors: &'a [f32],
    /// The phase of the truth, where the season has a table.
    pub phase: Option<usize>,
    /// Windows from the forecast to its truth.
    pub horizon: Horizon,
    /// How much it tells, in (0, 1].
    pub weight: f64,
}

/// What is learned of the spread.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpreadModel {
    /// Of |residual|, one a rate.
    means: [f64; RATES.len()],
    /// Truths so far.
    count: u64,
    /// θ, then the triangle of its factors' inverse covariance.
    #[serde(with = "le_blob")]
    tilt: Box<[f32]>,
    /// How much larger residuals are at each phase of the season: mean logarithms.
    #[serde(with = "le_blob")]
    phases: Box<[f32]>,
}

/// How many factors there are beside `others` columns. `phases`: of the season, 0 without.
pub fn factors_of(others: usize, phases: usize) -> usize {
    1 + RATES.len() + RecentVolatility::LEN + others + usize::from(phases > 0)
}

/// How the factors' covariance forgets. Of residuals that overlap by h windows each tells an h-th
/// of what it seems to, and that of a slower change.
fn forgetting(horizon: Horizon) -> Forgetting {
    let horizon = f64::from(horizon);
    Forgetting { factor: FORGETTING, ridge: RIDGE * horizon * horizon.sqrt() }
}

impl Spread {
    /// The spread before its factors, in sigmas.
    pub fn usual(&self) -> f64 {
        libm::exp(self.base)
    }

    /// The nearest single precision numbers, to be kept.
    pub fn to_singles(self) -> [f32; 2] {
        [self.scale as f32, self.base as f32]
    }

    /// What was kept.
    pub fn of_singles([scale, base]: [f32; 2]) -> Self {
        Spread { scale: f64::from(scale), base: f64::from(base) }
    }
}

/// b of the means' logarithms.
fn base(logs: &[f64; RATES.len()]) -> f64 {
    logs.iter().zip(BASE).map(|(log, share)| log * share).sum()
}

impl SpreadModel {
    /// A model that expects the spread of a standard normal.
    pub fn new(others: usize, phases: usize, horizon: Horizon) -> Self {
        let factors = factors_of(others, phases);
        let mut tilt = vec![0.0; factors + inverse::places(factors)];
        inverse::begin(&mut tilt[factors..], factors, &forgetting(horizon));
        SpreadModel {
            means: [NORMAL_MEAN; RATES.len()],
            count: 0,
            tilt: tilt.into(),
            phases: vec![0.0; phases].into(),
        }
    }

    /// The spread of now before its factors, in sigmas.
    pub fn usual(&self) -> f64 {
        libm::exp(base(&self.logs()).clamp(-BASE_CLIP, BASE_CLIP))
    }

    /// The logarithms of the means.
    fn logs(&self) -> [f64; RATES.len()] {
        self.means.map(|mean| libm::log(mean / NORMAL_MEAN))
    }

    /// Truths so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The spread to expect of the next forecast; writes the factors that it comes from.
    pub fn predict(&self, inputs: SpreadInputs<'_>, factors: &mut [f32]) -> Spread {
        let logs = self.logs();
        let base = base(&logs);
        let clip = |value: f64| value.clamp(-FACTOR_CLIP, FACTOR_CLIP) as f32;

        let steps = inputs.volatility.means();
        let all = [1.0]
            .into_iter()
            .chain(logs.iter().map(|log| clip(log - base)))
            .chain(steps.iter().map(|mean| clip(libm::log(mean / NORMAL_MEAN))))
            .chain(inputs.others.iter().map(|z| clip(z.clamp(-5.0, 5.0) / 2.0)))
            .chain(self.phase_factor(inputs.phase).map(clip));
        factors.iter_mut().zip(all).for_each(|(to, factor)| *to = factor);

        let weighed = self.tilt.iter().zip(factors.iter());
        let tilt: f64 = weighed.map(|(&tilt, &factor)| f64::from(tilt) * f64::from(factor)).sum();
        let base = base.clamp(-BASE_CLIP, BASE_CLIP);
        Spread { scale: libm::exp(base + tilt.clamp(-TILT_CLIP, TILT_CLIP)), base }
    }

    /// How much larger residuals are at a phase than in the mean over phases.
    fn phase_factor(&self, phase: Option<usize>) -> Option<f64> {
        let phases = &self.phases;
        let phase = phase.filter(|_| !phases.is_empty())?;
        let mean = phases.iter().map(|&log| f64::from(log)).sum::<f64>() / phases.len() as f64;
        Some(f64::from(phases[phase]) - mean)
    }

    /// Learns from the truth of a forecast.
    pub fn learn(&mut self, truth: &SpreadTruth<'_>) {
        let SpreadTruth { residual, spread, phase, weight, .. } = *truth;
        let u = residual / spread.scale;
        let factors: Vec<f64> = truth.factors.iter().map(|&factor| f64::from(factor)).collect();
        let excess = 0.5 * ((u * u).min(SQUARE_CLIP) - 1.0);
        let (tilts, covariance) = self.tilt.split_at_mut(factors.len());
        for (tilt, gain) in tilts.iter_mut().zip(inverse::gain(covariance, &factors)) {
            *tilt = (f64::from(*tilt) + weight * excess * gain) as f32;
        }
        inverse::absorb(covariance, &factors, &forgetting(truth.horizon));

        if let Some(log) = phase.and_then(|phase| self.phases.get_mut(phase)) {
            let ratio = residual.abs() / (NORMAL_MEAN * libm::exp(spread.base));
            let before = f64::from(*log);
            *log = (before + weight * PHASE_STEP * (libm::log(ratio.clamp(0.05, 4.0)) - before)) as f32;
        }

        self.count += 1;
        let at_first = rate_at_first(self.count);
        let slower = f64::from(truth.horizon).sqrt();
        for (mean, rate) in self.means.iter_mut().zip(RATES) {
            follow(mean, residual.abs(), weight * (rate / slower).max(at_first));
        }
    }
}
