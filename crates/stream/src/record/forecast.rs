//! Forecast records: their schema, written from what a forecaster makes, read as typed rows.
//! It must not compute: it names, orders and types what it is given.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBuilder, Float64Array, Float64Builder, Int32Array, Int32Builder,
    Int64Array, Int64Builder, StringArray, StringBuilder, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Forecast, Horizon};

use super::columns::{column, names, numbers, time, times};
use super::interval::Interval;
use super::levels::{level_label, levels_of};
use crate::error::{Kind, OrFail, Result};
use crate::message::{EventTime, timestamp_type};

/// Forecast records for intervals of these levels.
pub fn forecast_schema(levels: &[f64], direction: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("series", DataType::Utf8, false),
        Field::new("target", DataType::Utf8, false),
        Field::new("window_start", timestamp_type(), false),
        Field::new("issued_at", timestamp_type(), false),
        Field::new("target_time", timestamp_type(), true),
        Field::new("horizon", DataType::Int32, false),
        Field::new("forecast", DataType::Float64, false),
    ];

    for &level in levels {
        for side in ["lower", "upper"] {
            fields.push(Field::new(format!("{side}_{}", level_label(level)), DataType::Float64, true));
        }
    }

    if direction {
        fields.push(Field::new("prob_up", DataType::Float64, true));
    }
    fields.extend([
        Field::new("naive", DataType::Float64, false),
        Field::new("expert", DataType::Utf8, false),
        Field::new("model_updates", DataType::Int64, false),
        Field::new("carried", DataType::Boolean, false),
    ]);
    Arc::new(Schema::new(fields))
}

/// Collects the forecast records of one window.
pub(super) struct ForecastBatch {
    schema: SchemaRef,
    window_start: EventTime,
    series: StringBuilder,
    target: StringBuilder,
    issued_at: TimestampMicrosecondBuilder,
    target_time: TimestampMicrosecondBuilder,
    horizon: Int32Builder,
    forecast: Float64Builder,
    /// One a level.
    bounds: Vec<BoundBuilders>,
    /// Where the schema has it.
    prob_up: Option<Float64Builder>,
    naive: Float64Builder,
    expert: StringBuilder,
    model_updates: Int64Builder,
    carried: BooleanBuilder,
}

/// The bounds of the intervals of one level.
struct BoundBuilders {
    lower: Float64Builder,
    upper: Float64Builder,
}

impl ForecastBatch {
    /// Of a window that starts at `window_start`, with room for so many records.
    pub(super) fn new(schema: SchemaRef, window_start: EventTime, records: usize) -> Self {
        let bounds = || BoundBuilders { lower: numbers(records), upper: numbers(records) };
        ForecastBatch {
            window_start,
            series: names(records),
            target: names(records),
            issued_at: times(records),
            target_time: times(records),
            horizon: Int32Builder::with_capacity(records),
            forecast: numbers(records),
            bounds: levels_of(&schema, "lower_").iter().map(|_| bounds()).collect(),
            prob_up: schema.field_with_name("prob_up").is_ok().then(|| numbers(records)),
            naive: numbers(records),
            expert: names(records),
            model_updates: Int64Builder::with_capacity(records),
            carried: BooleanBuilder::with_capacity(records),
            schema,
        }
    }

    /// Takes in a forecast of a target.
    pub(super) fn push(&mut self, target: &str, made: &Forecast<'_>) {
        self.series.append_value(made.series);
        self.target.append_value(target);
        self.issued_at.append_value(made.issued_at.0);
        self.target_time.append_option(made.target_time.map(|time| time.0));
        self.horizon.append_value(made.horizon.0 as i32);
        self.forecast.append_value(made.forecast);

        for (index, builders) in self.bounds.iter_mut().enumerate() {
            let interval = made.intervals.get(index).copied().map(Interval::from);
            builders.lower.append_option(interval.map(|interval| interval.lower));
            builders.upper.append_option(interval.map(|interval| interval.upper));
        }

        if let Some(builder) = &mut self.prob_up {
            builder.append_option(made.prob_up);
        }
        self.naive.append_value(made.naive);
        self.expert.append_value(made.expert);
        self.model_updates.append_value(made.model_updates as i64);
        self.carried.append_value(made.carried);
    }

