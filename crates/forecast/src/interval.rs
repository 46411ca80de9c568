//! Prediction intervals of one series and horizon: quantiles of past residuals, each in units of the spread that was
//! expected of it, and a conformal correction that makes the published bounds miss as often as they claim.
//! It must not know what made the forecast: residuals in, bounds out, in units of sigma_h.
//!
//! - The spread is `exp(b + θ·f)`: b a geometric mean of a fast and two slow means of |residual|, f how five means of other
//!   memories, the newest steps, the other columns and the season's phase differ from it. θ learns the second moment:
//!   `θ += G f (u² - 1) / 2`, u the residual in units of the spread.
//! - Where the network has quantile heads (`loss: pinball`), their bounds take the quantiles' place, wider by the quantile of
//!   what they missed by: `s = max(lower - y, y - upper)` (Romano, Patterson and Candès 2019).
//! - One correction or the other: DtACI asks for other quantiles (`dtaci.rs`); the default follows the misses (Angelopoulos, Candès and Tibshirani 2023, the P-tracker): `q += η s (missed - (1 - level))`,
//!   s the mean |u| of a normal: the present one would be large just when misses come, and weigh them more than the hits. While
//!   nothing moves it is small, or hits without end would wind q up.
//! - Beside the default an integrator with a saturation (the I of the same paper's PID): where an interval has missed more often
//!   than it claims over some 250 truths, m, both bounds go out from their middle by `exp(clamp(k m / (1 - level), -0.1, 0.3))`.
//! - Residuals h windows ahead overlap. k grows with √h, because misses come in runs; η shrinks with h^-1/4; and one
//!   residual in √h is kept, for the quantiles to be of as many independent ones as that leaves. Which ones, the golden ratio
//!   says: never in step with a season.

use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use super::dtaci::Dtaci;
use super::gain::InverseCovariance;
use super::ring::Ring;
use crate::spec::Correction;

/// Quantiles of the standard normal at (i + 1/2) / 20: what is believed before residuals tell better. They leave
/// the ring first.
const PRIOR: [f32; 10] = [
    0.062_707, 0.189_118, 0.318_639, 0.453_762, 0.597_760, 0.755_415, 0.934_589, 1.150_349, 1.439_531,
    1.959_964,
];

/// The mean |residual| of a standard normal, about.
const MEAN: f64 = 0.8;
/// Rates of the means of |residual|, at one window ahead; what is further ahead changes more slowly.
const RATES: [f64; 5] = [0.3, 0.1, 0.03, 0.01, 0.002];
/// Shares of them in the base.
const BASE: [f64; 5] = [0.0, 0.5, 0.0, 0.3, 0.2];
/// A new residual counts at most so many means, in each of them.
const JUMP: f64 = 6.0;
/// No mean of |residual| is below this part of sigma.
const LEAST: f64 = 1e-3;
const RESIDUAL_CLIP: f64 = 40.0;
/// Of factors, and of what they do to the spread.
const FACTOR_CLIP: f64 = 2.0;
const TILT_CLIP: f64 = 1.5;
const BASE_CLIP: f64 = 12.0;
const FORGETTING: f64 = 0.9995;
const RIDGE: f64 = 30.0;
/// η at one window ahead.
const STEP: f64 = 0.01;
const PHASE_STEP: f64 = 0.03;
/// k at one window ahead.
const WIDEN: f64 = 0.3;
const NARROWEST: f64 = -0.1;
const WIDEST: f64 = 0.3;
/// Rate of m; slower for levels of which so few misses would tell nothing.
const STRAIN_STEP: f64 = 0.004;
const STRAIN_SHARE: f64 = 0.04;
/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 2_654_435_769;

/// A mean that starts quickly and takes no jump whole.
fn follow(mean: &mut f64, value: f64, rate: f64) {
    *mean = (*mean + rate * (value.min(JUMP * *mean) - *mean)).max(LEAST);
}

/// Means of the newest steps of a series, in units of sigma_1: they are fresher than any residual.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecentVolatility {
    means: [f64; 2],
    seen: u64,
}

const FRESH_RATES: [f64; 2] = [0.2, 0.03];

impl Default for RecentVolatility {
    fn default() -> Self {
        RecentVolatility { means: [MEAN; 2], seen: 0 }
    }
}

