//! What a backtest keeps of one partition: its series, each with what waits and what was scored at every horizon.
//! It must not know how records come about; it takes forecast and score records in the order the operator makes them.

use arrow::array::{Array, AsArray, Float64Array, PrimitiveArray, StringArray};
use arrow::datatypes::{Float64Type, Int32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use indexmap::IndexMap;
use tickcast_forecast::level_label;
use tickcast_stream::message::EventTime;

use super::measure::{ErrorSums, Rolling, is_covered};
use super::pairing::{Made, Pair, Queue};
use super::views::{RecentPairs, Timeline, TopErrors};

/// Series that a report shows closely.
pub const SHOWN: usize = 4;

/// The backtest of one partition.
pub struct PartitionEval {
    /// Interval levels, in the order of the columns.
    levels: Vec<f64>,
    /// Horizons in windows, ascending.
    horizons: Vec<i32>,
    size_us: i64,
    /// Truths in a series' first `skip` windows are not scored.
    skip: u64,
    /// Whether a report wants to draw what it sees.
    is_drawn: bool,
    pub series: IndexMap<Box<str>, Series>,
    /// By horizon.
    pub timelines: Vec<Timeline>,
    pub counts: OutputPosition,
}

/// What became of the forecasts.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputPosition {
    pub forecasts: u64,
    pub scored: u64,
    /// Their truths came in the windows that are skipped.
    pub skipped: u64,
    /// Their errors are too large for a number.
    pub overflowed: u64,
}

/// A series.
#[derive(Default)]
pub struct Series {
    /// Windows since its first.
    windows: u64,
    last: Option<(EventTime, f64)>,
    /// Steps from one window to the next: how many, and the sum of their absolute values.
    steps: (u64, f64),
    /// By horizon.
    pub cells: Vec<Cell>,
}

/// A series at one horizon.
#[derive(Default)]
pub struct Cell {
    pub queue: Queue,
    pub tally: ErrorSums,
    /// The worst coverage a level.
    pub worst: Vec<Rolling>,
    /// Truths that were learned from, and rises among them.
    truths: (u64, u64),
    /// What a report shows of it; none: it is not shown.
    pub shown: Option<Box<RecentPairs>>,
    /// Empty without a report.
    pub moments: TopErrors,
}

impl Series {
    /// In-sample one-step error of naive, the scale of MASE: the mean absolute step from one window to the next.
    pub fn scale(&self) -> Option<f64> {
        let scale = self.steps.1 / self.steps.0 as f64;
        (scale > 0.0 && scale.is_finite()).then_some(scale)
    }

    /// A window of it: the forecasts of its shortest horizon stand for it.
    fn window(&mut self, end: EventTime, value: f64, size_us: i64) {
        self.windows += 1;
        if let Some((before, last)) = self.last
            && before.plus_us(size_us) == end
        {
            self.steps = (self.steps.0 + 1, self.steps.1 + (value - last).abs());
        }
        self.last = Some((end, value));
    }
}

impl Cell {
    /// Share of rises so far, with one rise and one fall before the first.
    fn base_rate(&self) -> f64 {
        (self.truths.1 + 1) as f64 / (self.truths.0 + 2) as f64
    }
}

impl PartitionEval {
    pub fn new(levels: &[f64], horizons: &[u32], size_us: i64, skip: u64, is_drawn: bool) -> Self {
        PartitionEval {
            levels: levels.to_vec(),
            horizons: horizons.iter().map(|&horizon| horizon as i32).collect(),
            size_us,
            skip,
            is_drawn,
            series: IndexMap::new(),
            timelines: vec![Timeline::default(); horizons.len()],
            counts: OutputPosition::default(),
        }
    }

    /// Takes in forecast records. Panics when they are none.
    pub fn forecasts(&mut self, records: &RecordBatch) {
        let common = Common::of(records);
        let bounds: Vec<[&Float64Array; 2]> = (self.levels.iter())
            .map(|&level| {
                ["lower", "upper"].map(|side| numbers(records, &format!("{side}_{}", level_label(level))))
            })
            .collect();
        // Pipelines without `direction` have none.
        let prob_up = records.column_by_name("prob_up").map(|column| column.as_primitive::<Float64Type>());
        for row in 0..records.num_rows() {
            let (end, target_time) = (common.issued_at(row), common.target_time(row));
            let Some(index) = self.horizon(common.horizon.value(row)) else { continue };
            let size_us = self.size_us;
            let series = self.series(common.series.value(row));
            if index == 0 {
                series.window(end, common.naive.value(row), size_us);
            }
            let cell = &mut series.cells[index];
            let has_bounds = bounds.iter().flatten().all(|column| column.is_valid(row));
            let up = prob_up.filter(|column| column.is_valid(row)).map(|column| column.value(row));
            cell.queue.push(Made {
                issued_at: end,
                target_time,
                bounds: (bounds.iter().filter(|_| has_bounds))
                    .map(|[lower, upper]| (lower.value(row), upper.value(row)))
                    .collect(),
                up: up.map(|up| (up, cell.base_rate())),
            });
            self.counts.forecasts += 1;
        }
    }

