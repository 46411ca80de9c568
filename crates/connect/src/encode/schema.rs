//! The schema of a pipeline's results, in the language of each format.
//! It must not write records.

use arrow::datatypes::Schema;
use serde_json::Value;
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;

use super::published::Published;
use super::spec::PayloadFormat;
use super::{json_schema, proto_schema};
use crate::registry::SchemaKind;

/// The schema of a stream's records.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultSchema(Published);

impl ResultSchema {
    /// Of a stream with these columns. Errors: `Sink`, for a column that is not published, which
    /// only a fault here can cause.
    pub fn of(stream: Stream, columns: &Schema) -> Result<Self> {
        Published::of(stream, columns).map(ResultSchema)
    }

    /// Its full name: `tickcast.Forecast`.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Its text in the language of a format: an Avro schema, a `.proto` file or a JSON Schema.
    /// Errors: `Config`, for a level that has no number in Protobuf.
    pub fn text(&self, format: PayloadFormat) -> Result<String> {
        let printed = |value: &Value| format!("{value:#}\n");
        match format {
            PayloadFormat::Avro => Ok(printed(&self.0.avro)),
            PayloadFormat::Json => Ok(printed(&json_schema::of(&self.0))),
            PayloadFormat::Protobuf => proto_schema::of(&self.0),
        }
    }
}

/// The language of a format's schemas.
pub(super) fn language(format: PayloadFormat) -> SchemaKind {
    match format {
        PayloadFormat::Json => SchemaKind::Json,
        PayloadFormat::Avro => SchemaKind::Avro,
        PayloadFormat::Protobuf => SchemaKind::Protobuf,
    }
}
