//! A window of several panes: their states, merged in the order of time.
//! It must not know when a window closes.
//!
//! A pane's rows are made into a state once, and that is merged into every window that holds the
//! pane. The panes of a window are always merged in the same order: merging may round, and what
//! comes out must not show how rows came in batches.

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use datafusion::logical_expr::EmitTo;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::aggregate::{OpenWindow, RowSet, SeriesId};
use super::plan::{Aggregate, Aggregation};

/// A pane in a window.
struct PaneGroups<'a> {
    pane: &'a OpenWindow,
    /// The group in the window of each of its own groups.
    groups: Vec<usize>,
    /// Groups of this pane and those before it: an accumulator takes every group that it is told of
    /// for one that has a value.
    total: usize,
}

/// The series of a window of these panes, and the selected columns, one row a series.
pub(super) fn merged<'a>(
    panes: impl Iterator<Item = &'a mut OpenWindow>,
    aggregation: &Aggregation,
) -> Result<(RowSet<SeriesId>, RecordBatch)> {
    let mut series = RowSet::default();
    let mut settled: Vec<PaneGroups<'a>> = Vec::new();
    for pane in panes {
        pane.settle(aggregation)?;
        let groups = pane.series.iter().map(|&id| series.insert_full(id).0).collect();
        settled.push(PaneGroups { pane, groups, total: series.len() });
    }

    let aggregates = aggregation.aggregates.iter().enumerate();
    let values = aggregates.map(|(index, aggregate)| merged_values(aggregate, index, &settled));
    let columns = aggregation.project(values.collect::<Result<_>>()?, series.len())?;
    Ok((series, columns))
}

fn merged_values(aggregate: &Aggregate, index: usize, panes: &[PaneGroups<'_>]) -> Result<ArrayRef> {
    let mut accumulator = aggregate.accumulator()?;
    for PaneGroups { pane, groups, total } in panes {
        accumulator
            .merge_batch(&pane.states[index], groups, *total)
            .or_fail(Kind::Query, || "cannot merge an aggregate's state")?;
    }
    accumulator.evaluate(EmitTo::All).or_fail(Kind::Query, || "cannot evaluate an aggregate")
}
