//! Reject records: their schema, written from what was not taken in, read as typed rows.
//! It must not know why a record is rejected, nor where the rejects go.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, Int32Array, Int32Builder, Int64Array, Int64Builder,
    StringArray, StringBuilder, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::columns::{column, time, times};
use super::headers::{HeaderRef, HeadersBuilder, HeadersColumn, headers_type};
use crate::error::{Error, Kind, OrFail, Result};
use crate::message::{EventTime, RawRecord, Records, Reject, column as name, row_as_json, timestamp_type};
use crate::place::{Offset, PartitionId};

/// A batch is full at this many rows or bytes of values, whichever comes first.
const BATCH_ROWS: usize = 1024;
const BATCH_BYTES: usize = 8 << 20;

/// The schema of rejects: value, reason, detail, topic, partition, offset, key, headers, timestamp,
/// cut.
pub fn reject_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("value", DataType::Binary, true),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("key", DataType::Binary, true),
        Field::new("headers", headers_type(), true),
        Field::new("timestamp", timestamp_type(), true),
        Field::new("cut", DataType::Int64, true),
    ]))
}

/// One reject record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectRow<'a> {
    /// The record's value as it came in; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The word of the reason.
    pub reason: &'a str,
    /// One line for a person.
    pub detail: &'a str,
    /// What the input is called.
    pub topic: &'a str,
    /// The partition of the input.
    pub partition: PartitionId,
    /// The record's position in it.
    pub offset: Offset,
    /// The record's key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The record's own headers, in their order.
    pub headers: Vec<HeaderRef<'a>>,
    /// The source's own time of the record, where it has one.
    pub timestamp: Option<EventTime>,
    /// How many bytes the value had, where only its beginning is here.
    pub cut: Option<i64>,
}

/// Collects reject records.
#[derive(Debug)]
pub struct RejectBatch {
    len: usize,
    bytes: usize,
    value: BinaryBuilder,
    reason: StringBuilder,
    detail: StringBuilder,
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    key: BinaryBuilder,
    headers: HeadersBuilder,
    timestamp: TimestampMicrosecondBuilder,
    cut: Int64Builder,
}

impl Default for RejectBatch {
    fn default() -> Self {
        RejectBatch {
            len: 0,
            bytes: 0,
            value: BinaryBuilder::new(),
            reason: StringBuilder::new(),
            detail: StringBuilder::new(),
            topic: StringBuilder::new(),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            key: BinaryBuilder::new(),
            headers: HeadersBuilder::default(),
            timestamp: times(0),
            cut: Int64Builder::new(),
        }
    }
}

impl RejectBatch {
    /// Takes in a record.
    pub fn push(&mut self, row: &RejectRow<'_>) {
        self.value.append_option(row.value);
        self.reason.append_value(row.reason);
        self.detail.append_value(row.detail);
        self.topic.append_value(row.topic);
        self.partition.append_value(row.partition.0);
        self.offset.append_value(row.offset.0);
        self.key.append_option(row.key);
        self.headers.push(&row.headers);
        self.timestamp.append_option(row.timestamp.map(|time| time.0));
        self.cut.append_option(row.cut);
        self.len += 1;
        self.bytes += row.value.map_or(0, <[u8]>::len);
    }

    /// Records that were taken in since the last batch.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is time to take the batch.
    pub fn is_full(&self) -> bool {
        self.len >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The records as one batch; then there are none. Errors: `Sink`, when the columns do not fit
    /// together, which only a fault here can cause.
    pub fn take(&mut self) -> Result<RecordBatch> {
        (self.len, self.bytes) = (0, 0);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.value.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.detail.finish()),
            Arc::new(self.topic.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.key.finish()),
            self.headers.take()?,
            Arc::new(self.timestamp.finish()),
            Arc::new(self.cut.finish()),
        ];
        RecordBatch::try_new(reject_schema(), columns).or_fail(Kind::Sink, || "cannot build rejects")
    }
}

