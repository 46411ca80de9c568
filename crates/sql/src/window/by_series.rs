//! Windows by series: those of each close by the times of its own records.
//! It must not aggregate or close: every series has a window operator of its own for that.
//!
//! What comes out stands in the order of the records that caused it, as if records came one by one.

use std::sync::Arc;

use arrow::array::{StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, column};
use tickcast_stream::operator::{Operator, OperatorStats, Output, SnapshotWriter};
use tickcast_stream::{BehindFate, FarBehind, WindowGrid, who_stays};

use super::aggregate::SeriesId;
use super::assign::{Assigner, Placement, WindowProgress, Windows};
use super::operator::{OpenRow, WindowOperator};
use super::plan::Aggregation;
use super::rows::system;
use super::snapshot;
use super::spec::WindowSpec;

/// A series that is so many windows behind the others stands still.
const STALE_WINDOWS: i64 = 20;

type Map<K, V> = IndexMap<K, V, foldhash::fast::RandomState>;

/// Event-time windows over one partition, in which every series has a watermark of its own.
pub struct SeriesWindowOperator {
    /// As the operator of a series begins.
    plain: WindowOperator,
    /// In the order in which the partition first saw them.
    series: Map<Arc<str>, WindowOperator>,
    most_series: usize,
    /// Series that were forgotten since the first record.
    forgotten: u64,
    /// Windows that those had closed.
    closed_by_forgotten: u64,
    /// Columns of theirs that could not be computed.
    failed_of_forgotten: u64,
}

/// Rows of one series in a batch, judged and not yet taken in.
struct Judged<'a> {
    assigner: Assigner<'a>,
    open: Vec<OpenRow>,
}

#[derive(Serialize, Deserialize)]
struct Image {
    /// The name of each series, and the state of its windows.
    series: Vec<(String, Vec<u8>)>,
    forgotten: u64,
    closed_by_forgotten: u64,
    failed_of_forgotten: u64,
}

impl SeriesWindowOperator {
    /// An operator with no memory for windows on this grid, over rows whose data columns are those
    /// of `aggregation`.
    pub fn new(window: &WindowSpec, grid: WindowGrid, aggregation: Arc<Aggregation>) -> Self {
        SeriesWindowOperator {
            plain: WindowOperator::new(window, grid, aggregation),
            series: Map::default(),
            most_series: window.most_series.max(1),
            forgotten: 0,
            closed_by_forgotten: 0,
            failed_of_forgotten: 0,
        }
    }

    /// The place of a series, known or new.
    fn add(&mut self, name: &str) -> usize {
        let own = self.plain.sibling(self.series.len() as SeriesId);
        self.series.insert_full(name.into(), own).0
    }

    /// Takes in the rows that were judged.
    fn take<'a>(
        &mut self,
        arguments: &RecordBatch,
        names: &StringArray,
        judged: impl Iterator<Item = (usize, Judged<'a>)>,
    ) -> Result<()> {
        for (at, Judged { assigner, open }) in judged {
            let own = &mut self.series[at];
            own.state.progress = Some(assigner.progress);
            own.assign(arguments, names, &open)?;
        }
        Ok(())
    }

    /// How many series stand still while others go on, and the one that is furthest behind.
    fn report_stale(&self, stats: &mut OperatorStats) {
        let times = || self.series.iter().filter_map(|(name, own)| Some((own.state.progress?.latest, name)));
        let Some(latest) = times().map(|(at, _)| at).max() else { return };
        let grid = &self.plain.windows.grid;
        let still = grid.pane_start(grid.pane_of(latest).saturating_sub(grid.span() + STALE_WINDOWS));

        stats.series_stale = times().filter(|(at, _)| *at < still).count() as u64;
        let furthest = times().filter(|(at, _)| *at < still).min_by_key(|(at, _)| *at);
        stats.far_behind = furthest.map(|(at, name)| {
            let series = name.to_string();
            FarBehind { series, at, latest, fate: BehindFate::Open }
        });
    }

    /// Makes room for another series: those that have been silent for longest are forgotten. All
    /// others move up.
    fn make_room(&mut self) {
        let spoke_in = |at: usize| self.series[at].state.spoke_in.first().copied();
        let seen = |at| Some(spoke_in(at).unwrap_or(EventTime::MIN));
        let stays = who_stays(self.series.len(), 1, self.most_series, seen);

        let mut kept = stays.iter();
        let (forgotten, closed) = (&mut self.forgotten, &mut self.closed_by_forgotten);
        let failed = &mut self.failed_of_forgotten;
        self.series.retain(|_, own| {
            let stays = kept.next().copied().unwrap_or(true);
            if !stays {
                *forgotten += 1;
                *closed += own.state.windows_closed;
                *failed += own.state.expressions_failed;
            }
            stays
        });
        (0..).zip(self.series.values_mut()).for_each(|(at, own)| own.first_id = at);
    }
}