    /// The records. Errors: `Query`, when the columns do not fit together, which only a fault here
    /// can cause.
    pub(super) fn finish(mut self) -> Result<RecordBatch> {
        let series = self.series.finish();
        let start = TimestampMicrosecondArray::from_value(self.window_start.0, series.len());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(series),
            Arc::new(self.target.finish()),
            Arc::new(start.with_data_type(timestamp_type())),
            Arc::new(self.issued_at.finish()),
            Arc::new(self.target_time.finish()),
            Arc::new(self.horizon.finish()),
            Arc::new(self.forecast.finish()),
        ];

        for BoundBuilders { lower, upper } in &mut self.bounds {
            columns.push(Arc::new(lower.finish()));
            columns.push(Arc::new(upper.finish()));
        }

        columns.extend(self.prob_up.as_mut().map(|prob_up| Arc::new(prob_up.finish()) as ArrayRef));
        columns.push(Arc::new(self.naive.finish()));
        columns.push(Arc::new(self.expert.finish()));
        columns.push(Arc::new(self.model_updates.finish()));
        columns.push(Arc::new(self.carried.finish()));
        RecordBatch::try_new(self.schema, columns).or_fail(Kind::Query, || "cannot build forecasts")
    }
}

/// Forecast records as typed rows.
#[derive(Debug)]
pub struct ForecastRows<'a> {
    len: usize,
    levels: Vec<f64>,
    series: &'a StringArray,
    target: &'a StringArray,
    window_start: &'a TimestampMicrosecondArray,
    issued_at: &'a TimestampMicrosecondArray,
    target_time: &'a TimestampMicrosecondArray,
    horizon: &'a Int32Array,
    forecast: &'a Float64Array,
    /// One a level.
    bounds: Vec<BoundColumns<'a>>,
    prob_up: Option<&'a Float64Array>,
    naive: &'a Float64Array,
    expert: &'a StringArray,
    model_updates: &'a Int64Array,
    carried: &'a BooleanArray,
}

/// The bounds of the intervals of one level.
#[derive(Debug)]
struct BoundColumns<'a> {
    lower: &'a Float64Array,
    upper: &'a Float64Array,
}

impl<'a> ForecastRows<'a> {
    /// The rows of a batch. Errors: `Query`, when they are no forecast records.
    pub fn of(records: &'a RecordBatch) -> Result<Self> {
        let levels = levels_of(records.schema_ref(), "lower_");
        let side = |side: &str, level| column(records, &format!("{side}_{}", level_label(level)));
        let bounds = levels
            .iter()
            .map(|&level| Ok(BoundColumns { lower: side("lower", level)?, upper: side("upper", level)? }));
        let bounds = bounds.collect::<Result<_>>()?;
        // Pipelines without `direction` have none.
        let has_direction = records.column_by_name("prob_up").is_some();

        Ok(ForecastRows {
            len: records.num_rows(),
            levels,
            series: column(records, "series")?,
            target: column(records, "target")?,
            window_start: column(records, "window_start")?,
            issued_at: column(records, "issued_at")?,
            target_time: column(records, "target_time")?,
            horizon: column(records, "horizon")?,
            forecast: column(records, "forecast")?,
            bounds,
            prob_up: has_direction.then(|| column(records, "prob_up")).transpose()?,
            naive: column(records, "naive")?,
            expert: column(records, "expert")?,
            model_updates: column(records, "model_updates")?,
            carried: column(records, "carried")?,
        })
    }

    /// The levels of the intervals, in the order of the columns.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = ForecastRow<'_>> {
        (0..self.len).map(|row| ForecastRow { rows: self, row })
    }
}

/// One forecast record.
#[derive(Debug, Clone, Copy)]
pub struct ForecastRow<'a> {
    rows: &'a ForecastRows<'a>,
    row: usize,
}

