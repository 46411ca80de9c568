//! What is wanted of payloads: fields of a record, and of the elements of its list.
//! It must not know a format.

use super::paths::Paths;
use super::shape::Shape;

/// What is wanted of payloads.
#[derive(Debug)]
pub(super) struct Wanted {
    /// How many fields are read.
    pub(super) fields: usize,
    pub(super) of_record: Paths,
    /// The list that is taken apart, if one is.
    pub(super) list: Option<WantedList>,
}

/// What is wanted of a list.
#[derive(Debug)]
pub(super) struct WantedList {
    /// Where it is.
    pub(super) path: String,
    pub(super) of_element: Paths,
    /// Where an element that is no object is wanted.
    pub(super) itself: Option<usize>,
}

impl Wanted {
    /// `fields`: what to read, names or paths, each once.
    pub(super) fn new(fields: &[String], shape: &Shape) -> Self {
        let mut of_record = Paths::of(fields);
        let list = shape.unnest.as_ref().map(|path| {
            of_record.take_apart(path);
            let itself = fields.iter().position(|name| name == path);
            WantedList { path: path.clone(), of_element: Paths::of_elements(fields, path), itself }
        });
        Wanted { fields: fields.len(), of_record, list }
    }

    /// Where an element that is no object is wanted.
    pub(super) fn itself(&self) -> Option<usize> {
        self.list.as_ref()?.itself
    }
}

impl WantedList {
    /// Why a record without it is none.
    pub(super) fn missing(&self) -> String {
        format!("the record has no list `{}`", self.path)
    }
}