    /// Takes in score records; those of a window come after its forecasts. Panics when they are none.
    pub fn scores(&mut self, records: &RecordBatch) {
        let common = Common::of(records);
        let (actual, forecast) = (numbers(records, "actual"), numbers(records, "forecast"));
        let experts = records["experts"].as_map();
        let names = experts.keys().as_string::<i32>();
        let values: &Float64Array = experts.values().as_primitive();
        for row in 0..records.num_rows() {
            let Some(index) = self.horizon(common.horizon.value(row)) else { continue };
            let target_time = common.target_time(row);
            let skip = self.skip;
            let series = self.series(common.series.value(row));
            let is_skipped = series.windows <= skip;
            let cell = &mut series.cells[index];
            let Some(made) = cell.queue.take(target_time) else { continue };
            let pair = Pair {
                issued_at: made.issued_at,
                target_time,
                actual: actual.value(row),
                forecast: forecast.value(row),
                naive: common.naive.value(row),
                bounds: made.bounds,
                up: made.up,
            };
            cell.truths = (cell.truths.0 + 1, cell.truths.1 + u64::from(pair.is_up()));
            if is_skipped {
                self.counts.skipped += 1;
                continue;
            }
            // Squares of huge errors must not spoil the means for good.
            if !(pair.error().powi(2) + (pair.actual - pair.naive)).is_finite() {
                self.counts.overflowed += 1;
                continue;
            }
            let [from, to] = [row, row + 1].map(|at| experts.value_offsets()[at] as usize);
            let experts = (from..to).filter(|&entry| values.is_valid(entry));
            let experts = experts.map(|entry| (names.value(entry), values.value(entry)));
            self.score(common.series.value(row), index, pair, experts);
        }
    }

    fn score<'a>(
        &mut self,
        series: &str,
        index: usize,
        pair: Pair,
        experts: impl Iterator<Item = (&'a str, f64)>,
    ) {
        self.counts.scored += 1;
        let Some(cell) = self.series.get_mut(series).map(|series| &mut series.cells[index]) else { return };
        cell.tally.add(&pair, &self.levels, experts);
        cell.worst.resize(self.levels.len(), Rolling::default());
        for (rolling, &bounds) in cell.worst.iter_mut().zip(&pair.bounds) {
            rolling.add(is_covered(bounds, pair.actual));
        }
        self.timelines[index].add(&pair);
        if self.is_drawn {
            cell.moments.add(&pair);
        }
        if let Some(shown) = &mut cell.shown {
            shown.add(pair);
        }
    }

    fn horizon(&self, horizon: i32) -> Option<usize> {
        self.horizons.iter().position(|&known| known == horizon)
    }

    fn series(&mut self, name: &str) -> &mut Series {
        let index = match self.series.get_index_of(name) {
            Some(index) => index,
            None => {
                let shown = (self.is_drawn && self.series.len() < SHOWN).then(Box::<RecentPairs>::default);
                let cell = || Cell { shown: shown.clone(), ..Cell::default() };
                let cells = self.horizons.iter().map(|_| cell()).collect();
                self.series.insert_full(name.into(), Series { cells, ..Series::default() }).0
            }
        };
        &mut self.series[index]
    }
}

/// The columns that forecast and score records share.
struct Common<'a> {
    series: &'a StringArray,
    issued_at: &'a PrimitiveArray<TimestampMicrosecondType>,
    target_time: &'a PrimitiveArray<TimestampMicrosecondType>,
    horizon: &'a PrimitiveArray<Int32Type>,
    naive: &'a Float64Array,
}

impl<'a> Common<'a> {
    fn of(records: &'a RecordBatch) -> Self {
        Common {
            series: records["series"].as_string(),
            issued_at: records["issued_at"].as_primitive(),
            target_time: records["target_time"].as_primitive(),
            horizon: records["horizon"].as_primitive(),
            naive: numbers(records, "naive"),
        }
    }

    fn issued_at(&self, row: usize) -> EventTime {
        EventTime(self.issued_at.value(row))
    }

    fn target_time(&self, row: usize) -> EventTime {
        EventTime(self.target_time.value(row))
    }
}

