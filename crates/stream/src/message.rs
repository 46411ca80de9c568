//! What moves between the rooms: raw records in, rows with their system columns, rejects and
//! results out.
//! It must not know how any of it is read, computed or written.

use std::fmt;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;
use arrow::temporal_conversions::timestamp_us_to_datetime;
use bytes::Bytes;

use crate::error::{Error, Kind, OrFail, Result};
use crate::place::Offset;
use crate::source_file::SourceFile;

pub use crate::record::reject_schema;
pub use tickcast_forecast::EventTime;

/// System columns that decoding adds in front of the data columns of a batch of rows.
pub mod column {
    /// Int64: the record's position in its partition.
    pub const OFFSET: &str = "__offset";
    /// Timestamp in microseconds, UTC: when the observation was made.
    pub const TIME: &str = "__time";
    /// Utf8: the series the record belongs to.
    pub const SERIES: &str = "__series";
    /// Int64, in rows of a columnar source that are not in its order: where the row stands there.
    pub const ORIGIN: &str = "__origin";
}

/// The Arrow type of every time in tickcast.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A time as a person reads it.
pub fn shown(time: EventTime) -> String {
    match timestamp_us_to_datetime(time.0) {
        Some(time) => format!("{time:?}Z"),
        None => format!("{} µs", time.0),
    }
}

/// The system columns, in order.
pub fn system_fields() -> Vec<Field> {
    vec![
        Field::new(column::OFFSET, DataType::Int64, false),
        Field::new(column::TIME, timestamp_type(), false),
        Field::new(column::SERIES, DataType::Utf8, false),
    ]
}

/// A header of a Kafka record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// Its name, which several headers of a record may have.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<Vec<u8>>,
}

/// One record as a source reads it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawRecord {
    /// Position in the partition: Kafka's offset, or the record's ordinal in a file.
    pub offset: Offset,
    /// Where the record stands in its source, where its records are taken in another order.
    pub origin: Option<Offset>,
    /// The file that it is from, where the source reads several.
    pub file: Option<Arc<SourceFile>>,
    /// The source's own time of the record (Kafka's timestamp), where it has one.
    pub timestamp: Option<EventTime>,
    /// The key of a Kafka record, if it has one.
    pub key: Option<Bytes>,
    /// The headers of a Kafka record, in their order.
    pub headers: Vec<RecordHeader>,
    /// The record's bytes; none for a Kafka tombstone. Those of records that were read together are
    /// parts of one buffer.
    pub payload: Option<Bytes>,
    /// How many bytes the record had, where `payload` is only their beginning.
    pub cut_from: Option<u64>,
}

/// A run of consecutive records of one partition.
#[derive(Debug, Clone)]
pub enum Records {
    /// Bytes still to be decoded.
    Raw(Vec<RawRecord>),
    /// Rows of a columnar source; row i has position `first_offset + i`.
    Rows {
        /// The position of the first row.
        first_offset: Offset,
        /// A record each.
        rows: RecordBatch,
    },
}

