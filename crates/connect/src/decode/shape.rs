//! How a record becomes rows: as it is, a row an element of a list, or a row a column.
//! It must not know a format.

use serde::Serialize;

/// What becomes rows of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// The path of a list: each of its elements is a row, beside the fields of the record. Where
    /// both have a field, the element's counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unnest: Option<String>,
    /// Columns that become rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub melt: Option<Melt>,
}

/// Columns that become rows: each that has a value, one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Melt {
    /// The columns.
    pub columns: Vec<String>,
    /// The column that has the name of the one that a row is made of.
    pub name: String,
    /// The column that has its value.
    pub value: String,
}

impl Shape {
    /// Whether a record is one row.
    pub fn is_plain(&self) -> bool {
        *self == Shape::default()
    }
}
