//! How good the forecasts were: running means over score records, a row a horizon.
//! It must not know where scores come from or go to; metrics, the page and the demo's last table
//! all read this.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Horizon, Mean};

use super::formula::skill;
use super::text::{aligned, number, percent, share};
use crate::error::Result;
use crate::record::{ScoreRow, ScoreRows};

/// The scores of one horizon.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HorizonScore {
    /// Absolute errors of the published forecasts.
    pub published: Mean,
    /// Absolute errors of the last value, over the same records.
    pub naive: Mean,
    /// Absolute errors of every expert that forecast.
    pub experts: BTreeMap<String, Mean>,
    /// A level and how often its interval held the truth, in the order of the columns.
    pub coverage: Vec<(f64, Mean)>,
}

impl HorizonScore {
    /// `1 - MAE / naive MAE`; none while the naive error is zero or there is none.
    pub fn skill(&self) -> Option<f64> {
        skill(self.published.value()?, self.naive.value()?)
    }

    fn add(&mut self, row: &ScoreRow<'_>) {
        let actual = row.actual();
        let (error, naive) = (row.error().abs(), (actual - row.naive()).abs());
        // A difference of huge numbers can overflow: one such record must not spoil the mean for
        // good.
        if error.is_finite() && naive.is_finite() {
            self.published.add(error);
            self.naive.add(naive);
        }

        for (level, covered) in row.covered() {
            self.coverage_of(level).add(f64::from(u8::from(covered)));
        }

        for (name, forecast) in row.experts() {
            let error = (actual - forecast).abs();
            if !error.is_finite() {
                continue;
            }
            match self.experts.get_mut(name) {
                Some(mean) => mean.add(error),
                None => self.experts.entry(name.to_owned()).or_default().add(error),
            }
        }
    }

    fn coverage_of(&mut self, level: f64) -> &mut Mean {
        let known = self.coverage.iter().position(|(known, _)| *known == level);
        let index = known.unwrap_or_else(|| {
            self.coverage.push((level, Mean::default()));
            self.coverage.len() - 1
        });
        &mut self.coverage[index].1
    }
}

/// The scores of one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetScores {
    /// The column that is forecast.
    pub target: String,
    /// Every horizon that was scored, in windows.
    pub horizons: BTreeMap<Horizon, HorizonScore>,
}

/// Scores by target and horizon.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scoreboard {
    /// Every target that was scored, in the order of its first score.
    pub targets: Vec<TargetScores>,
}

impl Scoreboard {
    /// Takes in score records. Errors: `Query`, when they are none.
    pub fn add(&mut self, scores: &RecordBatch) -> Result<()> {
        for row in ScoreRows::of(scores)?.iter() {
            self.of(row.target()).horizons.entry(row.horizon()).or_default().add(&row);
        }
        Ok(())
    }

    fn of(&mut self, target: &str) -> &mut TargetScores {
        let known = self.targets.iter().position(|known| known.target == target);
        let index = known.unwrap_or_else(|| {
            self.targets.push(TargetScores { target: target.to_owned(), ..TargetScores::default() });
            self.targets.len() - 1
        });
        &mut self.targets[index]
    }

