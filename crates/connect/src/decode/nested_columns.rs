//! Columns within columns: the fields of objects by their paths.
//! It must not know which are wanted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::record_batch::RecordBatch;

/// A field of rows by its name or path; none where there is none.
pub(super) fn find(batch: &RecordBatch, path: &str) -> Option<ArrayRef> {
    if let Some(column) = batch.column_by_name(path) {
        return Some(Arc::clone(column));
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.filter_map(|at| find_within(batch.column_by_name(&path[..at])?, &path[at + 1..])).next()
}

/// A field of objects by its path: null where the object is.
pub(super) fn find_within(objects: &ArrayRef, path: &str) -> Option<ArrayRef> {
    let objects = objects.as_struct_opt()?;
    let found = match objects.column_by_name(path) {
        Some(column) => Arc::clone(column),
        None => {
            let dots = path.match_indices('.').map(|(at, _)| at);
            dots.filter_map(|at| find_within(objects.column_by_name(&path[..at])?, &path[at + 1..])).next()?
        }
    };
    let Some(nulls) = objects.nulls() else { return Some(found) };
    let nulls = NullBuffer::union(Some(nulls), found.nulls());
    let data = found.to_data().into_builder().nulls(nulls).build().ok()?;

    Some(make_array(data))
}
