//! Rows that are still wanted, each by its place: one that came later has a later place.
//! It must not know windows or series.

use arrow::array::RecordBatchOptions;
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::{Kind, OrFail, Result};

/// Batches are put together until they have so many rows: looking for one costs less then.
const BATCH_ROWS: usize = 4096;

/// Rows of one schema.
#[derive(Debug, Clone)]
pub(super) struct RowStore {
    schema: SchemaRef,
    /// With the place of its first row.
    batches: Vec<(u32, RecordBatch)>,
    rows: u32,
}

impl RowStore {
    /// None yet.
    pub fn new(schema: SchemaRef) -> Self {
        RowStore { schema, batches: Vec::new(), rows: 0 }
    }

    /// Rows that are kept, wanted or not.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Adds rows; the place of the first.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<u32> {
        let first = self.rows;
        if rows.num_rows() > 0 {
            self.batches.push((first, rows.clone()));
            self.rows += rows.num_rows() as u32;
            self.join_small()?;
        }
        Ok(first)
    }

    /// Like the digits of a counter: a row is copied a few times at most.
    fn join_small(&mut self) -> Result<()> {
        while let [.., (first, before), (_, last)] = &self.batches[..]
            && before.num_rows() < BATCH_ROWS
            && before.num_rows() <= 2 * last.num_rows()
        {
            let joined = concat_batches(&self.schema, [before, last]);
            let joined = (*first, joined.or_fail(Kind::Query, || "rows of windows do not fit together")?);
            self.batches.truncate(self.batches.len() - 2);
            self.batches.push(joined);
        }
        Ok(())
    }

    /// Copies of the rows at these places.
    pub fn gather(&self, places: &[u32]) -> Result<RecordBatch> {
        if places.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let (mut at, mut range) = (0, 0..0);
        let index = |&place: &u32| {
            if !range.contains(&place) {
                at = self.batches.partition_point(|&(first, _)| first <= place).saturating_sub(1);
                let (first, batch) = &self.batches[at];
                range = *first..first + batch.num_rows() as u32;
            }
            (at, (place - range.start) as usize)
        };
        let indices: Vec<(usize, usize)> = places.iter().map(index).collect();

        let fail = || "cannot gather rows of windows";
        let column = |column: usize| {
            let arrays: Vec<_> =
                self.batches.iter().map(|(_, batch)| batch.column(column).as_ref()).collect();
            interleave(&arrays, &indices)
        };
        let columns = (0..self.schema.fields().len()).map(column);
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>().or_fail(Kind::Query, fail)?;
        // A select without arguments has rows and no columns.
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).or_fail(Kind::Query, fail)
    }

    /// Keeps the rows at these places alone, in this order: each place becomes the new one.
    pub fn keep<'a>(&mut self, wanted: impl Iterator<Item = &'a mut u32>) -> Result<()> {
        let mut places = Vec::new();
        for place in wanted {
            let new = places.len() as u32;
            places.push(std::mem::replace(place, new));
        }
        let kept = self.gather(&places)?;
        (self.batches, self.rows) = (Vec::new(), 0);
        self.add(&kept).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn rows(from: i64, to: i64) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
        RecordBatch::try_new(Arc::new(schema()), vec![column]).unwrap()
    }

    fn schema() -> Schema {
        Schema::new(vec![Field::new("n", DataType::Int64, true)])
    }

    fn values(store: &RowStore, places: &[u32]) -> Vec<i64> {
        store.gather(places).unwrap().column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn rows_are_found_at_their_places_and_only_the_wanted_stay() {
        let mut store = RowStore::new(Arc::new(schema()));
        let mut next = 0;
        for size in [1, 1, 5000, 1, 2, 1, 300, 4000, 7, 1, 1] {
            assert_eq!(store.add(&rows(next, next + size)).unwrap() as i64, next);
            next += size;
        }
        assert!(store.batches.len() < 6, "{}", store.batches.len());
        let some = [0, 9304, 1, 5001, 5002, 5001, 9000];
        assert_eq!(values(&store, &some), some.map(i64::from));
        assert_eq!(values(&store, &[]), [0i64; 0]);

        let mut wanted = [9304, 17, 5002];
        store.keep(wanted.iter_mut()).unwrap();
        assert_eq!((wanted, store.len()), ([0, 1, 2], 3));
        assert_eq!(values(&store, &[2, 0, 1]), [5002, 9304, 17]);
    }
}