impl RecentVolatility {
    /// Takes in the size of a step.
    pub fn update(&mut self, step: f64) {
        self.seen += 1;
        let at_first = 1.0 / (self.seen + 4) as f64;
        self.means
            .iter_mut()
            .zip(FRESH_RATES)
            .for_each(|(mean, rate)| follow(mean, step, rate.max(at_first)));
    }
}

/// What a forecast's interval was made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Of residuals, in sigmas.
    pub scale: f64,
    /// The logarithm of its base.
    base: f64,
}

/// The intervals of one horizon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IntervalTracker {
    /// Residuals in units of their spreads.
    residuals: Ring,
    /// Of each level, by how much the network's own interval missed; empty where it has none.
    excesses: Vec<Ring>,
    /// Of each level, in units of the spread; zeros where `dtaci` corrects.
    corrections: Vec<f64>,
    /// m of each level: how much more often than it claims it has missed lately; zeros where `dtaci` corrects.
    miss_excess: Vec<f64>,
    /// Of each level, where it corrects.
    dtaci: Vec<Dtaci>,
    /// Of |u|.
    mean: f64,
    means: [f64; 5],
    seen: u64,
    /// θ.
    tilt: DVector<f64>,
    gain: InverseCovariance,
    /// How much larger residuals are at each phase of the season: mean logarithms.
    phases: Vec<f64>,
}

/// How many factors there are beside `others` columns. `phases`: of the season, 0 without.
pub fn factors_of(others: usize, phases: usize) -> usize {
    1 + RATES.len() + FRESH_RATES.len() + others + usize::from(phases > 0)
}

impl IntervalTracker {
    /// For ascending `levels`. `has_heads`: whether the network gives intervals of its own.
    pub fn new(
        levels: &[f64],
        (correction, has_heads): (Correction, bool),
        horizon: u32,
        (others, phases): (usize, usize),
    ) -> Self {
        let factors = factors_of(others, phases);
        let horizon = f64::from(horizon);
        // Residuals that overlap by h windows tell an h-th of what they seem to, and of a slower change.
        let gain = InverseCovariance::new(factors, FORGETTING, RIDGE * horizon * horizon.sqrt());
        // The tails leave first: real ones replace them best.
        let prior = |signs: [f32; 2]| Ring::of(PRIOR.iter().rev().flat_map(|&z| signs.map(|sign| sign * z)));
        IntervalTracker {
            residuals: prior([-1.0, 1.0]),
            // A network that knows nothing has intervals without width.
            excesses: vec![prior([1.0, 1.0]); if has_heads { levels.len() } else { 0 }],
            corrections: vec![0.0; levels.len()],
            miss_excess: vec![0.0; levels.len()],
            dtaci: match correction {
                Correction::PTracker => Vec::new(),
                Correction::Dtaci => levels.iter().map(|&level| Dtaci::new(level)).collect(),
            },
            mean: MEAN,
            means: [MEAN; 5],
            seen: 0,
            tilt: DVector::zeros(factors),
            gain,
            phases: vec![0.0; phases],
        }
    }

    /// The spread to expect of the next forecast; writes the factors that it comes from. `others`: the other columns' z.
    pub fn spread(
        &self,
        fresh: &RecentVolatility,
        others: &[f64],
        phase: Option<usize>,
        factors: &mut [f32],
    ) -> Spread {
        let IntervalTracker { means, tilt, phases, .. } = self;
        let logs = means.map(|mean| libm::log(mean / MEAN));
        let base: f64 = logs.iter().zip(BASE).map(|(log, share)| log * share).sum();
        let clip = |value: f64| value.clamp(-FACTOR_CLIP, FACTOR_CLIP) as f32;
        let phase = phase
            .filter(|_| !phases.is_empty())
            .map(|phase| phases[phase] - phases.iter().sum::<f64>() / phases.len() as f64);
        let all = [1.0]
            .into_iter()
            .chain(logs.iter().map(|log| clip(log - base)))
            .chain(fresh.means.iter().map(|mean| clip(libm::log(mean / MEAN))))
            .chain(others.iter().map(|z| clip(z.clamp(-5.0, 5.0) / 2.0)))
            .chain(phase.map(clip));
        factors.iter_mut().zip(all).for_each(|(to, factor)| *to = factor);
        let tilt: f64 = tilt.iter().zip(factors.iter()).map(|(tilt, &factor)| tilt * f64::from(factor)).sum();
        let base = base.clamp(-BASE_CLIP, BASE_CLIP);
        Spread { scale: libm::exp(base + tilt.clamp(-TILT_CLIP, TILT_CLIP)), base }
    }

