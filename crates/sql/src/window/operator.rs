//! The window operator: rows in, one batch a closed window out, late records to the rejects.
//! It must not read a clock: windows close by the records' own times, or by a watermark it is told.
//!
//! A closed window's batch is that of `tickcast_stream::closed_window`; its rows stand in the order
//! in which the partition first saw the series.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use tickcast_stream::closed_window;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, Reason, column};
use tickcast_stream::operator::{Operator, OperatorStats, Output, SnapshotWriter};

use super::aggregate::{RowSet, SeriesId};
use super::assign::{Placement, Tumbling, WindowProgress};
use super::pick::pick;
use super::plan::Aggregation;
use super::rows::{in_series_order, pick_rows, rejected, show_time, system};
use super::snapshot;
use super::spec::{Gaps, WindowSpec};
use super::state::{SeriesRows, WindowState};

/// A silent series is carried for at most this many windows; then it has no rows until it speaks
/// again. The bound keeps one record far ahead from making an endless run of windows.
const CARRY_WINDOWS: i64 = 256;
/// More windows open at once than this is taken for a lateness that is far too long for the window.
const MAX_OPEN_WINDOWS: usize = 100_000;

/// A row of a batch whose window is open.
#[derive(Clone, Copy)]
struct OpenRow {
    row: usize,
    /// The start of its window.
    start: EventTime,
}

/// Rows by the start of their window, and the series of each.
type RowsByWindow = BTreeMap<EventTime, (Vec<u32>, Vec<SeriesId>)>;

/// Where a row of a carrying window comes from.
struct RowSource {
    id: SeriesId,
    spoke_at: EventTime,
    /// [`BEFORE`] or [`NOW`], and the row there.
    place: (usize, usize),
}

/// The rows that are carried.
const BEFORE: usize = 0;
/// The rows of the window that closes.
const NOW: usize = 1;

/// Tumbling event-time windows over one partition.
pub struct WindowOperator {
    windows: Tumbling,
    gaps: Gaps,
    aggregation: Arc<Aggregation>,
    output: SchemaRef,
    most_series: usize,
    state: WindowState,
}

impl WindowOperator {
    /// An operator with no memory over rows whose data columns are those of `aggregation`.
    pub fn new(window: &WindowSpec, aggregation: Arc<Aggregation>) -> Self {
        let mut fields = closed_window::fields();
        fields.extend(aggregation.output_schema().fields().iter().map(|field| field.as_ref().clone()));
        WindowOperator {
            windows: Tumbling { size_us: window.size_us, lateness_us: window.lateness_us },
            gaps: window.gaps,
            aggregation,
            output: Arc::new(Schema::new(fields)),
            most_series: window.most_series.max(1),
            state: WindowState::default(),
        }
    }

    /// The schema of a closed window's batch.
    pub fn output_schema(&self) -> SchemaRef {
        Arc::clone(&self.output)
    }

    /// Takes open rows into their windows.
    fn assign(&mut self, rows: &RecordBatch, names: &StringArray, open: &[OpenRow]) -> Result<()> {
        let mut by_window = RowsByWindow::new();
        for &OpenRow { row, start } in open {
            let name = names.value(row);
            let id = match self.state.series.get_index_of(name) {
                Some(id) => id as SeriesId,
                None => {
                    if self.state.series.len() >= self.most_series {
                        // What was taken in before is forgotten too.
                        self.take(rows, std::mem::take(&mut by_window))?;
                        self.state.make_room(self.most_series, &self.aggregation)?;
                    }
                    self.state.add_series(name)
                }
            };

            self.state.has_spoken(id, start);
            let (rows, ids) = by_window.entry(start).or_default();
            rows.push(row as u32);
            ids.push(id);
        }
        self.take(rows, by_window)
    }

