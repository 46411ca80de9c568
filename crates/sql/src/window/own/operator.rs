//! The operator of windows that each series has of its own: rows in, one batch a closed window out,
//! late records to the rejects.
//! It must not read a clock: windows close by the records, or by a watermark that it is told.
//!
//! A session is made of records in order of time. So a record waits until the watermark has come to
//! it: then nothing earlier comes that is not late. What the watermark has passed already is taken
//! at once, if its session is still open.

use std::sync::Arc;

use arrow::array::{StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::message::{EventTime, Reason, column};
use tickcast_stream::operator::{Operator, OperatorStats, Output, SnapshotWriter};

use super::super::aggregate::SeriesId;
use super::super::failures::Failures;
use super::super::plan::Aggregation;
use super::super::pool::{FOLD_ROWS, Pool, WindowRows};
use super::super::rows::{rejected, show_time, system};
use super::super::spec::{Watermark, WindowSpec};
use super::clock::{Clock, DueEnd, HeldRow, Tick};
use super::rule::{Rule, SessionRule, Span};
use super::snapshot;
use super::state::{ClosedOwn, OwnSeries, OwnState, OwnWindow};

/// Records of a partition that wait for earlier ones, at most.
const MOST_HELD: usize = 1_000_000;

/// Sessions, or windows of so many records, over one partition.
pub struct OwnWindowOperator {
    pub(super) rule: Rule,
    lateness_us: i64,
    /// Whether every series has a clock of its own.
    has_own_clocks: bool,
    /// Series that are kept.
    pub(super) most_series: usize,
    /// Records of the partition that wait, at most.
    pub(super) most_held: usize,
    pub(super) aggregation: Arc<Aggregation>,
    pub(super) output: SchemaRef,
    pub(super) state: OwnState,
    pub(super) pool: Pool,
    /// The first failure of each selected column since this operator was made.
    pub(super) failures: Failures,
    /// Empty between two batches.
    pub(super) closed: Vec<ClosedOwn>,
}

/// A row of a batch.
#[derive(Clone, Copy)]
struct NewRow {
    time: EventTime,
    /// Its place among the rows that are kept.
    place: u32,
}

impl OwnWindowOperator {
    /// Sessions that end after `gap_us` of silence, of records of at most `max_us`; with no memory,
    /// over rows whose data columns are those of `aggregation`.
    pub fn sessions(window: &WindowSpec, gap_us: i64, max_us: i64, aggregation: Arc<Aggregation>) -> Self {
        OwnWindowOperator::new(window, Rule::Session(SessionRule { gap_us, max_us }), aggregation)
    }

    /// Windows of so many records; as `sessions`.
    pub fn counts(window: &WindowSpec, records: u64, aggregation: Arc<Aggregation>) -> Self {
        OwnWindowOperator::new(window, Rule::Count(records), aggregation)
    }

    fn new(window: &WindowSpec, rule: Rule, aggregation: Arc<Aggregation>) -> Self {
        let is_session = matches!(rule, Rule::Session(_));
        let has_own_clocks = is_session && window.watermark == Watermark::Series;
        OwnWindowOperator {
            rule,
            lateness_us: if is_session { window.lateness_us } else { 0 },
            has_own_clocks,
            most_series: window.most_series.max(1),
            most_held: MOST_HELD,
            output: aggregation.closed_schema(None),
            state: OwnState::new(has_own_clocks),
            pool: Pool::new(Arc::clone(&aggregation)),
            aggregation,
            failures: Failures::default(),
            closed: Vec::new(),
        }
    }

    /// Takes in a row of a series, unless it is late.
    fn take(&mut self, name: &str, row: NewRow, out: &mut dyn Output) -> Result<bool> {
        let known = self.state.series.get_index_of(name);
        if known.is_none() && self.is_late_alone(row.time) {
            return Ok(false);
        }
        let watermark = row.time.plus_us(-self.lateness_us);
        if !self.has_own_clocks {
            // What has ended closes before any series is forgotten.
            self.move_on(0, watermark, out)?;
        }
        let at = known.map_or_else(|| self.add(name, out), Ok)?;
        let clock = if self.has_own_clocks { at } else { 0 };
        self.move_on(clock, watermark, out)?;

        let Rule::Session(rule) = self.rule else {
            self.state.has_spoken(at);
            self.put(at, row, out)?;
            return Ok(true);
        };
        let now = &self.state.clocks[clock];
        if row.time > now.settled {
            self.state.has_spoken(at);
            self.hold(clock, HeldRow { time: row.time, place: row.place, series: at as SeriesId }, out)?;
            return Ok(true);
        }

        let series = &self.state.series[at];
        let open = series.open.as_ref().map(|window| &window.span);
        let watermark = now.watermark;
        let is_taken = rule.admits(open, series.closed_to, row.time, watermark);
        if is_taken {
            self.state.has_spoken(at);
            self.put(at, row, out)?;
            // A session that begins earlier may end earlier too.
            let open = self.state.series[at].open.as_ref();
            if open.is_some_and(|window| self.rule.has_ended(&window.span, watermark)) {
                self.close(at, out)?;
            }
        }
        Ok(is_taken)
    }

    /// Whether a record of a series that is not known yet is late.
    fn is_late_alone(&self, time: EventTime) -> bool {
        match (self.rule, self.state.clocks.first()) {
            (Rule::Session(rule), Some(clock)) if !self.has_own_clocks => {
                time <= clock.settled && !rule.admits(None, EventTime::MIN, time, clock.watermark)
            }
            _ => false,
        }
    }

    /// The place of a new series.
    fn add(&mut self, name: &str, out: &mut dyn Output) -> Result<usize> {
        if self.state.series.len() >= self.most_series {
            self.put_out(out)?;
            self.state.make_room(self.most_series, self.has_own_clocks);
        }
        if self.has_own_clocks {
            self.state.clocks.push(Clock::new());
        }
        Ok(self.state.series.insert_full(name.into(), OwnSeries::new()).0)
    }

    /// A clock has come to a watermark: what waited for it is taken in, and sessions that have
    /// ended close, in order of time.
    fn move_on(&mut self, clock: usize, watermark: EventTime, out: &mut dyn Output) -> Result<()> {
        if watermark > self.state.clocks[clock].watermark {
            self.state.clocks[clock].watermark = watermark;
            self.run(clock, watermark, out)?;
            let settled = &mut self.state.clocks[clock].settled;
            *settled = watermark.max(*settled);
        }
        Ok(())
    }

    fn run(&mut self, clock: usize, to: EventTime, out: &mut dyn Output) -> Result<()> {
        while let Some(tick) = self.state.clocks[clock].tick(to) {
            match tick {
                Tick::Row(row) => self.settle(clock, row, out)?,
                Tick::End(due) => self.look_after(clock, due, out)?,
            }
        }
        Ok(())
    }

    /// A record waits for earlier ones. Where too many do, the earliest waits no longer.
    fn hold(&mut self, clock: usize, row: HeldRow, out: &mut dyn Output) -> Result<()> {
        self.state.clocks[clock].hold(row);
        self.state.counts.held += 1;
        if self.state.counts.held <= self.most_held {
            return Ok(());
        }
        let earliest = self.state.clocks[clock].earliest();
        earliest.map_or(Ok(()), |row| self.settle(clock, row, out))
    }

    /// The earliest of the records that wait is taken in.
    fn settle(&mut self, clock: usize, row: HeldRow, out: &mut dyn Output) -> Result<()> {
        self.state.counts.held -= 1;
        let settled = &mut self.state.clocks[clock].settled;
        *settled = row.time.max(*settled);
        self.put(row.series as usize, NewRow { time: row.time, place: row.place }, out)
    }

    /// A session may have ended; a record since may have moved its end.
    fn look_after(&mut self, clock: usize, due: DueEnd, out: &mut dyn Output) -> Result<()> {
        let at = due.series as usize;
        match &mut self.state.series[at].open {
            Some(window) if window.due == due.end => {
                let end = self.rule.end_of(&window.span);
                if end <= due.end {
                    return self.close(at, out);
                }
                window.due = end;
                self.state.clocks[clock].expect(DueEnd { end, ..due });
                Ok(())
            }
            // That one has closed, or is looked after earlier.
            _ => Ok(()),
        }
    }

    /// Puts a row into the open window of its series, or into a new one.
    fn put(&mut self, at: usize, row: NewRow, out: &mut dyn Output) -> Result<()> {
        let open = self.state.series[at].open.as_ref();
        if open.is_some_and(|window| self.rule.has_ended(&window.span, row.time)) {
            self.close(at, out)?;
        }

        let clock = if self.has_own_clocks { at } else { 0 };
        let rule = self.rule;
        let OwnState { series, clocks, counts, .. } = &mut self.state;
        let window = series[at].open.get_or_insert_with(|| {
            counts.windows += 1;
            OwnWindow { span: Span::none(row.time), due: EventTime::MAX, rows: WindowRows::default() }
        });
        window.span.add(row.time);
        window.rows.since.push(row.place);
        counts.records += 1;
        counts.rows += 1;

        if let Rule::Count(records) = rule {
            return if window.span.records >= records { self.close(at, out) } else { self.fold_if_many(out) };
        }
        // Only a record before all others lets a session end earlier.
        let end = rule.end_of(&window.span);
        if end < window.due {
            window.due = end;
            clocks[clock].expect(DueEnd { end, series: at as SeriesId });
        }
        self.fold_if_many(out)
    }

    /// Folds grow with the open windows, so that carrying their states costs no more than the rows
    /// do.
    fn fold_if_many(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.state.counts.rows < FOLD_ROWS.max(self.state.counts.windows) {
            return Ok(());
        }

        self.put_out(out)?;
        let open = self.state.series.values_mut().filter_map(|series| series.open.as_mut());
        self.pool.fold(open.map(|window| &mut window.rows).collect())?;
        self.state.counts.rows = 0;
        Ok(())
    }

    /// Lets go of rows that nobody wants any more, once they are many.
    fn tidy(&mut self) -> Result<()> {
        let wanted = self.state.counts.rows + self.state.counts.held;
        let spare = FOLD_ROWS.max(self.state.series.len());
        if self.pool.store.len() <= 2 * wanted + spare {
            return Ok(());
        }

        let OwnState { series, clocks, .. } = &mut self.state;
        let mut held: Vec<Vec<HeldRow>> = clocks.iter().map(Clock::held).collect();
        let open = series.values_mut().filter_map(|series| series.open.as_mut());
        let places = open.flat_map(|window| &mut window.rows.since);
        self.pool.store.keep(places.chain(held.iter_mut().flatten().map(|row| &mut row.place)))?;
        clocks.iter_mut().zip(held).for_each(|(clock, held)| clock.hold_instead(held));
        Ok(())
    }

    fn reject_late(&self, rows: &RecordBatch, row: usize, name: &str, out: &mut dyn Output) -> Result<()> {
        let series = self.state.series.get_full(name);
        let clock = series.as_ref().map_or(0, |(at, ..)| if self.has_own_clocks { *at } else { 0 });
        let watermark = self.state.clocks.get(clock).map_or(EventTime::MIN, |clock| clock.watermark);
        let closed_to = series.map_or(watermark, |(_, _, series)| watermark.max(series.closed_to));
        let detail = format!("its session has closed: all that end by {} have", show_time(closed_to));
        out.reject(rejected(rows, row, Reason::Late, detail)?);
        Ok(())
    }
}

impl Operator for OwnWindowOperator {
    fn name(&self) -> &'static str {
        "window"
    }

    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()> {
        let (batch, arguments) = self.aggregation.computable(batch, out)?;
        let times = system::<TimestampMicrosecondArray>(&batch, column::TIME)?;
        let names = system::<StringArray>(&batch, column::SERIES)?;

        let first = self.pool.store.add(&arguments)?;
        for row in 0..batch.num_rows() {
            let name = names.value(row);
            let new = NewRow { time: EventTime(times.value(row)), place: first + row as u32 };
            if !self.take(name, new, out)? {
                self.reject_late(&batch, row, name, out)?;
            }
        }
        self.put_out(out)?;
        self.tidy()
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<()> {
        // A window of so many records does not know time.
        let Rule::Session(_) = self.rule else { return Ok(()) };
        for clock in 0..self.state.clocks.len() {
            // An input that has ended may have grown when it is read again: its clock stands where
            // it is, and only what has closed is closed.
            match watermark {
                EventTime::MAX => self.run(clock, watermark, out)?,
                _ => self.move_on(clock, watermark, out)?,
            }
        }
        self.put_out(out)?;
        self.tidy()
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        let (state, pool) = (self.state.clone(), self.pool.clone());
        Box::new(move || snapshot::write(&state, &pool))
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        (self.state, self.pool) = snapshot::read(state, self.rule, self.has_own_clocks, &self.aggregation)?;
        Ok(())
    }

    fn report(&self, stats: &mut OperatorStats) {
        let state = &self.state;
        let furthest = state.clocks.iter().map(|clock| clock.watermark).max();

        stats.windows_closed = state.windows_closed;
        stats.expressions_failed = state.expressions_failed;
        self.failures.report(stats);
        stats.windows_open = state.counts.windows as u64;
        stats.series_active = state.series.len() as u64;
        stats.series_forgotten = state.series_forgotten;
        stats.records_unfinished = if let Rule::Count(_) = self.rule { state.counts.records } else { 0 };
        stats.watermark_us = furthest.filter(|&at| at != EventTime::MIN).map(|at| at.0);
    }
}
