//! Which record every row is of, where a record may be several rows or none.
//! It must not know what makes it so.

use super::shape::Shape;

/// The record of every row, and which part of the record it is.
#[derive(Debug)]
pub(super) enum Spread {
    /// Each record is one row.
    Plain,
    /// The record's place among those of the batch, and the part.
    Parts(Vec<(usize, Part)>),
}

/// The part of a record that a row is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The element of its list, from 1; none: the record has no list.
    pub(super) element: Option<usize>,
    /// The place of the melted column.
    pub(super) melted: Option<usize>,
}

impl Spread {
    pub(super) fn of(shape: &Shape) -> Self {
        let is_one_row = shape.unnest.is_none() && shape.melt.is_none();
        if is_one_row { Spread::Plain } else { Spread::Parts(Vec::new()) }
    }

    /// One more row.
    pub(super) fn add(&mut self, record: usize, part: Part) {
        if let Spread::Parts(rows) = self {
            rows.push((record, part));
        }
    }

    /// A record that is no row comes after so many rows: from now on a row's record is to be said.
    pub(super) fn skip(&mut self, rows: usize) {
        if let Spread::Plain = self {
            *self = Spread::Parts((0..rows).map(|record| (record, Part::default())).collect());
        }
    }

    /// The record of a row.
    #[inline]
    pub(super) fn record(&self, row: usize) -> usize {
        match self {
            Spread::Plain => row,
            Spread::Parts(rows) => rows[row].0,
        }
    }

    /// The detail of a verdict on a row, with the part of the record that it is about.
    pub(super) fn said(&self, row: usize, shape: &Shape, detail: String) -> String {
        let Spread::Parts(rows) = self else { return detail };
        let Part { element, melted } = rows[row].1;
        let element = element.zip(shape.unnest.as_ref());
        let element = element.map(|(nth, list)| format!("element {nth} of `{list}`: ")).unwrap_or_default();
        let column = melted.zip(shape.melt.as_ref()).and_then(|(at, melt)| melt.columns.get(at));
        let column = column.map(|name| format!("`{name}`: ")).unwrap_or_default();
        format!("{element}{column}{detail}")
    }
}
