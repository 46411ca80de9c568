//! The mixture of experts: each horizon of a series weighs them by how they did, with the delay that its truths have.
//! It must not know what the experts are. Forecasts are moves from the last value in units of its scale.
//!
//! Two aggregations run side by side, one that forgets nothing and one that forgets fast (γ = 0.99); a third, over those
//! two, says which is of use now. Each learns from the gradient of a Huber loss at what it had said itself, so an expert is
//! judged by what more of it would have done for the mixture: `r_k = clamp((m - y) / δ, ±1) (m - o_k)`. The loss turns straight
//! at 0.6 of the mean |error|, at most half a scale: where spikes make the scale large, ordinary errors must not look small.
//!
//! - BOA (Wintenberger 2017, its adaptive form with a rate each): `R_k = γ R_k + r_k - η_k r_k²`, `w_k ∝ p_k η_k exp(η_k R_k)`,
//!   `η_k = min(1 / max|r_k|, sqrt(c / V_k))`.
//! - ML-Poly (Gaillard, Stoltz and van Erven 2014): `R_k = γ R_k + r_k`, `w_k ∝ η_k (R_k)₊`, `η_k = 1 / (max r² + V_k)`; the prior
//!   while nothing is above zero.
//!
//! `V_k = γ V_k + h r_k²`: h regrets that overlap count as what they are, one.

use serde::{Deserialize, Serialize};

use super::scale::MeanError;
use crate::spec::MixtureRule;

/// Where the loss turns straight at most, at least, and in mean errors.
const DELTA: f64 = 0.5;
const LEAST_DELTA: f64 = 1e-3;
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

const SLOW: AggregationParams = AggregationParams { first: 0.8, rate: 3.0, memory: 1.0 };
const FAST: AggregationParams = AggregationParams { first: 0.5, rate: 1.0, memory: 0.99 };
const TOP: AggregationParams = AggregationParams { first: 0.8, rate: 2.0, memory: 0.98 };

/// One aggregation.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Aggregate {
    weights: Vec<f64>,
    regrets: Vec<f64>,
    variances: Vec<f64>,
    /// Largest |r| so far.
    ranges: Vec<f64>,
}

impl Aggregate {
    fn new(temper: &AggregationParams, len: usize) -> Self {
        let zeros = vec![0.0; len];
        let weights = (0..len).map(|k| prior(temper, k, len)).collect();
        Aggregate { weights, regrets: zeros.clone(), variances: zeros.clone(), ranges: zeros }
    }

    fn say(&self, moves: impl Iterator<Item = f64>) -> f64 {
        self.weights.iter().zip(moves).map(|(weight, moved)| weight * moved).sum()
    }

    /// `said`: what it said when the experts said `moves`; `y`: what came; `delta`: where the loss turns straight.
    fn learn(
        &mut self,
        (temper, rule): (&AggregationParams, MixtureRule),
        said: f64,
        moves: &[f64],
        (y, delta): (f64, f64),
        horizon: u32,
    ) {
        let slope = ((said - y) / delta).clamp(-1.0, 1.0);
        let len = moves.len();
        for (k, moved) in moves.iter().enumerate() {
            let r = slope * (said - moved);
            self.ranges[k] = self.ranges[k].max(r.abs());
            self.variances[k] = temper.memory * self.variances[k] + f64::from(horizon) * r * r;
            let correction = match rule {
                MixtureRule::Boa => self.eta(temper, rule, k) * r * r,
                MixtureRule::MlPoly => 0.0,
            };
            self.regrets[k] = temper.memory * self.regrets[k] + r - correction;
        }
        let etas: Vec<f64> = (0..len).map(|k| self.eta(temper, rule, k)).collect();
        let scores = etas.iter().zip(&self.regrets).map(|(eta, regret)| eta * regret);
        let best = scores.clone().fold(f64::NEG_INFINITY, f64::max);
        let weigh = |(k, score): (usize, f64)| match rule {
            MixtureRule::Boa => prior(temper, k, len) * etas[k] * libm::exp(score - best),
            MixtureRule::MlPoly => score.max(0.0),
        };
        let weights: Vec<f64> = scores.enumerate().map(weigh).collect();
        let total: f64 = weights.iter().sum();
        for (k, weight) in self.weights.iter_mut().enumerate() {
            *weight = if total > 0.0 { weights[k] / total } else { prior(temper, k, len) };
        }
    }