impl Records {
    /// Number of records.
    pub fn len(&self) -> usize {
        match self {
            Records::Raw(records) => records.len(),
            Records::Rows { rows, .. } => rows.num_rows(),
        }
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position of the first record; none for no records.
    pub fn first_offset(&self) -> Option<Offset> {
        match self {
            Records::Raw(records) => records.first().map(|record| record.offset),
            Records::Rows { first_offset, rows } => (rows.num_rows() > 0).then_some(*first_offset),
        }
    }

    /// How many of them are before a position.
    pub fn before(&self, position: Offset) -> usize {
        match self {
            Records::Raw(records) => records.partition_point(|record| record.offset < position),
            Records::Rows { first_offset, rows } => {
                position.since(*first_offset).clamp(0, rows.num_rows() as i64) as usize
            }
        }
    }

    /// These, and those that come after them. Errors: `Source`, when they do not fit together,
    /// which only a fault of the source can cause.
    pub fn followed_by(self, next: Records) -> Result<Records> {
        let fail = || "records of one partition do not fit together";
        match (self, next) {
            (Records::Raw(mut records), Records::Raw(more)) => {
                records.extend(more);
                Ok(Records::Raw(records))
            }
            (Records::Rows { first_offset, rows }, Records::Rows { rows: more, .. }) => {
                let rows = concat_batches(&rows.schema(), [&rows, &more]).or_fail(Kind::Source, fail)?;
                Ok(Records::Rows { first_offset, rows })
            }
            _ => Err(Error::new(Kind::Source, fail())),
        }
    }

    /// Those before a position, and those from it on.
    pub fn split(self, position: Offset) -> (Records, Records) {
        let before = self.before(position);
        match self {
            Records::Raw(mut records) => {
                let rest = records.split_off(before);
                (Records::Raw(records), Records::Raw(rest))
            }
            Records::Rows { first_offset, rows } => {
                let rest = rows.slice(before, rows.num_rows() - before);
                let from = first_offset.plus(before);
                (
                    Records::Rows { first_offset, rows: rows.slice(0, before) },
                    Records::Rows { first_offset: from, rows: rest },
                )
            }
        }
    }

    /// The source's own time of the oldest record, where the source has times.
    pub fn oldest(&self) -> Option<EventTime> {
        match self {
            Records::Raw(records) => records.iter().filter_map(|record| record.timestamp).min(),
            Records::Rows { .. } => None,
        }
    }

    /// The position after the last record; none for no records.
    pub fn next_offset(&self) -> Option<Offset> {
        match self {
            Records::Raw(records) => records.last().map(|record| record.offset.next()),
            Records::Rows { rows, .. } if rows.num_rows() == 0 => None,
            Records::Rows { first_offset, rows } => Some(first_offset.plus(rows.num_rows())),
        }
    }
}

/// Why a record was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Its window has closed.
    Late,
    /// Its bytes do not fit the format or the schema.
    Undecodable,
    /// It names no series.
    MissingKey,
    /// Its time is missing or cannot be read.
    BadTime,
    /// Its time is far after the source's own time of the record, or after the latest of those
    /// before it, and no record confirms it.
    Future,
    /// A value is NaN or infinite.
    NotFinite,
    /// It is larger than a record may be.
    TooLarge,
    /// It came before.
    Duplicate,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 8] = [
        Reason::Late,
        Reason::Undecodable,
        Reason::MissingKey,
        Reason::BadTime,
        Reason::Future,
        Reason::NotFinite,
        Reason::TooLarge,
        Reason::Duplicate,
    ];

    /// The word of the contract.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Late => "late",
            Reason::Undecodable => "undecodable",
            Reason::MissingKey => "missing_key",
            Reason::BadTime => "bad_time",
            Reason::Future => "future",
            Reason::NotFinite => "not_finite",
            Reason::TooLarge => "too_large",
            Reason::Duplicate => "duplicate",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// That a record was not taken in. The record itself is found among those that came in, by its
/// offset.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    /// Its position in the partition.
    pub offset: Offset,
    /// Why it was not taken in.
    pub reason: Reason,
    /// One line for a person.
    pub detail: String,
}

/// The three streams of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// What is forecast.
    Forecasts,
    /// How good a forecast was, once the truth is known.
    Scores,
    /// Records that were not taken in (a dead-letter queue).
    Rejects,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Stream; 3] = [Stream::Forecasts, Stream::Scores, Stream::Rejects];

    /// The stream's name in the pipeline file.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Forecasts => "forecasts",
            Stream::Scores => "scores",
            Stream::Rejects => "rejects",
        }
    }
}

/// One row as a JSON object: what a reject shows of a record that never had bytes.
pub fn row_as_json(row: &RecordBatch) -> Result<Vec<u8>> {
    let fail = || "cannot write a rejected row as JSON";
    let mut writer = LineDelimitedWriter::new(Vec::new());
    writer.write(row).or_fail(Kind::Source, fail)?;
    writer.finish().or_fail(Kind::Source, fail)?;
    Ok(writer.into_inner().trim_ascii_end().to_vec())
}