    /// Bounds around the forecast for each of the ascending `levels`, in units of the spread; the outer hold the inner. `heads`:
    /// the network's own, in the same units; none where it has none.
    pub fn bounds(&self, levels: &[f64], heads: &[(f64, f64)], horizon: u32) -> Vec<(f64, f64)> {
        let widen = WIDEN * f64::from(horizon).sqrt();
        let mut bounds: Vec<(f64, f64)> = Vec::with_capacity(levels.len());
        for (at, (&level, correction)) in levels.iter().zip(&self.corrections).enumerate() {
            let strain = self.miss_excess[at] / (1.0 - level);
            let level = self.dtaci.get(at).map_or(level, |dtaci| 1.0 - dtaci.alpha());
            let (mut lower, mut upper) = match (heads.get(at), self.excesses.get(at)) {
                (Some((lower, upper)), Some(excesses)) => {
                    let wider = excesses.quantile(level) + correction;
                    (lower - wider, upper + wider)
                }
                _ => {
                    let tail = (1.0 - level) / 2.0;
                    (
                        self.residuals.quantile(tail) - correction,
                        self.residuals.quantile(1.0 - tail) + correction,
                    )
                }
            };
            let middle = 0.5 * (lower + upper);
            let half = 0.5 * (upper - lower).max(0.0) * libm::exp((widen * strain).clamp(NARROWEST, WIDEST));
            (lower, upper) = (middle - half, middle + half);
            if let Some(&(inner_lower, inner_upper)) = bounds.last() {
                (lower, upper) = (inner_lower.min(lower), inner_upper.max(upper));
            }
            bounds.push((lower, upper));
        }
        bounds
    }

    /// Learns from the truth of a forecast: its residual in sigmas, the spread and factors it had, the network's own bounds, and
    /// for each level, with the level, whether the published interval missed. `phase`: the truth's.
    pub fn learn(
        &mut self,
        residual: f64,
        (spread, factors, heads): (&Spread, &[f32], &[(f64, f64)]),
        missed: impl Iterator<Item = (f64, bool)>,
        (phase, horizon): (Option<usize>, u32),
    ) {
        let residual = residual.clamp(-RESIDUAL_CLIP, RESIDUAL_CLIP);
        let u = residual / spread.scale;
        self.correct(u, heads, missed, horizon);
        let drawn = (self.seen as u32).wrapping_add(1).wrapping_mul(GOLDEN);
        if f64::from(drawn) < f64::from(u32::MAX) / f64::from(horizon).sqrt() {
            self.residuals.push(u as f32);
            for (excesses, &head) in self.excesses.iter_mut().zip(heads) {
                excesses.push(excess(head, u));
            }
        }
        let IntervalTracker { mean, means, seen, tilt, gain, phases, .. } = self;
        *mean += STEP * (u.abs().min(JUMP * MEAN) - *mean);
        let factors = DVector::from_iterator(factors.len(), factors.iter().map(|&factor| f64::from(factor)));
        tilt.axpy(0.5 * ((u * u).min(16.0) - 1.0), &gain.direction(&factors), 1.0);
        gain.absorb(&factors);
        if let Some(log) = phase.and_then(|phase| phases.get_mut(phase)) {
            let ratio = residual.abs() / (MEAN * libm::exp(spread.base));
            *log += PHASE_STEP * (libm::log(ratio.clamp(0.05, 4.0)) - *log);
        }
        *seen += 1;
        let at_first = 1.0 / (*seen + 4) as f64;
        let slower = f64::from(horizon).sqrt();
        for (mean, rate) in means.iter_mut().zip(RATES) {
            follow(mean, residual.abs(), (rate / slower).max(at_first));
        }
    }

