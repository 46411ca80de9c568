//! The `window` block as it is written.
//! It must not know defaults, nor what is built.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::scalar::{DAY_US, Length, MS_US, Ordered, S_US, Whole};
use super::super::window_length::WindowLength;
use super::RawGaps;
use tickcast_sql::{Stamps, Watermark};

/// Between a millisecond and a year.
pub(in super::super) type RawSize = Length<MS_US, { 366 * DAY_US }>;

/// Between a second, as often as a broker is heard of, and a year.
pub(in super::super) type RawIdle = Length<S_US, { 366 * DAY_US }>;

/// Exactly one of `tumbling`, `hopping`, `session` and `count`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawWindow {
    /// Length of windows that follow each other, like 1h. `1w` is an ISO week, `1mo`, `1q` and `1y`
    /// are months, quarters and years of the calendar; also 2mo, 4mo and 6mo. A time like `7d` is
    /// counted from the Unix epoch.
    pub tumbling: Option<WindowLength>,
    /// Windows that overlap: each of a size, one every so often.
    pub hopping: Option<RawHopping>,
    /// Windows of each series, from one silence to the next.
    pub session: Option<RawSession>,
    /// Windows of so many records of a series, in the order in which they come.
    pub count: Option<Whole<1, 1_000_000_000>>,
    /// Time zone like Europe/Berlin: days and longer windows are then those of its clock, and a day
    /// has 23, 24 or 25 hours. Shorter windows are the same in every zone. Default: UTC.
    pub zone: Option<String>,
    /// How much later than midnight, than the epoch, or than the first day of the unit windows
    /// begin, on the clock of `zone`: 6h for gas days, -3d for weeks from Friday on. Default: 0s.
    pub offset: Option<Length<{ -366 * DAY_US }, { 366 * DAY_US }>>,
    /// What the time of a record is: the start of what it tells of, or the end of an interval, as
    /// meters write it. Default: start.
    pub stamps: Option<Stamps>,
    /// Whose times close a window. By series, the windows of each series close by the times of its
    /// own records: for series that come with other delays or in other rhythms. Default: partition.
    pub watermark: Option<Watermark>,
    /// How long a window waits for late records. Default: 0s.
    pub lateness: Option<Length<0, { 366 * DAY_US }>>,
    /// When nothing has come of a Kafka partition or of standard input for so long, its windows
    /// close. Whatever comes after that for one of them is late. A file closes its windows at its
    /// end. Without it only records close windows.
    pub idle: Option<RawIdle>,
    /// What the row of a series has that is silent for a whole window, for all columns or by
    /// column, like `{ sold: zero, price: carry }`; columns that are not named there are as with
    /// auto. Rows whose target is repeated are forecast from, but neither scored nor learned from.
    /// A series that is silent for 256 windows in a row has no rows until its next record. Default:
    /// auto.
    pub gaps: Option<RawGaps>,
    /// Output columns and their SQL aggregate expressions. Every aggregate that DataFusion has can
    /// be used. Functions that differ from run to run, such as `now()` and `random()`, are refused.
    /// Default: the average of each target.
    pub select: Option<Ordered>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawHopping {
    /// Length of a window, like that of `tumbling`; it may be any number of weeks or months.
    #[schemars(required)]
    pub size: Option<WindowLength>,
    /// From the start of a window to that of the next, at most `size`. Horizons and seasons count
    /// these.
    #[schemars(required)]
    pub every: Option<WindowLength>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawSession {
    /// A silence of the series so long ends a session.
    #[schemars(required)]
    pub gap: Option<RawSize>,
    /// A session takes records of at most this time, at least `gap`; after it the next one begins.
    /// Default: 1d, or ten gaps where that is longer.
    pub max: Option<RawSize>,
}
