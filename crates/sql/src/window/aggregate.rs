//! One open pane, a window or a part of one: its rows, folded into aggregate states at fixed row
//! counts.
//! It must not know when it closes. How rows were batched on arrival cannot be seen in its result.
//!
//! Many accumulators round differently when the same rows come in other batches, or when a state is
//! taken out and merged back. So both happen at row counts that depend on the rows alone: rows wait
//! in `pending` until there are [`fold_at`] of them, then one accumulator merges the state so far
//! and takes exactly those rows. A snapshot is the state of the last fold and the rows since:
//! taking one moves no bit.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::EmitTo;
use indexmap::IndexSet;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::pick::pick;
use super::plan::{Aggregate, Aggregation};

/// At least this many rows are folded at once.
const FOLD_ROWS: usize = 8192;

/// A series of the partition: its place in the order in which the partition first saw them.
pub type SeriesId = u32;

/// A set in order of insertion that is asked once a row: by a hash that costs less than the
/// standard one and is seeded as well, because names come from outside.
pub type RowSet<T> = IndexSet<T, foldhash::fast::RandomState>;

/// The rows of one open window.
#[derive(Debug, Default, Clone)]
pub struct OpenWindow {
    /// The series with rows in this window, in the order of their first: the groups.
    pub series: RowSet<SeriesId>,
    /// One entry an aggregate: its state over the groups of the last fold; empty before it.
    pub states: Vec<Vec<ArrayRef>>,
    /// Groups in `states`.
    pub folded_groups: usize,
    /// Rows since the last fold, in order.
    pub pending: Vec<RecordBatch>,
    /// The group of each pending row.
    pub pending_groups: Vec<usize>,
}

/// The fold size grows with the groups, so that carrying the states costs no more than the rows do.
fn fold_at(groups: usize) -> usize {
    FOLD_ROWS.max(groups)
}

impl OpenWindow {
    /// Takes in rows of the arguments of `aggregation`; `series[i]` is the series of row i.
    pub fn take(&mut self, aggregation: &Aggregation, rows: &RecordBatch, series: &[SeriesId]) -> Result<()> {
        let mut from = 0;
        for (at, &id) in series.iter().enumerate() {
            let (group, _) = self.series.insert_full(id);
            self.pending_groups.push(group);
            if self.pending_groups.len() >= fold_at(self.series.len()) {
                self.pending.push(rows.slice(from, at + 1 - from));
                from = at + 1;
                self.fold(aggregation)?;
            }
        }

        if from < rows.num_rows() {
            self.pending.push(rows.slice(from, rows.num_rows() - from));
        }
        Ok(())
    }

    /// Folds what is pending: then the states are of all rows.
    pub fn settle(&mut self, aggregation: &Aggregation) -> Result<()> {
        if self.pending_groups.is_empty() { Ok(()) } else { self.fold(aggregation) }
    }

    fn fold(&mut self, aggregation: &Aggregation) -> Result<()> {
        let rows = self.take_pending(aggregation)?;
        let mut states = Vec::with_capacity(aggregation.aggregates.len());
        for (index, aggregate) in aggregation.aggregates.iter().enumerate() {
            let mut accumulator = self.accumulate(aggregate, index, &rows)?;
            states.push(
                accumulator.state(EmitTo::All).or_fail(Kind::Query, || "cannot read an aggregate's state")?,
            );
        }

        self.states = states;
        self.folded_groups = self.series.len();
        self.pending_groups.clear();
        Ok(())
    }

    fn take_pending(&mut self, aggregation: &Aggregation) -> Result<RecordBatch> {
        let rows = concat_batches(aggregation.argument_schema(), &self.pending)
            .or_fail(Kind::Query, || "the rows of a window do not fit together")?;
        self.pending.clear();
        Ok(rows)
    }

    fn accumulate(
        &self,
        aggregate: &Aggregate,
        index: usize,
        rows: &RecordBatch,
    ) -> Result<Box<dyn datafusion::logical_expr::GroupsAccumulator>> {
        let mut accumulator = aggregate.accumulator()?;
        if let Some(state) = self.states.get(index) {
            let groups: Vec<usize> = (0..self.folded_groups).collect();
            // An accumulator takes every group that it is told of for one that has a value.
            accumulator
                .merge_batch(state, &groups, self.folded_groups)
                .or_fail(Kind::Query, || "cannot merge an aggregate's state")?;
        }

        aggregate
            .update(accumulator.as_mut(), rows, &self.pending_groups, self.series.len())
            .or_fail(Kind::Query, || format!("cannot run {}", aggregate.name()))?;
        Ok(accumulator)
    }

    /// The aggregates' values, one row a series in the order of `self.series`. Nothing can be taken
    /// in after that.
    pub fn values(&mut self, aggregation: &Aggregation) -> Result<Vec<ArrayRef>> {
        let rows = self.take_pending(aggregation)?;
        (0..aggregation.aggregates.len()).map(|index| self.value(aggregation, index, &rows)).collect()
    }

    /// The value of one of them; `rows` are those since the last fold.
    pub fn value(&self, aggregation: &Aggregation, index: usize, rows: &RecordBatch) -> Result<ArrayRef> {
        self.accumulate(&aggregation.aggregates[index], index, rows)?
            .evaluate(EmitTo::All)
            .or_fail(Kind::Query, || "cannot evaluate an aggregate")
    }

    /// Gives each series its new place, in the same order; one without a place is gone, and its
    /// rows with it.
    pub fn move_to(&mut self, places: &[Option<SeriesId>], aggregation: &Aggregation) -> Result<()> {
        let mut series = RowSet::default();
        series.reserve(self.series.len());
        let mut group_of = Vec::with_capacity(self.series.len());
        for &id in &self.series {
            let place = places.get(id as usize).copied().flatten();
            group_of.push(place.map(|place| series.insert_full(place).0));
        }
        let all = std::mem::replace(&mut self.series, series);
        if all.len() == self.series.len() {
            return Ok(());
        }

        let fail = || "cannot take an aggregate's groups";
        let folded = group_of.iter().take(self.folded_groups);
        let kept: UInt32Array = (0..).zip(folded).filter_map(|(group, new)| new.map(|_| group)).collect();
        for array in self.states.iter_mut().flatten() {
            *array = take(array, &kept, None).or_fail(Kind::Query, fail)?;
        }
        self.folded_groups = kept.len();

        let rows = self.take_pending(aggregation)?;
        let groups = std::mem::take(&mut self.pending_groups);
        let moved = (0..).zip(groups).filter_map(|(row, group)| Some((row, (*group_of.get(group)?)?)));
        let (indices, groups): (Vec<u32>, Vec<usize>) = moved.unzip();
        (self.pending, self.pending_groups) = (vec![pick(&rows, &indices)?], groups);
        Ok(())
    }

    /// The rows since the last fold as one batch.
    pub fn pending_rows(&self, aggregation: &Aggregation) -> Result<RecordBatch> {
        concat_batches(&Arc::clone(aggregation.argument_schema()), &self.pending)
            .or_fail(Kind::State, || "the rows of a window do not fit together")
    }
}
