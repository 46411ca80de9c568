//! What windows are asked for, checked and defaulted.
//! It must not know the pipeline file that it comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tumbling windows, and the columns of their rows.
#[derive(Debug, Clone, Serialize)]
pub struct WindowSpec {
    /// Length of a tumbling window in microseconds, > 0.
    pub size_us: i64,
    /// How long a window waits for late records, in microseconds, >= 0.
    pub lateness_us: i64,
    /// What a silent series does.
    pub gaps: Gaps,
    /// Output column and its SQL aggregate expression, in the order of the file.
    pub select: Vec<(String, String)>,
    /// Series of a partition that are kept, at least 1. Those that have been silent for longest are
    /// forgotten.
    #[serde(skip)]
    pub most_series: usize,
}

/// What a series that is silent for a whole window does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Gaps {
    /// It repeats its last row.
    Carry,
    /// It has no row.
    Skip,
}
