//! What a decoder is: raw records or columnar rows in, rows of the wanted types and rejects out.
//! It must not know any format.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::message::{RawRecord, Records, Reject};
use crate::passed_over::PassedOver;
use crate::place::Offset;

/// The rows of records that were taken in, in order, and those that were not.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The system columns, then the data columns. Those of one record stand together, in one batch.
    pub rows: RecordBatch,
    /// In order of offset; a record may have several, one for each row that it would have been.
    pub rejects: Vec<Reject>,
    /// The cells of rows that are null because they cannot be read, in order of offset.
    pub blank: Vec<BlankCell>,
    /// Records that are neither, in order of offset.
    pub passed: Vec<PassedOver>,
}

/// A cell that is null because it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlankCell {
    /// The position of its record.
    pub offset: Offset,
    /// The place of its column among those of the rows.
    pub column: usize,
    /// What is wrong with it, of the first of a column.
    pub detail: Option<String>,
}

/// A time as it was understood, beside what it was read from: what shows a person at once whether
/// times are read as they are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstTime {
    /// As RFC 3339 has it.
    pub time: String,
    /// As it stands in the record.
    pub written: String,
}

/// Decodes the records of one partition. Every record is judged alone, so that batches cannot be
/// seen in what comes out.
pub trait Decode: Send {
    /// The system columns, then the data columns; data columns may always be null.
    fn schema(&self) -> SchemaRef;

    /// What fields a record has, for a person who looks for the one of this name; none where that
    /// cannot be told.
    fn fields_beside(&self, name: &str, record: &RawRecord) -> Option<String>;

    /// Rows and rejects of these records. Errors: only what no record can cause by its content.
    fn decode(&self, records: &Records) -> Result<Decoded>;

    /// The first time that this decoder has read.
    fn first_time(&self) -> Option<&FirstTime> {
        None
    }
}
