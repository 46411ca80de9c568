//! Windows of several panes: states of panes, merged in the order of time.
//! It must not know when a window closes.
//!
//! A pane's rows are made into a state once. Panes are merged by twos, those by twos again, and so
//! on: a window of n panes is then made of about log n states instead of n, and windows that share
//! panes share what was merged of them. What two merge to depends on their rows alone, whichever
//! window asked first: so these states need not be kept with an operator's state, and what comes
//! out shows neither batches nor restores.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use indexmap::IndexMap;
use tickcast_stream::error::{Kind, OrFail, Result};

use super::aggregate::{RowSet, SeriesId};
use super::plan::{Aggregate, Aggregation};

/// A node of the tree: so many times two panes, and which of those.
type Place = (u32, i64);

/// What was merged of panes that follow each other, by place; none where they have no rows.
#[derive(Default)]
pub(super) struct PaneTree {
    nodes: IndexMap<Place, Option<Arc<Merged>>, foldhash::fast::RandomState>,
}

/// The states of one or several panes.
pub(super) struct Merged {
    /// The series with rows in them: the groups.
    pub series: Vec<SeriesId>,
    /// One entry an aggregate.
    pub states: Vec<Vec<ArrayRef>>,
}

/// The state of a pane by its number; none where it has no rows.
pub(super) type PaneOf<'a> = dyn FnMut(i64) -> Result<Option<Arc<Merged>>> + 'a;

/// States that are merged, and the groups of each among all.
struct Parts<'a> {
    parts: &'a [Arc<Merged>],
    /// By part.
    groups: Vec<Vec<usize>>,
    /// Groups of a part and those before it: an accumulator takes every group that it is told of
    /// for one that has a value.
    totals: Vec<usize>,
    series: RowSet<SeriesId>,
}

impl PaneTree {
    /// Rows were added to a pane of windows of so many.
    pub fn forget(&mut self, pane: i64, span: i64) {
        (1..=levels(span)).for_each(|level| _ = self.nodes.swap_remove(&(level, pane >> level)));
    }

    /// Series have other places now.
    pub fn clear(&mut self) {
        self.nodes.clear();
    }

    /// No window asks for panes before this one any more.
    pub fn drop_before(&mut self, pane: i64) {
        self.nodes.retain(|&(level, at), _| at << level >= pane);
    }

    /// The series of a window of these panes, and the aggregates' values, one row a series; no
    /// values where there is no series.
    pub fn window(
        &mut self,
        panes: Range<i64>,
        pane_of: &mut PaneOf<'_>,
        aggregation: &Aggregation,
    ) -> Result<(RowSet<SeriesId>, Vec<ArrayRef>)> {
        let (mut parts, mut from) = (Vec::new(), panes.start);
        while from < panes.end {
            // The largest node that begins here and is within the window.
            let level = levels(panes.end - from).min(from.trailing_zeros());
            parts.extend(self.node((level, from >> level), pane_of, aggregation)?);
            from += 1 << level;
        }

        if parts.is_empty() {
            // Some accumulators cannot say anything of nothing.
            return Ok((RowSet::default(), Vec::new()));
        }
        let parts = Parts::new(&parts);
        let aggregates = aggregation.aggregates.iter().enumerate();
        let values = aggregates.map(|(index, aggregate)| {
            let mut accumulator = parts.accumulate(aggregate, index)?;
            accumulator.evaluate(EmitTo::All).or_fail(Kind::Query, || "cannot evaluate an aggregate")
        });
        let values = values.collect::<Result<_>>()?;
        Ok((parts.series, values))
    }

    fn node(
        &mut self,
        place: Place,
        pane_of: &mut PaneOf<'_>,
        aggregation: &Aggregation,
    ) -> Result<Option<Arc<Merged>>> {
        let (level, at) = place;
        if level == 0 {
            return pane_of(at);
        }
        if let Some(known) = self.nodes.get(&place) {
            return Ok(known.clone());
        }

        let halves = [2 * at, 2 * at + 1].map(|half| self.node((level - 1, half), pane_of, aggregation));
        let [first, second] = halves;
        let merged = match (first?, second?) {
            (Some(first), Some(second)) => Some(Arc::new(Merged::of(&[first, second], aggregation)?)),
            (one, other) => one.or(other),
        };
        self.nodes.insert(place, merged.clone());
        Ok(merged)
    }
}

/// How often two fits into so many panes, as a power.
fn levels(panes: i64) -> u32 {
    panes.max(1).ilog2()
}

impl Merged {
    fn of(parts: &[Arc<Merged>], aggregation: &Aggregation) -> Result<Self> {
        let parts = Parts::new(parts);
        let aggregates = aggregation.aggregates.iter().enumerate();
        let states = aggregates.map(|(index, aggregate)| {
            let mut accumulator = parts.accumulate(aggregate, index)?;
            accumulator.state(EmitTo::All).or_fail(Kind::Query, || "cannot read an aggregate's state")
        });
        let states = states.collect::<Result<_>>()?;
        Ok(Merged { series: parts.series.into_iter().collect(), states })
    }
}

impl<'a> Parts<'a> {
    fn new(parts: &'a [Arc<Merged>]) -> Self {
        let mut series = RowSet::default();
        let (mut groups, mut totals) = (Vec::new(), Vec::new());
        for part in parts {
            groups.push(part.series.iter().map(|&id| series.insert_full(id).0).collect());
            totals.push(series.len());
        }
        Parts { parts, groups, totals, series }
    }

    /// An accumulator that has taken all of them in, in order.
    fn accumulate(&self, aggregate: &Aggregate, index: usize) -> Result<Box<dyn GroupsAccumulator>> {
        let mut accumulator = aggregate.accumulator()?;
        for ((part, groups), &total) in self.parts.iter().zip(&self.groups).zip(&self.totals) {
            accumulator
                .merge_batch(&part.states[index], groups, total)
                .or_fail(Kind::Query, || "cannot merge an aggregate's state")?;
        }
        Ok(accumulator)
    }
}
