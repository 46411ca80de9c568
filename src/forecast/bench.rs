//! Closed windows by hand, for tests of what forecasts them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;

use crate::config;
use crate::config::plan::ForecastPlan;

pub const SIZE_US: i64 = 3_600_000_000;

/// A plan for the target x beside the column y, with `more` in its `forecast` block.
pub fn plan_of(more: &str) -> ForecastPlan {
    let text = format!(
        "source: {{ generate: {{}} }}\nwindow: {{ tumbling: 1h, select: {{ x: avg(price), y: max(size) }} }}\n\
         forecast: {{ target: x, {more} }}\n"
    );
    let loaded = config::parse(&text, "p.yaml", std::path::Path::new(""), &[], &|_| None);
    loaded.unwrap_or_else(|faults| panic!("{faults}")).plan.forecast
}

/// A window of rows: series, x, y, carried.
pub fn window(number: i64, rows: &[(&str, Option<f64>, f64, bool)]) -> RecordBatch {
    let times = |number: i64| {
        let times = TimestampMicrosecondArray::from_value(number * SIZE_US, rows.len());
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    RecordBatch::try_from_iter([
        ("series", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        ("window_start", times(number)),
        ("window_end", times(number + 1)),
        ("carried", Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.3))))),
        ("x", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)))),
        ("y", Arc::new(Float64Array::from_iter(rows.iter().map(|row| Some(row.2))))),
    ])
    .unwrap()
}
