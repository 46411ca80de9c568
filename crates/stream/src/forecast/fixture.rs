//! Closed windows by hand, for tests of what forecasts them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::record_batch::RecordBatch;
use tickcast_forecast::ForecastSpec;

use crate::closed_window::{CARRIED, SERIES, SERIES_ID, WINDOW_END, WINDOW_NUMBER, WINDOW_START};

pub const SIZE_US: i64 = 3_600_000_000;

/// A spec for the target x beside the column y.
pub fn spec_with(change: impl FnOnce(&mut ForecastSpec)) -> ForecastSpec {
    let mut spec = ForecastSpec::new("x");
    spec.features.push("y".to_owned());
    change(&mut spec);
    spec
}

/// A number for each name that the tests use.
fn id_of(name: &str) -> u32 {
    name.bytes().fold(0, |id, byte| (id * 31 + u32::from(byte)) % 1009)
}

/// A window of rows: series, x, y, carried.
pub fn window(number: i64, rows: &[(&str, Option<f64>, f64, bool)]) -> RecordBatch {
    let times = |number: i64| {
        let times = TimestampMicrosecondArray::from_value(number * SIZE_US, rows.len());
        Arc::new(times.with_timezone("UTC")) as ArrayRef
    };
    RecordBatch::try_from_iter([
        (SERIES_ID, Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| id_of(row.0)))) as ArrayRef),
        (SERIES, Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0)))),
        (WINDOW_NUMBER, Arc::new(Int64Array::from_value(number, rows.len()))),
        (WINDOW_START, times(number)),
        (WINDOW_END, times(number + 1)),
        (CARRIED, Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.3))))),
        ("x", Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)))),
        ("y", Arc::new(Float64Array::from_iter(rows.iter().map(|row| Some(row.2))))),
    ])
    .unwrap()
}
