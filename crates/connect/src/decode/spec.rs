//! What a decoder is told.
//! It must not know how it is done.

use arrow::datatypes::Field;

use super::computed_time::TimeComputation;
use super::time::TimeSpec;
use super::wire::WireFormat;

/// What is to be read out of every record.
#[derive(Debug, Clone)]
pub struct DecodeSpec {
    /// How their fields are written.
    pub format: WireFormat,
    /// The column that names the series.
    pub key: String,
    /// What the event time is read from, and how it is written.
    pub time: TimeSpec,
    /// Where that is an expression: what computes it.
    pub time_by: Option<TimeComputation>,
    /// How far a time may be ahead of its record's own timestamp, in microseconds.
    pub future_us: i64,
    /// The data columns, in order; [`columns`](super::columns()) makes them.
    pub columns: Vec<Field>,
    /// All fields of a record, where a schema names them; it says too what an integer in the time
    /// column counts.
    pub schema: Option<Vec<Field>>,
    /// The names of a CSV record's fields, in order; none: the schema's. Without either no CSV
    /// record can be decoded.
    pub header: Option<Vec<String>>,
}