    fn eta(&self, temper: &AggregationParams, rule: MixtureRule, k: usize) -> f64 {
        let (range, variance) = (self.ranges[k], self.variances[k]);
        match rule {
            MixtureRule::Boa => (1.0 / range.max(1e-9)).min((temper.rate / variance.max(LEAST)).sqrt()),
            MixtureRule::MlPoly => 1.0 / (range * range + variance).max(LEAST),
        }
    }
}

fn prior(temper: &AggregationParams, k: usize, len: usize) -> f64 {
    match (k, len) {
        (_, 1) => 1.0,
        (0, _) => temper.first,
        _ => (1.0 - temper.first) / (len - 1) as f64,
    }
}

/// What the aggregations said of one truth to come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct MixtureOutput {
    slow: f64,
    fast: f64,
    top: f64,
    /// The mixture's move.
    pub mixed: f64,
}

/// The mixture of one horizon of a series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mixture {
    slow: Aggregate,
    fast: Aggregate,
    top: Aggregate,
    /// Of the mixture.
    errors: MeanError,
}

impl Mixture {
    /// Of `len` experts. Until the first truth the first one forecasts alone, and later it is believed until others prove better.
    pub fn new(len: usize) -> Self {
        Mixture {
            slow: Aggregate::new(&SLOW, len),
            fast: Aggregate::new(&FAST, len),
            top: Aggregate::new(&TOP, 2),
            errors: MeanError::default(),
        }
    }

    /// Mixes what the experts say.
    pub fn say(&self, moves: &[f32]) -> MixtureOutput {
        let moves = || moves.iter().map(|&moved| f64::from(moved));
        let (slow, fast) = (self.slow.say(moves()), self.fast.say(moves()));
        let top = self.top.say([slow, fast].into_iter());
        // Before the first truth the first one speaks alone: opinions that nothing supports are for learning from.
        let first = moves().next().unwrap_or_default();
        MixtureOutput { slow, fast, top, mixed: if self.errors.n > 0 { top } else { first } }
    }

    /// Learns from the move that came, `horizon` windows after `said` and `moves`.
    pub fn learn(&mut self, rule: MixtureRule, said: &MixtureOutput, moves: &[f32], y: f64, horizon: u32) {
        let moves: Vec<f64> = moves.iter().map(|&moved| f64::from(moved)).collect();
        self.errors.update(said.mixed - y, ERROR_RATE, KNOWN);
        let came = (y, (DELTA_SHARE * self.errors.mean).clamp(LEAST_DELTA, DELTA));
        self.slow.learn((&SLOW, rule), said.slow, &moves, came, horizon);
        self.fast.learn((&FAST, rule), said.fast, &moves, came, horizon);
        self.top.learn((&TOP, rule), said.top, &[said.slow, said.fast], came, horizon);
    }

    /// The share of each expert; they sum to 1.
    pub fn weights(&self) -> impl Iterator<Item = f64> {
        let (slow, fast) = (self.top.weights[0], self.top.weights[1]);
        let weights = self.slow.weights.iter().zip(&self.fast.weights).enumerate();
        weights.map(move |(k, (a, b))| match self.errors.n > 0 {
            true => slow * a + fast * b,
            false => f64::from(u8::from(k == 0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mixture of experts that say 0, the truth and its opposite, after `n` truths.
    fn after(n: usize, rule: MixtureRule, spike: bool) -> Mixture {
        let mut mixture = Mixture::new(3);
        for step in 0..n {
            let y = ((step * 37) % 17) as f64 / 8.0 - 1.0;
            let moves = if spike && step == n / 2 { [0.0, 8.0, -8.0] } else { [0.0, y as f32, -y as f32] };
            let said = mixture.say(&moves);
            mixture.learn(rule, &said, &moves, y, 1);
        }
        mixture
    }

    #[test]
    fn weights_begin_at_the_first_and_go_to_the_best() {
        let first: Vec<f64> = Mixture::new(3).weights().collect();
        assert_eq!(first, [1.0, 0.0, 0.0]);
        assert_eq!(Mixture::new(1).say(&[0.5]).mixed, 0.5);
        for rule in [MixtureRule::Boa, MixtureRule::MlPoly] {
            for spike in [false, true] {
                let weights: Vec<f64> = after(400, rule, spike).weights().collect();
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
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
                let (said, y) = (mixture.say(&moves), draw(0));
                loss += (said.mixed - y).abs() - y.abs();
                mixture.learn(rule, &said, &moves, y, 1);
            }
            assert!(loss / 3000.0 < 0.02, "{rule:?} {loss}");
        }
    }
}
