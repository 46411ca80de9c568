//! Columns of a batch by name and type, and builders of the types that records have.
//! It must not know any record.

use arrow::array::{
    Array, Float64Builder, StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Kind, Result};
use crate::message::{EventTime, timestamp_type};

/// Bytes of a series' name, as a guess of what to reserve.
const NAME_BYTES: usize = 16;

/// The column of this name and type. Errors: `Query`, when there is none.
pub fn column<'a, A: Array + 'static>(records: &'a RecordBatch, name: &str) -> Result<&'a A> {
    let column = records.column_by_name(name);
    let column = column.ok_or_else(|| Error::new(Kind::Query, format!("there is no column {name}")))?;
    column
        .as_any()
        .downcast_ref()
        .ok_or_else(|| Error::new(Kind::Query, format!("the column {name} is {}", column.data_type())))
}

/// The time in a row.
pub fn time(column: &TimestampMicrosecondArray, row: usize) -> EventTime {
    EventTime(column.value(row))
}

/// Collects times of so many records.
pub fn times(records: usize) -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::with_capacity(records).with_data_type(timestamp_type())
}

/// Collects names of so many records.
pub fn names(records: usize) -> StringBuilder {
    StringBuilder::with_capacity(records, records * NAME_BYTES)
}

/// Collects numbers of so many records.
pub fn numbers(records: usize) -> Float64Builder {
    Float64Builder::with_capacity(records)
}
