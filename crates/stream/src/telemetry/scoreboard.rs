//! How good the forecasts were: running means over score records, a row a horizon.
//! It must not know where scores come from or go to; metrics, the page and the demo's last table all read this.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use arrow::array::{Array, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{Float64Type, Int32Type};
use arrow::record_batch::RecordBatch;
use tickcast_forecast::Mean;

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
        let naive = self.naive.value().filter(|&naive| naive > 0.0)?;
        Some(1.0 - self.published.value()? / naive)
    }

    fn covered(&mut self, level: f64, covered: bool) {
        let known = self.coverage.iter().position(|(known, _)| *known == level);
        let index = known.unwrap_or_else(|| {
            self.coverage.push((level, Mean::default()));
            self.coverage.len() - 1
        });
        self.coverage[index].1.add(f64::from(u8::from(covered)));
    }
}

/// Scores by horizon, in windows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scoreboard {
    pub horizons: BTreeMap<i32, HorizonScore>,
}

impl Scoreboard {
    /// Takes in score records. Panics when they are none: only the forecast operator makes them.
    pub fn add(&mut self, scores: &RecordBatch) {
        let horizon = scores["horizon"].as_primitive::<Int32Type>();
        let number = |name: &str| scores[name].as_primitive::<Float64Type>();
        let (actual, error, naive) = (number("actual"), number("error"), number("naive"));
        let levels = covered_columns(scores);
        let experts = scores["experts"].as_map();
        let names = experts.keys().as_string::<i32>();
        let values: &Float64Array = experts.values().as_primitive();
        for row in 0..scores.num_rows() {
            let score = self.horizons.entry(horizon.value(row)).or_default();
            let actual = actual.value(row);
            let errors = (error.value(row).abs(), (actual - naive.value(row)).abs());
            // A difference of huge numbers can overflow: one such record must not spoil the mean for good.
            if errors.0.is_finite() && errors.1.is_finite() {
                score.published.add(errors.0);
                score.naive.add(errors.1);
            }
            for (level, covered) in &levels {
                if covered.is_valid(row) {
                    score.covered(*level, covered.value(row));
                }
            }
            let [from, to] = [row, row + 1].map(|at| experts.value_offsets()[at] as usize);
            for entry in (from..to).filter(|&entry| values.is_valid(entry)) {
                let error = (actual - values.value(entry)).abs();
                if !error.is_finite() {
                    continue;
                }
                match score.experts.get_mut(names.value(entry)) {
                    Some(mean) => mean.add(error),
                    None => score.experts.entry(names.value(entry).to_owned()).or_default().add(error),
                }
            }
        }
    }

    /// Every level that was scored, in the order of the columns.
    pub fn levels(&self) -> Vec<f64> {
        let scored = self.horizons.values().max_by_key(|score| score.coverage.len());
        scored.map_or_else(Vec::new, |score| score.coverage.iter().map(|(level, _)| *level).collect())
    }

    /// The column titles of [`Scoreboard::rows`].
    pub fn titles(&self) -> Vec<String> {
        let titles = ["horizon", "scored", "MAE", "naive MAE", "skill"].map(str::to_owned);
        let levels = self.levels();
        titles.into_iter().chain(levels.iter().map(|level| format!("in {}%", percent(*level)))).collect()
    }

    /// A line of cells for every horizon; a dash where nothing can be said yet.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let levels = self.levels();
        let dash = || "-".to_owned();
        // Adding 0 makes -0 a 0.
        let percent = |v: f64| format!("{:.1}%", (1000.0 * v).round() / 10.0 + 0.0);
        let share = |value: Option<f64>| value.map_or_else(dash, percent);
        let row = |(horizon, score): (&i32, &HorizonScore)| {
            let mut cells = vec![horizon.to_string(), score.published.count.to_string()];
            cells.extend(
                [&score.published, &score.naive].map(|mean| mean.value().map_or_else(dash, significant)),
            );
            cells.push(share(score.skill()));
            cells.extend(levels.iter().map(|level| {
                let coverage = score.coverage.iter().find(|(known, _)| known == level);
                share(coverage.and_then(|(_, mean)| mean.value()))
            }));
            cells
        };
        self.horizons.iter().map(row).collect()
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

/// The levels and columns of `covered_90`, `covered_99_5`.
fn covered_columns(scores: &RecordBatch) -> Vec<(f64, &BooleanArray)> {
    let schema = scores.schema_ref();
    // The inverse of `config::level_label`: the label's digits stand behind `0.`.
    let level = |name: &str| {
        let label = name.strip_prefix("covered_")?;
        let (percent, rest) = label.split_once('_').unwrap_or((label, ""));
        format!("0.{percent:0>2}{rest}").parse().ok()
    };
    let fields = schema.fields().iter().zip(scores.columns());
    fields.filter_map(|(field, column)| Some((level(field.name())?, column.as_boolean()))).collect()
}

/// Lines of cells as columns of text, each as wide as its widest cell and flush right.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
        text.push_str(&cells.join("  "));
        text.push('\n');
    }
    text
}

