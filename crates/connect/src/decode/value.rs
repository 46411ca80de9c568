//! The values of a payload's fields, those of the element of a list over those of its record.
//! It must not know a format.

use std::borrow::Cow;

use super::cell::Cell;

/// A value that a payload's reader keeps.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
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

impl Value<'_> {
    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Value::Null => Cell::Null,
            Value::Text(text) => Cell::Text(text),
            Value::Whole(whole) => Cell::Whole(*whole),
            Value::Unsigned(whole) => Cell::Unsigned(*whole),
            Value::Float(float) => Cell::Float(*float),
            Value::Truth(truth) => Cell::Truth(*truth),
            Value::Instant(us) => Cell::Instant(*us),
            Value::Clock(us) => Cell::Clock(*us),
            Value::Bytes(bytes) => Cell::Bytes(bytes),
            Value::Nested => Cell::Nested,
        }
    }
}

/// The values of the fields that are read, one a field; none: it is not there.
pub(super) type Values<'a> = Vec<Option<Value<'a>>>;

/// A payload's rows: the record itself, or the elements of its list, of each of which the bytes are
/// kept until it is read.
#[derive(Debug)]
pub(super) struct PayloadRows<'a> {
    pub(super) record: Values<'a>,
    /// Those of the element; empty where no list is taken apart.
    pub(super) element: Values<'a>,
    /// The elements of the list; none: it is not there.
    pub(super) elements: Option<Vec<&'a [u8]>>,
    /// The rows that came.
    came: usize,
    is_list: bool,
}

impl<'a> PayloadRows<'a> {
    pub(super) fn new(fields: usize, is_list: bool) -> Self {
        let element = vec![None; if is_list { fields } else { 0 }];
        PayloadRows { record: vec![None; fields], element, elements: None, came: usize::MAX, is_list }
    }

    /// Before another payload.
    pub(super) fn clear(&mut self) {
        self.record.fill(None);
        self.element.fill(None);
        (self.elements, self.came) = (None, usize::MAX);
    }

    /// The payload has been read.
    pub(super) fn begin(&mut self) {
        self.came = 0;
    }

    /// The bytes of the next element, where a list is taken apart; it is still to be read. None: no
    /// row is left.
    pub(super) fn next(&mut self) -> Option<Option<(usize, &'a [u8])>> {
        if !self.is_list {
            let is_first = self.came == 0;
            self.came = usize::MAX;
            return is_first.then_some(None);
        }
        let bytes = *self.elements.as_ref()?.get(self.came)?;
        self.came += 1;
        self.element.fill(None);
        Some(Some((self.came, bytes)))
    }

    pub(super) fn cell(&self, field: usize) -> Cell<'_> {
        let own = self.element.get(field).and_then(Option::as_ref);
        own.or(self.record[field].as_ref()).map_or(Cell::Null, Value::cell)
    }
}
