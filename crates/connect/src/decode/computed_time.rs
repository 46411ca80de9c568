//! Event times that are computed from several of a record's columns.
//! It must not know how: that is given from outside, and what comes of it is read as a column is.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::Reason;

use super::text_column::to_text;
use super::time::{TimeFrom, TimeReader};
use super::verdict::Verdicts;

/// Values of rows, and the rows that have none because computing them failed: their values are
/// null.
#[derive(Debug, Clone)]
pub struct ComputedValues {
    /// One a row.
    pub values: ArrayRef,
    /// The row, and why.
    pub failed: Vec<(usize, String)>,
}

/// Computes the values of rows whose columns are the inputs.
pub type Compute = Arc<dyn Fn(&RecordBatch) -> Result<ComputedValues> + Send + Sync>;

/// Computes what event times are read from.
#[derive(Clone)]
pub struct TimeComputation {
    inputs: SchemaRef,
    compute: Compute,
}

impl fmt::Debug for TimeComputation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeComputation").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// Times, and what the first of them was read from.
pub(super) type ReadTimes = (TimestampMicrosecondArray, Option<(i64, String)>);

impl TimeComputation {
    /// From these columns, by this. Every row has to be judged alone.
    pub fn new(inputs: Vec<Field>, compute: Compute) -> Self {
        TimeComputation { inputs: Arc::new(Schema::new(inputs)), compute }
    }

    /// The columns that it needs.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = &Field> {
        self.inputs.fields().iter().map(AsRef::as_ref)
    }

    /// The times of rows; a row without a readable one is null and rejected.
    pub(super) fn times(
        &self,
        columns: Vec<ArrayRef>,
        rows: usize,
        (from, reader): (&TimeFrom, &TimeReader),
        verdicts: &mut Verdicts,
    ) -> Result<ReadTimes> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.inputs), columns, &options)
            .or_fail(Kind::Source, || "the columns of the time do not fit together")?;
        let ComputedValues { values, failed } = (self.compute)(&batch)?;
        for (row, why) in failed {
            verdicts.reject(row, Reason::BadTime, || format!("time {}: {why}", from.shown()));
        }

        let times = reader.convert(&values, from, verdicts)?;
        let first = first_time(&times, &values)?;
        Ok((times, first))
    }
}

/// The first time that was read, and what it was read from.
pub(super) fn first_time(
    times: &TimestampMicrosecondArray,
    written: &ArrayRef,
) -> Result<Option<(i64, String)>> {
    let Some(row) = (0..times.len()).find(|row| times.is_valid(*row)) else { return Ok(None) };
    let text = to_text(&written.slice(row, 1))?;
    Ok(Some((times.value(row), text.value(0).to_owned())))
}
