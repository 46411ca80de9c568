//! Score records: their schema, written from what a forecaster makes, read as typed rows.
//! It must not compute means: it says of one forecast how large its error was and what covered it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, Float64Array, Float64Builder, Int32Array, Int32Builder,
    MapArray, MapBuilder, MapFieldNames, StringArray, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Horizon, Score};

use super::columns::{column, names, numbers, time, times};
use super::interval::Interval;
use super::levels::{level_label, levels_of};
use crate::error::{Error, Kind, OrFail, Result};
use crate::message::{EventTime, timestamp_type};

fn expert_map_names() -> MapFieldNames {
    MapFieldNames { entry: "entries".into(), key: "keys".into(), value: "values".into() }
}

/// Score records for intervals of these levels.
pub fn score_schema(levels: &[f64]) -> SchemaRef {
    let names = expert_map_names();
    let entries = DataType::Struct(
        vec![Field::new(names.key, DataType::Utf8, false), Field::new(names.value, DataType::Float64, true)]
            .into(),
    );
    let entries = Arc::new(Field::new(names.entry, entries, false));

    let mut fields = vec![
        Field::new("series", DataType::Utf8, false),
        Field::new("target", DataType::Utf8, false),
        Field::new("issued_at", timestamp_type(), false),
        Field::new("target_time", timestamp_type(), false),
        Field::new("horizon", DataType::Int32, false),
        Field::new("actual", DataType::Float64, false),
        Field::new("forecast", DataType::Float64, false),
        Field::new("naive", DataType::Float64, false),
        Field::new("error", DataType::Float64, false),
    ];
    for &level in levels {
        fields.push(Field::new(format!("covered_{}", level_label(level)), DataType::Boolean, true));
    }
    fields.push(Field::new("experts", DataType::Map(entries, false), false));
    Arc::new(Schema::new(fields))
}

/// Collects score records.
pub(super) struct ScoreBatch {
    schema: SchemaRef,
    series: StringBuilder,
    target: StringBuilder,
    issued_at: TimestampMicrosecondBuilder,
    target_time: TimestampMicrosecondBuilder,
    horizon: Int32Builder,
    /// Actual, forecast, naive, error.
    values: [Float64Builder; 4],
    /// One a level.
    covered: Vec<BooleanBuilder>,
    experts: MapBuilder<StringBuilder, Float64Builder>,
    /// Why the experts of a score could not be taken.
    broken: Option<ArrowError>,
}

impl ScoreBatch {
    /// With room for so many records.
    pub(super) fn new(schema: SchemaRef, records: usize) -> Self {
        let covered = || BooleanBuilder::with_capacity(records);
        let key = Arc::new(Field::new(expert_map_names().key, DataType::Utf8, false));
        let (names_of, values) = (names(records), numbers(records));
        ScoreBatch {
            series: names(records),
            target: names(records),
            issued_at: times(records),
            target_time: times(records),
            horizon: Int32Builder::with_capacity(records),
            values: std::array::from_fn(|_| numbers(records)),
            covered: levels_of(&schema, "covered_").iter().map(|_| covered()).collect(),
            experts: MapBuilder::with_capacity(Some(expert_map_names()), names_of, values, records)
                .with_keys_field(key),
            broken: None,
            schema,
        }
    }

    /// Takes in a score of a target: `error = actual - forecast`, and of every interval whether it
    /// covers the truth.
    pub(super) fn push(&mut self, target: &str, score: &Score<'_>) {
        let actual = score.actual;
        self.series.append_value(score.series);
        self.target.append_value(target);
        self.issued_at.append_value(score.issued_at.0);
        self.target_time.append_value(score.target_time.0);
        self.horizon.append_value(score.horizon.0 as i32);
        // The difference of two huge numbers of other signs has no finite value.
        let error = (actual - score.forecast).clamp(f64::MIN, f64::MAX);
        let values = [actual, score.forecast, score.naive, error];
        self.values.iter_mut().zip(values).for_each(|(builder, value)| builder.append_value(value));

        for (index, covered) in self.covered.iter_mut().enumerate() {
            let interval = score.intervals.get(index).copied().map(Interval::from);
            covered.append_option(interval.map(|interval| interval.covers(actual)));
        }

        let (names, said) = score.experts;
        for (name, value) in names.iter().zip(said) {
            self.experts.keys().append_value(name);
            self.experts.values().append_value(*value);
        }
        if let Err(error) = self.experts.append(true) {
            self.broken.get_or_insert(error);
        }
    }

