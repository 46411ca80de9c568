//! What is said of the forecasts of one horizon: sums over pairs of forecast and truth, and the measures made of them.
//! It must not know series, time or where pairs come from.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::pairing::Pair;

/// Windows over which the worst coverage is looked for.
pub const COVERAGE_WINDOWS: usize = 250;
/// A probability of 0 or 1 that fails must not make the mean infinite.
const LEAST_PROBABILITY: f64 = 1e-12;

/// Sums over pairs.
#[derive(Debug, Clone, Default)]
pub struct ErrorSums {
    scored: u64,
    absolute: f64,
    squared: f64,
    naive: f64,
    levels: Vec<LevelSums>,
    experts: BTreeMap<String, ExpertSums>,
    direction: DirectionSums,
}

#[derive(Debug, Clone, Copy, Default)]
struct LevelSums {
    scored: u64,
    covered: u64,
    width: f64,
    winkler: f64,
    /// Absolute errors of naive over the pairs that have an interval.
    naive: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct ExpertSums {
    scored: u64,
    absolute: f64,
    /// Absolute errors of naive over the pairs that the expert forecast.
    naive: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct DirectionSums {
    scored: u64,
    ups: u64,
    log_loss: f64,
    brier: f64,
    base_log_loss: f64,
    base_brier: f64,
}

impl ErrorSums {
    /// Takes in a pair whose errors are finite, with what every expert forecast.
    pub fn add<'a>(
        &mut self,
        pair: &Pair,
        levels: &[f64],
        experts: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        let (error, naive) = (pair.error().abs(), (pair.actual - pair.naive).abs());
        self.scored += 1;
        self.absolute += error;
        self.squared += error * error;
        self.naive += naive;
        self.levels.resize(levels.len(), LevelSums::default());
        for ((sums, &level), &bounds) in self.levels.iter_mut().zip(levels).zip(&pair.bounds) {
            sums.scored += 1;
            sums.covered += u64::from(is_covered(bounds, pair.actual));
            sums.width += bounds.1 - bounds.0;
            sums.winkler += winkler(bounds, pair.actual, level);
            sums.naive += naive;
        }
        for (name, forecast) in experts {
            let error = (pair.actual - forecast).abs();
            if !error.is_finite() {
                continue;
            }
            let sums = match self.experts.get_mut(name) {
                Some(sums) => sums,
                None => self.experts.entry(name.to_owned()).or_default(),
            };
            sums.scored += 1;
            sums.absolute += error;
            sums.naive += naive;
        }
        if let Some((up, base)) = pair.up {
            let is_up = pair.is_up();
            let sums = &mut self.direction;
            sums.scored += 1;
            sums.ups += u64::from(is_up);
            sums.log_loss += log_loss(up, is_up);
            sums.brier += brier(up, is_up);
            sums.base_log_loss += log_loss(base, is_up);
            sums.base_brier += brier(base, is_up);
        }
    }

    /// Takes in all that another took in.
    pub fn merge(&mut self, other: &ErrorSums) {
        self.scored += other.scored;
        self.absolute += other.absolute;
        self.squared += other.squared;
        self.naive += other.naive;
        self.levels.resize(self.levels.len().max(other.levels.len()), LevelSums::default());
        for (sums, other) in self.levels.iter_mut().zip(&other.levels) {
            sums.scored += other.scored;
            sums.covered += other.covered;
            sums.width += other.width;
            sums.winkler += other.winkler;
            sums.naive += other.naive;
        }
        for (name, other) in &other.experts {
            let sums = self.experts.entry(name.clone()).or_default();
            sums.scored += other.scored;
            sums.absolute += other.absolute;
            sums.naive += other.naive;
        }
        let (sums, other) = (&mut self.direction, &other.direction);
        sums.scored += other.scored;
        sums.ups += other.ups;
        sums.log_loss += other.log_loss;
        sums.brier += other.brier;
        sums.base_log_loss += other.base_log_loss;
        sums.base_brier += other.base_brier;
    }

    pub fn scored(&self) -> u64 {
        self.scored
    }

    /// Mean absolute error; none of nothing.
    pub fn mae(&self) -> Option<f64> {
        ratio(self.absolute, self.scored as f64)
    }

    /// Mean absolute error of the last value.
    pub fn naive_mae(&self) -> Option<f64> {
        ratio(self.naive, self.scored as f64)
    }

    /// The measures. `worst` has the worst coverage of each level; `mase` is made of the series.
    pub fn measures(
        &self,
        horizon: i32,
        levels: &[f64],
        worst: &[Option<f64>],
        mase: Option<f64>,
    ) -> HorizonMeasures {
        let level = |(index, &level): (usize, &f64)| {
            let sums = self.levels.get(index).copied().unwrap_or_default();
            let count = sums.scored as f64;
            LevelMeasures {
                level,
                scored: sums.scored,
                coverage: ratio(sums.covered as f64, count),
                width: ratio(sums.width, count),
                winkler: ratio(sums.winkler, count),
                winkler_ratio: ratio(sums.winkler, sums.naive),
                worst_coverage_250: worst.get(index).copied().flatten(),
            }
        };
        let expert = |(name, sums): (&String, &ExpertSums)| ExpertMeasures {
            name: name.clone(),
            scored: sums.scored,
            mae: ratio(sums.absolute, sums.scored as f64),
            skill: ratio(sums.absolute, sums.naive).map(|ratio| 1.0 - ratio),
        };
        HorizonMeasures {
            horizon,
            scored: self.scored,
            mae: self.mae(),
            rmse: ratio(self.squared, self.scored as f64).map(f64::sqrt),
            mase,
            naive_mae: self.naive_mae(),
            skill: ratio(self.absolute, self.naive).map(|ratio| 1.0 - ratio),
            levels: levels.iter().enumerate().map(level).collect(),
            experts: self.experts.iter().map(expert).collect(),
            direction: self.direction.measures(),
        }
    }
}

impl DirectionSums {
    fn measures(&self) -> Option<DirectionMeasures> {
        let mean = |sum: f64| ratio(sum, self.scored as f64);
        Some(DirectionMeasures {
            scored: self.scored,
            ups: mean(self.ups as f64)?,
            log_loss: mean(self.log_loss)?,
            base_log_loss: mean(self.base_log_loss)?,
            brier: mean(self.brier)?,
            base_brier: mean(self.base_brier)?,
        })
    }
}

/// Forecasts of one horizon, judged. A measure is none where there is nothing to make it of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HorizonMeasures {
    /// In windows.
    pub horizon: i32,
    pub scored: u64,
    pub mae: Option<f64>,
    pub rmse: Option<f64>,
    /// MAE over the mean step of the series from one window to the next.
    pub mase: Option<f64>,
    pub naive_mae: Option<f64>,
    /// `1 - mae / naive_mae`.
    pub skill: Option<f64>,
    pub levels: Vec<LevelMeasures>,
    pub experts: Vec<ExpertMeasures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<DirectionMeasures>,
}

