//! Recursive least squares of several targets from the same features: one inverse covariance, a
//! column of weights a target.
//! It must not know what the targets are, or choose features. Features go into the inverse
//! covariance at once; errors move weights when they are known.
//!
//! `w += P φ clamp(e, ±c m) / max(1, φ' P φ)`, m the mean |e|. The clip keeps one absurd truth from
//! moving the weights more than a large one, and draws the fit towards the median.

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

use super::inverse_covariance::{self as inverse, Forgetting, dot};

/// The most that a new error counts in the mean |error|, in means.
const JUMP: f64 = 5.0;

/// How a filter forgets and judges its errors. It is no part of a filter's state.
#[derive(Debug, Clone, Copy)]
pub struct RlsSettings {
    /// What a window ago counts beside one now, and how strongly weights are held at zero at
    /// first.
    pub forgetting: Forgetting,
    /// Rate of the mean |error|, in (0, 1).
    pub step: f64,
    /// c: the most that an error moves the weights by, in mean |errors|.
    pub clip: f64,
}

/// Weights of every target, learned one truth after the other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RlsFilter {
    /// The triangle of the inverse covariance. Then of each target: a weight a feature, and m,
    /// which is 0 before its first error.
    #[serde(with = "le_blob")]
    numbers: Box<[f32]>,
}

impl RlsFilter {
    /// A filter of `features` inputs and `targets` that predicts 0.
    pub fn new(settings: &RlsSettings, features: usize, targets: usize) -> Self {
        let triangle = inverse::places(features);
        let mut numbers = vec![0.0; triangle + (features + 1) * targets];
        inverse::begin(&mut numbers[..triangle], features, &settings.forgetting);
        RlsFilter { numbers: numbers.into() }
    }

    /// Takes features in, whatever comes of them.
    pub fn absorb(&mut self, settings: &RlsSettings, features: &[f64]) {
        let triangle = &mut self.numbers[..inverse::places(features.len())];
        inverse::absorb(triangle, features, &settings.forgetting);
    }

    /// What it expects of a target at these features.
    pub fn predict(&self, target: usize, features: &[f64]) -> f64 {
        let from = inverse::places(features.len()) + target * (features.len() + 1);
        dot(&self.numbers[from..][..features.len()], features)
    }

    /// Learns what came of features. Returns the error it had, and the mean |error| with it.
    pub fn learn(
        &mut self,
        settings: &RlsSettings,
        target: usize,
        features: &[f64],
        came: f64,
    ) -> (f64, f64) {
        let error = came - self.predict(target, features);
        let (triangle, rest) = self.numbers.split_at_mut(inverse::places(features.len()));
        let (weights, rest) = rest[target * (features.len() + 1)..].split_at_mut(features.len());

        let mean = f64::from(rest[0]);
        let before = if mean > 0.0 { mean } else { error.abs() };
        let mean = before + settings.step * (error.abs().min(JUMP * before) - before);
        rest[0] = mean as f32;

        let limit = settings.clip * mean;
        let clipped = error.clamp(-limit, limit);
        for (weight, gain) in weights.iter_mut().zip(inverse::gain(triangle, features)) {
            *weight = (f64::from(*weight) + clipped * gain) as f32;
        }
        (error, mean)
    }

    /// Forgets all features, and takes the other's weights.
    pub fn begin_with(&mut self, settings: &RlsSettings, features: usize, other: &RlsFilter) {
        self.numbers.clone_from(&other.numbers);
        inverse::begin(&mut self.numbers[..inverse::places(features)], features, &settings.forgetting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: RlsSettings =
        RlsSettings { forgetting: Forgetting { factor: 0.999, ridge: 0.1 }, step: 0.05, clip: 3.0 };

    fn draws(n: u64) -> [f64; 3] {
        [1, 2, 3].map(|i| ((n * 7919 + i * 104_729) % 1009) as f64 / 504.5 - 1.0)
    }

    fn learned(windows: u64) -> RlsFilter {
        let mut filter = RlsFilter::new(&SETTINGS, 3, 2);
        for n in 0..windows {
            let features = draws(n);
            filter.absorb(&SETTINGS, &features);
            filter.learn(&SETTINGS, 0, &features, 2.0 * features[0] - features[2]);
            filter.learn(&SETTINGS, 1, &features, -3.0 * features[1]);
        }
        filter
    }

    #[test]
    fn each_target_has_its_own_weights() {
        let filter = learned(1000);
        let probe = [0.5, -0.25, 1.0];
        assert!((filter.predict(0, &probe) - 0.0).abs() < 0.02);
        assert!((filter.predict(1, &probe) - 0.75).abs() < 0.02);
    }

    #[test]
    fn a_state_comes_back_bit_for_bit_and_begins_anew_with_its_weights() {
        let mut filter = learned(40);
        let again: RlsFilter = postcard::from_bytes(&postcard::to_stdvec(&filter).unwrap()).unwrap();
        assert_eq!(filter.numbers, again.numbers);

        filter.begin_with(&SETTINGS, 3, &again);
        assert_eq!(filter.predict(1, &draws(7)), again.predict(1, &draws(7)));
        assert_eq!(filter.numbers[..6], RlsFilter::new(&SETTINGS, 3, 2).numbers[..6]);
    }
}
