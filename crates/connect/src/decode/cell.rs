//! A value of a record's field, as its format has it.
//! It must not know which type is wanted of it.

use std::borrow::Cow;

use tickcast_stream::message::{EventTime, shown};

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    /// Missing or null.
    Null,
    /// Also a number or a truth value as it is written.
    Text(&'a str),
    Whole(i64),
    /// A whole number that may be more than those have.
    Unsigned(u64),
    Float(f64),
    Truth(bool),
    /// Microseconds since the epoch, UTC.
    Instant(i64),
    /// Microseconds since the epoch on the clock of a place that is not said.
    Clock(i64),
    Bytes(&'a [u8]),
    /// An object or a list.
    Nested,
}

impl<'a> Cell<'a> {
    pub(super) fn of_text(text: Option<&'a str>) -> Self {
        text.map_or(Cell::Null, Cell::Text)
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self, Cell::Null)
    }

    /// The value as text; none where it has none.
    pub(super) fn said(self) -> Option<Cow<'a, str>> {
        Some(match self {
            Cell::Null | Cell::Nested => return None,
            Cell::Text(text) => Cow::Borrowed(text),
            Cell::Whole(whole) => Cow::Owned(whole.to_string()),
            Cell::Unsigned(whole) => Cow::Owned(whole.to_string()),
            Cell::Float(float) => Cow::Owned(float.to_string()),
            Cell::Truth(truth) => Cow::Borrowed(if truth { "true" } else { "false" }),
            Cell::Instant(us) | Cell::Clock(us) => Cow::Owned(shown(EventTime(us))),
            Cell::Bytes(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).ok()?),
        })
    }
}
