//! The `window` block as it is written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::scalar::{DAY_US, Length, MS_US, Ordered, Whole};
use tickcast_sql::Gaps;

/// Between a millisecond and a year.
pub(in super::super) type RawSize = Length<MS_US, { 366 * DAY_US }>;

/// Exactly one of `tumbling`, `hopping`, `session` and `count`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawWindow {
    /// Length of windows that follow each other, like 1h.
    pub tumbling: Option<RawSize>,
    /// Windows that overlap. Not yet built.
    pub hopping: Option<RawHopping>,
    /// Windows between silences. Not yet built.
    pub session: Option<RawSession>,
    /// Windows of so many records. Not yet built.
    pub count: Option<Whole<1, 1_000_000_000>>,
    /// How long a window waits for late records. Default: 0s.
    pub lateness: Option<Length<0, { 366 * DAY_US }>>,
    /// Close an idle partition's windows by the clock. Not yet built.
    pub idle: Option<RawSize>,
    /// What a series does that is silent for a whole window. Rows that carry repeats are forecast
    /// from, but neither scored nor learned from. A series that is silent for 256 windows in a row
    /// has no rows until its next record. Default: carry.
    pub gaps: Option<Gaps>,
    /// Output columns and their SQL aggregate expressions. Every aggregate that DataFusion has can
    /// be used. Functions that differ from run to run, such as `now()` and `random()`, are refused.
    /// Default: the average of the target.
    pub select: Option<Ordered>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "keys of the contract that are not yet built")]
pub(in super::super) struct RawHopping {
    /// Length of a window.
    pub size: Option<RawSize>,
    /// Time between the starts of windows.
    pub every: Option<RawSize>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "keys of the contract that are not yet built")]
pub(in super::super) struct RawSession {
    /// The silence that ends a window.
    pub gap: Option<RawSize>,
}
