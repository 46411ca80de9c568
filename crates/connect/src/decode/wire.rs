//! How a record's fields are written in its payload.

/// The wire format of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFormat {
    /// A JSON object.
    Json,
    /// Fields with commas between them, or another mark.
    Csv,
    /// Avro's binary encoding: bare, as a single object, or behind the number of a schema in a
    /// registry.
    Avro,
    /// Protobuf: bare, or behind the number of a schema in a registry.
    Protobuf,
}
