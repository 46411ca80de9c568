//! The window operator: rows in, one batch a closed window out, late records to the rejects.
//! It must not read a clock: windows close by the records' own times, or by a watermark it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::WindowGrid;
use tickcast_stream::error::Result;
use tickcast_stream::message::{EventTime, column};
use tickcast_stream::operator::{Operator, OperatorStats, Output, SnapshotWriter};

use super::aggregate::SeriesId;
use super::assign::{Assigner, Closes, Placement, WindowProgress, Windows};
use super::failures::Failures;
use super::late_series::LateSeries;
use super::panes::PaneTree;
use super::pick::pick;
use super::plan::Aggregation;
use super::rows::{late, system};
use super::silence::Silence;
use super::snapshot;
use super::spec::{MAX_OPEN_WINDOWS, WindowSpec, too_many_open};
use super::state::WindowState;

/// A row of a batch whose window is open.
#[derive(Clone, Copy)]
struct OpenRow {
    /// Its place in the batch.
    row: usize,
    /// The start of its pane.
    pane: EventTime,
}

/// Rows by the start of their pane, and the series of each.
type RowsByPane = BTreeMap<EventTime, (Vec<u32>, Vec<SeriesId>)>;

/// Event-time windows over one partition.
pub struct WindowOperator {
    pub(super) windows: Windows,
    /// None: a silent series has no row.
    pub(super) silence: Option<Arc<Silence>>,
    pub(super) aggregation: Arc<Aggregation>,
    pub(super) output: SchemaRef,
    most_series: usize,
    /// The first failure of each selected column since this operator was made.
    pub(super) failures: Failures,
    /// Of windows of several panes; made from the state, and no part of it.
    pub(super) merged: PaneTree,
    late: LateSeries,
    pub(super) state: WindowState,
}

impl WindowOperator {
    /// An operator with no memory for windows on this grid, over rows whose data columns are those
    /// of `aggregation`.
    pub fn new(window: &WindowSpec, grid: WindowGrid, aggregation: Arc<Aggregation>) -> Self {
        let silence = Silence::of(&window.gaps, &aggregation);
        WindowOperator {
            windows: Windows::new(window, grid),
            output: aggregation.closed_schema(silence.as_ref()),
            silence: silence.map(Arc::new),
            aggregation,
            most_series: window.most_series.max(1),
            failures: Failures::default(),
            merged: PaneTree::default(),
            late: LateSeries::default(),
            state: WindowState::default(),
        }
    }

    /// Takes open rows into their windows.
    fn assign(&mut self, rows: &RecordBatch, names: &StringArray, open: &[OpenRow]) -> Result<()> {
        let mut by_pane = RowsByPane::new();
        for &OpenRow { row, pane } in open {
            let name = names.value(row);
            let id = match self.state.series.get_index_of(name) {
                Some(id) => id as SeriesId,
                None => {
                    if self.state.series.len() >= self.most_series {
                        // What was taken in before is forgotten too.
                        self.take(rows, std::mem::take(&mut by_pane))?;
                        self.state.make_room(self.most_series, &self.aggregation)?;
                        self.merged.clear();
                    }
                    self.state.add_series(name)
                }
            };

            self.state.has_spoken(id, pane);
            let (rows, ids) = by_pane.entry(pane).or_default();
            rows.push(row as u32);
            ids.push(id);
        }
        self.take(rows, by_pane)
    }

    fn take(&mut self, rows: &RecordBatch, by_pane: RowsByPane) -> Result<()> {
        for (pane, (indices, ids)) in by_pane {
            let (part, grid) = (pick(rows, &indices)?, &self.windows.grid);
            if grid.span() > 1 {
                self.merged.forget(grid.pane_of(pane), grid.span());
            }
            self.state.open.entry(pane).or_default().take(&self.aggregation, &part, &ids)?;
            if self.state.open.len() > MAX_OPEN_WINDOWS {
                return Err(too_many_open());
            }
        }
        Ok(())
    }
}

impl Operator for WindowOperator {
    fn name(&self) -> &'static str {
        "window"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let (batch, arguments) = self.aggregation.computable(batch, out)?;
        let times = system::<TimestampMicrosecondArray>(&batch, column::TIME)?;
        let names = system::<StringArray>(&batch, column::SERIES)?;
        let mut assigner = Assigner::new(&self.windows, self.state.progress.unwrap_or(WindowProgress::START));
        let mut open: Vec<OpenRow> = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let time = EventTime(times.value(row));
            let placement = assigner.take(&self.windows, time);
            match placement {
                Placement::Late => self.late.late(names.value(row), time, assigner.progress.latest),
                _ => self.late.on_time(names.value(row)),
            }
            match placement {
                Placement::Open(pane) => open.push(OpenRow { row, pane }),
                Placement::Late => out.reject(late(&self.windows, &batch, row, time)?),
                Placement::Closes { closes, pane } => {
                    self.assign(&arguments, names, &open)?;
                    open.clear();

                    self.close(closes, out)?;
                    open.push(OpenRow { row, pane });
                }
            }
        }

        self.state.progress = (batch.num_rows() > 0).then_some(assigner.progress).or(self.state.progress);
        self.assign(&arguments, names, &open)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<()> {
        let Some(mut progress) = self.state.progress else { return Ok(()) };
        let frontier = self.windows.frontier_of(watermark);
        if frontier <= progress.frontier {
            return Ok(());
        }
        self.close(Closes { from: progress.frontier, to: frontier }, out)?;
        let closed = self.windows.closed_up_to(frontier, self.state.closed_to);
        progress.frontier = progress.frontier.max(closed);
        self.state.progress = Some(progress);
        Ok(())
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        // Names and columns are shared; what is copied is a few bytes a series and a row.
        let (state, aggregation) = (self.state.clone(), Arc::clone(&self.aggregation));
        Box::new(move || snapshot::write(&state, &aggregation))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.state = snapshot::read(state, &self.aggregation)?;
        self.merged.clear();
        Ok(())
    }

    fn report(&self, stats: &mut OperatorStats) {
        stats.windows_closed = self.state.windows_closed;
        stats.expressions_failed = self.state.expressions_failed;
        self.failures.report(stats);
        stats.windows_open = self.state.open.len() as u64;
        stats.series_active = self.state.series.len() as u64;
        stats.series_forgotten = self.state.series_forgotten;
        stats.far_behind = self.late.found().cloned();
        stats.watermark_us = self.state.progress.map(|p| p.latest.plus_us(-self.windows.lateness_us).0);
    }
}
