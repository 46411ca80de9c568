//! What is wanted of payloads: fields of a record, and of the rows within it.
//! It must not know a format.

use tickcast_stream::PassReason;

use super::cell::Cell;
use super::envelope::{self, After, FIELDS, PAYLOAD};
use super::paths::Paths;
use super::shape::{RowsIn, Shape};
use super::value::{Value, Values};

/// What is wanted of payloads.
#[derive(Debug)]
pub(super) struct Wanted {
    /// How many fields are read.
    pub(super) fields: usize,
    pub(super) of_record: Paths,
    /// What the rows are taken from, where they are not the record itself.
    pub(super) within: Option<WantedRows>,
    /// The places of the envelope's fields, where there is one.
    envelope: Option<[usize; 2]>,
}

/// What is wanted of rows within a record.
#[derive(Debug)]
pub(super) struct WantedRows {
    /// Where they are.
    pub(super) path: String,
    pub(super) rows_in: RowsIn,
    pub(super) of_element: Paths,
    /// Where an element that is no object is wanted.
    pub(super) itself: Option<usize>,
}

impl Wanted {
    /// `fields`: what to read, names or paths, each once.
    pub(super) fn new(fields: &[String], shape: &Shape) -> Self {
        let mut of_record = Paths::of(fields);
        let within = shape.rows_in().map(|(path, rows_in)| {
            of_record.take_apart(path, rows_in);
            let itself = fields.iter().position(|name| name == path).filter(|_| rows_in == RowsIn::List);
            let of_element = Paths::of_elements(fields, path);
            WantedRows { path: path.to_owned(), rows_in, of_element, itself }
        });

        let place = |name: &str| fields.iter().position(|field| field == name);
        let envelope = shape.envelope.and_then(|_| Some([place(FIELDS[0])?, place(FIELDS[1])?]));
        if envelope.is_some() {
            let behind = |name: &str| format!("{PAYLOAD}.{name}");
            fields.iter().enumerate().for_each(|(at, name)| of_record.want(&behind(name), at));
            if let Some(within) = &within {
                of_record.take_apart(&behind(&within.path), within.rows_in);
            }
        }

        Wanted { fields: fields.len(), of_record, within, envelope }
    }

    /// What the rows are taken from, where they are not the record itself.
    pub(super) fn rows_in(&self) -> Option<RowsIn> {
        Some(self.within.as_ref()?.rows_in)
    }

    /// Where an element that is no object is wanted.
    pub(super) fn itself(&self) -> Option<usize> {
        self.within.as_ref()?.itself
    }

    /// What becomes of a record with these fields: why it is passed over, or none if it is rows;
    /// `has_rows`: that what they are taken from is there. Errors: why it is no record.
    pub(super) fn judge(&self, record: &Values<'_>, has_rows: bool) -> Result<Option<PassReason>, String> {
        let Some(within) = &self.within else { return Ok(None) };
        if let Some([op, after]) = self.envelope {
            let cell = |at: usize| record[at].as_ref().map_or(Cell::Null, Value::cell);

            let after = match cell(after) {
                Cell::Null => After::Absent,
                Cell::Nested if has_rows => After::Row,
                _ => After::Other,
            };
            return envelope::judge(cell(op), after);
        }
        if has_rows { Ok(None) } else { Err(format!("the record has no list `{}`", within.path)) }
    }
}
