//! The batch of rows of closed windows: what each row is of, and the selected columns.
//! It must not know when a window closes.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::EventTime;

use super::aggregate::SeriesId;

/// What a row of a closed window is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosedRow {
    /// Whose it is.
    pub series: SeriesId,
    /// The number of its window.
    pub number: i64,
    /// When that began.
    pub start: EventTime,
    /// When it ended.
    pub end: EventTime,
    /// Whether its series was silent: it repeats an earlier one, but for what is true in silence.
    pub is_carried: bool,
}

/// The batch of these rows, of the schema `output`, with one row of selected columns each.
/// Errors: `Query`.
pub(super) fn closed_rows<'a>(
    output: &SchemaRef,
    rows: &[ClosedRow],
    columns: &RecordBatch,
    name_of: impl Fn(SeriesId) -> &'a str,
) -> Result<RecordBatch> {
    let all = || rows.iter();
    let times = |of: fn(&ClosedRow) -> EventTime| -> ArrayRef {
        let times = TimestampMicrosecondArray::from_iter_values(all().map(|row| of(row).0));
        Arc::new(times.with_timezone("UTC"))
    };
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_iter_values(all().map(|row| row.series))),
        Arc::new(StringArray::from_iter_values(all().map(|row| name_of(row.series)))),
        Arc::new(Int64Array::from_iter_values(all().map(|row| row.number))),
        times(|row| row.start),
        times(|row| row.end),
        Arc::new(BooleanArray::from_iter(all().map(|row| Some(row.is_carried)))),
    ];

    arrays.extend(columns.columns().iter().cloned());
    RecordBatch::try_new(Arc::clone(output), arrays)
        .or_fail(Kind::Query, || "cannot build the rows of closed windows")
}
