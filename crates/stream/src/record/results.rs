//! Forecast and score records as Arrow columns; schemas/*.avsc say the same for Avro.
//! It must not compute: it names, orders and types what a forecaster hands it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, MapBuilder, MapFieldNames,
    StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{Forecast, Results, Score, level_label};

use crate::error::{Kind, OrFail, Result};
use crate::message::{EventTime, timestamp_type};

/// Forecast records for intervals of these levels.
pub fn forecast_schema(levels: &[f64], direction: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("series", DataType::Utf8, false),
        Field::new("window_start", timestamp_type(), false),
        Field::new("issued_at", timestamp_type(), false),
        Field::new("target_time", timestamp_type(), false),
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
    ]);
    Arc::new(Schema::new(fields))
}

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
    let mut fields = vec![
        Field::new("series", DataType::Utf8, false),
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
    let entries = Arc::new(Field::new(names.entry, entries, false));
    fields.push(Field::new("experts", DataType::Map(entries, false), false));
    Arc::new(Schema::new(fields))
}

/// Bytes of a series' name, as a guess of what to reserve.
const NAME_BYTES: usize = 16;

fn times(records: usize) -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::with_capacity(records).with_data_type(timestamp_type())
}

fn names(records: usize) -> StringBuilder {
    StringBuilder::with_capacity(records, records * NAME_BYTES)
}

fn numbers(records: usize) -> Float64Builder {
    Float64Builder::with_capacity(records)
}

/// Collects the forecast and score records of one window.
pub struct ResultBatches {
    forecasts: Forecasts,
    scores: Scores,
}

impl ResultBatches {
    /// Of a window that starts at `window_start`, with room for `records`: a window has few, and thousands of windows can wait
    /// for a sink.
    pub fn new(forecasts: &SchemaRef, scores: &SchemaRef, window_start: EventTime, records: usize) -> Self {
        ResultBatches {
            forecasts: Forecasts::new(Arc::clone(forecasts), window_start, records),
            scores: Scores::new(Arc::clone(scores), records),
        }
    }

    /// The forecasts, then the scores. Errors: `Query`, when the columns do not fit together, which only a fault here can cause.
    pub fn finish(self) -> Result<(RecordBatch, RecordBatch)> {
        Ok((self.forecasts.finish()?, self.scores.finish()?))
    }
}

impl Results for ResultBatches {
    fn forecast(&mut self, forecast: &Forecast<'_>) {
        self.forecasts.push(forecast);
    }

    fn score(&mut self, score: &Score<'_>) {
        self.scores.push(score);
    }
}

/// How many columns' names begin so: one a level.
fn levels(schema: &SchemaRef, prefix: &str) -> usize {
    schema.fields().iter().filter(|field| field.name().starts_with(prefix)).count()
}

/// Collects forecast records.
struct Forecasts {
    schema: SchemaRef,
    window_start: EventTime,
    series: StringBuilder,
    issued_at: TimestampMicrosecondBuilder,
    target_time: TimestampMicrosecondBuilder,
    horizon: Int32Builder,
    forecast: Float64Builder,
    bounds: Vec<(Float64Builder, Float64Builder)>,
    /// Where the schema has it.
    prob_up: Option<Float64Builder>,
    naive: Float64Builder,
    expert: StringBuilder,
    model_updates: Int64Builder,
}

impl Forecasts {
    fn new(schema: SchemaRef, window_start: EventTime, records: usize) -> Self {
        let levels = levels(&schema, "lower_");
        Forecasts {
            window_start,
            series: names(records),
            issued_at: times(records),
            target_time: times(records),
            horizon: Int32Builder::with_capacity(records),
            forecast: numbers(records),
            bounds: (0..levels).map(|_| (numbers(records), numbers(records))).collect(),
            prob_up: schema.field_with_name("prob_up").is_ok().then(|| numbers(records)),
            naive: numbers(records),
            expert: names(records),
            model_updates: Int64Builder::with_capacity(records),
            schema,
        }
    }