impl<'a> ForecastRow<'a> {
    /// The name of the series.
    pub fn series(&self) -> &'a str {
        self.rows.series.value(self.row)
    }

    /// The name of the selected column that is forecast.
    pub fn target(&self) -> &'a str {
        self.rows.target.value(self.row)
    }

    /// The start of the window that caused it.
    pub fn window_start(&self) -> EventTime {
        time(self.rows.window_start, self.row)
    }

    /// The end of the window that caused it.
    pub fn issued_at(&self) -> EventTime {
        time(self.rows.issued_at, self.row)
    }

    /// The end of the window that it is about; none where nobody knew it.
    pub fn target_time(&self) -> Option<EventTime> {
        self.rows.target_time.is_valid(self.row).then(|| time(self.rows.target_time, self.row))
    }

    /// From the one window to the other, in windows.
    pub fn horizon(&self) -> Horizon {
        Horizon(self.rows.horizon.value(self.row) as u32)
    }

    /// The mixture of all experts, in the target's unit.
    pub fn forecast(&self) -> f64 {
        self.rows.forecast.value(self.row)
    }

    /// One interval a level; empty while there was no scale.
    pub fn intervals(&self) -> Vec<Interval> {
        let row = self.row;
        let interval = |columns: &BoundColumns<'_>| {
            let is_valid = columns.lower.is_valid(row) && columns.upper.is_valid(row);
            is_valid.then(|| Interval { lower: columns.lower.value(row), upper: columns.upper.value(row) })
        };
        self.rows.bounds.iter().map(interval).collect::<Option<_>>().unwrap_or_default()
    }

    /// The probability of a rise above the last value, where one was forecast.
    pub fn prob_up(&self) -> Option<f64> {
        let column = self.rows.prob_up.filter(|column| column.is_valid(self.row))?;
        Some(column.value(self.row))
    }

    /// The last value of the target.
    pub fn naive(&self) -> f64 {
        self.rows.naive.value(self.row)
    }

    /// The heaviest expert of the mixture.
    pub fn expert(&self) -> &'a str {
        self.rows.expert.value(self.row)
    }

    /// Updates that the network had learned from.
    pub fn model_updates(&self) -> u64 {
        self.rows.model_updates.value(self.row) as u64
    }

    /// Whether the window's target was its last value repeated, not observed.
    pub fn carried(&self) -> bool {
        self.rows.carried.value(self.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast<'a>(series: &'a str, intervals: &'a [(f64, f64)], prob_up: Option<f64>) -> Forecast<'a> {
        Forecast {
            series,
            issued_at: EventTime(10),
            target_time: Some(EventTime(30)),
            horizon: Horizon(2),
            forecast: 1.5,
            naive: 1.0,
            intervals,
            prob_up,
            expert: "rls",
            model_updates: 7,
            carried: true,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let schema = forecast_schema(&[0.5, 0.995], true);
        let mut batch = ForecastBatch::new(Arc::clone(&schema), EventTime(5), 2);
        batch.push("temp", &forecast("a", &[(1.0, 2.0), (-1.0, 4.0)], Some(0.25)));
        batch.push("wind", &Forecast { target_time: None, ..forecast("b", &[], None) });
        let records = batch.finish().unwrap();
        assert_eq!(records.schema(), schema);

        let rows = ForecastRows::of(&records).unwrap();
        assert_eq!(rows.levels(), [0.5, 0.995]);
        let [a, b] = rows.iter().collect::<Vec<_>>()[..] else { panic!("two rows") };
        assert_eq!((a.series(), a.horizon(), a.forecast(), a.naive()), ("a", Horizon(2), 1.5, 1.0));
        assert_eq!((a.target(), b.target()), ("temp", "wind"));
        assert_eq!([a.window_start(), a.issued_at()], [5, 10].map(EventTime));
        assert_eq!([a.target_time(), b.target_time()], [Some(EventTime(30)), None]);
        assert_eq!((a.expert(), a.model_updates(), a.prob_up()), ("rls", 7, Some(0.25)));
        assert!(a.carried());
        assert_eq!(a.intervals(), [(1.0, 2.0), (-1.0, 4.0)].map(Interval::from));
        assert_eq!((b.series(), b.intervals(), b.prob_up()), ("b", vec![], None));
    }

    #[test]
    fn without_direction_nothing_is_said_of_a_rise() {
        let mut batch = ForecastBatch::new(forecast_schema(&[], false), EventTime(5), 1);
        batch.push("temp", &forecast("a", &[], Some(0.25)));
        let records = batch.finish().unwrap();
        let rows = ForecastRows::of(&records).unwrap();
        let up: Vec<Option<f64>> = rows.iter().map(|row| row.prob_up()).collect();
        assert_eq!((up, rows.levels()), (vec![None], &[][..]));
    }

    #[test]
    fn what_is_no_forecast_is_refused() {
        let scores = RecordBatch::new_empty(crate::record::score_schema(&[0.9]));
        let error = ForecastRows::of(&scores).unwrap_err();
        assert_eq!(error.to_string(), "query: there is no column window_start");
    }
}