    /// One correction or the other, before this residual is among the others.
    fn correct(
        &mut self,
        u: f64,
        heads: &[(f64, f64)],
        missed: impl Iterator<Item = (f64, bool)>,
        horizon: u32,
    ) {
        let overlap = f64::from(horizon).sqrt();
        if self.dtaci.is_empty() {
            let step = STEP / overlap.sqrt() * MEAN.min(2.0 * self.mean);
            let corrections = self.corrections.iter_mut().zip(&mut self.miss_excess);
            for ((correction, strain), (level, missed)) in corrections.zip(missed) {
                let excess = f64::from(u8::from(missed)) - (1.0 - level);
                *correction = (*correction + step * excess).clamp(-2.0, 8.0);
                *strain += STRAIN_STEP.min(STRAIN_SHARE * (1.0 - level)) * (excess - *strain);
            }
            return;
        }
        // Among those that were known when it was made: the newer ones overlap with it.
        let newer = (f64::from(horizon - 1) / overlap).ceil() as usize;
        for (at, dtaci) in self.dtaci.iter_mut().enumerate() {
            let held_at = match (self.excesses.get(at), heads.get(at)) {
                (Some(excesses), Some(&head)) => 1.0 - excesses.share_below(excess(head, u), newer),
                _ => {
                    let below = self.residuals.share_below(u as f32, newer);
                    2.0 * below.min(1.0 - below)
                }
            };
            dtaci.update(held_at, horizon);
        }
    }
}

