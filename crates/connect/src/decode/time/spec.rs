//! What the pipeline says of its records' times: the column, and how it is written.
//! It must not know how a time is read.

use serde::{Deserialize, Serialize};

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

/// A record's event time: where it stands and how it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TimeSpec {
    /// The column that holds it.
    #[serde(skip)]
    pub column: String,
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
        TimeSpec { column: column.into(), ..TimeSpec::default() }
    }
}
