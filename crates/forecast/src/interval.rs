//! Prediction intervals of one series and horizon: quantiles of past residuals, each in units of
//! the spread that was expected of it (`spread.rs`), and a conformal correction that makes the
//! published bounds miss as often as they claim.
//! It must not know what made the forecast: residuals in, bounds out, in units of sigma_h.
//!
//! Where the network has quantile heads (`loss: pinball`), their bounds take the quantiles' place.
//! They are widened by the quantile of what they missed by: `s = max(lower - y, y - upper)`
//! (Romano, Patterson and Candès 2019).
//!
//! **Correction** (conformal PID, Angelopoulos, Candès and Tibshirani 2023), for each level with
//! miss rate α = 1 - level:
//!
//! - **P**: `q += η·s·(miss - α)`. It guarantees the long-run miss rate. s is a fixed scale, the
//!   mean |u| of a normal, not the current one: the current one is large exactly when misses
//!   happen, which gave 95 % instead of 90 %. While the series stands still s shrinks, so that hits
//!   do not wind q up.
//! - **I**: m = the miss rate minus α over about 250 truths. Both sides are widened by
//!   `exp(clamp(0.3·√h·m/α, -0.1, 0.3))`; √h because misses h windows ahead come in runs. It limits
//!   short bad runs.
//! - Limit: 24 windows ahead, 24 forecasts are already out when the first miss is known. The worst
//!   coverage of 250 windows is 78 % (69 % without I).
//!
//! The other correction, DtACI (`dtaci.rs`), asks for other quantiles instead.
//!
//! **A scale that changes.** Residuals of a forecast that was made before the change are many
//! spreads long, as many as the new spread has of the old. As quantiles they would multiply the new
//! spread, too. So a residual counts as one of a spread at most 1.5 times smaller than that of now.
//! And no bound is further from the forecast than 1.25 of the largest of the newest 512 residuals,
//! in the target's unit: further away nothing has been.
//!
//! **Overlap.** Residuals h windows ahead overlap. So η shrinks with h^-1/4, and one residual in √h
//! is kept: the quantiles are of as many independent residuals as that leaves. The golden ratio
//! chooses them, so that they are never in step with a season.
//!
//! **A jump.** When the level shifts, the h forecasts that are out all miss by the same jump. It is
//! one event, so the k-th large residual in a row on one side counts 1/√k (`one_sided.rs`).

use serde::{Deserialize, Serialize};

use super::dtaci::Dtaci;
use super::largest::LargestLately;
use super::one_sided::OneSidedRun;
use super::ring::Ring;
use super::spread::{Spread, SpreadInputs, SpreadModel, SpreadTruth};
use super::volatility::{JUMP, NORMAL_MEAN};
use crate::horizon::Horizon;
use crate::spec::Correction;

/// Quantiles of the standard normal at (i + 1/2) / 20: what is believed before there are residuals.
const PRIOR: [f32; 10] = [
    0.062_707, 0.189_118, 0.318_639, 0.453_762, 0.597_760, 0.755_415, 0.934_589, 1.150_349, 1.439_531,
    1.959_964,
];

/// The most that |residual| may be, in sigmas.
const RESIDUAL_CLIP: f64 = 40.0;
/// How much smaller than the spread of now the spread of a residual counts at least.
const OUTGROWN: f64 = 1.5;
/// How far a bound may be from the forecast, in the largest of the newest residuals.
const FURTHEST: f64 = 1.25;
/// η at one window ahead.
const STEP: f64 = 0.01;
/// How much m widens at one window ahead.
const WIDEN: f64 = 0.3;
/// The logarithm of the most that m makes an interval narrower.
const NARROWEST: f64 = -0.1;
/// The logarithm of the most that m makes an interval wider.
const WIDEST: f64 = 0.3;
/// The largest rate of m.
const EXCESS_STEP: f64 = 0.004;
/// Rate of m in miss rates: where misses are rare, a few of them tell nothing.
const EXCESS_SHARE: f64 = 0.04;
/// 2^32 divided by the golden ratio.
const GOLDEN: u32 = 2_654_435_769;

