//! What a series does at each phase of its season: for every horizon, the mean move from there.
//! It must not know the times of windows: a phase is a number below the season.

use serde::{Deserialize, Serialize};
use tickcast_model::le_blob;

/// Longer seasons have no table: a year of hours would weigh more than all else, and be seen too
/// seldom.
const LONGEST: u32 = 512;
/// Rate of a mean once it is warm.
const RATE: f64 = 0.05;

/// Phases in the tables of a season; 0 without.
pub fn phases_of(season: Option<u32>) -> usize {
    season.filter(|&season| season <= LONGEST).unwrap_or(0) as usize
}

/// Mean moves in units of sigma_h, by phase of the origin and horizon.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PhaseMeans {
    horizons: usize,
    #[serde(with = "le_blob")]
    means: Box<[f32]>,
    /// How many moves each is of, to the point where it does not matter.
    counts: Box<[u8]>,
}

impl PhaseMeans {
    /// Means of 0.
    pub fn new(phases: usize, horizons: usize) -> Self {
        let len = phases * horizons;
        PhaseMeans { horizons, means: vec![0.0; len].into(), counts: vec![0; len].into() }
    }

    /// The means at a phase, one a horizon; none without a table.
    pub fn at(&self, phase: Option<usize>) -> impl Iterator<Item = f64> {
        let from = phase.map_or(0, |phase| phase * self.horizons);
        let len = if phase.is_some() && !self.means.is_empty() { self.horizons } else { 0 };
        self.means.iter().skip(from).take(len).map(|&mean| f64::from(mean))
    }

    /// Takes in a move to the horizon with this index from an origin at `phase`.
    pub fn learn(&mut self, phase: Option<usize>, horizon_idx: usize, moved: f64) {
        let Some(at) = phase.map(|phase| phase * self.horizons + horizon_idx) else { return };
        let (Some(mean), Some(count)) = (self.means.get_mut(at), self.counts.get_mut(at)) else { return };
        *count = count.saturating_add(1);
        let rate = RATE.max(1.0 / (f64::from(*count) + 1.0));
        *mean = (f64::from(*mean) + rate * (moved - f64::from(*mean))) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_and_horizon_has_a_mean_of_its_own() {
        let mut means = PhaseMeans::new(phases_of(Some(3)), 2);
        for _ in 0..300 {
            means.learn(Some(1), 0, 2.0);
            means.learn(Some(2), 1, -1.0);
        }
        let at = |phase| means.at(Some(phase)).map(|mean| (mean * 1e4).round() / 1e4).collect::<Vec<_>>();
        assert_eq!([at(0), at(1), at(2)], [vec![0.0, 0.0], vec![2.0, 0.0], vec![0.0, -1.0]]);

        assert_eq!((phases_of(Some(8760)), phases_of(None)), (0, 0));
        let mut none = PhaseMeans::new(0, 2);
        none.learn(None, 0, 1.0);
        assert_eq!(none.at(None).count(), 0);
    }
}
