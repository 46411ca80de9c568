//! A schema of records: of Avro, of Protobuf, or a JSON Schema.
//! It must not know where it was found.

use std::sync::Arc;

use arrow::datatypes::Field;
use prost_reflect::MessageDescriptor;
use tickcast_stream::error::Result;

use super::avro::{AvroSchema, fields_of};
use super::json_schema;
use super::protobuf::{ProtoSchema, columns_of};
use super::writer_schemas::SchemaText;

/// A schema of records.
#[derive(Debug, Clone)]
pub struct RecordSchema(pub(super) Definition);

/// What is defined.
#[derive(Debug, Clone)]
pub(super) enum Definition {
    Avro(Arc<AvroSchema>),
    Protobuf(MessageDescriptor),
    /// Types alone: JSON is read without them.
    Json(Vec<Field>),
}

impl RecordSchema {
    /// Of an Avro schema's JSON. Errors: `Config`, when it is no schema of records.
    pub fn avro(schema: &SchemaText) -> Result<Self> {
        let references: Vec<&str> = schema.references.iter().map(|(_, text)| text.as_str()).collect();
        let schema = AvroSchema::parse_with(&schema.text, &references)?;
        schema.fields()?;
        Ok(RecordSchema(Definition::Avro(Arc::new(schema))))
    }

    /// Of a JSON Schema. It says the types of columns; whether a record is as it says is not
    /// checked. Errors: `Config`, when it is no schema of objects, or contradicts itself.
    pub fn json(schema: &SchemaText) -> Result<Self> {
        Ok(RecordSchema(Definition::Json(json_schema::fields_of(schema)?)))
    }

    /// Of a text that says the types of JSON or CSV: a JSON Schema, or else an Avro schema. Errors:
    /// `Config`.
    pub fn of_text(schema: &SchemaText) -> Result<Self> {
        if json_schema::is_json_schema(&schema.text) { Self::json(schema) } else { Self::avro(schema) }
    }

    /// Whether it says in which order the fields stand.
    pub fn has_order(&self) -> bool {
        !matches!(self.0, Definition::Json(_))
    }

    /// Of a Protobuf descriptor set or the text of a `.proto` file, and the full name of the
    /// message in it, which may be left out where there is only one. Errors: `Config`.
    pub fn protobuf(schema: &[u8], message: Option<&str>) -> Result<Self> {
        Ok(RecordSchema(Definition::Protobuf(ProtoSchema::of_bytes(schema)?.message(message)?)))
    }

    /// Of the text of a `.proto` file and those that it imports. Errors: as
    /// [`protobuf`](RecordSchema::protobuf).
    pub fn proto_text(schema: &SchemaText, message: Option<&str>) -> Result<Self> {
        let schema = ProtoSchema::of_texts(&schema.text, &schema.references)?;
        Ok(RecordSchema(Definition::Protobuf(schema.message(message)?)))
    }

    /// Its fields, as columns.
    pub fn fields(&self) -> Result<Vec<Field>> {
        match &self.0 {
            Definition::Avro(schema) => fields_of(schema),
            Definition::Protobuf(message) => Ok(columns_of(message)),
            Definition::Json(fields) => Ok(fields.clone()),
        }
    }
}
