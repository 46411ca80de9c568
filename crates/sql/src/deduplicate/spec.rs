//! Which records are the same, checked.
//! It must not know the pipeline file that it comes from.

use serde::Serialize;

/// Which records are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeduplicateSpec {
    /// Columns that two records of a series have in common; none: their time.
    pub by: Vec<String>,
    /// How far apart their times are at most, in microseconds, and how long a record is remembered.
    pub within_us: i64,
}
