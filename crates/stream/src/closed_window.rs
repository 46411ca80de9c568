//! A closed window as a batch: which window it is, a row a series, then the selected columns.
//! It must not know how windows close, nor what is done with a row.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use arrow::record_batch::RecordBatch;
use tickcast_forecast::{ClosedWindow, WindowRow};

use crate::error::{Error, Kind, OrFail, Result};
use crate::message::{EventTime, timestamp_type};

/// UInt32: the place of the series in the order in which the partition first saw them.
pub const SERIES_ID: &str = "series_id";
/// Utf8: the name of the series.
pub const SERIES: &str = "series";
/// Int64: the window's place among all windows, see [`ClosedWindow::number`].
pub const WINDOW_NUMBER: &str = "window_number";
/// Timestamp in microseconds, UTC: when the window started.
pub const WINDOW_START: &str = "window_start";
/// Timestamp in microseconds, UTC: when it ended.
pub const WINDOW_END: &str = "window_end";
/// Boolean: the series was silent for the whole window, and the row repeats its last one, but for
/// columns that are [`TRUE_IN_SILENCE`].
pub const CARRIED: &str = "carried";
/// In the metadata of a selected column: where its series is silent, it has the value of a window
/// without a record, which is true.
pub const TRUE_IN_SILENCE: &str = "true_in_silence";

/// The columns before the selected ones, in order.
pub fn fields() -> Vec<Field> {
    vec![
        Field::new(SERIES_ID, DataType::UInt32, false),
        Field::new(SERIES, DataType::Utf8, false),
        Field::new(WINDOW_NUMBER, DataType::Int64, false),
        Field::new(WINDOW_START, timestamp_type(), false),
        Field::new(WINDOW_END, timestamp_type(), false),
        Field::new(CARRIED, DataType::Boolean, false),
    ]
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    let column = batch.column_by_name(name);
    column.ok_or_else(|| Error::new(Kind::Query, format!("a closed window has no column {name}")))
}

/// Which window a batch is; none for a batch without rows. Errors: `Query`, when it is no closed
/// window.
pub fn window(batch: &RecordBatch) -> Result<Option<ClosedWindow>> {
    if batch.num_rows() == 0 {
        return Ok(None);
    }
    let number = column(batch, WINDOW_NUMBER)?.as_primitive::<Int64Type>().value(0);
    let time = |name| Ok(EventTime(column(batch, name)?.as_primitive::<TimestampMicrosecondType>().value(0)));
    Ok(Some(ClosedWindow { number, start: time(WINDOW_START)?, end: time(WINDOW_END)? }))
}

/// The rows of a closed window with its `features`, the target first. Errors: `Query`, when one is
/// not there or no number.
pub fn rows<'a>(batch: &'a RecordBatch, features: &[String]) -> Result<Vec<WindowRow<'a>>> {
    let ids = column(batch, SERIES_ID)?.as_primitive::<UInt32Type>();
    let names: &StringArray = column(batch, SERIES)?.as_string();
    let carried: &BooleanArray = column(batch, CARRIED)?.as_boolean();
    let target = features.first().and_then(|target| batch.schema_ref().field_with_name(target).ok());
    let is_true = target.is_some_and(|target| target.metadata().contains_key(TRUE_IN_SILENCE));
    let columns = features.iter().map(|name| {
        let column = cast(column(batch, name)?, &DataType::Float64)
            .or_fail(Kind::Query, || format!("{name} is no number"))?;
        Ok(column.as_primitive::<Float64Type>().clone())
    });
    let columns = columns.collect::<Result<Vec<Float64Array>>>()?;

    // An aggregate of finite values can still overflow: such a value is as good as none.
    let value = |column: &Float64Array, row: usize| {
        Some(column.value(row)).filter(|value| column.is_valid(row) && value.is_finite())
    };
    let row = |index: usize| WindowRow {
        series_id: ids.value(index),
        series: names.value(index),
        values: columns.iter().map(|column| value(column, index)).collect(),
        observed: is_true || !carried.value(index),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}