fn numbers<'a>(records: &'a RecordBatch, name: &str) -> &'a Float64Array {
    records[name].as_primitive()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
    use arrow::json::ReaderBuilder;
    use tickcast_stream::forecast::{forecast_schema, score_schema};

    use super::*;

    const MINUTE_US: i64 = 60_000_000;

    fn batch(schema: SchemaRef, lines: &str) -> RecordBatch {
        let mut decoder = ReaderBuilder::new(schema).build_decoder().unwrap();
        decoder.decode(lines.as_bytes()).unwrap();
        decoder.flush().unwrap().unwrap()
    }

    fn time(minute: i64) -> String {
        format!("2024-01-01T00:{minute:02}:00Z")
    }

    /// One-minute windows, horizon 1: the forecast of the window that ends at `minute`.
    fn forecast(minute: i64, value: f64) -> RecordBatch {
        let (start, end, target) = (time(minute - 1), time(minute), time(minute + 1));
        let schema = forecast_schema(&[0.9], false);
        let records = batch(
            schema.clone(),
            &format!(
                r#"{{"series":"a","window_start":"{start}","issued_at":"{end}","target_time":"{target}","horizon":1,
                "forecast":{value},"lower_90":{},"upper_90":{},"naive":{value},"expert":"naive","model_updates":0}}"#,
                value - 1.0,
                value + 1.0
            ),
        );
        let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("prob_up", DataType::Float64, true)));
        let mut columns = records.columns().to_vec();
        columns.push(Arc::new(Float64Array::from(vec![0.5])) as ArrayRef);
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn score(minute: i64, actual: f64, forecast: f64) -> RecordBatch {
        let (issued, target) = (time(minute - 1), time(minute));
        let error = actual - forecast;
        batch(
            score_schema(&[0.9]),
            &format!(
                r#"{{"series":"a","issued_at":"{issued}","target_time":"{target}","horizon":1,"actual":{actual},
                "forecast":{forecast},"naive":{forecast},"error":{error},"covered_90":true,
                "experts":{{"naive":{forecast}}}}}"#
            ),
        )
    }

    /// Values 0, 1, 3, 6 in the windows that end at minutes 1, 2, 3, 4.
    fn book(skip: u64) -> PartitionEval {
        let mut book = PartitionEval::new(&[0.9], &[1], MINUTE_US, skip, true);
        book.forecasts(&forecast(1, 0.0));
        for (minute, value, last) in [(2, 1.0, 0.0), (3, 3.0, 1.0), (4, 6.0, 3.0)] {
            book.forecasts(&forecast(minute, value));
            book.scores(&score(minute, value, last));
        }
        book
    }

    #[test]
    fn pairs_are_tallied_beside_the_scale_of_the_series() {
        let book = book(0);
        let series = &book.series["a"];
        let cell = &series.cells[0];
        assert_eq!((series.windows, series.scale()), (4, Some(2.0)));
        assert_eq!((cell.tally.scored(), cell.tally.mae(), cell.queue.len()), (3, Some(2.0), 1));
        assert_eq!((book.counts.forecasts, book.counts.scored), (4, 3));
        let measures = cell.tally.measures(1, &[0.9], &[], None);
        // On the bound, and outside by 1 and by 2.
        assert_eq!(measures.levels[0].coverage, Some(1.0 / 3.0));
        assert!((measures.levels[0].winkler.unwrap() - (2.0 + 2.0 + 20.0 + 2.0 + 40.0) / 3.0).abs() < 1e-9);
        let direction = measures.direction.unwrap();
        assert_eq!((direction.ups, direction.brier), (1.0, 0.25));
        // Issued when 0, 0 and 1 truths were known.
        assert!((direction.base_brier - (0.25 + 0.25 + 1.0 / 9.0) / 3.0).abs() < 1e-12);
    }

    #[test]
    fn skipped_windows_are_learned_from_and_not_scored() {
        let book = book(3);
        let cell = &book.series["a"].cells[0];
        // Of the truths in windows 2, 3 and 4 the last.
        assert_eq!((book.counts.skipped, cell.tally.scored(), cell.tally.mae()), (2, 1, Some(3.0)));
        assert_eq!(cell.truths, (3, 3));
    }

    #[test]
    fn a_truth_that_never_came_is_counted() {
        let mut book = book(0);
        book.forecasts(&forecast(9, 6.0));
        let cell = &book.series["a"].cells[0];
        assert_eq!((cell.queue.dropped, cell.queue.len()), (1, 1));
        // A step over silence is none.
        assert_eq!(book.series["a"].scale(), Some(2.0));
    }
}
