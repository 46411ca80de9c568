//! The newest of many numbers, and their quantiles.
//! It must not know what the numbers are.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

/// Newest numbers kept.
const LEN: usize = 512;

/// The newest numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "NewestValues", into = "NewestValues")]
pub struct Ring {
    newest: NewestValues,
    sorted: Vec<f32>,
}

/// The newest last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct NewestValues(#[serde(with = "le_blob")] VecDeque<f32>);

impl From<NewestValues> for Ring {
    fn from(newest: NewestValues) -> Self {
        let mut sorted: Vec<f32> = newest.0.iter().copied().collect();
        sorted.sort_unstable_by(f32::total_cmp);
        Ring { newest, sorted }
    }
}

impl From<Ring> for NewestValues {
    fn from(ring: Ring) -> Self {
        ring.newest
    }
}

impl Ring {
    /// A ring of these, the oldest first.
    pub fn of(numbers: impl Iterator<Item = f32>) -> Self {
        Ring::from(NewestValues(numbers.collect()))
    }

    /// Takes in a number; of too many the oldest goes.
    pub fn push(&mut self, value: f32) {
        let place =
            |sorted: &[f32], value: f32| sorted.partition_point(|other| other.total_cmp(&value).is_lt());
        if self.newest.0.len() == LEN
            && let Some(oldest) = self.newest.0.pop_front()
        {
            self.sorted.remove(place(&self.sorted, oldest));
        }

        self.newest.0.push_back(value);
        self.sorted.insert(place(&self.sorted, value), value);
    }

    /// Where a number stands among all but the newest `without` of them, in (0, 1).
    pub fn share_below(&self, value: f32, without: usize) -> f64 {
        let below = self.sorted.partition_point(|other| *other < value);
        let up_to = self.sorted.partition_point(|other| *other <= value);
        let without = without.min(self.sorted.len() - 1);
        let newest = || self.newest.0.iter().rev().take(without);
        let newer = newest().filter(|other| **other < value).count()
            + newest().filter(|other| **other <= value).count();
        (0.5 * (below + up_to - newer) as f64 + 0.5) / (self.sorted.len() - without + 1) as f64
    }

    /// The quantile p: linear between order statistics at i / (n + 1).
    pub fn quantile(&self, p: f64) -> f64 {
        let sorted = &self.sorted;
        let rank = (p * (sorted.len() + 1) as f64 - 1.0).clamp(0.0, (sorted.len() - 1) as f64);
        let (low, part) = (rank.floor() as usize, rank.fract());
        let high = (low + 1).min(sorted.len() - 1);
        let [low, high] = [sorted[low], sorted[high]].map(f64::from);
        low + part * (high - low)
    }
}
