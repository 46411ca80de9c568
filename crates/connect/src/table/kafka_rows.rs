//! Kafka messages into rows: a forecast or score is in the value, in the format of its sink; a
//! reject is the record that came in, with more headers.
//! It must not know which offsets are read, or when to stop.

use std::str::FromStr;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use rdkafka::message::Message;
use tickcast_stream::error::Error;
use tickcast_stream::message::Stream;
use tickcast_stream::record::{HeaderRef, JsonRows, RejectBatch, RejectRow};
use tickcast_stream::{EventTime, Offset, PartitionId};

use super::avro_rows::AvroRows;
use super::proto_rows::ProtoRows;
use crate::decode::without_frame;
use crate::encode::{PayloadFormat, PayloadSpec};
use crate::sink::told_apart;

/// Messages that wait to become a batch.
pub enum MessageRows {
    /// Forecasts or scores.
    Results(ResultRows),
    /// Rejected records.
    Rejects(Box<RejectBatch>),
}

/// Forecasts or scores that wait, in the format of their sink.
pub enum ResultRows {
    /// JSON.
    Json(JsonRows),
    /// Avro.
    Avro(Box<AvroRows>),
    /// Protobuf.
    Protobuf(ProtoRows),
}

impl MessageRows {
    /// None yet, of a stream in the columns of `schema`, as its sink writes them. Errors: what is
    /// wrong with the sink's registry.
    pub fn new(stream: Stream, schema: SchemaRef, written: &PayloadSpec) -> Result<Self, String> {
        Ok(match stream {
            Stream::Rejects => MessageRows::Rejects(Box::default()),
            Stream::Forecasts | Stream::Scores => {
                MessageRows::Results(ResultRows::new(stream, schema, written)?)
            }
        })
    }

    /// Takes in a message. Errors: what is wrong with it, as far as it is seen before the batch is
    /// made.
    pub fn push(&mut self, message: &impl Message) -> Result<(), String> {
        match self {
            MessageRows::Results(rows) => rows.push(message.offset(), message.payload().unwrap_or_default()),
            MessageRows::Rejects(rows) => {
                rows.push(&reject_of(message)?);
                Ok(())
            }
        }
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        match self {
            MessageRows::Results(rows) => rows.is_empty(),
            MessageRows::Rejects(rows) => rows.is_empty(),
        }
    }

    /// Whether a batch should be taken.
    pub fn is_full(&self) -> bool {
        match self {
            MessageRows::Results(rows) => rows.is_full(),
            MessageRows::Rejects(rows) => rows.is_full(),
        }
    }

    /// The messages as one batch. Errors: the offset of the first that is no row, and why.
    pub fn take(&mut self) -> Result<RecordBatch, String> {
        match self {
            MessageRows::Results(rows) => rows.take(),
            MessageRows::Rejects(rows) => rows.take().map_err(|cause| cause.to_string()),
        }
    }
}

impl ResultRows {
    fn new(stream: Stream, schema: SchemaRef, written: &PayloadSpec) -> Result<Self, String> {
        let words = |error: Error| error.to_string();
        Ok(match written.format {
            PayloadFormat::Json => ResultRows::Json(JsonRows::new(schema)),
            PayloadFormat::Avro => {
                ResultRows::Avro(Box::new(AvroRows::new(stream, schema, written).map_err(words)?))
            }
            PayloadFormat::Protobuf => ResultRows::Protobuf(ProtoRows::new(stream, schema).map_err(words)?),
        })
    }

    fn push(&mut self, offset: i64, payload: &[u8]) -> Result<(), String> {
        match self {
            ResultRows::Json(rows) => {
                rows.push(offset, without_frame(payload));
                Ok(())
            }
            ResultRows::Avro(rows) => rows.push(payload),
            ResultRows::Protobuf(rows) => rows.push(offset, payload),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            ResultRows::Json(rows) | ResultRows::Protobuf(ProtoRows { rows, .. }) => rows.is_empty(),
            ResultRows::Avro(rows) => rows.is_empty(),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            ResultRows::Json(rows) | ResultRows::Protobuf(ProtoRows { rows, .. }) => rows.is_full(),
            ResultRows::Avro(rows) => rows.is_full(),
        }
    }

    fn take(&mut self) -> Result<RecordBatch, String> {
        match self {
            ResultRows::Avro(rows) => rows.take(),
            ResultRows::Json(rows) | ResultRows::Protobuf(ProtoRows { rows, .. }) => {
                rows.take().map_err(|bad| format!("offset {}: {}", bad.position, bad.why))
            }
        }
    }
}

