//! What Kafka has of a record beside its value: key, timestamp, headers and place, as columns.
//! It must not know what is in a value.

use arrow::datatypes::DataType;
use tickcast_stream::PartitionId;
use tickcast_stream::message::{RawRecord, timestamp_type};

use super::cell::Cell;

/// A column of the record itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordColumn {
    /// `$key`: the record's key, which has to be text.
    Key,
    /// `$timestamp`: Kafka's own time of the record.
    Timestamp,
    /// `$headers.NAME`: the last header of this name, which has to be text.
    Header(String),
    /// `$partition`: the partition that it is in.
    Partition,
    /// `$offset`: its position there.
    Offset,
}

impl RecordColumn {
    /// The column of this name, if it is one of a record's own.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "$key" => RecordColumn::Key,
            "$timestamp" => RecordColumn::Timestamp,
            "$partition" => RecordColumn::Partition,
            "$offset" => RecordColumn::Offset,
            _ => RecordColumn::Header(name.strip_prefix("$headers.")?.to_owned()),
        })
    }

    /// Whether it is there in a file too.
    pub fn is_anywhere(&self) -> bool {
        matches!(self, RecordColumn::Partition | RecordColumn::Offset)
    }

    pub(super) fn data_type(&self) -> DataType {
        match self {
            RecordColumn::Key | RecordColumn::Header(_) => DataType::Utf8,
            RecordColumn::Timestamp => timestamp_type(),
            RecordColumn::Partition | RecordColumn::Offset => DataType::Int64,
        }
    }

    pub(super) fn of<'a>(&self, record: &'a RawRecord, partition: PartitionId) -> Cell<'a> {
        match self {
            RecordColumn::Key => record.key.as_deref().map_or(Cell::Null, Cell::Bytes),
            RecordColumn::Timestamp => record.timestamp.map_or(Cell::Null, |time| Cell::Instant(time.0)),
            RecordColumn::Header(name) => {
                let header = record.headers.iter().rfind(|header| header.name == *name);
                header.and_then(|header| header.value.as_deref()).map_or(Cell::Null, Cell::Bytes)
            }
            RecordColumn::Partition => Cell::Whole(partition.0.into()),
            RecordColumn::Offset => Cell::Whole(record.offset.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tickcast_stream::Offset;
    use tickcast_stream::message::{EventTime, RecordHeader};

    use super::*;

    #[test]
    fn a_record_says_what_it_is() {
        let header = |value: &[u8]| RecordHeader { name: "unit".into(), value: Some(value.to_vec()) };
        let record = RawRecord {
            offset: Offset(7),
            timestamp: Some(EventTime(5)),
            key: Some(Bytes::from_static(b"k")),
            headers: vec![header(b"C"), header(b"F")],
            ..RawRecord::default()
        };
        for (name, cell) in [
            ("$key", Cell::Bytes(b"k")),
            ("$timestamp", Cell::Instant(5)),
            ("$headers.unit", Cell::Bytes(b"F")),
            ("$headers.other", Cell::Null),
            ("$partition", Cell::Whole(3)),
            ("$offset", Cell::Whole(7)),
        ] {
            assert_eq!(RecordColumn::named(name).unwrap().of(&record, PartitionId(3)), cell, "{name}");
        }
        assert_eq!(RecordColumn::named("$id"), None);
        assert_eq!(RecordColumn::named("key"), None);
    }
}