    /// The records. Errors: `Query`, when the columns do not fit together, which only a fault here
    /// can cause.
    pub(super) fn finish(mut self) -> Result<RecordBatch> {
        if let Some(error) = self.broken {
            return Err(error).or_fail(Kind::Query, || "cannot build scores");
        }

        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.series.finish()),
            Arc::new(self.target.finish()),
            Arc::new(self.issued_at.finish()),
            Arc::new(self.target_time.finish()),
            Arc::new(self.horizon.finish()),
        ];
        columns.extend(self.values.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.extend(self.covered.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(Arc::new(self.experts.finish()));
        RecordBatch::try_new(self.schema, columns).or_fail(Kind::Query, || "cannot build scores")
    }
}

/// Score records as typed rows.
#[derive(Debug)]
pub struct ScoreRows<'a> {
    len: usize,
    levels: Vec<f64>,
    series: &'a StringArray,
    target: &'a StringArray,
    issued_at: &'a TimestampMicrosecondArray,
    target_time: &'a TimestampMicrosecondArray,
    horizon: &'a Int32Array,
    actual: &'a Float64Array,
    forecast: &'a Float64Array,
    naive: &'a Float64Array,
    error: &'a Float64Array,
    /// One a level.
    covered: Vec<&'a BooleanArray>,
    experts: &'a MapArray,
    expert_names: &'a StringArray,
    expert_forecasts: &'a Float64Array,
}

impl<'a> ScoreRows<'a> {
    /// The rows of a batch. Errors: `Query`, when they are no score records.
    pub fn of(records: &'a RecordBatch) -> Result<Self> {
        let levels = levels_of(records.schema_ref(), "covered_");
        let covered = levels.iter().map(|&level| column(records, &format!("covered_{}", level_label(level))));
        let experts: &MapArray = column(records, "experts")?;
        let other_map = || Error::new(Kind::Query, "the column experts is no map of names to numbers");

        Ok(ScoreRows {
            len: records.num_rows(),
            covered: covered.collect::<Result<_>>()?,
            levels,
            series: column(records, "series")?,
            target: column(records, "target")?,
            issued_at: column(records, "issued_at")?,
            target_time: column(records, "target_time")?,
            horizon: column(records, "horizon")?,
            actual: column(records, "actual")?,
            forecast: column(records, "forecast")?,
            naive: column(records, "naive")?,
            error: column(records, "error")?,
            experts,
            expert_names: experts.keys().as_any().downcast_ref().ok_or_else(other_map)?,
            expert_forecasts: experts.values().as_any().downcast_ref().ok_or_else(other_map)?,
        })
    }

    /// The levels of the intervals, in the order of the columns.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ScoreRow<'_>> {
        (0..self.len).map(|row| ScoreRow { rows: self, row })
    }
}

/// One score record.
#[derive(Debug, Clone, Copy)]
pub struct ScoreRow<'a> {
    rows: &'a ScoreRows<'a>,
    row: usize,
}

