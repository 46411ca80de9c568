//! Results that are Protobuf messages into rows.
//! It must not know topics.

use arrow::datatypes::SchemaRef;
use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;
use tickcast_stream::record::JsonRows;

use crate::decode::{ProtoSchema, without_frame};
use crate::encode::{PayloadFormat, ResultSchema};

/// Messages that wait to become a batch.
pub struct ProtoRows {
    message: MessageDescriptor,
    pub(super) rows: JsonRows,
}

impl ProtoRows {
    /// None yet. A field keeps its number, so a message of other levels is read too. Errors:
    /// `Config`, for a level that has no number.
    pub fn new(stream: Stream, schema: SchemaRef) -> Result<Self> {
        let text = ResultSchema::of(stream, &schema)?.text(PayloadFormat::Protobuf)?;
        let message = ProtoSchema::of_texts(&text, &[])?.message(None)?;
        Ok(ProtoRows { message, rows: JsonRows::new(schema) })
    }

    /// Takes in a payload with its offset. Errors: why it is no message.
    pub fn push(&mut self, offset: i64, payload: &[u8]) -> std::result::Result<(), String> {
        let framed = without_frame(payload);
        // Behind the number of the schema stands that of the message: ours is the first.
        let message = if framed.len() < payload.len() { framed.get(1..).unwrap_or_default() } else { framed };
        let message = DynamicMessage::decode(self.message.clone(), message).map_err(|why| why.to_string())?;

        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .skip_default_fields(false)
            .stringify_64_bit_integers(false);

        // A map has no order in Protobuf: here it has that of its keys, and not another each time.
        let row = message.serialize_with_options(serde_json::value::Serializer, &options);
        let json = row.map_err(|why| why.to_string())?.to_string();
        self.rows.push(offset, json.as_bytes());
        Ok(())
    }
}
