//! Reject records: their schema, written from what was not taken in, read as typed rows.
//! It must not know why a record is rejected, nor where the rejects go.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int32Builder, Int64Array, Int64Builder, StringArray,
    StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::columns::column;
use crate::error::{Kind, OrFail, Result};
use crate::message::Reject;
use crate::place::{Offset, PartitionId};

/// The schema of rejects: value, reason, detail, topic, partition, offset.
pub fn reject_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("value", DataType::Binary, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
    ]))
}

/// One reject record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectRow<'a> {
    /// The record as it came in.
    pub value: &'a [u8],
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
}

/// Collects reject records.
#[derive(Debug, Default)]
pub struct RejectBatch {
    len: usize,
    value: BinaryBuilder,
    reason: StringBuilder,
    detail: StringBuilder,
    topic: StringBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
}

impl RejectBatch {
    /// Takes in a record.
    pub fn push(&mut self, row: &RejectRow<'_>) {
        self.value.append_value(row.value);
        self.reason.append_value(row.reason);
        self.detail.append_value(row.detail);
        self.topic.append_value(row.topic);
        self.partition.append_value(row.partition.0);
        self.offset.append_value(row.offset.0);
        self.len += 1;
    }

    /// Records that were taken in since the last batch.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The records as one batch; then there are none. Errors: `Sink`, when the columns do not fit
    /// together, which only a fault here can cause.
    pub fn take(&mut self) -> Result<RecordBatch> {
        self.len = 0;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.value.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.detail.finish()),
            Arc::new(self.topic.finish()),
            Arc::new(self.partition.finish()),
            Arc::new(self.offset.finish()),
        ];
        RecordBatch::try_new(reject_schema(), columns).or_fail(Kind::Sink, || "cannot build rejects")
    }
}

/// The records of what a partition of `topic` did not take in. Errors: those of
/// [`RejectBatch::take`].
pub fn reject_batch(rejects: &[Reject], topic: &str, partition: PartitionId) -> Result<RecordBatch> {
    let mut batch = RejectBatch::default();
    for Reject { offset, reason, detail, value } in rejects {
        let (reason, offset) = (reason.word(), *offset);
        batch.push(&RejectRow { value, reason, detail, topic, partition, offset });
    }
    batch.take()
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
        })
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = RejectRow<'a>> {
        (0..self.len).map(|row| RejectRow {
            value: self.value.value(row),
            reason: self.reason.value(row),
            detail: self.detail.value(row),
            topic: self.topic.value(row),
            partition: PartitionId(self.partition.value(row)),
            offset: Offset(self.offset.value(row)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Reason;

    #[test]
    fn what_is_written_is_read_back() {
        let reject = |offset, value: &[u8]| Reject {
            offset,
            reason: Reason::BadTime,
            detail: "no time".to_owned(),
            value: value.to_vec(),
        };
        let records = reject_batch(
            &[reject(Offset(5), b"\0raw"), reject(Offset(9), b"")],
            "observations",
            PartitionId(3),
        )
        .unwrap();
        assert_eq!(records.schema(), reject_schema());

        let rows = RejectRows::of(&records).unwrap();
        let row = |offset, value| RejectRow {
            value,
            reason: "bad_time",
            detail: "no time",
            topic: "observations",
            partition: PartitionId(3),
            offset,
        };
        assert_eq!(rows.iter().collect::<Vec<_>>(), [row(Offset(5), &b"\0raw"[..]), row(Offset(9), b"")]);

        // What was read can be written again, batch by batch.
        let mut batch = RejectBatch::default();
        rows.iter().for_each(|row| batch.push(&row));
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.take().unwrap(), records);
        assert!(batch.is_empty() && batch.take().unwrap().num_rows() == 0);
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
