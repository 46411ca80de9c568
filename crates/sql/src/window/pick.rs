//! Some rows of a batch as a batch.
//! It must not know windows or series.

use arrow::array::{RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};

/// Rows by their ascending indices. They are copied unless they are most of the batch: a few rows
/// must not keep all of it in memory.
pub fn pick(rows: &RecordBatch, indices: &[u32]) -> Result<RecordBatch> {
    if let (Some(first), Some(last)) = (indices.first(), indices.last()) {
        let contiguous = (last - first) as usize + 1 == indices.len();
        if contiguous && indices.len() * 2 >= rows.num_rows() {
            return Ok(rows.slice(*first as usize, indices.len()));
        }
    }
    copy(rows, indices)
}

/// Copies of rows by their indices.
pub fn copy(rows: &RecordBatch, indices: &[u32]) -> Result<RecordBatch> {
    let fail = || "cannot take rows";
    let at = UInt32Array::from(indices.to_vec());
    let columns = rows.columns().iter().map(|column| take(column, &at, None));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>().or_fail(Kind::Query, fail)?;
    // A select without arguments has rows and no columns.
    let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
    RecordBatch::try_new_with_options(rows.schema(), columns, &options).or_fail(Kind::Query, fail)
}