/// The records of what a partition of `topic` did not take in of `records`. A record that never had
/// bytes is shown as JSON. Errors: those of [`RejectBatch::take`]; also when a reject is of none of
/// the records, which only a fault in an operator can cause.
pub fn reject_batch(
    rejects: &[Reject],
    records: &Records,
    topic: &str,
    partition: PartitionId,
) -> Result<RecordBatch> {
    let mut batch = RejectBatch::default();
    for Reject { offset, reason, detail } in rejects {
        let (reason, offset) = (reason.word(), *offset);
        let unknown = || {
            let what =
                format!("partition {partition}: the reject of offset {offset} is of no record at hand");
            Error::new(Kind::Sink, what)
        };
        let row = RejectRow {
            value: None,
            reason,
            detail,
            topic,
            partition,
            offset,
            key: None,
            headers: Vec::new(),
            timestamp: None,
            cut: None,
        };

        match records {
            Records::Raw(raw) => {
                let at = raw.binary_search_by_key(&offset, |record| record.offset);
                batch.push(&with_record(row, at.ok().map(|at| &raw[at]).ok_or_else(unknown)?));
            }
            Records::Rows { first_offset, rows } => {
                let at = usize::try_from(offset.since(*first_offset)).ok().filter(|at| *at < rows.num_rows());
                let (rejected, origin) = without_origin(rows.slice(at.ok_or_else(unknown)?, 1));
                let value = row_as_json(&rejected)?;
                batch.push(&RejectRow { value: Some(&value), offset: origin.unwrap_or(offset), ..row });
            }
        }
    }
    batch.take()
}

/// A reject with all of its record; of one of several files it names that, and the place there.
fn with_record<'a>(row: RejectRow<'a>, record: &'a RawRecord) -> RejectRow<'a> {
    let headers = record.headers.iter().map(|header| (header.name.as_str(), header.value.as_deref()));
    let offset = record.origin.unwrap_or(row.offset);
    let (topic, offset) = match &record.file {
        Some(file) => (file.name.as_str(), Offset(offset.since(file.first))),
        None => (row.topic, offset),
    };
    RejectRow {
        value: record.payload.as_deref(),
        topic,
        offset,
        key: record.key.as_deref(),
        headers: headers.collect(),
        timestamp: record.timestamp,
        cut: record.cut_from.map(|bytes| bytes as i64),
        ..row
    }
}

/// One row as it stands in its source, and where, if its rows are taken in another order.
fn without_origin(mut row: RecordBatch) -> (RecordBatch, Option<Offset>) {
    let Ok(at) = row.schema().index_of(name::ORIGIN) else { return (row, None) };
    let origin = row.remove_column(at);
    let origin = origin.as_primitive_opt::<Int64Type>().map(|origin| Offset(origin.value(0)));
    (row, origin)
}

/// Reject records as typed rows.
#[derive(Debug)]
pub struct RejectRows<'a> {
    len: usize,
    value: &'a BinaryArray,
    reason: &'a StringArray,
    detail: &'a StringArray,
    topic: &'a StringArray,
    partition: &'a Int32Array,
    offset: &'a Int64Array,
    key: &'a BinaryArray,
    headers: HeadersColumn<'a>,
    timestamp: &'a TimestampMicrosecondArray,
    cut: &'a Int64Array,
}

