//! The mixture of experts: each horizon of a series weighs them by how they did, with the delay
//! that its truths have.
//! It must not know what the experts are. Forecasts are moves from the last value in units of its
//! scale.
//!
//! **Three aggregations.** *Slow* (γ = 1) never forgets: best while nothing changes. *Fast* (γ =
//! 0.99) follows a change within dozens of windows, but is noisier. *Top* (γ = 0.98) mixes slow and
//! fast. In *slow*, naive has prior 0.5; the other experts share 0.5, so their learning-rate
//! constant must be larger (c = 3 ≈ ln(1/p)).
//!
//! **Loss.** Each aggregation learns from the gradient of a Huber loss at its own prediction m. So
//! an expert is judged by what more of it would have done for the mixture:
//! `r_k = clamp((m - y) / δ, ±1) (m - o_k)`. The Huber threshold δ is 0.6 × the mixture's own mean
//! error, and at most half a scale. After spikes the scale is large: with half of it as δ, ordinary
//! errors would lie in the quadratic part, and experts would be ranked by squared error.
//!
//! **Cost.** On random walks at most 0.3 % on the mean of twenty; a plain average costs 18 %.
//!
//! - BOA (Wintenberger 2017, its adaptive form with a rate each): `R_k = γ R_k + r_k - η_k r_k²`,
//!   `w_k ∝ p_k η_k exp(η_k R_k)`, `η_k = min(1 / max|r_k|, sqrt(c / V_k))`.
//! - ML-Poly (Gaillard, Stoltz and van Erven 2014): `R_k = γ R_k + r_k`, `w_k ∝ η_k (R_k)₊`,
//!   `η_k = 1 / (max r² + V_k)`; the prior while no regret is above zero.
//!
//! `V_k = γ V_k + h r_k²`: h regrets that overlap count as one.

use serde::{Deserialize, Serialize};

use super::scale::MeanError;
use crate::horizon::Horizon;
use crate::spec::MixtureRule;

/// The largest δ, in scales.
const DELTA: f64 = 0.5;
/// The least δ, in scales.
const LEAST_DELTA: f64 = 1e-3;
/// δ in the mixture's mean errors.
const DELTA_SHARE: f64 = 0.6;
/// Rate of the mean error.
const ERROR_RATE: f64 = 0.005;
/// Errors before their mean is known.
const KNOWN: u64 = 5;
/// A range or a variance below is none.
const LEAST: f64 = 1e-12;

/// How one aggregation is set.
#[derive(Debug, Clone, Copy)]
struct AggregationParams {
    /// Prior weight of the first one.
    first: f64,
    /// c of the learning rate.
    rate: f64,
    /// γ.
    memory: f64,
}

const SLOW: AggregationParams = AggregationParams { first: 0.5, rate: 3.0, memory: 1.0 };
const FAST: AggregationParams = AggregationParams { first: 0.5, rate: 1.0, memory: 0.99 };
const TOP: AggregationParams = AggregationParams { first: 0.8, rate: 2.0, memory: 0.98 };

impl AggregationParams {
    /// p_k of `len` experts.
    fn prior(&self, k: usize, len: usize) -> f64 {
        match (k, len) {
            (_, 1) => 1.0,
            (0, _) => self.first,
            _ => (1.0 - self.first) / (len - 1) as f64,
        }
    }
}

/// What one aggregation learns from.
struct AggregationTruth<'a> {
    rule: MixtureRule,
    /// The experts' moves.
    moves: &'a [f64],
    /// m: what the aggregation made of it.
    predicted: f64,
    /// y: what came.
    moved: f64,
    /// δ: where the loss turns straight.
    delta: f64,
    horizon: Horizon,
}

/// What one aggregation knows of an expert. Single precision: what is computed is computed in
/// double.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Share {
    weight: f32,
    /// R.
    regret: f32,
    /// V.
    variance: f32,
    /// Largest |r| so far.
    range: f32,
}

impl Share {
    /// η_k.
    fn eta(&self, params: &AggregationParams, rule: MixtureRule) -> f64 {
        let (range, variance) = (f64::from(self.range), f64::from(self.variance));
        match rule {
            MixtureRule::Boa => (1.0 / range.max(1e-9)).min((params.rate / variance.max(LEAST)).sqrt()),
            MixtureRule::MlPoly => 1.0 / (range * range + variance).max(LEAST),
        }
    }
}

