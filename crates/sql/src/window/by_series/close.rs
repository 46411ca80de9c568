//! Windows that have closed, and the batches that go on: one a window, of one row.
//! It must not know when a window closes.
//!
//! Windows that close while a batch of records is worked on are evaluated together, whosever they
//! are, and put out one after the other in the order in which they closed.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::message::EventTime;
use tickcast_stream::operator::Output;

use super::super::aggregate::SeriesId;
use super::super::assign::Closes;
use super::super::closed_rows::{ClosedRow, closed_rows};
use super::super::last_readings::Passed;
use super::super::pool::{AT_ONCE, WindowRows};
use super::super::silence::{BEFORE, NOW};
use super::operator::SeriesWindowOperator;
use super::state::{ClosedWindow, OneSeries};

impl SeriesWindowOperator {
    /// Closes these windows of a series, oldest first; with `carry` also those in which it did not
    /// speak.
    pub(super) fn close(&mut self, at: usize, closes: Closes, out: &mut dyn Output) -> Result<()> {
        let mut open = closes;
        while let Some(start) = self.next_to_close(at, open) {
            open.from = self.windows.start_after(start);
            let end = self.windows.end_of(start);
            let series = &mut self.state.series[at];
            let has_records = series.open.range(start..end).next().is_some();

            series.closed_to = Some(start);
            series.carried = match &self.silence {
                Some(_) if has_records => Some(start),
                _ => series.carried.filter(|&spoke_at| spoke_at >= self.windows.carried_from(start)),
            };
            self.state.windows_closed += 1;

            let spoke_at = if has_records { Some(start) } else { series.carried };
            let closed = |spoke_at| ClosedWindow { series: at as SeriesId, start, spoke_at };
            self.closed.extend(spoke_at.map(closed));
            if self.closed.len() >= AT_ONCE {
                self.put_out(out)?;
            }
        }
        Ok(())
    }

    /// The start of the oldest of these windows with records or silent. Panes of windows before
    /// them may be there still.
    fn next_to_close(&self, at: usize, closes: Closes) -> Option<EventTime> {
        let series = &self.state.series[at];
        let first_with = |pane| self.windows.first_with(pane).max(closes.from);
        let opened = series.open.range(closes.from..).next().map(|(&pane, _)| first_with(pane));
        let carried = series.closed_to.filter(|_| series.carried.is_some());
        closes.next(opened, carried.map(|start| self.windows.start_after(start)))
    }

    /// Puts out the windows that have closed.
    pub(super) fn put_out(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.closed.is_empty() {
            return Ok(());
        }
        let closed = std::mem::take(&mut self.closed);
        let spoken = closed.iter().copied().filter(ClosedWindow::has_records);
        let columns = self.columns_of(&spoken.collect::<Vec<_>>())?;
        let columns = self.carry(&closed, columns)?;

        let (grid, state) = (&self.windows.grid, &self.state);
        let row = |window: &ClosedWindow| {
            let ClosedWindow { series, start, .. } = *window;
            let number = grid.window_at(start);
            let (end, is_carried) = (grid.end_of(number), !window.has_records());
            ClosedRow { series, number, start, end, is_carried }
        };
        let rows: Vec<ClosedRow> = closed.iter().map(row).collect();
        let rows = closed_rows(&self.output, &rows, &columns, |id| state.name(id))?;
        (0..closed.len()).try_for_each(|row| out.rows(rows.slice(row, 1)))
    }