/// What the intervals of a horizon are for.
#[derive(Debug, Clone, Copy)]
pub struct IntervalShape<'a> {
    /// Ascending.
    pub levels: &'a [f64],
    /// Which of the corrections.
    pub correction: Correction,
    /// Whether the network gives intervals of its own.
    pub has_heads: bool,
    /// In windows.
    pub horizon: Horizon,
    /// Columns beside the target.
    pub others: usize,
    /// Phases in the table of the season; 0 without.
    pub phases: usize,
}

/// A forecast whose truth has come.
#[derive(Debug, Clone, Copy)]
pub struct IntervalTruth<'a> {
    /// In sigmas.
    pub residual: f64,
    /// sigma_h when the forecast was made.
    pub sigma: f64,
    /// sigma_h now.
    pub sigma_now: f64,
    /// The spread that had been expected.
    pub spread: &'a Spread,
    /// The factors that the spread came from.
    pub factors: &'a [f32],
    /// The network's own bounds, one pair a level, in units of the spread; none where it has none.
    pub heads: &'a [(f64, f64)],
    /// The levels, and for each whether the published interval missed.
    pub levels: &'a [f64],
    /// As the levels.
    pub missed: &'a [bool],
    /// The phase of the truth, where the season has a table.
    pub phase: Option<usize>,
    /// Windows from the forecast to its truth.
    pub horizon: Horizon,
}

/// What the misses of a level have led to.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Misses {
    /// q, in units of the spread.
    correction: f64,
    /// m: how much more often than it claims it has missed lately.
    excess: f64,
}

/// The intervals of one horizon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IntervalTracker {
    /// Residuals in units of their spreads.
    residuals: Ring,
    /// Of each level, by how much the network's own interval missed; empty where it has none.
    excesses: Box<[Ring]>,
    /// Of each level; zeros where `dtaci` corrects.
    misses: Box<[Misses]>,
    /// Of each level, where it corrects.
    dtaci: Box<[Dtaci]>,
    /// Of |u|.
    mean: f64,
    /// |residuals| in the target's unit.
    lately: LargestLately,
    /// Of residuals in units of their spreads.
    run: OneSidedRun,
    spread: SpreadModel,
}

impl IntervalTracker {
    /// Intervals of a standard normal.
    pub fn new(shape: &IntervalShape<'_>) -> Self {
        let levels = shape.levels;
        let newest = match shape.correction {
            Correction::PTracker => 0,
            Correction::Dtaci => newer(shape.horizon),
        };
        let prior =
            |signs: [f32; 2]| Ring::of(PRIOR.iter().flat_map(|&z| signs.map(|sign| sign * z)), newest);
        IntervalTracker {
            residuals: prior([-1.0, 1.0]),
            // A network that knows nothing has intervals without width.
            excesses: vec![prior([1.0, 1.0]); if shape.has_heads { levels.len() } else { 0 }].into(),
            misses: vec![Misses::default(); levels.len()].into(),
            dtaci: match shape.correction {
                Correction::PTracker => Box::default(),
                Correction::Dtaci => levels.iter().map(|&level| Dtaci::new(level)).collect(),
            },
            mean: NORMAL_MEAN,
            lately: LargestLately::default(),
            run: OneSidedRun::default(),
            spread: SpreadModel::new(shape.others, shape.phases, shape.horizon),
        }
    }

    /// The spread to expect of the next forecast; writes the factors that it comes from.
    pub fn spread(&self, inputs: SpreadInputs<'_>, factors: &mut [f32]) -> Spread {
        self.spread.predict(inputs, factors)
    }

    /// Bounds around the forecast for each of the ascending `levels`, in units of the spread; the
    /// outer hold the inner. `heads`: the network's own, in the same units; none where it has none.
    /// `unit`: the spread in the target's unit.
    pub fn bounds(
        &self,
        levels: &[f64],
        heads: &[(f64, f64)],
        horizon: Horizon,
        unit: f64,
    ) -> Vec<(f64, f64)> {
        let widen = WIDEN * f64::from(horizon).sqrt();
        let mut bounds: Vec<(f64, f64)> = Vec::with_capacity(levels.len());
        for (at, &level) in levels.iter().enumerate().take(self.misses.len()) {
            let (lower, upper) = self.corrected(at, level, heads);
            let middle = 0.5 * (lower + upper);
            let wider = (widen * (self.misses[at].excess / (1.0 - level))).clamp(NARROWEST, WIDEST);
            let half = 0.5 * (upper - lower).max(0.0) * libm::exp(wider);

            let (mut lower, mut upper) = (middle - half, middle + half);
            let most = self.furthest(level) / unit;
            (lower, upper) = (lower.clamp(-most, most), upper.clamp(-most, most));
            if let Some(&(inner_lower, inner_upper)) = bounds.last() {
                (lower, upper) = (inner_lower.min(lower), inner_upper.max(upper));
            }
            bounds.push((lower, upper));
        }
        bounds
    }

