//! Windows that have closed, and the batches that go on: one a window, of one row.
//! It must not know when a window closes.
//!
//! Windows that close while a batch of records is worked on are evaluated together, and put out one
//! after the other in the order in which they closed.

use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::operator::Output;

use super::super::aggregate::SeriesId;
use super::super::closed_rows::{ClosedRow, closed_rows};
use super::super::last_readings::Passed;
use super::super::pool::{AT_ONCE, WindowRows};
use super::operator::OwnWindowOperator;
use super::state::ClosedOwn;

impl OwnWindowOperator {
    /// Closes the open window of a series: nothing, where there is none.
    pub(super) fn close(&mut self, at: usize, out: &mut dyn Output) -> Result<()> {
        let state = &mut self.state;
        let Some(window) = state.series[at].open.take() else { return Ok(()) };
        let end = self.rule.end_of(&window.span);
        state.series[at].closed_to = end;
        state.counts.windows -= 1;
        state.counts.records -= window.span.records;
        state.counts.rows -= window.rows.since.len();
        let number = state.windows_closed as i64;
        state.windows_closed += 1;

        let (series, start, rows) = (at as SeriesId, window.span.first, window.rows);
        self.closed.push(ClosedOwn { series, number, start, end, rows });
        if self.closed.len() >= AT_ONCE { self.put_out(out) } else { Ok(()) }
    }

    /// Puts out the windows that have closed.
    pub(super) fn put_out(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.closed.is_empty() {
            return Ok(());
        }
        let closed = std::mem::take(&mut self.closed);
        let columns = self.columns_of(&closed)?;
        let rows = self.batch_of(&closed, &columns)?;
        (0..closed.len()).try_for_each(|row| out.rows(rows.slice(row, 1)))
    }

    /// The selected columns, one row a window.
    fn columns_of(&mut self, closed: &[ClosedOwn]) -> Result<RecordBatch> {
        let rows: Vec<&WindowRows> = closed.iter().map(|window| &window.rows).collect();
        let mut values = self.pool.values(&rows)?;
        let series: Vec<SeriesId> = closed.iter().map(|window| window.series).collect();
        let passed = Passed::windows(&values, closed.len());
        self.state.last_readings.step_through(&self.aggregation, &series, &mut values, &passed)?;

        let (columns, failed) = self.aggregation.project(values, closed.len())?;
        self.state.expressions_failed += failed.len() as u64;
        for column in failed {
            let ClosedOwn { series, start, .. } = closed[column.row];
            self.failures.note(column, self.state.name(series), start);
        }
        Ok(columns)
    }

    fn batch_of(&self, closed: &[ClosedOwn], columns: &RecordBatch) -> Result<RecordBatch> {
        let row = |&ClosedOwn { series, number, start, end, .. }: &ClosedOwn| {
            let is_carried = false;
            ClosedRow { series, number, start, end, is_carried }
        };
        let closed: Vec<ClosedRow> = closed.iter().map(row).collect();
        closed_rows(&self.output, &closed, columns, |id| self.state.name(id))
    }
}
