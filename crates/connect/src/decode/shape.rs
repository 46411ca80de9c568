//! How a record becomes rows: as it is, a row an element of a list, a row a column, or the row that
//! a change event is about.
//! It must not know a format.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// What is around the row in a record. Not together with `unnest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// What becomes of a record without a value.
    #[serde(skip_serializing_if = "Tombstones::is_default")]
    pub tombstones: Tombstones,
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

/// What is around the row in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// A change event of Debezium: the row is `after`, and `op` says what happened to it. The event
    /// may itself be the `payload` beside a `schema`, as Kafka Connect's JSON converter writes it.
    Debezium,
}

/// What becomes of a record without a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tombstones {
    /// It is no reading: it is passed over, and counted.
    #[default]
    PassOver,
    /// It is a reject, undecodable.
    Reject,
}

impl Tombstones {
    fn is_default(&self) -> bool {
        *self == Tombstones::default()
    }
}

/// What a record's rows are taken from, where they are not the record itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsIn {
    /// A list: each element is a row.
    List,
    /// An object: it is the row.
    Object,
}

/// The place of the row in a change event.
const AFTER: &str = "after";

impl Shape {
    /// Whether a record is one row, and nothing else is said of it.
    pub fn is_plain(&self) -> bool {
        *self == Shape::default()
    }

    /// Where the rows are, where they are not the record itself.
    pub(super) fn rows_in(&self) -> Option<(&str, RowsIn)> {
        match (&self.unnest, self.envelope) {
            (Some(list), _) => Some((list, RowsIn::List)),
            (None, Some(Envelope::Debezium)) => Some((AFTER, RowsIn::Object)),
            (None, None) => None,
        }
    }
}
