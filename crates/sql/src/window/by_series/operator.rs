//! The operator of windows of a grid in which every series has a watermark of its own.
//! It must not read a clock: windows close by the records, or by a watermark that it is told.
//!
//! Series share accumulators, in which each of their windows is a group. What comes out stands in
//! the order of the records that caused it.

use std::sync::Arc;

use arrow::array::{StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::message::{EventTime, column};
use tickcast_stream::operator::{Operator, OperatorStats, Output, SnapshotWriter};
use tickcast_stream::{BehindFate, FarBehind, WindowGrid};

use super::super::assign::{Assigner, Closes, Placement, WindowProgress, Windows};
use super::super::failures::Failures;
use super::super::plan::Aggregation;
use super::super::pool::{FOLD_ROWS, Pool};
use super::super::row_store::RowStore;
use super::super::rows::{late, system};
use super::super::silence::Silence;
use super::super::spec::{MAX_OPEN_WINDOWS, WindowSpec, too_many_open};
use super::snapshot;
use super::state::{ClosedWindow, OneSeries, SeriesState};

/// A series that is so many windows behind the others stands still.
const STALE_WINDOWS: i64 = 20;

/// Event-time windows over one partition, in which every series has a watermark of its own.
pub struct SeriesWindowOperator {
    pub(super) windows: Windows,
    /// None: a silent series has no row.
    pub(super) silence: Option<Silence>,
    pub(super) aggregation: Arc<Aggregation>,
    pub(super) output: SchemaRef,
    most_series: usize,
    pub(super) state: SeriesState,
    pub(super) pool: Pool,
    /// Newest rows of series, wanted or not.
    pub(super) last_rows: RowStore,
    /// The first failure of each selected column since this operator was made.
    pub(super) failures: Failures,
    /// Empty between two batches.
    pub(super) closed: Vec<ClosedWindow>,
}

impl SeriesWindowOperator {
    /// An operator with no memory for windows on this grid, over rows whose data columns are those
    /// of `aggregation`.
    pub fn new(window: &WindowSpec, grid: WindowGrid, aggregation: Arc<Aggregation>) -> Self {
        let silence = Silence::of(&window.gaps, &aggregation);
        SeriesWindowOperator {
            windows: Windows::new(window, grid),
            output: aggregation.closed_schema(silence.as_ref()),
            silence,
            most_series: window.most_series.max(1),
            state: SeriesState::default(),
            pool: Pool::new(Arc::clone(&aggregation)),
            last_rows: RowStore::new(Arc::clone(aggregation.output_schema())),
            aggregation,
            failures: Failures::default(),
            closed: Vec::new(),
        }
    }

    /// The place of a new series.
    fn add(&mut self, name: &str, out: &mut dyn Output) -> Result<usize> {
        if self.state.series.len() >= self.most_series {
            self.put_out(out)?;
            self.state.make_room(self.most_series);
        }
        Ok(self.state.series.insert_full(name.into(), OneSeries::new(&self.windows)).0)
    }

    /// Puts a row, by its place, into a pane of its series.
    fn put(&mut self, at: usize, pane: EventTime, place: u32, out: &mut dyn Output) -> Result<()> {
        if self.windows.grid.span() > 1 && !self.closed.is_empty() {
            // A window that has closed does not get the row.
            let closed_to = self.state.series[at].closed_to;
            if closed_to.is_some_and(|start| pane < self.windows.end_of(start)) {
                self.put_out(out)?;
            }
        }

        let SeriesState { series, panes, rows, .. } = &mut self.state;
        let series = &mut series[at];
        series.spoke_in = series.spoke_in.max(pane);
        let rows_of_pane = series.open.entry(pane).or_insert_with(|| {
            *panes += 1;
            Default::default()
        });
        rows_of_pane.since.push(place);
        *rows += 1;
        if series.open.len() > MAX_OPEN_WINDOWS {
            return Err(too_many_open());
        }
        self.fold_if_many(out)
    }

    /// Folds grow with the open panes, so that carrying their states costs no more than the rows
    /// do.
    fn fold_if_many(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.state.rows < FOLD_ROWS.max(self.state.panes) {
            return Ok(());
        }
        self.put_out(out)?;
        self.pool.fold(self.state.open_mut().collect())?;
        self.state.rows = 0;
        Ok(())
    }

    /// Lets go of what nobody wants any more, once it is much.
    fn tidy(&mut self) -> Result<()> {
        let SeriesState { panes, rows, .. } = self.state;
        let series = self.state.series.len();
        let is_much = |kept: usize, wanted: usize| kept > 2 * wanted + FOLD_ROWS.max(series);
        if is_much(self.pool.store.len(), rows) {
            self.pool.store.keep(self.state.open_mut().flat_map(|pane| &mut pane.since))?;
        }

        if is_much(self.pool.states.len(), panes) {
            self.pool.states.keep(self.state.open_mut().filter_map(|pane| pane.state.as_mut()))?;
        }
        if is_much(self.last_rows.len(), series) {
            let carried = self.state.series.values_mut().filter(|series| series.carried.is_some());
            self.last_rows.keep(carried.map(|series| &mut series.last_row))?;
        }
        Ok(())
    }

    /// A watermark from outside closes windows of a series.
    fn move_on(&mut self, at: usize, watermark: EventTime, out: &mut dyn Output) -> Result<()> {
        let mut progress = self.state.series[at].assigner.progress;
        let frontier = self.windows.frontier_of(watermark);
        if progress == WindowProgress::START || frontier <= progress.frontier {
            return Ok(());
        }
        self.close(at, Closes { from: progress.frontier, to: frontier }, out)?;
        let series = &mut self.state.series[at];
        progress.frontier = self.windows.closed_up_to(frontier, series.closed_to).max(progress.frontier);
        series.assigner = Assigner::new(&self.windows, progress);
        Ok(())
    }

    /// How many series stand still while others go on, and the one that is furthest behind.
    fn report_stale(&self, latest: EventTime, stats: &mut OperatorStats) {
        let grid = &self.windows.grid;
        let still = grid.pane_start(grid.pane_of(latest).saturating_sub(grid.span() + STALE_WINDOWS));

        let mut furthest: Option<(EventTime, &Arc<str>)> = None;
        for (name, series) in &self.state.series {
            if let Some(at) = series.latest().filter(|&at| at < still) {
                stats.series_stale += 1;
                if furthest.is_none_or(|(furthest, _)| at < furthest) {
                    furthest = Some((at, name));
                }
            }
        }

        stats.far_behind = furthest.map(|(at, name)| {
            let series = name.to_string();
            FarBehind { series, at, latest, fate: BehindFate::Open }
        });
    }
}

impl Operator for SeriesWindowOperator {
    fn name(&self) -> &'static str {
        "window"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let (batch, arguments) = self.aggregation.computable(batch, out)?;
        let times = system::<TimestampMicrosecondArray>(&batch, column::TIME)?;
        let names = system::<StringArray>(&batch, column::SERIES)?;

        let first = self.pool.store.add(&arguments)?;
        for row in 0..batch.num_rows() {
            let (name, time, place) = (names.value(row), EventTime(times.value(row)), first + row as u32);
            let known = self.state.series.get_index_of(name);

            let at = known.map_or_else(|| self.add(name, out), Ok)?;
            match self.state.series[at].assigner.take(&self.windows, time) {
                Placement::Open(pane) => self.put(at, pane, place, out)?,
                Placement::Late => out.reject(late(&self.windows, &batch, row, time)?),
                Placement::Closes { closes, pane } => {
                    self.close(at, closes, out)?;
                    self.put(at, pane, place, out)?;
                }
            }
        }
        self.put_out(out)?;
        self.tidy()
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<()> {
        (0..self.state.series.len()).try_for_each(|at| self.move_on(at, watermark, out))?;
        self.put_out(out)?;
        self.tidy()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let (state, pool, last_rows) = (self.state.clone(), self.pool.clone(), self.last_rows.clone());
        Box::new(move || snapshot::write(&state, &pool, &last_rows))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let read = snapshot::read(state, &self.windows, &self.aggregation)?;
        (self.state, self.pool, self.last_rows) = read;
        Ok(())
    }

    /// The watermark is that of the series that is furthest.
    fn report(&self, stats: &mut OperatorStats) {
        let latest = self.state.series.values().filter_map(OneSeries::latest).max();
        stats.windows_closed = self.state.windows_closed;
        stats.expressions_failed = self.state.expressions_failed;
        self.failures.report(stats);
        stats.windows_open = self.state.panes as u64;
        stats.series_active = self.state.series.len() as u64;
        stats.series_forgotten = self.state.series_forgotten;
        stats.watermark_us = latest.map(|at| at.plus_us(-self.windows.lateness_us).0);
        if let Some(latest) = latest {
            self.report_stale(latest, stats);
        }
    }
}
