//! Objects of one schema that stand one behind the other, as in a file's blocks.
//! It must not read their values.

use std::sync::Arc;

use tickcast_stream::error::{Error, Kind, Result};

use super::schema::AvroSchema;
use super::wire::{AvroBytes, Fault};
use crate::decode::record_schema::{Definition, RecordSchema};

/// Finds where each object ends.
#[derive(Debug)]
pub(crate) struct AvroObjects(Arc<AvroSchema>);

impl AvroObjects {
    /// Of this schema. Errors: `Config`, when it is none of Avro's records.
    pub(crate) fn new(schema: &RecordSchema) -> Result<Self> {
        match &schema.0 {
            Definition::Avro(schema) => Ok(AvroObjects(Arc::clone(schema))),
            Definition::Protobuf(_) | Definition::Json(_) => {
                Err(Error::new(Kind::Config, "the schema is none of Avro's"))
            }
        }
    }

    /// How many bytes the first object of these has, or why it is none.
    pub(crate) fn length(&self, bytes: &[u8]) -> std::result::Result<usize, Fault> {
        let mut rest = AvroBytes::new(bytes);
        rest.skip(&self.0, self.0.root, 0)?;
        Ok(bytes.len() - rest.rest().len())
    }

    /// The names of an object's fields.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.0.fields().unwrap_or_default().iter().map(|field| field.name.as_str()).collect()
    }
}