    /// Whether nothing was scored yet.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    fn are_several(&self) -> bool {
        self.targets.len() > 1
    }

    /// Every level that was scored, in the order of the columns.
    pub fn levels(&self) -> Vec<f64> {
        let all = self.targets.iter().flat_map(|of| of.horizons.values());
        let scored = all.max_by_key(|score| score.coverage.len());
        scored.map_or_else(Vec::new, |score| score.coverage.iter().map(|(level, _)| *level).collect())
    }

    /// The column titles of [`Scoreboard::rows`].
    pub fn titles(&self) -> Vec<String> {
        let target = self.are_several().then(|| "target".to_owned());
        let titles = ["horizon", "scored", "MAE", "naive MAE", "skill"].map(str::to_owned);
        let levels = self.levels();
        let levels = levels.iter().map(|level| format!("in {}%", percent(*level)));
        target.into_iter().chain(titles).chain(levels).collect()
    }

    /// A line of cells for every target and horizon; a dash where nothing can be said yet. A single
    /// target is not named.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let levels = self.levels();
        let row = |target: &str, horizon: Horizon, score: &HorizonScore| {
            let mut cells: Vec<String> = self.are_several().then(|| target.to_owned()).into_iter().collect();
            cells.extend([horizon.to_string(), score.published.count.to_string()]);
            cells.extend([score.published, score.naive].map(|mean| number(mean.value())));
            cells.push(share(score.skill()));
            cells.extend(levels.iter().map(|level| {
                let coverage = score.coverage.iter().find(|(known, _)| known == level);
                share(coverage.and_then(|(_, mean)| mean.value()))
            }));
            cells
        };

        let of = |of: &TargetScores| -> Vec<_> {
            of.horizons.iter().map(|(&horizon, score)| row(&of.target, horizon, score)).collect()
        };
        self.targets.iter().flat_map(of).collect()
    }

    /// The table a person reads at the end of a run, then windows, ticks and speed.
    pub fn render(&self, windows: u64, ticks: u64, elapsed: Duration) -> String {
        let mut lines = vec![self.titles()];
        lines.extend(self.rows());
        let mut text = aligned(&lines);
        let seconds = elapsed.as_secs_f64();
        let speed = if seconds > 0.0 { ticks as f64 / seconds } else { 0.0 };
        // Writing to a string cannot fail.
        let _ = write!(text, "{windows} windows, {ticks} ticks in {seconds:.1} s: {speed:.0} ticks/s");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Scored, scores};
    use super::*;

    #[test]
    fn means_skill_and_coverage_are_those_of_the_records() {
        let mut board = Scoreboard::default();
        let scored = |horizon, actual, forecast, naive, interval| Scored {
            target: "temp",
            horizon: Horizon(horizon),
            actual,
            forecast,
            naive,
            interval,
        };
        let first = scored(1, 10.0, 9.0, 8.0, Some((9.0, 11.0)));
        board.add(&scores(&[first, scored(6, 10.0, 10.0, 10.0, None)])).unwrap();
        board.add(&scores(&[scored(1, 10.0, 13.0, 4.0, Some((11.0, 12.0)))])).unwrap();
        let one = &board.targets[0].horizons[&Horizon(1)];
        assert_eq!((one.published.count, one.published.value()), (2, Some(2.0)));
        assert_eq!(one.naive.value(), Some(4.0));
        assert_eq!(one.skill(), Some(0.5));
        assert_eq!(one.experts["rnn"].value(), Some(2.0));
        assert_eq!(one.coverage, [(0.9, Mean { count: 2, sum: 1.0 })]);
        // No naive error: no skill to speak of, and no coverage before the first interval.
        assert_eq!((board.targets[0].horizons[&Horizon(6)].skill(), board.levels()), (None, vec![0.9]));
    }

    #[test]
    fn the_table_lines_up() {
        let mut board = Scoreboard::default();
        let far =
            Scored { horizon: Horizon(24), forecast: 10.5, naive: 10.0, interval: None, ..Scored::default() };
        board.add(&scores(&[Scored::default(), far])).unwrap();
        let expected = "\
horizon  scored     MAE  naive MAE  skill  in 90%
      1       1   1.000      2.000  50.0%  100.0%
     24       1  0.5000          0      -       -
12 windows, 36 ticks in 2.0 s: 18 ticks/s";
        assert_eq!(board.render(12, 36, Duration::from_secs(2)), expected);
        assert_eq!(Scoreboard::default().rows().len(), 0);
    }

    #[test]
    fn several_targets_are_told_apart_and_named() {
        let mut board = Scoreboard::default();
        let wind = Scored { target: "wind", forecast: 6.0, ..Scored::default() };
        board.add(&scores(&[wind, Scored::default(), wind])).unwrap();
        let expected = "\
target  horizon  scored    MAE  naive MAE    skill  in 90%
  wind        1       2  4.000      2.000  -100.0%  100.0%
  temp        1       1  1.000      2.000    50.0%  100.0%
3 windows, 3 ticks in 1.0 s: 3 ticks/s";
        assert_eq!(board.render(3, 3, Duration::from_secs(1)), expected);
    }

    #[test]
    fn overflow_does_not_spoil_the_mean() {
        let mut board = Scoreboard::default();
        let huge = Scored { actual: f64::MAX, naive: -f64::MAX, ..Scored::default() };
        board.add(&scores(&[Scored::default(), huge])).unwrap();
        let one = &board.targets[0].horizons[&Horizon(1)];
        assert_eq!(one.published, Mean { count: 1, sum: 1.0 });
        assert_eq!(one.experts["naive"], Mean { count: 1, sum: 2.0 });
    }

    #[test]
    fn what_is_no_score_is_refused() {
        let forecasts = RecordBatch::new_empty(crate::record::forecast_schema(&[], false));
        assert!(Scoreboard::default().add(&forecasts).is_err());
    }
}