impl<'a> Judged<'a> {
    fn new(windows: &'a Windows, own: &WindowOperator) -> Self {
        let progress = own.state.progress.unwrap_or(WindowProgress::START);
        Judged { assigner: Assigner::new(windows, progress), open: Vec::new() }
    }
}

impl Operator for SeriesWindowOperator {
    fn name(&self) -> &'static str {
        "window"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let (batch, arguments) = self.plain.aggregation.computable(batch, out)?;
        let times = system::<TimestampMicrosecondArray>(&batch, column::TIME)?;
        let names = system::<StringArray>(&batch, column::SERIES)?;
        let windows = self.plain.windows.clone();
        let mut judged: Map<usize, Judged<'_>> = Map::default();

        for row in 0..batch.num_rows() {
            let (name, time) = (names.value(row), EventTime(times.value(row)));
            let at = match self.series.get_index_of(name) {
                Some(at) => at,
                None => {
                    if self.series.len() >= self.most_series {
                        // What was taken in before is forgotten too.
                        self.take(&arguments, names, judged.drain(..))?;
                        self.make_room();
                    }
                    self.add(name)
                }
            };

            let own = &mut self.series[at];
            let rows = judged.entry(at).or_insert_with(|| Judged::new(&windows, own));
            match rows.assigner.take(time) {
                Placement::Open(pane) => rows.open.push(OpenRow { row, pane }),
                Placement::Late => own.reject_late(&batch, row, time, out)?,
                Placement::Closes { closes, pane } => {
                    own.assign(&arguments, names, &rows.open)?;
                    rows.open.clear();

                    own.close(closes, out)?;
                    rows.open.push(OpenRow { row, pane });
                }
            }
        }
        self.take(&arguments, names, judged.drain(..))
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<()> {
        self.series.values_mut().try_for_each(|own| own.on_watermark(watermark, out))
    }

    fn snapshot(&self) -> SnapshotWriter {
        let states = self.series.iter().map(|(name, own)| (Arc::clone(name), own.state.clone()));
        let (states, aggregation): (Vec<_>, _) = (states.collect(), Arc::clone(&self.plain.aggregation));
        let (forgotten, closed_by_forgotten) = (self.forgotten, self.closed_by_forgotten);
        let failed_of_forgotten = self.failed_of_forgotten;

        Box::new(move || {
            let series = states
                .iter()
                .map(|(name, state)| Ok((name.to_string(), snapshot::write(state, &aggregation)?)));
            let series = series.collect::<Result<_>>()?;
            let image = Image { series, forgotten, closed_by_forgotten, failed_of_forgotten };
            postcard::to_stdvec(&image).or_fail(Kind::State, || "cannot write the windows' state")
        })
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let image: Image =
            postcard::from_bytes(state).or_fail(Kind::State, || "cannot read the windows' state")?;
        self.series.clear();
        for (name, state) in image.series {
            let at = self.add(&name);
            self.series[at].state = snapshot::read(&state, &self.plain.aggregation)?;
        }
        (self.forgotten, self.closed_by_forgotten) = (image.forgotten, image.closed_by_forgotten);
        self.failed_of_forgotten = image.failed_of_forgotten;
        Ok(())
    }

    /// The watermark is that of the series that is furthest.
    fn report(&self, stats: &mut OperatorStats) {
        let mut own = OperatorStats::default();
        let (mut closed, mut open, mut watermark_us) = (self.closed_by_forgotten, 0, None);
        stats.expressions_failed = self.failed_of_forgotten;
        for series in self.series.values() {
            series.report(&mut own);
            stats.expressions_failed += own.expressions_failed;
            for (column, what) in std::mem::take(&mut own.failures) {
                stats.failures.entry(column).or_insert(what);
            }
            closed += own.windows_closed;
            open += own.windows_open;
            watermark_us = watermark_us.max(own.watermark_us);
        }

        (stats.windows_closed, stats.windows_open) = (closed, open);
        (stats.series_active, stats.series_forgotten) = (self.series.len() as u64, self.forgotten);
        stats.watermark_us = watermark_us;
        self.report_stale(stats);
    }
}
