//! What a stream's results look like to a query: rows of a known schema, in parts that are read
//! side by side.
//! It must not know SQL, nor where the rows are kept.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

/// Where the rows of a stream are.
#[derive(Debug, Clone)]
pub enum Table {
    /// Nowhere that a query can read, and why: `go to stdout`.
    Absent(&'static str),
    /// In whole Parquet files, by partition and part.
    Parquet(Vec<PathBuf>),
    /// Behind a reader.
    Scan(Arc<dyn TableScan>),
}

/// Reads rows that were written, as of now; it leaves no trace where they are kept.
pub trait TableScan: std::fmt::Debug + Send + Sync {
    /// The parts that there are now. Errors: one line for a person.
    fn parts(&self) -> Result<Vec<i32>, String>;

    /// Reads a part from its beginning to the end that it has now, as long as `rows` are wanted.
    /// Errors: one line for a person.
    fn read(&self, part: i32, rows: &mut dyn Rows) -> Result<(), String>;
}

/// Takes the rows of a part, batch by batch.
pub trait Rows {
    /// Hands a batch on, waiting while its taker is busy.
    fn send(&mut self, batch: RecordBatch);

    /// False once nobody takes more: a reader stops then.
    fn is_wanted(&self) -> bool;
}