/// By how much an interval of the network's missed; below zero where it held.
fn excess((lower, upper): (f64, f64), u: f64) -> f32 {
    (lower - u).max(u - upper) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEVELS: [f64; 3] = [0.5, 0.8, 0.9];
    const BOTH: [Correction; 2] = [Correction::PTracker, Correction::Dtaci];

    /// Feeds residuals, and returns how often each level's interval held them, in the last half.
    fn coverage(correction: Correction, residuals: &[f64], horizon: u32) -> Vec<f64> {
        let mut interval = IntervalTracker::new(&LEVELS, (correction, false), horizon, (0, 0));
        let (fresh, mut factors) = (RecentVolatility::default(), vec![0.0; factors_of(0, 0)]);
        let mut held = vec![0.0; LEVELS.len()];
        for (at, &residual) in residuals.iter().enumerate() {
            let spread = interval.spread(&fresh, &[], None, &mut factors);
            let bounds = interval.bounds(&LEVELS, &[], horizon);
            let u = residual / spread.scale;
            let missed: Vec<bool> = bounds.iter().map(|(lower, upper)| u < *lower || *upper < u).collect();
            if at >= residuals.len() / 2 {
                missed.iter().zip(&mut held).for_each(|(missed, held)| *held += f64::from(u8::from(!missed)));
            }
            interval.learn(
                residual,
                (&spread, &factors, &[]),
                LEVELS.into_iter().zip(missed),
                (None, horizon),
            );
        }
        held.iter().map(|held| held / (residuals.len() - residuals.len() / 2) as f64).collect()
    }

    #[test]
    fn before_any_residual_the_interval_is_the_normal_one() {
        let interval = IntervalTracker::new(&[0.9], (Correction::PTracker, false), 1, (0, 0));
        let spread =
            interval.spread(&RecentVolatility::default(), &[], None, &mut vec![0.0; factors_of(0, 0)]);
        let (lower, upper) = interval.bounds(&[0.9], &[], 1)[0];
        assert_eq!(spread.scale, 1.0);
        assert!((upper - 1.645).abs() < 0.3 && (lower + upper).abs() < 1e-6, "{lower} {upper}");
    }

    #[test]
    fn levels_are_kept_where_the_spread_changes_all_the_time() {
        let draw = |n: u64| ((n * 7919 + 13) % 1009) as f64 / 504.5 - 1.0;
        let calm_and_wild = |n: u64| draw(n) * if (n / 300).is_multiple_of(2) { 0.3 } else { 3.0 };
        let residuals: Vec<f64> = (0..6000).map(calm_and_wild).collect();
        for (correction, horizon) in
            BOTH.into_iter().flat_map(|correction| [(correction, 1), (correction, 6)])
        {
            for (level, held) in LEVELS.iter().zip(coverage(correction, &residuals, horizon)) {
                assert!((held - level).abs() < 0.02, "{correction:?} {level}: {held}");
            }
        }
    }

    #[test]
    fn a_series_that_stood_still_is_covered_again_soon() {
        // The second half begins when a ring of residuals has passed since it moves.
        let residuals: Vec<f64> = (0..4000)
            .map(|n: u64| if n < 1500 { 0.0 } else { ((n * 37) % 101) as f64 / 50.0 - 1.0 })
            .collect();
        let covers = BOTH.map(|correction| coverage(correction, &residuals, 1)[2]);
        assert!(covers.iter().all(|&covers| covers > 0.88), "{covers:?}");
    }

    #[test]
    fn misses_in_a_row_widen_it_within_limits_and_hits_narrow_it_again() {
        let draw = |n: u64| ((n * 7919 + 13) % 1009) as f64 / 504.5 - 1.0;
        let mut interval = IntervalTracker::new(&[0.9], (Correction::PTracker, false), 6, (0, 0));
        let (fresh, mut factors) = (RecentVolatility::default(), vec![0.0; factors_of(0, 0)]);
        let mut learn = |interval: &mut IntervalTracker, n: u64, missed: bool| {
            let spread = interval.spread(&fresh, &[], None, &mut factors);
            interval.learn(draw(n), (&spread, &factors, &[]), [(0.9, missed)].into_iter(), (None, 6));
            let (lower, upper) = interval.bounds(&[0.9], &[], 6)[0];
            upper - lower
        };
        let before = (0..1000).fold(0.0, |_, n| learn(&mut interval, n, n % 10 == 0));
        let most = (1000..1040).fold(0.0, |_, n| learn(&mut interval, n, true));
        // The residuals themselves are as before: e^0.3, and 40 steps of the tracker.
        assert!(1.3 * before < most && most < 1.6 * before, "{before} {most}");
        let after = (1040..2000).fold(0.0, |_, n| learn(&mut interval, n, n % 20 == 0));
        assert!(after < before, "{before} {after}");
    }

    #[test]
    fn heads_that_are_too_narrow_or_too_wide_are_corrected() {
        let draw = |n: u64| ((n * 7919 + 13) % 1009) as f64 / 504.5 - 1.0;
        for (correction, width) in
            BOTH.into_iter().flat_map(|correction| [0.0, 0.3, 5.0].map(|width| (correction, width)))
        {
            let mut interval = IntervalTracker::new(&[0.8], (correction, true), 1, (0, 0));
            let (fresh, mut factors) = (RecentVolatility::default(), vec![0.0; factors_of(0, 0)]);
            let mut held = 0.0f64;
            for n in 0..4000 {
                let spread = interval.spread(&fresh, &[], None, &mut factors);
                let heads = [(-width / spread.scale, width / spread.scale)];
                let (lower, upper) = interval.bounds(&[0.8], &heads, 1)[0];
                let u = draw(n) / spread.scale;
                let missed = u < lower || upper < u;
                held += if n >= 2000 && !missed { 1.0 } else { 0.0 };
                interval.learn(draw(n), (&spread, &factors, &heads), [(0.8, missed)].into_iter(), (None, 1));
            }
            assert!((held / 2000.0 - 0.8).abs() < 0.02, "{correction:?} {width}: {held}");
        }
    }

    proptest! {
        #[test]
        fn bounds_never_cross_and_hold_each_other(residuals in proptest::collection::vec(-1e3..1e3f64, 1..400)) {
            let mut interval = IntervalTracker::new(&LEVELS, (Correction::Dtaci, false), 3, (1, 4));
            let (mut fresh, mut factors) = (RecentVolatility::default(), vec![0.0; factors_of(1, 4)]);
            for (at, residual) in residuals.into_iter().enumerate() {
                fresh.update(residual.abs());
                let spread = interval.spread(&fresh, &[residual], Some(at % 4), &mut factors);
                prop_assert!(spread.scale.is_finite() && spread.scale > 0.0);
                let bounds = interval.bounds(&LEVELS, &[], 3);
                prop_assert!(bounds.iter().all(|(lower, upper)| lower <= upper));
                prop_assert!(bounds.windows(2).all(|pair| pair[1].0 <= pair[0].0 && pair[0].1 <= pair[1].1));
                let missed = LEVELS.into_iter().zip([at % 2 == 0, true, at % 9 == 0]);
                interval.learn(residual, (&spread, &factors, &[]), missed, (Some(at % 4), 3));
            }
            let again: IntervalTracker = postcard::from_bytes(&postcard::to_stdvec(&interval).unwrap()).unwrap();
            prop_assert_eq!(again.residuals, interval.residuals);
        }
    }
}