impl<'a> ScoreRow<'a> {
    /// The name of the series.
    pub fn series(&self) -> &'a str {
        self.rows.series.value(self.row)
    }

    /// The name of the selected column that was forecast.
    pub fn target(&self) -> &'a str {
        self.rows.target.value(self.row)
    }

    /// The end of the window that the forecast was made from.
    pub fn issued_at(&self) -> EventTime {
        time(self.rows.issued_at, self.row)
    }

    /// The end of the window that it was about.
    pub fn target_time(&self) -> EventTime {
        time(self.rows.target_time, self.row)
    }

    /// From the one window to the other, in windows.
    pub fn horizon(&self) -> Horizon {
        Horizon(self.rows.horizon.value(self.row) as u32)
    }

    /// The truth, in the target's unit.
    pub fn actual(&self) -> f64 {
        self.rows.actual.value(self.row)
    }

    /// What was published.
    pub fn forecast(&self) -> f64 {
        self.rows.forecast.value(self.row)
    }

    /// The last value of the target when it was made.
    pub fn naive(&self) -> f64 {
        self.rows.naive.value(self.row)
    }

    /// The truth less the forecast.
    pub fn error(&self) -> f64 {
        self.rows.error.value(self.row)
    }

    /// Every level that had an interval, and whether it covered the truth.
    pub fn covered(&self) -> impl Iterator<Item = (f64, bool)> + use<'a> {
        let row = self.row;
        let columns = self.rows.levels.iter().zip(&self.rows.covered);
        let columns = columns.filter(move |(_, column)| column.is_valid(row));
        columns.map(move |(&level, column)| (level, column.value(row)))
    }

    /// The experts that forecast, and what each of them had said.
    pub fn experts(&self) -> impl Iterator<Item = (&'a str, f64)> + use<'a> {
        let ScoreRows { experts, expert_names: names, expert_forecasts: values, .. } = self.rows;
        let [from, to] = [self.row, self.row + 1].map(|at| experts.value_offsets()[at] as usize);
        let said = (from..to).filter(|&entry| values.is_valid(entry));
        said.map(|entry| (names.value(entry), values.value(entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score<'a>(series: &'a str, intervals: &'a [(f64, f64)], experts: &'a [f64]) -> Score<'a> {
        Score {
            series,
            issued_at: EventTime(10),
            target_time: EventTime(30),
            horizon: Horizon(2),
            actual: 3.0,
            forecast: 1.5,
            naive: 1.0,
            intervals,
            experts: (&["naive", "rnn"], experts),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let schema = score_schema(&[0.5, 0.995]);
        let mut batch = ScoreBatch::new(Arc::clone(&schema), 2);
        batch.push("temp", &score("a", &[(1.0, 2.0), (-1.0, 3.0)], &[1.0, 2.5]));
        batch.push("wind", &score("b", &[], &[1.0]));
        let records = batch.finish().unwrap();
        assert_eq!(records.schema(), schema);

        let rows = ScoreRows::of(&records).unwrap();
        assert_eq!(rows.levels(), [0.5, 0.995]);
        let [a, b] = rows.iter().collect::<Vec<_>>()[..] else { panic!("two rows") };
        assert_eq!((a.target(), b.target()), ("temp", "wind"));
        assert_eq!((a.series(), a.issued_at(), a.target_time()), ("a", EventTime(10), EventTime(30)));
        assert_eq!(
            (a.horizon(), a.actual(), a.forecast(), a.naive(), a.error()),
            (Horizon(2), 3.0, 1.5, 1.0, 1.5)
        );
        // A truth on the bound lies within.
        assert_eq!(a.covered().collect::<Vec<_>>(), [(0.5, false), (0.995, true)]);
        assert_eq!(a.experts().collect::<Vec<_>>(), [("naive", 1.0), ("rnn", 2.5)]);
        assert_eq!((b.series(), b.covered().count()), ("b", 0));
        assert_eq!(b.experts().collect::<Vec<_>>(), [("naive", 1.0)]);
    }

    #[test]
    fn what_is_no_score_is_refused() {
        let forecasts = RecordBatch::new_empty(crate::record::forecast_schema(&[0.9], false));
        let error = ScoreRows::of(&forecasts).unwrap_err();
        assert_eq!(error.to_string(), "query: there is no column experts");
    }
}