    /// How far from the forecast a bound of this level may be, in the target's unit. Before a miss
    /// can be expected among the residuals there is no limit.
    fn furthest(&self, level: f64) -> f64 {
        let expects_miss = self.lately.count() as f64 * (1.0 - level) >= 1.0;
        if expects_miss { FURTHEST * self.lately.largest() } else { f64::INFINITY }
    }

    /// The bounds of the level with index `at`, corrected by P or by DtACI.
    fn corrected(&self, at: usize, level: f64, heads: &[(f64, f64)]) -> (f64, f64) {
        let correction = self.misses[at].correction;
        let level = self.dtaci.get(at).map_or(level, |dtaci| 1.0 - dtaci.alpha());
        if let (Some((lower, upper)), Some(excesses)) = (heads.get(at), self.excesses.get(at)) {
            let wider = excesses.quantile(level) + correction;
            return (lower - wider, upper + wider);
        }

        let tail = (1.0 - level) / 2.0;
        (self.residuals.quantile(tail) - correction, self.residuals.quantile(1.0 - tail) + correction)
    }

    /// Learns from the truth of a forecast.
    pub fn learn(&mut self, truth: &IntervalTruth<'_>) {
        let IntervalTruth { spread, factors, phase, horizon, .. } = *truth;
        let residual = truth.residual.clamp(-RESIDUAL_CLIP, RESIDUAL_CLIP);
        let outgrown = self.outgrown(truth);
        let u = outgrown * (residual / spread.scale);
        self.lately.push((truth.residual * truth.sigma).abs());
        // Before this residual is among the others.
        if self.dtaci.is_empty() {
            self.follow_misses(truth);
        } else {
            self.tune_dtaci(u, outgrown, truth);
        }

        let weight = self.run.push(u, horizon);
        let drawn = (self.spread.count() as u32).wrapping_add(1).wrapping_mul(GOLDEN);
        if f64::from(drawn) < weight * f64::from(u32::MAX) / f64::from(horizon).sqrt() {
            self.residuals.push(u as f32);
            for (excesses, &head) in self.excesses.iter_mut().zip(truth.heads) {
                excesses.push(excess(head, u, outgrown));
            }
        }

        self.mean += STEP * (u.abs().min(JUMP * NORMAL_MEAN) - self.mean);
        self.spread.learn(&SpreadTruth { residual, spread, factors, phase, horizon, weight });
    }

    /// What a residual is multiplied by where the spread has outgrown the one that it was expected
    /// with: 1, or as much as makes it one of a spread that is [`OUTGROWN`] times too small.
    fn outgrown(&self, truth: &IntervalTruth<'_>) -> f64 {
        let then = truth.sigma * truth.spread.usual();
        let now = truth.sigma_now * self.spread.usual();
        (OUTGROWN * then / now).min(1.0)
    }

    /// P and I.
    fn follow_misses(&mut self, truth: &IntervalTruth<'_>) {
        let overlap = f64::from(truth.horizon).sqrt();
        let step = STEP / overlap.sqrt() * NORMAL_MEAN.min(2.0 * self.mean);
        let levels = truth.levels.iter().zip(truth.missed);
        for (misses, (level, &missed)) in self.misses.iter_mut().zip(levels) {
            let Misses { correction, excess: miss_excess } = misses;
            let excess = f64::from(u8::from(missed)) - (1.0 - level);
            *correction = (*correction + step * excess).clamp(-2.0, 8.0);
            *miss_excess += EXCESS_STEP.min(EXCESS_SHARE * (1.0 - level)) * (excess - *miss_excess);
        }
    }

