//! Kafka messages into rows: a forecast or score is JSON in the value, a reject is the value's
//! bytes and its headers.
//! It must not know which offsets are read, or when to stop.

use std::str::FromStr;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use rdkafka::message::{Headers, Message};
use tickcast_stream::message::Stream;
use tickcast_stream::record::{JsonRows, RejectBatch, RejectRow};
use tickcast_stream::{Offset, PartitionId};

/// Rejects in a batch, at most.
const BATCH_REJECTS: usize = 1024;

/// Messages that wait to become a batch.
pub enum MessageRows {
    /// Forecasts or scores.
    Json(JsonRows),
    /// Rejected records.
    Rejects(Box<RejectBatch>),
}

impl MessageRows {
    /// None yet, of a stream in the columns of `schema`.
    pub fn new(stream: Stream, schema: SchemaRef) -> Self {
        match stream {
            Stream::Forecasts | Stream::Scores => MessageRows::Json(JsonRows::new(schema)),
            Stream::Rejects => MessageRows::Rejects(Box::default()),
        }
    }

    /// Takes in a message. Errors: what is wrong with it, as far as it is seen before the batch is
    /// made.
    pub fn push(&mut self, message: &impl Message) -> Result<(), String> {
        match self {
            MessageRows::Json(rows) => {
                rows.push(message.offset(), message.payload().unwrap_or_default());
                Ok(())
            }
            MessageRows::Rejects(rows) => push_reject(rows, message),
        }
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        match self {
            MessageRows::Json(rows) => rows.is_empty(),
            MessageRows::Rejects(rows) => rows.is_empty(),
        }
    }

    /// Whether a batch should be taken.
    pub fn is_full(&self) -> bool {
        match self {
            MessageRows::Json(rows) => rows.is_full(),
            MessageRows::Rejects(rows) => rows.len() >= BATCH_REJECTS,
        }
    }

    /// The messages as one batch. Errors: the offset of the first that is no row, and why.
    pub fn take(&mut self) -> Result<RecordBatch, String> {
        match self {
            MessageRows::Json(rows) => {
                rows.take().map_err(|bad| format!("offset {}: {}", bad.position, bad.why))
            }
            MessageRows::Rejects(rows) => rows.take().map_err(|cause| cause.to_string()),
        }
    }
}

/// Takes in a reject: its bytes, and what its headers say of it. Errors: the header that is missing
/// or wrong.
fn push_reject(rows: &mut RejectBatch, message: &impl Message) -> Result<(), String> {
    rows.push(&RejectRow {
        value: message.payload().unwrap_or_default(),
        reason: header(message, "reason")?,
        detail: header(message, "detail")?,
        topic: header(message, "topic")?,
        partition: PartitionId(number(message, "partition")?),
        offset: Offset(number(message, "offset")?),
    });
    Ok(())
}

fn header<'a>(message: &'a impl Message, name: &str) -> Result<&'a str, String> {
    let headers = message.headers().ok_or("a reject without headers")?;
    let found = headers.iter().find(|header| header.key == name).and_then(|header| header.value);
    let value = found.ok_or_else(|| format!("a reject without the header {name}"))?;
    std::str::from_utf8(value).map_err(|_| format!("the header {name} is no text"))
}

fn number<T: FromStr>(message: &impl Message, name: &str) -> Result<T, String> {
    let text = header(message, name)?;
    text.parse().map_err(|_| format!("the header {name} is no number: {text}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage, Timestamp};
    use tickcast_stream::message::reject_schema;
    use tickcast_stream::record::forecast_schema;

    use super::*;

    fn message(offset: i64, value: &str, headers: &[(&str, &str)]) -> OwnedMessage {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let value = Some(value.as_bytes().to_vec());
        OwnedMessage::new(value, None, "t".into(), Timestamp::NotAvailable, 0, offset, Some(headers))
    }

    #[test]
    fn a_reject_is_its_bytes_and_its_headers() {
        let mut rows = MessageRows::new(Stream::Rejects, reject_schema());
        let headers = [
            ("reason", "late"),
            ("detail", "1 h"),
            ("topic", "observations"),
            ("partition", "3"),
            ("offset", "12"),
        ];
        rows.push(&message(0, "\u{0}raw", &headers)).unwrap();
        assert!(!rows.is_empty());
        let batch = rows.take().unwrap();
        assert!(rows.is_empty());
        assert_eq!(batch["value"].as_binary::<i32>().value(0), b"\0raw");
        assert_eq!(batch["reason"].as_string::<i32>().value(0), "late");
        assert_eq!(batch["offset"].as_primitive::<Int64Type>().value(0), 12);
        let error = rows.push(&message(1, "x", &headers[1..])).unwrap_err();
        assert_eq!(error, "a reject without the header reason");
        assert_eq!(rows.take().unwrap().num_rows(), 0);
    }

    #[test]
    fn the_offset_of_what_is_no_forecast_is_named() {
        let mut rows = MessageRows::new(Stream::Forecasts, forecast_schema(&[], false));
        rows.push(&message(41, "not json", &[])).unwrap();
        let error = rows.take().unwrap_err();
        assert!(error.starts_with("offset 41: "), "{error}");
    }
}
