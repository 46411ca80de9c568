//! A closed window's batch as rows of numbers.
//! It must not know series' memories, nor what is done with a row.

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Kind, OrFail, Result};
use crate::message::EventTime;

/// One series in one closed window.
pub struct WindowRow<'a> {
    pub series: &'a str,
    /// The features in the plan's order, the target first; none for a null and for what is not finite.
    pub values: Vec<Option<f64>>,
    /// False for a row that repeats the last one.
    pub observed: bool,
}

/// When the window of a batch that is not empty starts.
pub fn window_start(batch: &RecordBatch) -> EventTime {
    EventTime(batch.column(1).as_primitive::<TimestampMicrosecondType>().value(0))
}

/// The rows of a closed window with its `features`. Errors: `Query`, when one is not there or no number.
pub fn window_rows<'a>(batch: &'a RecordBatch, features: &[String]) -> Result<Vec<WindowRow<'a>>> {
    let names: &StringArray = batch.column(0).as_string();
    let carried: &BooleanArray = batch.column(3).as_boolean();
    let columns = features.iter().map(|name| {
        let column = batch.column_by_name(name);
        let column = column.ok_or_else(|| Error::new(Kind::Query, format!("no selected column {name}")))?;
        let column =
            cast(column, &DataType::Float64).or_fail(Kind::Query, || format!("{name} is no number"))?;
        Ok(column.as_primitive::<Float64Type>().clone())
    });
    let columns = columns.collect::<Result<Vec<Float64Array>>>()?;
    // An aggregate of finite values can still overflow: such a value is as good as none.
    let value = |column: &Float64Array, row: usize| {
        Some(column.value(row)).filter(|value| column.is_valid(row) && value.is_finite())
    };
    let row = |index: usize| WindowRow {
        series: names.value(index),
        values: columns.iter().map(|column| value(column, index)).collect(),
        observed: !carried.value(index),
    };
    Ok((0..batch.num_rows()).map(row).collect())
}
