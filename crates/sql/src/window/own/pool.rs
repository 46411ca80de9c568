//! The rows of all open windows, folded into aggregate states at row counts that depend on the rows
//! alone; each window is a group.
//! It must not know when a window closes. How rows were batched on arrival, and which windows are
//! evaluated together, cannot be seen in a result.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::super::plan::Aggregation;
use super::row_store::RowStore;

/// What is known of the rows of one open window.
#[derive(Debug, Default, Clone)]
pub(super) struct WindowRows {
    /// Its row among the states of the last fold.
    pub state: Option<u32>,
    /// The places of the rows since then, in order.
    pub since: Vec<u32>,
}

/// Aggregates of open windows.
#[derive(Clone)]
pub(super) struct Pool {
    aggregation: Arc<Aggregation>,
    /// One entry an aggregate: its state over the windows of the last fold.
    states: Vec<Vec<ArrayRef>>,
    /// Rows that are no part of a state yet.
    pub store: RowStore,
}

/// Accumulators that have taken windows in.
struct Accumulated {
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    /// The window of each group.
    windows: Vec<u32>,
}

impl Pool {
    /// Without rows.
    pub fn new(aggregation: Arc<Aggregation>) -> Self {
        let store = RowStore::new(Arc::clone(aggregation.argument_schema()));
        Pool { aggregation, states: Vec::new(), store }
    }

    /// The aggregates' values of windows, one row each.
    pub fn values(&self, windows: &[&WindowRows]) -> Result<Vec<ArrayRef>> {
        let Accumulated { accumulators, windows: order } = self.accumulate(windows)?;
        let mut group_of = vec![0; order.len()];
        (0..).zip(&order).for_each(|(group, &window)| group_of[window as usize] = group);
        let group_of = UInt32Array::from(group_of);

        let values = accumulators.into_iter().map(|mut accumulator| {
            let fail = || "cannot evaluate an aggregate";
            let values = accumulator.evaluate(EmitTo::All).or_fail(Kind::Query, fail)?;
            if order.is_sorted() {
                Ok(values)
            } else {
                take(&values, &group_of, None).or_fail(Kind::Query, fail)
            }
        });
        values.collect()
    }

    /// Folds the rows of all open windows into states.
    pub fn fold(&mut self, mut windows: Vec<&mut WindowRows>) -> Result<()> {
        let shared: Vec<&WindowRows> = windows.iter().map(|window| &**window).collect();
        let Accumulated { accumulators, windows: order } = self.accumulate(&shared)?;
        let states = accumulators.into_iter().map(|mut accumulator| {
            accumulator.state(EmitTo::All).or_fail(Kind::Query, || "cannot read an aggregate's state")
        });
        self.states = states.collect::<Result<_>>()?;
        for (state, window) in (0..).zip(order) {
            *windows[window as usize] = WindowRows { state: Some(state), since: Vec::new() };
        }
        Ok(())
    }

    fn accumulate(&self, windows: &[&WindowRows]) -> Result<Accumulated> {
        // An accumulator takes every group that it is told of for one that has a value: so those
        // with a state come first.
        let all = 0..windows.len() as u32;
        let (folded, fresh): (Vec<u32>, Vec<u32>) =
            all.partition(|&window| windows[window as usize].state.is_some());
        let states: UInt32Array = folded.iter().map(|&window| windows[window as usize].state).collect();
        let order = [folded, fresh].concat();

        let (mut places, mut groups) = (Vec::new(), Vec::new());
        for (group, &window) in order.iter().enumerate() {
            let since = &windows[window as usize].since;
            places.extend_from_slice(since);
            groups.extend(std::iter::repeat_n(group, since.len()));
        }
        let rows = self.store.gather(&places)?;

        let merged: Vec<usize> = (0..states.len()).collect();
        let accumulators = self.aggregation.aggregates.iter().enumerate().map(|(index, aggregate)| {
            let mut accumulator = aggregate.accumulator()?;
            if !merged.is_empty() {
                accumulator
                    .merge_batch(&self.states_at(index, &states)?, &merged, merged.len())
                    .or_fail(Kind::Query, || "cannot merge an aggregate's state")?;
            }
            aggregate
                .update(accumulator.as_mut(), &rows, &groups, order.len())
                .or_fail(Kind::Query, || format!("cannot run {}", aggregate.name()))?;
            Ok(accumulator)
        });
        Ok(Accumulated { accumulators: accumulators.collect::<Result<_>>()?, windows: order })
    }

    fn states_at(&self, aggregate: usize, rows: &UInt32Array) -> Result<Vec<ArrayRef>> {
        let arrays = self.states.get(aggregate).map_or(&[][..], Vec::as_slice);
        let taken = arrays.iter().map(|array| take(array, rows, None));
        taken
            .collect::<std::result::Result<_, _>>()
            .or_fail(Kind::Query, || "cannot take an aggregate's states")
    }

    /// The states of windows, one entry an aggregate.
    pub fn states_of(&self, windows: &[&WindowRows]) -> Result<Vec<Vec<ArrayRef>>> {
        let rows: UInt32Array = windows.iter().filter_map(|window| window.state).map(Some).collect();
        (0..self.states.len()).map(|aggregate| self.states_at(aggregate, &rows)).collect()
    }

    /// Whether it has the states of so many windows.
    pub fn has_states(&self, windows: usize) -> bool {
        let mut arrays = self.states.iter().flatten();
        (windows == 0 || !self.states.is_empty()) && arrays.all(|array| array.len() == windows)
    }

    /// States and rows as they were written. Errors: `State`, when they are not of this `select`.
    pub fn restored(
        aggregation: Arc<Aggregation>,
        states: Vec<Vec<ArrayRef>>,
        rows: &RecordBatch,
    ) -> Result<Self> {
        let fits = states.is_empty() || states.len() == aggregation.aggregates.len();
        if !fits {
            return Err(Error::new(Kind::State, "the windows' state does not fit window.select"));
        }
        let mut pool = Pool::new(aggregation);
        pool.store.add(rows)?;
        Ok(Pool { states, ..pool })
    }
}
