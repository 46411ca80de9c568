//! Closing windows: the rows of each, those that silent series repeat, and the batch that goes on.
//! It must not know when a window closes.
//!
//! A closed window's batch is that of `tickcast_stream::closed_window`; its rows stand in the order
//! in which the partition first saw the series.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::message::EventTime;
use tickcast_stream::operator::Output;

use super::aggregate::{RowSet, SeriesId};
use super::assign::Closes;
use super::closed_rows::{ClosedRow, closed_rows};
use super::operator::WindowOperator;
use super::panes::Merged;
use super::plan::Aggregation;
use super::rows::in_series_order;
use super::silence::{BEFORE, NOW, Silence};
use super::state::SeriesRows;

/// Where a row of a carrying window comes from.
struct RowSource {
    id: SeriesId,
    spoke_at: EventTime,
    /// [`BEFORE`] or [`NOW`], and the row there.
    place: (usize, usize),
}

impl WindowOperator {
    /// Closes these windows, oldest first; with `carry` also those in which nobody spoke.
    pub(super) fn close(&mut self, closes: Closes, out: &mut dyn Output) -> Result<()> {
        let mut open = closes;
        while let Some(start) = self.next_to_close(open) {
            open.from = self.windows.start_after(start);
            let (series, columns) = self.rows_of(start)?;
            let rows = match self.silence.clone() {
                Some(silence) => self.carry(&silence, start, &series, &columns)?,
                None => in_series_order(start, &series, &columns)?,
            };

            self.state.closed_to = Some(start);
            self.state.windows_closed += 1;
            if !rows.ids.is_empty() {
                out.rows(self.closed_batch(start, rows)?)?;
            }
        }
        Ok(())
    }

    /// The start of the oldest of these windows with rows or silent.
    fn next_to_close(&self, closes: Closes) -> Option<EventTime> {
        let first_with = |pane| self.windows.first_with(pane).max(closes.from);
        let opened = self.state.open.first_key_value().map(|(&pane, _)| first_with(pane));
        closes.next(opened, self.next_silent())
    }

    /// The series of a window and the selected columns. Panes that no later window holds are gone.
    fn rows_of(&mut self, start: EventTime) -> Result<(RowSet<SeriesId>, RecordBatch)> {
        let aggregation = Arc::clone(&self.aggregation);
        if self.windows.grid.span() > 1 {
            return self.rows_of_panes(start, &aggregation);
        }
        let Some(mut window) = self.state.open.remove(&start) else {
            return Ok((RowSet::default(), self.no_rows()));
        };
        let readings = window.values(&aggregation)?;
        let columns = self.columns_of(start, &window.series, readings.clone())?;
        let readings_of = |at: usize| Ok(Arc::clone(&readings[at]));
        self.state.last_readings.pass(&aggregation, &window.series, readings_of)?;
        Ok((window.series, columns))
    }

    fn rows_of_panes(
        &mut self,
        start: EventTime,
        aggregation: &Aggregation,
    ) -> Result<(RowSet<SeriesId>, RecordBatch)> {
        let grid = &self.windows.grid;
        let first = grid.window_at(start).saturating_mul(grid.hop());
        let next = first.saturating_add(grid.hop());
        let open = &mut self.state.open;
        let mut pane_of = |pane| {
            let Some(pane) = open.get_mut(&grid.pane_start(pane)) else { return Ok(None) };
            pane.settle(aggregation)?;
            let series = pane.series.iter().copied().collect();
            Ok(Some(Arc::new(Merged { series, states: pane.states.clone() })))
        };
        let panes = first..first.saturating_add(grid.span());
        let (series, values) = self.merged.window(panes, &mut pane_of, aggregation)?;
        self.merged.drop_before(next);
        let next = grid.pane_start(next);
        let columns = self.columns_of(start, &series, values)?;

        while let Some(pane) = self.state.open.first_entry().filter(|pane| *pane.key() < next) {
            self.state.last_readings.pass_pane(aggregation, &pane.remove())?;
        }
        Ok((series, columns))
    }

    /// The selected columns from the aggregates' values, one row a series.
    fn columns_of(
        &mut self,
        start: EventTime,
        series: &RowSet<SeriesId>,
        mut values: Vec<ArrayRef>,
    ) -> Result<RecordBatch> {
        if series.is_empty() {
            return Ok(self.no_rows());
        }
        self.state.last_readings.make_steps(&self.aggregation, series, &mut values)?;
        let (columns, failed) = self.aggregation.project(values, series.len())?;
        self.state.expressions_failed += failed.len() as u64;
        for column in failed {
            let name = self.state.name(series[column.row]);
            self.failures.note(column, name, start);
        }
        Ok(columns)
    }

    /// The next window after the newest closed one, while somebody is carried.
    fn next_silent(&self) -> Option<EventTime> {
        let carried =
            self.silence.is_some() && self.state.last.as_ref().is_some_and(|last| !last.ids.is_empty());
        self.state.closed_to.filter(|_| carried).map(|start| self.windows.start_after(start))
    }

    /// Merges a window's rows into the newest rows of all series: the result is both the window's
    /// batch and the new memory.
    fn carry(
        &mut self,
        silence: &Silence,
        start: EventTime,
        series: &RowSet<SeriesId>,
        columns: &RecordBatch,
    ) -> Result<SeriesRows> {
        let before = match self.state.last.take() {
            Some(before) => before,
            None => SeriesRows { ids: vec![], spoke_at: vec![], columns: self.no_rows() },
        };
        let oldest = self.windows.carried_from(start);

        let mut sources: Vec<RowSource> = Vec::with_capacity(before.ids.len() + series.len());
        for (row, (&id, &spoke_at)) in before.ids.iter().zip(&before.spoke_at).enumerate() {
            if !series.contains(&id) && spoke_at >= oldest {
                sources.push(RowSource { id, spoke_at, place: (BEFORE, row) });
            }
        }
        let spoken = series.iter().enumerate();
        sources.extend(spoken.map(|(row, &id)| RowSource { id, spoke_at: start, place: (NOW, row) }));
        sources.sort_unstable_by_key(|source| source.id);

        let places: Vec<(usize, usize)> = sources.iter().map(|source| source.place).collect();
        let rows = SeriesRows {
            ids: sources.iter().map(|source| source.id).collect(),
            spoke_at: sources.iter().map(|source| source.spoke_at).collect(),
            columns: silence.rows(&before.columns, columns, &places)?,
        };
        self.state.last = Some(rows.clone());
        Ok(rows)
    }

    /// The selected columns without a row.
    fn no_rows(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::clone(self.aggregation.output_schema()))
    }

    fn closed_batch(&self, start: EventTime, rows: SeriesRows) -> Result<RecordBatch> {
        let (number, end) = (self.windows.grid.window_at(start), self.windows.end_of(start));
        let row = |(&series, &spoke_at): (&SeriesId, &EventTime)| {
            let is_carried = spoke_at != start;
            ClosedRow { series, number, start, end, is_carried }
        };
        let closed: Vec<ClosedRow> = rows.ids.iter().zip(&rows.spoke_at).map(row).collect();
        closed_rows(&self.output, &closed, &rows.columns, |id| self.state.name(id))
    }
}