    fn take(&mut self, rows: &RecordBatch, by_window: RowsByWindow) -> Result<()> {
        for (start, (indices, ids)) in by_window {
            let part = pick(rows, &indices)?;
            self.state.open.entry(start).or_default().take(&self.aggregation, &part, &ids)?;
            if self.state.open.len() > MAX_OPEN_WINDOWS {
                return Err(Error::new(
                    Kind::Source,
                    format!(
                        "more than {MAX_OPEN_WINDOWS} windows open: lateness is too long for this window size"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Closes every window before `frontier`, oldest first; with `carry` also those in which nobody
    /// spoke.
    fn close_before(&mut self, frontier: EventTime, out: &mut dyn Output) -> Result<()> {
        while let Some(start) = self.next_to_close(frontier) {
            let (series, columns) = match self.state.open.remove(&start) {
                Some(window) => window.close(&self.aggregation)?,
                None => (RowSet::default(), self.no_rows()),
            };
            let rows = match self.gaps {
                Gaps::Carry => self.carry(start, &series, &columns)?,
                Gaps::Skip => in_series_order(start, &series, &columns)?,
            };

            self.state.closed_to = Some(start);
            self.state.windows_closed += 1;
            if !rows.ids.is_empty() {
                out.rows(self.closed_batch(start, rows)?)?;
            }
        }
        Ok(())
    }

    /// The start of the oldest window before `frontier` that has not closed, with rows or silent.
    fn next_to_close(&self, frontier: EventTime) -> Option<EventTime> {
        let opened = self.state.open.first_key_value().map(|(&start, _)| start);
        let opened = opened.filter(|&start| start < frontier);
        // Empty windows end with the frontier, or, when the input ends, with the last window that
        // has rows.
        let silent = self.next_silent().filter(|&start| start < opened.unwrap_or(frontier));
        silent.filter(|_| opened.is_some() || frontier != EventTime::MAX).or(opened)
    }

    /// The next window after the newest closed one, while somebody is carried.
    fn next_silent(&self) -> Option<EventTime> {
        let carried =
            self.gaps == Gaps::Carry && self.state.last.as_ref().is_some_and(|last| !last.ids.is_empty());
        self.state.closed_to.filter(|_| carried).map(|start| start.plus_us(self.windows.size_us))
    }

    /// Merges a window's rows into the newest rows of all series: the result is both the window's
    /// batch and the new memory.
    fn carry(
        &mut self,
        start: EventTime,
        series: &RowSet<SeriesId>,
        columns: &RecordBatch,
    ) -> Result<SeriesRows> {
        let before = match self.state.last.take() {
            Some(before) => before,
            None => SeriesRows { ids: vec![], spoke_at: vec![], columns: self.no_rows() },
        };
        let oldest = start.plus_us(-CARRY_WINDOWS.saturating_mul(self.windows.size_us));

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
            columns: pick_rows(&before.columns, columns, &places)?,
        };
        self.state.last = Some(rows.clone());
        Ok(rows)
    }

    /// The selected columns without a row.
    fn no_rows(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::clone(self.aggregation.output_schema()))
    }

    fn closed_batch(&self, start: EventTime, rows: SeriesRows) -> Result<RecordBatch> {
        let SeriesRows { ids, spoke_at, columns } = rows;
        let count = ids.len();
        let names = ids.iter().map(|&id| self.state.series.get_index(id as usize).map_or("", |name| name));
        let time = |time: EventTime| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(vec![time.0; count]).with_timezone("UTC"))
        };

        let number = self.windows.number_of(start);
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(ids.clone())),
            Arc::new(StringArray::from_iter_values(names)),
            Arc::new(Int64Array::from(vec![number; count])),
            time(start),
            time(start.plus_us(self.windows.size_us)),
            Arc::new(BooleanArray::from_iter(spoke_at.iter().map(|&at| Some(at != start)))),
        ];
        arrays.extend(columns.columns().iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.output), arrays)
            .or_fail(Kind::Query, || "cannot build a closed window")
    }

    /// The columns that the expressions name.
    fn data_of(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let wanted = self
            .aggregation
            .input_schema()
            .fields()
            .iter()
            .map(|field| batch.schema_ref().index_of(field.name()));
        let wanted = wanted.collect::<std::result::Result<Vec<_>, _>>();
        let wanted = wanted.or_fail(Kind::Query, || "a batch lacks a selected column")?;
        batch.project(&wanted).or_fail(Kind::Query, || "cannot project a batch")
    }

    /// Rejects the rows for which an expression of `select` fails, and gives back the others.
    fn keep_computable(&self, batch: &RecordBatch, out: &mut dyn Output) -> Result<RecordBatch> {
        let mut keep = Vec::new();

        for row in 0..batch.num_rows() {
            match self.aggregation.arguments_of(&self.data_of(&batch.slice(row, 1))?) {
                Ok(_) => keep.push(row as u32),
                Err(why) => {
                    let detail = format!("window.select: {}", why.strip_backtrace());
                    out.reject(rejected(batch, row, Reason::Undecodable, detail)?);
                }
            }
        }
        pick(batch, &keep)
    }

    fn reject_late(
        &self,
        rows: &RecordBatch,
        row: usize,
        start: EventTime,
        out: &mut dyn Output,
    ) -> Result<()> {
        let end = start.plus_us(self.windows.size_us);
        let detail = format!("its window [{}, {}) has closed", show_time(start), show_time(end));
        out.reject(rejected(rows, row, Reason::Late, detail)?);
        Ok(())
    }
}

