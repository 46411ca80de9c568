//! What is said of the forecasts of one horizon: sums over pairs of forecast and truth, and the
//! measures made of them.
//! It must not know series, time or where pairs come from.

use std::collections::BTreeMap;

use tickcast_forecast::Horizon;

use super::formula::{brier_score, interval_score, log_loss, ratio, skill};
use super::measures::{DirectionMeasures, ExpertMeasures, HorizonMeasures, LevelMeasures};
use super::pairing::{DirectionForecast, Pair};
use crate::record::Interval;

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
        let (error, naive) = (pair.error().abs(), pair.naive_error().abs());
        self.scored += 1;
        self.absolute += error;
        self.squared += error * error;
        self.naive += naive;

        self.levels.resize(levels.len(), LevelSums::default());
        for ((sums, &level), &interval) in self.levels.iter_mut().zip(levels).zip(&pair.intervals) {
            sums.add(interval, level, pair.actual, naive);
        }

        for (name, forecast) in experts {
            let error = (pair.actual - forecast).abs();
            if !error.is_finite() {
                continue;
            }
            match self.experts.get_mut(name) {
                Some(sums) => sums.add(error, naive),
                None => self.experts.entry(name.to_owned()).or_default().add(error, naive),
            }
        }

        if let Some(direction) = pair.direction {
            self.direction.add(direction, pair.is_up());
        }
    }

    /// Takes in all that another took in.
    pub fn merge(&mut self, other: &ErrorSums) {
        self.scored += other.scored;
        self.absolute += other.absolute;
        self.squared += other.squared;
        self.naive += other.naive;

        self.levels.resize(self.levels.len().max(other.levels.len()), LevelSums::default());
        self.levels.iter_mut().zip(&other.levels).for_each(|(sums, other)| sums.merge(other));
        for (name, other) in &other.experts {
            self.experts.entry(name.clone()).or_default().merge(other);
        }
        self.direction.merge(&other.direction);
    }

    /// Pairs that were taken in.
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
        horizon: Horizon,
        levels: &[f64],
        worst: &[Option<f64>],
        mase: Option<f64>,
    ) -> HorizonMeasures {
        let level = |(index, &level): (usize, &f64)| {
            let sums = self.levels.get(index).copied().unwrap_or_default();
            sums.measures(level, worst.get(index).copied().flatten())
        };

        HorizonMeasures {
            horizon,
            scored: self.scored,
            mae: self.mae(),
            rmse: ratio(self.squared, self.scored as f64).map(f64::sqrt),
            mase,
            naive_mae: self.naive_mae(),
            skill: skill(self.absolute, self.naive),
            levels: levels.iter().enumerate().map(level).collect(),
            experts: self.experts.iter().map(|(name, sums)| sums.measures(name)).collect(),
            direction: self.direction.measures(),
        }
    }
}

impl LevelSums {
    fn add(&mut self, interval: Interval, level: f64, actual: f64, naive: f64) {
        self.scored += 1;
        self.covered += u64::from(interval.covers(actual));
        self.width += interval.width();
        self.winkler += interval_score(interval, actual, level);
        self.naive += naive;
    }

    fn merge(&mut self, other: &LevelSums) {
        self.scored += other.scored;
        self.covered += other.covered;
        self.width += other.width;
        self.winkler += other.winkler;
        self.naive += other.naive;
    }

    fn measures(&self, level: f64, worst: Option<f64>) -> LevelMeasures {
        let count = self.scored as f64;
        LevelMeasures {
            level,
            scored: self.scored,
            coverage: ratio(self.covered as f64, count),
            width: ratio(self.width, count),
            winkler: ratio(self.winkler, count),
            winkler_ratio: ratio(self.winkler, self.naive),
            worst_coverage_250: worst,
        }
    }
}

impl ExpertSums {
    fn add(&mut self, error: f64, naive: f64) {
        self.scored += 1;
        self.absolute += error;
        self.naive += naive;
    }

    fn merge(&mut self, other: &ExpertSums) {
        self.scored += other.scored;
        self.absolute += other.absolute;
        self.naive += other.naive;
    }

