//! The `time` block as it is written.
//! It must not know defaults, nor which formats and zones there are.

use schemars::JsonSchema;
use serde::Deserialize;
use tickcast_connect::{Ambiguous, TimeCount};

use super::text_or::TextOr;

/// A column, or a block.
pub(in super::super) type RawTime = TextOr<String, RawTimeBlock>;

/// A record's event time: where it stands and how it is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RawTimeBlock {
    /// The column that holds it.
    pub column: Option<String>,
    /// In place of a column: an SQL expression over a record's columns, such as
    /// `concat(date, ' ', hour, ':00')`. Its value is read as a column's would be. A record for
    /// which it fails or is null is rejected as bad_time.
    pub expr: Option<String>,
    /// What a number counts, since 1970-01-01T00:00:00. With it a number may be any time of the
    /// years 1 to 9999; days may have a fraction. Without it, it counts what the schema says;
    /// without one, s, ms, us or ns, whichever puts it into the years 1990 to 2100, unless it could
    /// be a date.
    pub unit: Option<TimeCount>,
    /// How it is written, as strftime has it, such as `%d.%m.%Y %H:%M`; `%Y` or `%Y-%m` alone is
    /// the first day. Without it, each form is read that means one instant only.
    pub format: Option<String>,
    /// Time zone of times that name none, such as Europe/Berlin. Without it, they are UTC.
    pub zone: Option<String>,
    /// Which instant is meant in the hour that comes twice when a zone's clocks are put back. A
    /// time that does not come when they are put forward is always rejected. Default: reject.
    pub ambiguous: Option<Ambiguous>,
}