/// The intervals of one level.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LevelMeasures {
    pub level: f64,
    pub scored: u64,
    /// Share of truths within the interval or on its bounds.
    pub coverage: Option<f64>,
    pub width: Option<f64>,
    /// Mean interval score (Winkler 1972; Gneiting and Raftery 2007, eq. 43).
    pub winkler: Option<f64>,
    /// In units of the naive MAE over the same records.
    pub winkler_ratio: Option<f64>,
    /// The least coverage over 250 consecutive scored windows.
    pub worst_coverage_250: Option<f64>,
}

/// One expert alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpertMeasures {
    pub name: String,
    pub scored: u64,
    pub mae: Option<f64>,
    pub skill: Option<f64>,
}

/// The probability of a rise above the last value, beside the share of rises so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DirectionMeasures {
    pub scored: u64,
    /// Share of rises.
    pub ups: f64,
    /// In nats.
    pub log_loss: f64,
    pub base_log_loss: f64,
    pub brier: f64,
    pub base_brier: f64,
}

/// The least coverage over [`COVERAGE_WINDOWS`] consecutive truths of a series.
#[derive(Debug, Clone, Default)]
pub struct Rolling {
    latest: VecDeque<bool>,
    covered: usize,
    worst: Option<usize>,
}

impl Rolling {
    pub fn add(&mut self, covered: bool) {
        if self.latest.len() == COVERAGE_WINDOWS {
            let oldest = self.latest.pop_front();
            self.covered -= usize::from(oldest == Some(true));
        }
        self.latest.push_back(covered);
        self.covered += usize::from(covered);
        if self.latest.len() == COVERAGE_WINDOWS {
            self.worst = Some(self.worst.map_or(self.covered, |worst| worst.min(self.covered)));
        }
    }

    /// None before there were so many.
    pub fn worst(&self) -> Option<f64> {
        self.worst.map(|covered| covered as f64 / COVERAGE_WINDOWS as f64)
    }
}

/// Whether an interval holds a truth: within or on its bounds.
pub fn is_covered((lower, upper): (f64, f64), actual: f64) -> bool {
    lower <= actual && actual <= upper
}

/// Interval score: `upper - lower + 2/alpha * distance outside`, `alpha = 1 - level`.
fn winkler((lower, upper): (f64, f64), actual: f64, level: f64) -> f64 {
    let outside = (lower - actual).max(actual - upper).max(0.0);
    upper - lower + 2.0 / (1.0 - level) * outside
}

fn log_loss(probability: f64, happened: bool) -> f64 {
    let of_it = if happened { probability } else { 1.0 - probability };
    -of_it.max(LEAST_PROBABILITY).ln()
}

fn brier(probability: f64, happened: bool) -> f64 {
    (probability - f64::from(u8::from(happened))).powi(2)
}