/// Results as their sink writes them, as rows. Errors: why one is no row.
#[cfg(test)]
pub fn read_payloads(
    stream: Stream,
    schema: SchemaRef,
    written: &PayloadSpec,
    payloads: &[Vec<u8>],
) -> Result<RecordBatch, String> {
    let mut rows = ResultRows::new(stream, schema, written)?;
    (0..).zip(payloads).try_for_each(|(offset, payload)| rows.push(offset, payload))?;
    rows.take()
}

/// A reject: its record, and what its headers say of it. Errors: the header that is missing or
/// wrong.
pub fn reject_of(message: &impl Message) -> Result<RejectRow<'_>, String> {
    let (own, ours) = told_apart(message.headers().ok_or("a reject without headers")?);
    let ours = Said(ours);
    Ok(RejectRow {
        value: message.payload(),
        reason: ours.text("reason")?,
        detail: ours.text("detail")?,
        topic: ours.text("topic")?,
        partition: PartitionId(ours.number("partition")?),
        offset: Offset(ours.number("offset")?),
        key: message.key(),
        headers: own,
        timestamp: ours.number_if_any("timestamp")?.map(|ms: i64| EventTime(ms.saturating_mul(1000))),
        cut: ours.number_if_any("cut")?,
    })
}

/// What tickcast says of a reject, in headers.
struct Said<'a>(Vec<HeaderRef<'a>>);

impl<'a> Said<'a> {
    fn text(&self, name: &str) -> Result<&'a str, String> {
        self.text_if_any(name)?.ok_or_else(|| format!("a reject without the header {name}"))
    }

    fn text_if_any(&self, name: &str) -> Result<Option<&'a str>, String> {
        let found = self.0.iter().find(|(of, _)| *of == name).and_then(|(_, value)| *value);
        let text = found.map(std::str::from_utf8).transpose();
        text.map_err(|_| format!("the header {name} is no text"))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, String> {
        self.number_if_any(name)?.ok_or_else(|| format!("a reject without the header {name}"))
    }

    fn number_if_any<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.text_if_any(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("the header {name} is no number: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage, Timestamp};
    use tickcast_stream::message::reject_schema;
    use tickcast_stream::record::{RejectRows, forecast_schema};

    use super::*;

    fn message(offset: i64, value: &str, headers: &[(&str, &str)]) -> OwnedMessage {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let (value, key) = (Some(value.as_bytes().to_vec()), Some(b"k".to_vec()));
        OwnedMessage::new(value, key, "t".into(), Timestamp::NotAvailable, 0, offset, Some(headers))
    }

    #[test]
    fn a_reject_is_its_bytes_and_its_headers() {
        let mut rows = MessageRows::new(Stream::Rejects, reject_schema(), &PayloadSpec::default()).unwrap();
        let headers = [
            ("reason", "one of its own"),
            ("offset", "7"),
            ("reason", "late"),
            ("detail", "1 h"),
            ("topic", "observations"),
            ("partition", "3"),
            ("offset", "12"),
            ("timestamp", "1500"),
        ];
        rows.push(&message(0, "\u{0}raw", &headers)).unwrap();
        assert!(!rows.is_empty());
        let batch = rows.take().unwrap();
        assert!(rows.is_empty());
        assert_eq!(batch["value"].as_binary::<i32>().value(0), b"\0raw");
        assert_eq!(batch["reason"].as_string::<i32>().value(0), "late");
        assert_eq!(batch["offset"].as_primitive::<Int64Type>().value(0), 12);
        let row = RejectRows::of(&batch).unwrap().iter().next().unwrap();
        let own: Vec<HeaderRef<'_>> = vec![("reason", Some(b"one of its own")), ("offset", Some(b"7"))];
        assert_eq!((row.key, row.headers), (Some(&b"k"[..]), own));
        assert_eq!((row.timestamp, row.cut), (Some(EventTime(1_500_000)), None));
        let error = rows.push(&message(1, "x", &headers[3..])).unwrap_err();
        assert_eq!(error, "a reject without the header reason");
        let error = rows.push(&message(1, "x", &headers[2..5])).unwrap_err();
        assert_eq!(error, "a reject without the header partition");
        assert_eq!(rows.take().unwrap().num_rows(), 0);
    }

    #[test]
    fn the_offset_of_what_is_no_forecast_is_named() {
        let mut rows =
            MessageRows::new(Stream::Forecasts, forecast_schema(&[], false), &PayloadSpec::default())
                .unwrap();
        rows.push(&message(41, "not json", &[])).unwrap();
        let error = rows.take().unwrap_err();
        assert!(error.starts_with("offset 41: "), "{error}");
    }
}