    fn measures(&self, name: &str) -> ExpertMeasures {
        ExpertMeasures {
            name: name.to_owned(),
            scored: self.scored,
            mae: ratio(self.absolute, self.scored as f64),
            skill: skill(self.absolute, self.naive),
        }
    }
}

impl DirectionSums {
    fn add(&mut self, direction: DirectionForecast, is_up: bool) {
        let DirectionForecast { probability, base_rate } = direction;
        self.scored += 1;
        self.ups += u64::from(is_up);
        self.log_loss += log_loss(probability, is_up);
        self.brier += brier_score(probability, is_up);
        self.base_log_loss += log_loss(base_rate, is_up);
        self.base_brier += brier_score(base_rate, is_up);
    }

    fn merge(&mut self, other: &DirectionSums) {
        self.scored += other.scored;
        self.ups += other.ups;
        self.log_loss += other.log_loss;
        self.brier += other.brier;
        self.base_log_loss += other.base_log_loss;
        self.base_brier += other.base_brier;
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::EventTime;

    fn pair(values: [f64; 3], bounds: &[(f64, f64)], direction: Option<(f64, f64)>) -> Pair {
        let [actual, forecast, naive] = values;
        Pair {
            issued_at: EventTime(0),
            target_time: EventTime(1),
            actual,
            forecast,
            naive,
            intervals: bounds.iter().copied().map(Interval::from).collect(),
            direction: direction.map(|(probability, base_rate)| DirectionForecast { probability, base_rate }),
        }
    }

    fn near(value: Option<f64>, expected: f64) {
        let value = value.unwrap();
        assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
    }

    /// Errors 1 and -3, naive errors 2 and -6; the second pair has no interval.
    fn two() -> ErrorSums {
        let mut sums = ErrorSums::default();
        let first = pair([10.0, 9.0, 8.0], &[(9.0, 9.5), (8.0, 11.0)], Some((0.8, 0.5)));
        sums.add(&first, &[0.5, 0.9], [("naive", 8.0), ("rnn", 10.5)]);
        sums.add(&pair([4.0, 7.0, 10.0], &[], Some((0.4, 0.75))), &[0.5, 0.9], [("naive", 10.0)]);
        sums
    }

    #[test]
    fn measures_are_those_computed_by_hand() {
        let measures = two().measures(Horizon(6), &[0.5, 0.9], &[None, Some(0.5)], Some(1.5));
        assert_eq!((measures.horizon, measures.scored), (Horizon(6), 2));
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
        let direction = two().measures(Horizon(1), &[], &[], None).direction.unwrap();
        // Up with 0.8 against 0.5, then down with 0.4 against 0.75.
        assert_eq!((direction.scored, direction.ups), (2, 0.5));
        near(Some(direction.log_loss), -(0.8f64.ln() + 0.6f64.ln()) / 2.0);
        near(Some(direction.base_log_loss), -(0.5f64.ln() + 0.25f64.ln()) / 2.0);
        near(Some(direction.brier), (0.04 + 0.16) / 2.0);
        near(Some(direction.base_brier), (0.25 + 0.5625) / 2.0);
    }

    #[test]
    fn merged_sums_are_one_sum() {
        let mut merged = ErrorSums::default();
        merged.merge(&two());
        merged.merge(&ErrorSums::default());
        let measures = |sums: &ErrorSums| sums.measures(Horizon(1), &[0.5, 0.9], &[], None);
        assert_eq!(measures(&merged), measures(&two()));
    }

    #[test]
    fn nothing_and_no_naive_error_have_no_skill() {
        let none = ErrorSums::default().measures(Horizon(1), &[0.9], &[], None);
        assert_eq!((none.mae, none.skill, none.levels[0].coverage), (None, None, None));
        let mut flat = ErrorSums::default();
        flat.add(&pair([1.0, 2.0, 1.0], &[(0.0, 1.0)], None), &[0.9], []);
        let flat = flat.measures(Horizon(1), &[0.9], &[], None);
        assert_eq!((flat.mae, flat.skill, flat.levels[0].winkler_ratio), (Some(1.0), None, None));
        assert_eq!(flat.direction, None);
    }
}