/// 0.995 -> `99.5`.
pub fn percent(level: f64) -> f64 {
    (level * 1e8).round() / 1e6
}

/// Four significant digits, whatever the unit.
pub fn significant(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { 3 - value.abs().log10().floor() as i32 };
    format!("{value:.*}", digits.clamp(0, 12) as usize)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use arrow::json::ReaderBuilder;

    use super::*;
    use crate::record::score_schema;

    /// Score records: (horizon, actual, forecast, naive, covered by 90 %).
    pub fn scores(rows: &[(i32, f64, f64, f64, Option<bool>)]) -> RecordBatch {
        let lines: String = rows
            .iter()
            .map(|(horizon, actual, forecast, naive, covered)| {
                let covered = covered.map_or("null".into(), |covered| covered.to_string());
                let error = actual - forecast;
                format!(
                    r#"{{"series":"a","issued_at":"2024-01-01T00:00:00Z","target_time":"2024-01-01T01:00:00Z",
                    "horizon":{horizon},"actual":{actual},"forecast":{forecast},"naive":{naive},"error":{error},
                    "covered_90":{covered},"experts":{{"naive":{naive},"rnn":{forecast}}}}}"#
                )
            })
            .collect();
        let mut decoder = ReaderBuilder::new(score_schema(&[0.9])).build_decoder().unwrap();
        decoder.decode(lines.as_bytes()).unwrap();
        decoder.flush().unwrap().unwrap()
    }

    #[test]
    fn means_skill_and_coverage_are_those_of_the_records() {
        let mut board = Scoreboard::default();
        board.add(&scores(&[(1, 10.0, 9.0, 8.0, Some(true)), (6, 10.0, 10.0, 10.0, None)]));
        board.add(&scores(&[(1, 10.0, 13.0, 4.0, Some(false))]));
        let one = &board.horizons[&1];
        assert_eq!((one.published.count, one.published.value()), (2, Some(2.0)));
        assert_eq!(one.naive.value(), Some(4.0));
        assert_eq!(one.skill(), Some(0.5));
        assert_eq!(one.experts["rnn"].value(), Some(2.0));
        assert_eq!(one.coverage, [(0.9, Mean { count: 2, sum: 1.0 })]);
        // No naive error: no skill to speak of, and no coverage before the first interval.
        assert_eq!((board.horizons[&6].skill(), board.levels()), (None, vec![0.9]));
    }

    #[test]
    fn the_table_lines_up() {
        let mut board = Scoreboard::default();
        board.add(&scores(&[(1, 10.0, 9.0, 8.0, Some(true)), (24, 10.0, 10.5, 10.0, None)]));
        let expected = "\
horizon  scored     MAE  naive MAE  skill  in 90%
      1       1   1.000      2.000  50.0%  100.0%
     24       1  0.5000          0      -       -
12 windows, 36 ticks in 2.0 s: 18 ticks/s";
        assert_eq!(board.render(12, 36, Duration::from_secs(2)), expected);
        assert_eq!(Scoreboard::default().rows().len(), 0);
    }

    #[test]
    fn levels_come_back_from_column_names() {
        let names = ["covered_50", "covered_99_9", "covered_7", "error"];
        let column = || Arc::new(BooleanArray::from(vec![true])) as ArrayRef;
        let batch = RecordBatch::try_from_iter(names.map(|name| match name {
            "error" => (name, Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
            _ => (name, column()),
        }));
        let levels: Vec<f64> = covered_columns(&batch.unwrap()).into_iter().map(|(level, _)| level).collect();
        assert_eq!(levels, [0.5, 0.999, 0.07]);
        assert_eq!([0.999, 0.07].map(percent), [99.9, 7.0]);
    }

    #[test]
    fn overflow_does_not_spoil_the_mean() {
        let mut board = Scoreboard::default();
        let mut columns = scores(&[(1, 2.0, 1.0, 0.0, None)]);
        board.add(&columns);
        let huge = Arc::new(Float64Array::from(vec![f64::INFINITY])) as ArrayRef;
        let at = columns.schema().index_of("error").unwrap();
        let schema = columns.schema();
        let mut all = columns.columns().to_vec();
        all[at] = huge;
        columns = RecordBatch::try_new(schema, all).unwrap();
        board.add(&columns);
        assert_eq!(board.horizons[&1].published, Mean { count: 1, sum: 1.0 });
    }
}
