//! The rows of all open windows, folded into aggregate states at row counts that depend on the rows
//! alone; each window is a group.
//! It must not know when a window closes. How rows were batched on arrival, and which windows are
//! evaluated together, cannot be seen in a result.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use tickcast_stream::error::{Error, Kind, OrFail, Result};

use super::plan::Aggregation;
use super::row_store::RowStore;
use super::states::States;

/// At least so many rows are folded at once, and so many unwanted ones are kept.
pub(super) const FOLD_ROWS: usize = 8192;
/// So many windows that have closed are evaluated at once.
pub(super) const AT_ONCE: usize = 1024;

/// What is known of the rows of one open window, or of a pane of several.
#[derive(Debug, Default, Clone)]
pub(super) struct WindowRows {
    /// The place of its state.
    pub state: Option<u32>,
    /// The places of the rows since then, in order.
    pub since: Vec<u32>,
}

/// Aggregates of open windows.
#[derive(Clone)]
pub(super) struct Pool {
    aggregation: Arc<Aggregation>,
    /// Of windows.
    pub states: States,
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
        Pool { aggregation, states: States::new(), store }
    }

    /// The aggregates' values of windows, one row each.
    pub fn values(&self, windows: &[&WindowRows]) -> Result<Vec<ArrayRef>> {
        let Accumulated { accumulators, windows: order } = self.accumulate(windows)?;
        let values = evaluate(accumulators)?;
        if order.is_sorted() {
            return Ok(values);
        }

        let mut group_of = vec![0; order.len()];
        (0..).zip(&order).for_each(|(group, &window)| group_of[window as usize] = group);
        let group_of = UInt32Array::from(group_of);
        let taken = values.iter().map(|values| take(values, &group_of, None));
        taken.collect::<std::result::Result<_, _>>().or_fail(Kind::Query, || "cannot order aggregates")
    }

    /// The aggregates' values of windows that are made of these states in their order, one row
    /// each; no values where there are no windows.
    pub fn merged(&self, windows: &[Vec<u32>]) -> Result<Vec<ArrayRef>> {
        if windows.is_empty() {
            // Some accumulators cannot say anything of nothing.
            return Ok(Vec::new());
        }
        let states = self.states.gather(&windows.concat())?;
        let parts = windows.iter().enumerate();
        let groups: Vec<usize> =
            parts.flat_map(|(group, parts)| std::iter::repeat_n(group, parts.len())).collect();

        let accumulators = self.aggregation.aggregates.iter().zip(&states).map(|(aggregate, states)| {
            let mut accumulator = aggregate.accumulator()?;
            merge(accumulator.as_mut(), states, &groups, windows.len())?;
            Ok(accumulator)
        });
        evaluate(accumulators.collect::<Result<_>>()?)
    }

    /// Makes states of windows: then they have no rows beside them.
    pub fn settle(&mut self, mut windows: Vec<&mut WindowRows>) -> Result<()> {
        let shared: Vec<&WindowRows> = windows.iter().map(|window| &**window).collect();
        let Accumulated { accumulators, windows: order } = self.accumulate(&shared)?;
        let states = accumulators.into_iter().map(|mut accumulator| {
            accumulator.state(EmitTo::All).or_fail(Kind::Query, || "cannot read an aggregate's state")
        });
        let first = self.states.add(states.collect::<Result<_>>()?)?;
        for (state, window) in (first..).zip(order) {
            *windows[window as usize] = WindowRows { state: Some(state), since: Vec::new() };
        }
        Ok(())
    }

    /// The same for all windows that are open.
    pub fn fold(&mut self, mut windows: Vec<&mut WindowRows>) -> Result<()> {
        self.settle(windows.iter_mut().map(|window| &mut **window).collect())?;
        self.states.keep(windows.into_iter().filter_map(|window| window.state.as_mut()))
    }

    fn accumulate(&self, windows: &[&WindowRows]) -> Result<Accumulated> {
        // An accumulator takes every group that it is told of for one that has a value: so those
        // with a state come first.
        let all = 0..windows.len() as u32;
        let (folded, fresh): (Vec<u32>, Vec<u32>) =
            all.partition(|&window| windows[window as usize].state.is_some());
        let states: Vec<u32> = folded.iter().filter_map(|&window| windows[window as usize].state).collect();
        let order = [folded, fresh].concat();

        let (mut places, mut groups) = (Vec::new(), Vec::new());
        for (group, &window) in order.iter().enumerate() {
            let since = &windows[window as usize].since;
            places.extend_from_slice(since);
            groups.extend(std::iter::repeat_n(group, since.len()));
        }
        let (rows, before) = (self.store.gather(&places)?, self.states.gather(&states)?);

        let merged: Vec<usize> = (0..states.len()).collect();
        let accumulators = self.aggregation.aggregates.iter().enumerate().map(|(index, aggregate)| {
            let mut accumulator = aggregate.accumulator()?;
            if !merged.is_empty() {
                merge(accumulator.as_mut(), &before[index], &merged, merged.len())?;
            }
            aggregate
                .update(accumulator.as_mut(), &rows, &groups, order.len())
                .or_fail(Kind::Query, || format!("cannot run {}", aggregate.name()))?;
            Ok(accumulator)
        });
        Ok(Accumulated { accumulators: accumulators.collect::<Result<_>>()?, windows: order })
    }

    /// States and rows as they were written. Errors: `State`, when they are not of this `select`.
    pub fn restored(
        aggregation: Arc<Aggregation>,
        states: Vec<Vec<ArrayRef>>,
        rows: &RecordBatch,
    ) -> Result<Self> {
        let mut pool = Pool::new(aggregation);
        if states.iter().flatten().next().is_some() {
            if states.len() != pool.aggregation.aggregates.len() {
                return Err(Error::new(Kind::State, "the windows' state does not fit window.select"));
            }
            let fail = || "the windows' state does not fit together";
            pool.states.add(states).or_fail(Kind::State, fail)?;
        }
        pool.store.add(rows)?;
        Ok(pool)
    }
}

fn merge(
    accumulator: &mut dyn GroupsAccumulator,
    states: &[ArrayRef],
    groups: &[usize],
    total: usize,
) -> Result<()> {
    let merged = accumulator.merge_batch(states, groups, total);
    merged.or_fail(Kind::Query, || "cannot merge an aggregate's state")
}

fn evaluate(accumulators: Vec<Box<dyn GroupsAccumulator>>) -> Result<Vec<ArrayRef>> {
    let values = accumulators.into_iter().map(|mut accumulator| {
        accumulator.evaluate(EmitTo::All).or_fail(Kind::Query, || "cannot evaluate an aggregate")
    });
    values.collect()
}
