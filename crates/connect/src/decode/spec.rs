//! What a decoder is told.
//! It must not know how it is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Field;

use super::computed_time::TimeComputation;
use super::csv_style::CsvStyle;
use super::nulls::Nulls;
use super::record_schema::RecordSchema;
use super::series::SeriesKey;
use super::shape::Shape;
use super::time::TimeSpec;
use super::wire::WireFormat;
use super::writer_schemas::WriterSchemas;

/// What is to be read out of every record.
#[derive(Debug, Clone)]
pub struct DecodeSpec {
    /// How their fields are written.
    pub format: WireFormat,
    /// How CSV is written.
    pub csv: CsvStyle,
    /// What names the series.
    pub key: SeriesKey,
    /// What the event time is read from, and how it is written.
    pub time: TimeSpec,
    /// Where that is an expression: what computes it.
    pub time_by: Option<TimeComputation>,
    /// How far a time may be ahead of its record's own timestamp, in microseconds.
    pub future_us: i64,
    /// What becomes rows of a record.
    pub shape: Shape,
    /// The words that stand for no value.
    pub nulls: Nulls,
    /// The data columns, in order; [`columns`](super::columns()) makes them.
    pub columns: Vec<Field>,
    /// Those of them without which a record is nothing worth: where such a value cannot be read the
    /// record is rejected; of all others it is null.
    pub needed: BTreeSet<String>,
    /// All fields of a record, where a schema names them; it says too what an integer in the time
    /// column counts.
    pub schema: Option<Vec<Field>>,
    /// The schema that records of Avro or Protobuf are read by, and written with where they name
    /// none.
    pub definition: Option<RecordSchema>,
    /// The schemas that records name by number; none: they are not asked for.
    pub writers: Option<Arc<WriterSchemas>>,
    /// The names of a CSV record's fields, in order; none: the schema's. Without either no CSV
    /// record can be decoded.
    pub header: Option<Vec<String>>,
}
