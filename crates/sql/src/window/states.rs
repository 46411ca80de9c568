//! States of aggregates, a row a window, each by its place.
//! It must not know what a state means.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::row_store::RowStore;

/// Of all aggregates of a `select`, side by side.
#[derive(Debug, Clone)]
pub(super) struct States {
    /// Columns of the state of each aggregate; not known before the first.
    widths: Vec<usize>,
    rows: RowStore,
}

impl States {
    /// None yet.
    pub fn new() -> Self {
        States { widths: Vec::new(), rows: RowStore::new(Arc::new(Schema::empty())) }
    }

    /// Rows that are kept, wanted or not.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds states, one entry an aggregate; the place of the first. Errors: `Query`, when they are
    /// ragged.
    pub fn add(&mut self, states: Vec<Vec<ArrayRef>>) -> Result<u32> {
        let widths: Vec<usize> = states.iter().map(Vec::len).collect();
        let columns: Vec<ArrayRef> = states.into_iter().flatten().collect();
        let field =
            |(at, column): (usize, &ArrayRef)| Field::new(at.to_string(), column.data_type().clone(), true);
        let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
        if self.rows.len() == 0 {
            *self = States { widths, rows: RowStore::new(Arc::clone(&schema)) };
        }

        let rows = RecordBatch::try_new(schema, columns);
        self.rows.add(&rows.or_fail(Kind::Query, || "the states of aggregates are ragged")?)
    }

    /// Copies of the states at these places, one entry an aggregate.
    pub fn gather(&self, places: &[u32]) -> Result<Vec<Vec<ArrayRef>>> {
        let rows = self.rows.gather(places)?;
        let mut columns = rows.columns().iter().cloned();
        Ok(self.widths.iter().map(|&width| columns.by_ref().take(width).collect()).collect())
    }

    /// Keeps the states at these places alone, in this order: each place becomes the new one.
    pub fn keep<'a>(&mut self, wanted: impl Iterator<Item = &'a mut u32>) -> Result<()> {
        self.rows.keep(wanted)
    }
}
