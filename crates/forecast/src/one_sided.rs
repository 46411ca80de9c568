//! Runs of large residuals on one side: what one jump of the level leaves in forecasts that
//! overlap.
//! It must not know what is learned from them.

use serde::{Deserialize, Serialize};

use crate::horizon::Horizon;

/// A residual of so many spreads is large.
const LARGE: f64 = 2.0;

/// How many of the newest residuals in a row were large and on one side.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct OneSidedRun {
    len: u32,
    is_above: bool,
}

impl OneSidedRun {
    /// Takes in a residual in units of its spread. Returns how much it tells beside one that came
    /// alone: the k-th of a run 1/√k. A run longer than the horizon is no single jump, and begins
    /// anew.
    pub fn push(&mut self, u: f64, horizon: Horizon) -> f64 {
        let is_above = u > 0.0;
        let goes_on = self.is_above == is_above && self.len < horizon.0;
        let before = if goes_on { self.len } else { 0 };
        self.len = if u.abs() >= LARGE { before + 1 } else { 0 };
        self.is_above = is_above;
        1.0 / f64::from(self.len.max(1)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(residuals: &[f64], horizon: u32) -> Vec<f64> {
        let mut run = OneSidedRun::default();
        let rounded = |weight: f64| (weight * 100.0).round() / 100.0;
        residuals.iter().map(|&u| rounded(run.push(u, Horizon(horizon)))).collect()
    }

    #[test]
    fn what_one_jump_leaves_tells_less_with_each() {
        assert_eq!(weights(&[0.3, 4.0, 3.0, 5.0, 1.0, 4.0], 24), [1.0, 1.0, 0.71, 0.58, 1.0, 1.0]);
    }

    #[test]
    fn both_sides_or_more_than_a_horizon_are_no_jump() {
        assert_eq!(weights(&[4.0, -4.0, 4.0, 4.0, -4.0], 24), [1.0, 1.0, 1.0, 0.71, 1.0]);
        assert_eq!(weights(&[4.0, 4.0, 4.0, 4.0, 4.0], 3), [1.0, 0.71, 0.58, 1.0, 0.71]);
        assert_eq!(weights(&[4.0, 4.0, 4.0], 1), [1.0; 3]);
    }
}
