//! `window.gaps` as it is written: a word, or one a column.
//! It must not know which columns there are.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use tickcast_sql::Fill;

use super::text_or::TextOr;

/// A word, or one a column.
pub(in super::super) type RawGaps = TextOr<RawGapsWord, BTreeMap<String, Fill>>;

/// What all columns of a silent series' row have.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum RawGapsWord {
    /// What is made of sums and counts alone is what these are of no record, 0 mostly, and that is
    /// true: it is scored and learned. Everything else is repeated.
    Auto,
    /// The last values are repeated.
    Carry,
    /// There is no row.
    Skip,
    /// Numbers are 0, and that is true.
    Zero,
}