    fn tune_dtaci(&mut self, u: f64, outgrown: f64, truth: &IntervalTruth<'_>) {
        let horizon = truth.horizon;
        // Among those that were known when the forecast was made: the newer ones overlap with it.
        let newer = newer(horizon) as usize;
        for (at, dtaci) in self.dtaci.iter_mut().enumerate() {
            let held_at = match (self.excesses.get(at), truth.heads.get(at)) {
                (Some(excesses), Some(&head)) => 1.0 - excesses.share_below(excess(head, u, outgrown), newer),
                _ => {
                    let below = self.residuals.share_below(u as f32, newer);
                    2.0 * below.min(1.0 - below)
                }
            };
            dtaci.update(held_at, horizon);
        }
    }
}

/// Residuals that come between a forecast and its own, of those that are kept.
fn newer(horizon: Horizon) -> u32 {
    (f64::from(horizon.0 - 1) / f64::from(horizon).sqrt()).ceil() as u32
}

/// By how much an interval of the network's missed; below zero where it held. `outgrown`: what u
/// was multiplied by.
fn excess((lower, upper): (f64, f64), u: f64, outgrown: f64) -> f32 {
    (outgrown * lower - u).max(u - outgrown * upper) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spread::factors_of;
    use crate::volatility::RecentVolatility;

    const LEVELS: [f64; 3] = [0.5, 0.8, 0.9];
    const BOTH: [Correction; 2] = [Correction::PTracker, Correction::Dtaci];

    /// An interval without other columns and seasons, with what its forecasts have in common.
    struct Fixture<'a> {
        shape: IntervalShape<'a>,
        interval: IntervalTracker,
        volatility: RecentVolatility,
        factors: Vec<f32>,
        /// The newest spread.
        unit: f64,
    }

    impl<'a> Fixture<'a> {
        fn new(shape: IntervalShape<'a>) -> Self {
            Fixture {
                shape,
                interval: IntervalTracker::new(&shape),
                volatility: RecentVolatility::default(),
                factors: vec![0.0; factors_of(shape.others, shape.phases)],
                unit: 1.0,
            }
        }

        fn spread(&mut self, others: &[f64], phase: Option<usize>) -> Spread {
            let inputs = SpreadInputs { volatility: &self.volatility, others, phase };
            let spread = self.interval.spread(inputs, &mut self.factors);
            self.unit = spread.scale;
            spread
        }

        fn bounds(&self, heads: &[(f64, f64)]) -> Vec<(f64, f64)> {
            self.interval.bounds(self.shape.levels, heads, self.shape.horizon, self.unit)
        }

        fn learn(&mut self, residual: f64, spread: &Spread, missed: &[bool]) {
            self.learn_with(residual, spread, missed, &[], None);
        }

        fn learn_with(
            &mut self,
            residual: f64,
            spread: &Spread,
            missed: &[bool],
            heads: &[(f64, f64)],
            phase: Option<usize>,
        ) {
            let IntervalShape { levels, horizon, .. } = self.shape;
            let factors = &self.factors;
            self.interval.learn(&IntervalTruth {
                residual,
                sigma: 1.0,
                sigma_now: 1.0,
                spread,
                factors,
                heads,
                levels,
                missed,
                phase,
                horizon,
            });
        }
    }

    fn shape(levels: &[f64], correction: Correction, horizon: Horizon) -> IntervalShape<'_> {
        IntervalShape { levels, correction, has_heads: false, horizon, others: 0, phases: 0 }
    }

    fn draw(n: u64) -> f64 {
        ((n * 7919 + 13) % 1009) as f64 / 504.5 - 1.0
    }

    /// Feeds residuals, and returns how often each level's interval held them, in the last half.
    fn coverage(correction: Correction, residuals: &[f64], horizon: Horizon) -> Vec<f64> {
        let mut fixture = Fixture::new(shape(&LEVELS, correction, horizon));
        let mut held = vec![0.0; LEVELS.len()];
        for (at, &residual) in residuals.iter().enumerate() {
            let spread = fixture.spread(&[], None);
            let bounds = fixture.bounds(&[]);
            let u = residual / spread.scale;
            let missed: Vec<bool> = bounds.iter().map(|(lower, upper)| u < *lower || *upper < u).collect();
            if at >= residuals.len() / 2 {
                missed.iter().zip(&mut held).for_each(|(missed, held)| *held += f64::from(u8::from(!missed)));
            }
            fixture.learn(residual, &spread, &missed);
        }
        held.iter().map(|held| held / (residuals.len() - residuals.len() / 2) as f64).collect()
    }

    #[test]
    fn before_any_residual_the_interval_is_the_normal_one() {
        let mut fixture = Fixture::new(shape(&[0.9], Correction::PTracker, Horizon(1)));
        let spread = fixture.spread(&[], None);
        let (lower, upper) = fixture.bounds(&[])[0];
        assert_eq!(spread.scale, 1.0);
        assert!((upper - 1.645).abs() < 0.3 && (lower + upper).abs() < 1e-6, "{lower} {upper}");
    }

    #[test]
    fn levels_are_kept_where_the_spread_changes_all_the_time() {
        let calm_and_wild = |n: u64| draw(n) * if (n / 300).is_multiple_of(2) { 0.3 } else { 3.0 };
        let residuals: Vec<f64> = (0..6000).map(calm_and_wild).collect();
        for (correction, horizon) in
            BOTH.into_iter().flat_map(|correction| [(correction, Horizon(1)), (correction, Horizon(6))])
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
        let covers = BOTH.map(|correction| coverage(correction, &residuals, Horizon(1))[2]);
        assert!(covers.iter().all(|&covers| covers > 0.88), "{covers:?}");
    }

    #[test]
    fn misses_in_a_row_widen_it_within_limits_and_hits_narrow_it_again() {
        let mut fixture = Fixture::new(shape(&[0.9], Correction::PTracker, Horizon(6)));
        let mut learn = |n: u64, missed: bool| {
            let spread = fixture.spread(&[], None);
            fixture.learn(draw(n), &spread, &[missed]);
            let (lower, upper) = fixture.bounds(&[])[0];
            upper - lower
        };
        let before = (0..1000).fold(0.0, |_, n| learn(n, n % 10 == 0));
        let most = (1000..1040).fold(0.0, |_, n| learn(n, true));
        // The residuals themselves are as before: e^0.3, and 40 steps of the tracker.
        assert!(1.3 * before < most && most < 1.6 * before, "{before} {most}");
        let after = (1040..2000).fold(0.0, |_, n| learn(n, n % 20 == 0));
        assert!(after < before, "{before} {after}");
    }

    #[test]
    fn heads_that_are_too_narrow_or_too_wide_are_corrected() {
        for (correction, width) in
            BOTH.into_iter().flat_map(|correction| [0.0, 0.3, 5.0].map(|width| (correction, width)))
        {
            let shape = IntervalShape { has_heads: true, ..shape(&[0.8], correction, Horizon(1)) };
            let mut fixture = Fixture::new(shape);
            let mut held = 0.0f64;
            for n in 0..4000 {
                let spread = fixture.spread(&[], None);
                let heads = [(-width / spread.scale, width / spread.scale)];
                let (lower, upper) = fixture.bounds(&heads)[0];
                let u = draw(n) / spread.scale;
                let missed = u < lower || upper < u;
                held += if n >= 2000 && !missed { 1.0 } else { 0.0 };
                fixture.learn_with(draw(n), &spread, &[missed], &heads, None);
            }
            assert!((held / 2000.0 - 0.8).abs() < 0.02, "{correction:?} {width}: {held}");
        }
    }

    proptest! {
        #[test]
        fn bounds_never_cross_and_hold_each_other(residuals in proptest::collection::vec(-1e3..1e3f64, 1..400)) {
            let shape = IntervalShape { others: 1, phases: 4, ..shape(&LEVELS, Correction::Dtaci, Horizon(3)) };
            let mut fixture = Fixture::new(shape);
            for (at, residual) in residuals.into_iter().enumerate() {
                fixture.volatility.update(residual.abs());
                let spread = fixture.spread(&[residual], Some(at % 4));
                prop_assert!(spread.scale.is_finite() && spread.scale > 0.0);
                let bounds = fixture.bounds(&[]);
                prop_assert!(bounds.iter().all(|(lower, upper)| lower <= upper));
                prop_assert!(bounds.windows(2).all(|pair| pair[1].0 <= pair[0].0 && pair[0].1 <= pair[1].1));
                let missed = [at % 2 == 0, true, at % 9 == 0];
                fixture.learn_with(residual, &spread, &missed, &[], Some(at % 4));
            }
            let interval = fixture.interval;
            let again: IntervalTracker = postcard::from_bytes(&postcard::to_stdvec(&interval).unwrap()).unwrap();
            prop_assert_eq!(again.residuals, interval.residuals);
        }
    }
}
