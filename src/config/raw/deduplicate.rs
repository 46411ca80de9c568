//! The `deduplicate` block as it is written.
//! It must not know defaults.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::scalar::{DAY_US, Length, MS_US};

/// Which records are the same.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawDeduplicate {
    /// Columns that two records of a series have in common, derived ones too, like `[seq]`. A
    /// record in which one of them is null counts. Default: the time.
    pub by: Option<Vec<String>>,
    /// How far apart the times of two such records are at most, and how long a record is
    /// remembered. Default: 1h.
    pub within: Option<Length<MS_US, { 366 * DAY_US }>>,
}
