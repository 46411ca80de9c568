//! What the pipeline says of its records' times: where they stand, and how they are written.
//! It must not know how a time is read.

use serde::{Deserialize, Serialize};

use crate::decode::verdict::quote;

/// What a number in a time column counts, since 1970-01-01T00:00:00.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TimeCount {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
    /// Days; with `zone` those of local dates.
    Days,
}

/// Which of two instants a local time means in the hour that comes twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Ambiguous {
    /// The first.
    Earlier,
    /// The second.
    Later,
    /// Neither: the record is rejected.
    #[default]
    Reject,
}

/// What a record's event time is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFrom {
    /// The column of this name.
    Column(String),
    /// The value of this SQL expression over a record's columns.
    Expression(String),
}

impl TimeFrom {
    /// The column, where it is one.
    pub fn column(&self) -> Option<&str> {
        match self {
            TimeFrom::Column(name) => Some(name),
            TimeFrom::Expression(_) => None,
        }
    }

    /// The expression, where it is one.
    pub fn expression(&self) -> Option<&str> {
        match self {
            TimeFrom::Column(_) => None,
            TimeFrom::Expression(sql) => Some(sql),
        }
    }

    /// What a reject's detail calls it, in backticks.
    pub(in crate::decode) fn shown(&self) -> String {
        match self {
            TimeFrom::Column(name) => format!("`{name}`"),
            TimeFrom::Expression(sql) => quote(sql),
        }
    }
}

impl Default for TimeFrom {
    fn default() -> Self {
        TimeFrom::Column(String::new())
    }
}

/// A record's event time: where it stands and how it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TimeSpec {
    /// What it is read from.
    #[serde(skip)]
    pub from: TimeFrom,
    /// What a number counts; none: the schema says it, or the number itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<TimeCount>,
    /// How it is written, as strftime has it; none: in any form that means one instant only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The time zone of times that name none; none: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Which instant is meant where a zone has two.
    #[serde(skip_serializing_if = "is_default")]
    pub ambiguous: Ambiguous,
}

fn is_default(ambiguous: &Ambiguous) -> bool {
    *ambiguous == Ambiguous::default()
}

impl TimeSpec {
    /// The times of a column, in any form that means one instant only.
    pub fn of(column: impl Into<String>) -> Self {
        TimeSpec { from: TimeFrom::Column(column.into()), ..TimeSpec::default() }
    }
}