/// What an aggregation of `len` experts believes at first.
fn priors(params: &AggregationParams, len: usize) -> impl Iterator<Item = Share> {
    (0..len).map(move |k| Share { weight: params.prior(k, len) as f32, ..Share::default() })
}

/// What an aggregation makes of its experts' moves.
fn aggregate(shares: &[Share], moves: impl Iterator<Item = f64>) -> f64 {
    shares.iter().zip(moves).map(|(share, moved)| f64::from(share.weight) * moved).sum()
}

impl AggregationParams {
    fn learn(&self, shares: &mut [Share], truth: &AggregationTruth<'_>) {
        let slope = ((truth.predicted - truth.moved) / truth.delta).clamp(-1.0, 1.0);
        for (share, expert) in shares.iter_mut().zip(truth.moves) {
            let r = slope * (truth.predicted - expert);
            share.range = share.range.max(r.abs() as f32);
            let variance = self.memory * f64::from(share.variance) + f64::from(truth.horizon) * r * r;
            share.variance = variance as f32;
            let correction = match truth.rule {
                MixtureRule::Boa => share.eta(self, truth.rule) * r * r,
                MixtureRule::MlPoly => 0.0,
            };
            share.regret = (self.memory * f64::from(share.regret) + r - correction) as f32;
        }

        self.weigh(shares, truth.rule);
    }

    fn weigh(&self, shares: &mut [Share], rule: MixtureRule) {
        let len = shares.len();
        let etas: Vec<f64> = shares.iter().map(|share| share.eta(self, rule)).collect();
        let scores: Vec<f64> =
            etas.iter().zip(&*shares).map(|(eta, share)| eta * f64::from(share.regret)).collect();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weight_of = |(k, score): (usize, &f64)| match rule {
            MixtureRule::Boa => self.prior(k, len) * etas[k] * libm::exp(score - best),
            MixtureRule::MlPoly => score.max(0.0),
        };

        let weights: Vec<f64> = scores.iter().enumerate().map(weight_of).collect();
        let total: f64 = weights.iter().sum();
        for (k, share) in shares.iter_mut().enumerate() {
            share.weight = if total > 0.0 { weights[k] / total } else { self.prior(k, len) } as f32;
        }
    }
}

/// The move that each aggregation predicts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MixtureOutput {
    slow: f64,
    fast: f64,
    top: f64,
    /// The mixture's move.
    pub mixed: f64,
}

impl MixtureOutput {
    /// The nearest single precision numbers, to be kept.
    pub fn to_singles(self) -> [f32; 4] {
        [self.slow, self.fast, self.top, self.mixed].map(|moved| moved as f32)
    }

    /// What was kept.
    pub fn of_singles(singles: [f32; 4]) -> Self {
        let [slow, fast, top, mixed] = singles.map(f64::from);
        MixtureOutput { slow, fast, top, mixed }
    }
}

/// What a mixture learns from.
#[derive(Debug, Clone, Copy)]
pub struct MixtureTruth<'a> {
    /// What the mixture had predicted.
    pub output: &'a MixtureOutput,
    /// The experts' moves.
    pub moves: &'a [f32],
    /// The move that came.
    pub moved: f64,
    /// Windows from the forecast to its truth.
    pub horizon: Horizon,
}

/// The mixture of one horizon of a series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mixture {
    /// Slow's and fast's of each expert, then top's of slow and fast.
    shares: Box<[Share]>,
    /// Of the mixture.
    errors: MeanError,
}

impl Mixture {
    /// A mixture of `len` experts. Until the first truth the first expert forecasts alone. Later it
    /// is believed until others prove better.
    pub fn new(len: usize) -> Self {
        let shares = priors(&SLOW, len).chain(priors(&FAST, len)).chain(priors(&TOP, 2));
        Mixture { shares: shares.collect(), errors: MeanError::default() }
    }

    /// Of slow, fast and top.
    fn shares(&self) -> [&[Share]; 3] {
        let (experts, top) = self.shares.split_at(self.shares.len() - 2);
        let (slow, fast) = experts.split_at(experts.len() / 2);
        [slow, fast, top]
    }

