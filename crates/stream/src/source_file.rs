//! One of several files that a source reads one after the other.
//! It must not know what is in it.

use crate::place::Offset;

/// A file among several of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path, as a person writes it.
    pub name: String,
    /// The position of its first record.
    pub first: Offset,
    /// The names of the fields of its records, in order, where the file says them.
    pub columns: Option<Vec<String>>,
    /// The schema that its records were written with, as it stands there, where the file has one.
    pub schema: Option<String>,
}
