//! The values of a payload's fields, those of the element of a list over those of its record.
//! It must not know a format.

use std::borrow::Cow;

use super::cell::Cell;
use super::shape::RowsIn;

/// A value that a payload's reader keeps.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    /// As it stands in the payload.
    Of(Cell<'a>),
    /// A text that is made of what stands there: boxed, a value is no larger than a cell.
    Made(Box<str>),
}

impl Value<'_> {
    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Value::Of(cell) => *cell,
            Value::Made(text) => Cell::Text(text),
        }
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Value::Of(Cell::Text(text)),
            Cow::Owned(text) => Value::Made(text.into()),
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
    /// Those of the element; empty where the row is the record itself.
    pub(super) element: Values<'a>,
    /// The elements of the list, or the one object; none: it is not there.
    pub(super) elements: Option<Vec<&'a [u8]>>,
    /// The rows that came.
    came: usize,
    rows_in: Option<RowsIn>,
}

/// A row that is within its record: its number in a list, and its bytes.
pub(super) type Element<'a> = (Option<usize>, &'a [u8]);

impl<'a> PayloadRows<'a> {
    /// Of so many fields; `rows_in`: what the rows are taken from, where not the record itself.
    pub(super) fn new(fields: usize, rows_in: Option<RowsIn>) -> Self {
        let element = vec![None; if rows_in.is_some() { fields } else { 0 }];
        PayloadRows { record: vec![None; fields], element, elements: None, came: usize::MAX, rows_in }
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

    /// The next element, where rows are within the record; it is still to be read. None: no row is
    /// left.
    pub(super) fn next(&mut self) -> Option<Option<Element<'a>>> {
        if self.rows_in.is_none() {
            let is_first = self.came == 0;
            self.came = usize::MAX;
            return is_first.then_some(None);
        }
        let bytes = *self.elements.as_ref()?.get(self.came)?;
        self.came += 1;
        self.element.fill(None);
        let number = (self.rows_in == Some(RowsIn::List)).then_some(self.came);
        Some(Some((number, bytes)))
    }

    pub(super) fn cell(&self, field: usize) -> Cell<'_> {
        let own = self.element.get(field).and_then(Option::as_ref);
        own.or(self.record[field].as_ref()).map_or(Cell::Null, Value::cell)
    }
}