/// None where it says nothing: by zero, or not finite.
fn ratio(sum: f64, by: f64) -> Option<f64> {
    let ratio = sum / by;
    (by > 0.0 && ratio.is_finite()).then_some(ratio)
}

#[cfg(test)]
mod tests {
    use tickcast_stream::message::EventTime;

    use super::*;

    fn pair(actual: f64, forecast: f64, naive: f64, bounds: &[(f64, f64)], up: Option<(f64, f64)>) -> Pair {
        let (issued_at, target_time) = (EventTime(0), EventTime(1));
        Pair { issued_at, target_time, actual, forecast, naive, bounds: bounds.to_vec(), up }
    }

    fn near(value: Option<f64>, expected: f64) {
        let value = value.unwrap();
        assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
    }

    /// Errors 1 and -3, naive errors 2 and -6; the second pair has no interval.
    fn two() -> ErrorSums {
        let mut tally = ErrorSums::default();
        let first = pair(10.0, 9.0, 8.0, &[(9.0, 9.5), (8.0, 11.0)], Some((0.8, 0.5)));
        tally.add(&first, &[0.5, 0.9], [("naive", 8.0), ("rnn", 10.5)]);
        tally.add(&pair(4.0, 7.0, 10.0, &[], Some((0.4, 0.75))), &[0.5, 0.9], [("naive", 10.0)]);
        tally
    }

    #[test]
    fn measures_are_those_computed_by_hand() {
        let measures = two().measures(6, &[0.5, 0.9], &[None, Some(0.5)], Some(1.5));
        assert_eq!((measures.horizon, measures.scored), (6, 2));
        near(measures.mae, 2.0);
        near(measures.rmse, 5f64.sqrt());
        near(measures.naive_mae, 4.0);
        near(measures.skill, 0.5);
        assert_eq!(measures.mase, Some(1.5));
        let [half, wide] = &measures.levels[..] else { panic!("two levels") };
        // Above by 0.5: 0.5 + 2/0.5 * 0.5; within: the width.
        assert_eq!((half.scored, half.coverage, half.worst_coverage_250), (1, Some(0.0), None));
        near(half.width, 0.5);
        near(half.winkler, 2.5);
        near(half.winkler_ratio, 1.25);
        assert_eq!((wide.coverage, wide.winkler, wide.worst_coverage_250), (Some(1.0), Some(3.0), Some(0.5)));
        let [naive, rnn] = &measures.experts[..] else { panic!("two experts") };
        assert_eq!((naive.name.as_str(), naive.mae, naive.skill), ("naive", Some(4.0), Some(0.0)));
        // It forecast the first alone, where naive missed by 2.
        assert_eq!((rnn.scored, rnn.mae, rnn.skill), (1, Some(0.5), Some(0.75)));
    }

    #[test]
    fn direction_is_judged_beside_the_base_rate() {
        let direction = two().measures(1, &[], &[], None).direction.unwrap();
        // Up with 0.8 against 0.5, then down with 0.4 against 0.75.
        assert_eq!((direction.scored, direction.ups), (2, 0.5));
        near(Some(direction.log_loss), -(0.8f64.ln() + 0.6f64.ln()) / 2.0);
        near(Some(direction.base_log_loss), -(0.5f64.ln() + 0.25f64.ln()) / 2.0);
        near(Some(direction.brier), (0.04 + 0.16) / 2.0);
        near(Some(direction.base_brier), (0.25 + 0.5625) / 2.0);
        assert!(log_loss(0.0, true).is_finite());
    }

    #[test]
    fn merged_tallies_are_one_tally() {
        let mut merged = ErrorSums::default();
        merged.merge(&two());
        merged.merge(&ErrorSums::default());
        let measures = |tally: &ErrorSums| tally.measures(1, &[0.5, 0.9], &[], None);
        assert_eq!(measures(&merged), measures(&two()));
    }

    #[test]
    fn nothing_and_no_naive_error_have_no_skill() {
        let none = ErrorSums::default().measures(1, &[0.9], &[], None);
        assert_eq!((none.mae, none.skill, none.levels[0].coverage), (None, None, None));
        let mut flat = ErrorSums::default();
        flat.add(&pair(1.0, 2.0, 1.0, &[(0.0, 1.0)], None), &[0.9], []);
        let flat = flat.measures(1, &[0.9], &[], None);
        assert_eq!((flat.mae, flat.skill, flat.levels[0].winkler_ratio), (Some(1.0), None, None));
        assert_eq!(flat.direction, None);
    }

    #[test]
    fn the_worst_stretch_is_found_wherever_it_lies() {
        let mut rolling = Rolling::default();
        (0..COVERAGE_WINDOWS - 1).for_each(|_| rolling.add(true));
        assert_eq!(rolling.worst(), None);
        (0..50).for_each(|_| rolling.add(false));
        (0..1000).for_each(|_| rolling.add(true));
        assert_eq!(rolling.worst(), Some(0.8));
    }
}
