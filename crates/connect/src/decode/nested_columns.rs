//! Columns within columns: the fields of objects by their paths.
//! It must not know which are wanted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::record_batch::RecordBatch;

/// A field of rows by its name or path; none where there is none.
pub(super) fn find(batch: &RecordBatch, path: &str) -> Option<ArrayRef> {
    find_among(|name| batch.column_by_name(name), path)
}

/// A field of objects by its path: null where the object is.
pub(super) fn find_within(objects: &ArrayRef, path: &str) -> Option<ArrayRef> {
    let objects = objects.as_struct_opt()?;
    let found = find_among(|name| objects.column_by_name(name), path)?;
    let Some(nulls) = objects.nulls() else { return Some(found) };
    let nulls = NullBuffer::union(Some(nulls), found.nulls());
    let data = found.to_data().into_builder().nulls(nulls).build().ok()?;
    Some(make_array(data))
}

/// The column of a name, or else of a path through one of the columns.
fn find_among<'a>(column: impl Fn(&str) -> Option<&'a ArrayRef>, path: &str) -> Option<ArrayRef> {
    if let Some(column) = column(path) {
        return Some(Arc::clone(column));
    }
    let mut dots = path.match_indices('.');
    dots.find_map(|(at, _)| find_within(column(&path[..at])?, &path[at + 1..]))
}