    fn push(&mut self, made: &Forecast<'_>) {
        self.series.append_value(made.series);
        self.issued_at.append_value(made.issued_at.0);
        self.target_time.append_value(made.target_time.0);
        self.horizon.append_value(made.horizon as i32);
        self.forecast.append_value(made.forecast);

        for (index, (lower, upper)) in self.bounds.iter_mut().enumerate() {
            let bounds = made.intervals.get(index);
            lower.append_option(bounds.map(|(lower, _)| *lower));
            upper.append_option(bounds.map(|(_, upper)| *upper));
        }

        if let Some(builder) = &mut self.prob_up {
            builder.append_option(made.prob_up);
        }
        self.naive.append_value(made.naive);
        self.expert.append_value(made.expert);
        self.model_updates.append_value(made.model_updates as i64);
    }

    fn finish(mut self) -> Result<RecordBatch> {
        let series = self.series.finish();
        let start = TimestampMicrosecondArray::from_value(self.window_start.0, series.len());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(series),
            Arc::new(start.with_data_type(timestamp_type())),
            Arc::new(self.issued_at.finish()),
            Arc::new(self.target_time.finish()),
            Arc::new(self.horizon.finish()),
            Arc::new(self.forecast.finish()),
        ];
        for (lower, upper) in &mut self.bounds {
            columns.push(Arc::new(lower.finish()));
            columns.push(Arc::new(upper.finish()));
        }
        columns.extend(self.prob_up.as_mut().map(|prob_up| Arc::new(prob_up.finish()) as ArrayRef));
        columns.push(Arc::new(self.naive.finish()));
        columns.push(Arc::new(self.expert.finish()));
        columns.push(Arc::new(self.model_updates.finish()));
        RecordBatch::try_new(self.schema, columns).or_fail(Kind::Query, || "cannot build forecasts")
    }
}

/// Collects score records.
struct Scores {
    schema: SchemaRef,
    series: StringBuilder,
    issued_at: TimestampMicrosecondBuilder,
    target_time: TimestampMicrosecondBuilder,
    horizon: Int32Builder,
    values: [Float64Builder; 4],
    covered: Vec<BooleanBuilder>,
    experts: MapBuilder<StringBuilder, Float64Builder>,
    /// Why the experts of a score could not be taken.
    broken: Option<ArrowError>,
}

impl Scores {
    fn new(schema: SchemaRef, records: usize) -> Self {
        let levels = levels(&schema, "covered_");
        let key = Arc::new(Field::new(expert_map_names().key, DataType::Utf8, false));
        let (names_of, values) = (names(records), numbers(records));
        Scores {
            schema,
            series: names(records),
            issued_at: times(records),
            target_time: times(records),
            horizon: Int32Builder::with_capacity(records),
            values: std::array::from_fn(|_| numbers(records)),
            covered: (0..levels).map(|_| BooleanBuilder::with_capacity(records)).collect(),
            experts: MapBuilder::with_capacity(Some(expert_map_names()), names_of, values, records)
                .with_keys_field(key),
            broken: None,
        }
    }

    /// `error = actual - forecast`; an interval covers the truth when it lies within or on its bounds.
    fn push(&mut self, score: &Score<'_>) {
        let actual = score.actual;
        self.series.append_value(score.series);
        self.issued_at.append_value(score.issued_at.0);
        self.target_time.append_value(score.target_time.0);
        self.horizon.append_value(score.horizon as i32);
        // The difference of two huge numbers of other signs has no finite value.
        let error = (actual - score.forecast).clamp(f64::MIN, f64::MAX);
        let values = [actual, score.forecast, score.naive, error];
        self.values.iter_mut().zip(values).for_each(|(builder, value)| builder.append_value(value));

        for (index, covered) in self.covered.iter_mut().enumerate() {
            let bounds = score.intervals.get(index);
            covered.append_option(bounds.map(|&(lower, upper)| lower <= actual && actual <= upper));
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

    fn finish(mut self) -> Result<RecordBatch> {
        if let Some(error) = self.broken {
            return Err(error).or_fail(Kind::Query, || "cannot build scores");
        }
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.series.finish()),
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
