//! Encoding: records of results in, keys, values and headers out.
//! It must not know topics, nor how records are sent.
//!
//! A new format is one file here and its line in [`Writer`]. What is written is a function of the
//! record and the spec, and of the numbers that a registry has given its schemas.

mod avro;
mod events;
mod json;
mod json_schema;
mod keys;
mod payloads;
mod proto_schema;
mod protobuf;
mod published;
mod registering;
mod schema;
mod spec;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use arrow::array::AsArray;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use rdkafka::message::OwnedHeaders;
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;

use self::avro::AvroWriter;
use self::events::EventHeaders;
use self::json::json_payloads;
use self::keys::KeyWriter;
use self::payloads::{Frame, Payloads};
use self::protobuf::ProtoWriter;
use self::registering::Numbers;

pub use self::proto_schema::has_proto_number;
pub use self::registering::Numbering;
pub use self::schema::ResultSchema;
pub use self::spec::{KeyFormat, PayloadFormat, PayloadSpec, ResultRegistry, SubjectName};

/// Makes the keys, values and headers of a stream's results.
pub struct ResultEncoder {
    writer: Writer,
    key: KeyWriter,
    events: Option<EventHeaders>,
}

/// What makes the values.
enum Writer {
    Json(Frame),
    Avro(AvroWriter),
    Protobuf(ProtoWriter),
}

/// A result as it leaves.
pub struct Encoded<'a> {
    /// The series.
    pub key: Cow<'a, [u8]>,
    /// The record.
    pub value: &'a [u8],
    /// CloudEvents' headers, where they are asked for.
    pub headers: Option<OwnedHeaders>,
}

impl ResultEncoder {
    /// Of a stream's records in these columns, for a topic. Errors: `Config`, where a level cannot
    /// be written; the registry's, `Retry::Later` while it does not answer.
    pub fn open(
        spec: &PayloadSpec,
        stream: Stream,
        columns: &SchemaRef,
        topic: &str,
        numbering: Numbering,
    ) -> Result<Self> {
        let schema = ResultSchema::of(stream, columns)?;
        let numbers = match &spec.registry {
            Some(registry) => Numbers::of(registry, spec, &schema, topic, numbering)?,
            None => Numbers::default(),
        };

        let frame = Frame(numbers.value);
        let writer = match spec.format {
            PayloadFormat::Json => Writer::Json(frame),
            PayloadFormat::Avro => {
                Writer::Avro(AvroWriter::new(columns, &schema.text(PayloadFormat::Avro)?, frame)?)
            }
            PayloadFormat::Protobuf => Writer::Protobuf(ProtoWriter::new(columns, frame)?),
        };
        let events = spec.event_source.as_deref();
        let events = events.map(|source| EventHeaders::new(source, stream, spec.format));
        Ok(ResultEncoder { writer, key: KeyWriter { format: spec.key, frame: Frame(numbers.key) }, events })
    }

    /// Bare JSON under the name of the series.
    pub fn json() -> Self {
        let key = KeyWriter { format: KeyFormat::Text, frame: Frame(None) };
        ResultEncoder { writer: Writer::Json(Frame(None)), key, events: None }
    }

    /// Hands every row on, in order. Errors: `Sink`, and those of `send`.
    pub fn for_each(
        &self,
        rows: &RecordBatch,
        send: &mut dyn FnMut(Encoded<'_>) -> Result<()>,
    ) -> Result<()> {
        let payloads = self.payloads(rows)?;
        let series = rows.column(0).as_string::<i32>();
        let mut headers = match &self.events {
            Some(events) => Some(events.of(rows)?.into_iter()),
            None => None,
        };

        for (row, place) in payloads.places.iter().enumerate() {
            send(Encoded {
                key: self.key.key_of(series.value(row)),
                value: &payloads.bytes[place.clone()],
                headers: headers.as_mut().and_then(Iterator::next),
            })?;
        }
        Ok(())
    }

    fn payloads(&self, rows: &RecordBatch) -> Result<Payloads> {
        match &self.writer {
            Writer::Json(frame) => json_payloads(rows, *frame),
            Writer::Avro(avro) => avro.payloads(rows),
            Writer::Protobuf(proto) => proto.payloads(rows),
        }
    }
}