    /// The selected columns of windows with records, one row each.
    fn columns_of(&mut self, closed: &[ClosedWindow]) -> Result<RecordBatch> {
        if closed.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(self.aggregation.output_schema())));
        }
        let has_panes = self.windows.grid.span() > 1;
        let values = if has_panes { self.values_of_panes(closed) } else { self.values_of(closed) };
        let (mut values, passed) = values?;
        let series: Vec<SeriesId> = closed.iter().map(|window| window.series).collect();
        self.state.last_readings.step_through(&self.aggregation, &series, &mut values, &passed)?;

        let (columns, failed) = self.aggregation.project(values, closed.len())?;
        self.state.expressions_failed += failed.len() as u64;
        for column in failed {
            let ClosedWindow { series, start, .. } = closed[column.row];
            self.failures.note(column, self.state.name(series), start);
        }
        Ok(columns)
    }

    /// The aggregates' values of windows that share no records, and what no later window has.
    fn values_of(&mut self, closed: &[ClosedWindow]) -> Result<(Vec<ArrayRef>, Passed)> {
        let window = |window: &ClosedWindow| self.state.take_pane(window.series, window.start);
        let windows: Vec<WindowRows> = closed.iter().filter_map(window).collect();
        let values = self.pool.values(&windows.iter().collect::<Vec<_>>())?;
        let passed = Passed::windows(&values, closed.len());
        Ok((values, passed))
    }

    /// The same for windows of several panes: each pane is made a state once, and the states of a
    /// window's panes are merged in the order of time.
    fn values_of_panes(&mut self, closed: &[ClosedWindow]) -> Result<(Vec<ArrayRef>, Passed)> {
        self.settle(closed)?;
        let states = |window: &ClosedWindow| {
            let panes = &self.state.series[window.series as usize].open;
            let panes = panes.range(window.start..self.windows.end_of(window.start));
            panes.filter_map(|(_, pane)| pane.state).collect()
        };
        let states: Vec<Vec<u32>> = closed.iter().map(states).collect();
        let values = self.pool.merged(&states)?;

        let (mut gone, mut until) = (Vec::new(), Vec::with_capacity(closed.len()));
        for window in closed {
            let next = self.windows.start_after(window.start);
            while let Some(start) = self.first_pane_before(window.series, next) {
                let pane = self.state.take_pane(window.series, start);
                gone.extend(pane.and_then(|pane| pane.state).map(|state| vec![state]));
            }
            until.push(gone.len());
        }

        let has_meters = self.aggregation.meters().next().is_some();
        let readings = if has_meters { self.pool.merged(&gone)? } else { Vec::new() };
        Ok((values, Passed { values: readings, until }))
    }

    fn first_pane_before(&self, id: SeriesId, end: EventTime) -> Option<EventTime> {
        let first = self.state.series[id as usize].open.first_key_value();
        first.map(|(&start, _)| start).filter(|&start| start < end)
    }

    /// Makes states of the panes of these windows.
    fn settle(&mut self, closed: &[ClosedWindow]) -> Result<()> {
        let mut fresh: Vec<(SeriesId, EventTime, WindowRows)> = Vec::new();
        for window in closed {
            let end = self.windows.end_of(window.start);
            let panes = self.state.series[window.series as usize].open.range_mut(window.start..end);
            // What was taken out for a window before has no rows here.
            for (&start, pane) in panes.filter(|(_, pane)| !pane.since.is_empty()) {
                fresh.push((window.series, start, std::mem::take(pane)));
            }
        }
        if fresh.is_empty() {
            return Ok(());
        }

        self.state.rows -= fresh.iter().map(|(.., pane)| pane.since.len()).sum::<usize>();
        self.pool.settle(fresh.iter_mut().map(|(.., pane)| pane).collect())?;
        for (series, start, pane) in fresh {
            self.state.series[series as usize].open.insert(start, pane);
        }
        Ok(())
    }

    /// The rows of all closed windows in their order: those of silent ones are the newest before.
    fn carry(&mut self, closed: &[ClosedWindow], columns: RecordBatch) -> Result<RecordBatch> {
        let Some(silence) = self.silence.as_ref() else { return Ok(columns) };
        let first = self.last_rows.add(&columns)?;
        let (mut spoken, mut carried) = (0, Vec::new());
        let place = |window: &ClosedWindow| {
            let OneSeries { last_row, .. } = &mut self.state.series[window.series as usize];
            if window.has_records() {
                *last_row = first + spoken;
                spoken += 1;
                (NOW, spoken as usize - 1)
            } else {
                carried.push(*last_row);
                (BEFORE, carried.len() - 1)
            }
        };

        let places: Vec<(usize, usize)> = closed.iter().map(place).collect();
        if carried.is_empty() {
            return Ok(columns);
        }
        silence.rows(&self.last_rows.gather(&carried)?, &columns, &places)
    }
}
