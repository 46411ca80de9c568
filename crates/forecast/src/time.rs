//! Event time: when something was observed, not when it arrived.
//! It must not read a clock.

use serde::{Deserialize, Serialize};

/// A point in event time: microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before every record.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After every record: the watermark of an input that has ended.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// This time moved by a duration in microseconds; it stops at the ends of the range.
    pub fn plus_us(self, us: i64) -> Self {
        EventTime(self.0.saturating_add(us))
    }
}
