//! How a record's fields are written in its payload.

/// The wire format of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFormat {
    /// A JSON object.
    Json,
    /// Fields with commas between them.
    Csv,
}