    /// Mixes the experts' moves.
    pub fn predict(&self, moves: &[f32]) -> MixtureOutput {
        let moves = || moves.iter().map(|&moved| f64::from(moved));
        let [slow, fast, top] = self.shares();
        let (slow, fast) = (aggregate(slow, moves()), aggregate(fast, moves()));
        let top = aggregate(top, [slow, fast].into_iter());
        // Before the first truth nothing supports the others: their forecasts are for learning
        // from.
        let first = moves().next().unwrap_or_default();
        MixtureOutput { slow, fast, top, mixed: if self.errors.n > 0 { top } else { first } }
    }

    /// Learns from the truth of a forecast.
    pub fn learn(&mut self, rule: MixtureRule, truth: &MixtureTruth<'_>) {
        let MixtureTruth { output, moved, horizon, .. } = *truth;
        self.errors.update(output.mixed - moved, ERROR_RATE, KNOWN);
        let delta = (DELTA_SHARE * self.errors.mean).clamp(LEAST_DELTA, DELTA);

        let moves: Vec<f64> = truth.moves.iter().map(|&moved| f64::from(moved)).collect();
        let both = [output.slow, output.fast];
        let of = |moves, predicted| AggregationTruth { rule, moves, predicted, moved, delta, horizon };
        let (experts, top) = self.shares.split_at_mut(self.shares.len() - 2);
        let (slow, fast) = experts.split_at_mut(experts.len() / 2);
        SLOW.learn(slow, &of(&moves, output.slow));
        FAST.learn(fast, &of(&moves, output.fast));
        TOP.learn(top, &of(&both, output.top));
    }

    /// The share of each expert; they sum to 1.
    pub fn weights(&self) -> impl Iterator<Item = f64> {
        let has_learned = self.errors.n > 0;
        let [slow, fast, top] = self.shares();
        let weight = |share: &Share| f64::from(share.weight);
        let (of_slow, of_fast) = (weight(&top[0]), weight(&top[1]));
        slow.iter().zip(fast).enumerate().map(move |(k, (slow, fast))| {
            let mixed = of_slow * weight(slow) + of_fast * weight(fast);
            if has_learned { mixed } else { f64::from(u8::from(k == 0)) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mixture of experts that forecast 0, the truth and its opposite, after `n` truths.
    fn after(n: usize, rule: MixtureRule, spike: bool) -> Mixture {
        let mut mixture = Mixture::new(3);
        for step in 0..n {
            let y = ((step * 37) % 17) as f64 / 8.0 - 1.0;
            let moves = if spike && step == n / 2 { [0.0, 8.0, -8.0] } else { [0.0, y as f32, -y as f32] };
            let output = mixture.predict(&moves);
            mixture
                .learn(rule, &MixtureTruth { output: &output, moves: &moves, moved: y, horizon: Horizon(1) });
        }
        mixture
    }

    #[test]
    fn weights_begin_at_the_first_and_go_to_the_best() {
        let first: Vec<f64> = Mixture::new(3).weights().collect();
        assert_eq!(first, [1.0, 0.0, 0.0]);
        assert_eq!(Mixture::new(1).predict(&[0.5]).mixed, 0.5);
        for rule in [MixtureRule::Boa, MixtureRule::MlPoly] {
            for spike in [false, true] {
                let weights: Vec<f64> = after(400, rule, spike).weights().collect();
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-6);
                assert!(weights[1] > 0.9, "{rule:?} {spike} {weights:?}");
            }
        }
    }

    #[test]
    fn where_nothing_helps_the_first_stays() {
        for rule in [MixtureRule::Boa, MixtureRule::MlPoly] {
            let mut mixture = Mixture::new(4);
            let mut loss = 0.0;
            for step in 0u64..3000 {
                // Independent of each other, and of what comes.
                let draw = |salt: u64| {
                    let x = (step * 4 + salt + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    let x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
                    (x >> 40) as f64 / f64::from(1 << 22) - 2.0
                };
                let moves = [0.0, draw(1) as f32, draw(2) as f32, draw(3) as f32];
                let (output, y) = (mixture.predict(&moves), draw(0));
                loss += (output.mixed - y).abs() - y.abs();
                mixture.learn(
                    rule,
                    &MixtureTruth { output: &output, moves: &moves, moved: y, horizon: Horizon(1) },
                );
            }
            assert!(loss / 3000.0 < 0.02, "{rule:?} {loss}");
        }
    }
}