impl<'a> RejectRows<'a> {
    /// The rows of a batch. Errors: `Query`, when they are no reject records.
    pub fn of(records: &'a RecordBatch) -> Result<Self> {
        Ok(RejectRows {
            len: records.num_rows(),
            value: column(records, "value")?,
            reason: column(records, "reason")?,
            detail: column(records, "detail")?,
            topic: column(records, "topic")?,
            partition: column(records, "partition")?,
            offset: column(records, "offset")?,
            key: column(records, "key")?,
            headers: HeadersColumn::of(records, "headers")?,
            timestamp: column(records, "timestamp")?,
            cut: column(records, "cut")?,
        })
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = RejectRow<'a>> {
        (0..self.len).map(|row| RejectRow {
            value: self.value.is_valid(row).then(|| self.value.value(row)),
            reason: self.reason.value(row),
            detail: self.detail.value(row),
            topic: self.topic.value(row),
            partition: PartitionId(self.partition.value(row)),
            offset: Offset(self.offset.value(row)),
            key: self.key.is_valid(row).then(|| self.key.value(row)),
            headers: self.headers.get(row),
            timestamp: self.timestamp.is_valid(row).then(|| time(self.timestamp, row)),
            cut: self.cut.is_valid(row).then(|| self.cut.value(row)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Reason, RecordHeader};

    fn reject(offset: i64) -> Reject {
        Reject { offset: Offset(offset), reason: Reason::BadTime, detail: "no time".to_owned() }
    }

    /// Found by: a review. Key, headers and timestamp were dropped, and a tombstone was empty.
    #[test]
    fn a_reject_is_its_record_and_what_is_written_is_read_back() {
        let header = |name: &str, value: Option<&[u8]>| RecordHeader {
            name: name.to_owned(),
            value: value.map(<[u8]>::to_vec),
        };
        let full = RawRecord {
            offset: Offset(5),
            timestamp: Some(EventTime(1_000)),
            key: Some(b"\xff".to_vec().into()),
            headers: vec![header("trace", Some(b"1")), header("trace", None)],
            payload: Some(b"\0raw".to_vec().into()),
            cut_from: Some(9),
            ..RawRecord::default()
        };
        let tombstone = RawRecord { offset: Offset(9), key: Some(Vec::new().into()), ..RawRecord::default() };
        let between = RawRecord { offset: Offset(7), ..RawRecord::default() };
        let raw = Records::Raw(vec![full, between, tombstone]);
        let records = reject_batch(&[reject(5), reject(9)], &raw, "observations", PartitionId(3)).unwrap();
        assert_eq!(records.schema(), reject_schema());

        let rows = RejectRows::of(&records).unwrap();
        let tombstone = RejectRow {
            value: None,
            reason: "bad_time",
            detail: "no time",
            topic: "observations",
            partition: PartitionId(3),
            offset: Offset(9),
            key: Some(b""),
            headers: vec![],
            timestamp: None,
            cut: None,
        };
        let full = RejectRow {
            value: Some(b"\0raw"),
            offset: Offset(5),
            key: Some(b"\xff"),
            headers: vec![("trace", Some(b"1")), ("trace", None)],
            timestamp: Some(EventTime(1_000)),
            cut: Some(9),
            ..tombstone.clone()
        };
        assert_eq!(rows.iter().collect::<Vec<_>>(), [full, tombstone]);

        // What was read can be written again, batch by batch.
        let mut batch = RejectBatch::default();
        rows.iter().for_each(|row| batch.push(&row));
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.take().unwrap(), records);
        assert!(batch.is_empty() && batch.take().unwrap().num_rows() == 0);
    }

    #[test]
    fn a_row_without_bytes_is_shown_as_json_and_a_reject_of_no_record_is_a_fault() {
        let n: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let rows = RecordBatch::try_from_iter([("n", n)]).unwrap();
        let records = Records::Rows { first_offset: Offset(10), rows };
        let batch = reject_batch(&[reject(11)], &records, "f", PartitionId(0)).unwrap();
        assert_eq!(batch["value"].as_any().downcast_ref::<BinaryArray>().unwrap().value(0), br#"{"n":2}"#);
        for offset in [9, 12] {
            let error = reject_batch(&[reject(offset)], &records, "f", PartitionId(0)).unwrap_err();
            assert!(error.to_string().contains("is of no record at hand"), "{error}");
        }
    }

    #[test]
    fn what_is_no_reject_is_refused() {
        let records =
            RecordBatch::try_from_iter([("value", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]);
        let records = records.unwrap();
        let error = RejectRows::of(&records).unwrap_err();
        assert_eq!(error.to_string(), "query: the column value is Int32");
    }
}