impl Operator for WindowOperator {
    fn name(&self) -> &'static str {
        "window"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let good;
        let (batch, arguments) = match self.aggregation.arguments_of(&self.data_of(batch)?) {
            Ok(arguments) => (batch, arguments),
            Err(_) => {
                good = self.keep_computable(batch, out)?;
                let fail = || "rows that were good alone are not so together";
                let arguments = self.aggregation.arguments_of(&self.data_of(&good)?);
                (&good, arguments.or_fail(Kind::Query, fail)?)
            }
        };

        let times = system::<TimestampMicrosecondArray>(batch, column::TIME)?;
        let names = system::<StringArray>(batch, column::SERIES)?;
        let mut progress = self.state.progress.unwrap_or(WindowProgress::START);
        let mut open: Vec<OpenRow> = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            match progress.take(&self.windows, EventTime(times.value(row))) {
                Placement::Open(start) => open.push(OpenRow { row, start }),
                Placement::Late(start) => self.reject_late(batch, row, start, out)?,
                Placement::Closes { frontier, start } => {
                    self.assign(&arguments, names, &open)?;
                    open.clear();

                    self.close_before(frontier, out)?;
                    open.push(OpenRow { row, start });
                }
            }
        }

        self.state.progress = (batch.num_rows() > 0).then_some(progress).or(self.state.progress);
        self.assign(&arguments, names, &open)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<()> {
        let Some(mut progress) = self.state.progress else { return Ok(()) };
        let frontier = if watermark == EventTime::MAX { watermark } else { self.windows.start_of(watermark) };
        if frontier <= progress.frontier {
            return Ok(());
        }
        self.close_before(frontier, out)?;
        // An input that has ended may have grown when it is read again: only what has closed is
        // closed.
        let closed = self.state.closed_to.map_or(EventTime::MIN, |start| start.plus_us(self.windows.size_us));
        progress.frontier = progress.frontier.max(if frontier == EventTime::MAX { closed } else { frontier });
        self.state.progress = Some(progress);
        Ok(())
    }

    fn snapshot(&self) -> SnapshotWriter {
        // Names and columns are shared; what is copied is a few bytes a series and a row.
        let (state, aggregation) = (self.state.clone(), Arc::clone(&self.aggregation));
        Box::new(move || snapshot::write(&state, &aggregation))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        self.state = snapshot::read(state, &self.aggregation)?;
        Ok(())
    }

    fn report(&self, stats: &mut OperatorStats) {
        stats.windows_closed = self.state.windows_closed;
        stats.windows_open = self.state.open.len() as u64;
        stats.series_active = self.state.series.len() as u64;
        stats.series_forgotten = self.state.series_forgotten;
        stats.watermark_us = self.state.progress.map(|p| p.latest.plus_us(-self.windows.lateness_us).0);
    }
}
