//! The state of windows that each series has of its own, as bytes and back.
//! It must not decide anything: what goes in comes out, bit for bit. Neither batches nor what was
//! forgotten can be seen in the bytes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::EventTime;

use super::super::aggregate::SeriesId;
use super::super::last_readings::LastReadings;
use super::super::plan::Aggregation;
use super::super::pool::{Pool, WindowRows};
use super::super::pool_image::PoolImage;
use super::clock::{Clock, DueEnd, HeldRow};
use super::rule::{Rule, Span};
use super::state::{OwnSeries, OwnState, OwnWindow};

#[derive(Serialize, Deserialize)]
struct Image {
    series: Vec<SeriesImage>,
    clocks: Vec<ClockImage>,
    /// States and rows of the open windows in the order of their series, then the rows that wait.
    pool: PoolImage,
    taken: u64,
    last_readings: LastReadings,
    windows_closed: u64,
    expressions_failed: u64,
    series_forgotten: u64,
}

#[derive(Serialize, Deserialize)]
struct SeriesImage {
    name: String,
    seen: u64,
    closed_to: EventTime,
    open: Option<OpenImage>,
}

#[derive(Serialize, Deserialize)]
struct OpenImage {
    span: Span,
    has_state: bool,
    /// How many of the rows are its own.
    rows: u32,
}

#[derive(Serialize, Deserialize)]
struct ClockImage {
    watermark: EventTime,
    settled: EventTime,
    held: Vec<(EventTime, SeriesId)>,
}

/// The state as bytes. Errors: `State`.
pub(super) fn write(state: &OwnState, pool: &Pool) -> Result<Vec<u8>> {
    let held: Vec<Vec<HeldRow>> = state.clocks.iter().map(Clock::held).collect();
    let open = state.open().flat_map(|window| window.rows.since.iter().copied());
    let places: Vec<u32> = open.chain(held.iter().flatten().map(|row| row.place)).collect();
    let pool = PoolImage::of(pool, state.open().map(|window| &window.rows), &places)?;

    let series = state.series.iter().map(|(name, series)| SeriesImage {
        name: name.to_string(),
        seen: series.seen,
        closed_to: series.closed_to,
        open: series.open.as_ref().map(|window| OpenImage {
            span: window.span,
            has_state: window.rows.state.is_some(),
            rows: window.rows.since.len() as u32,
        }),
    });
    let clocks = state.clocks.iter().zip(&held).map(|(clock, held)| ClockImage {
        watermark: clock.watermark,
        settled: clock.settled,
        held: held.iter().map(|row| (row.time, row.series)).collect(),
    });

    let image = Image {
        series: series.collect(),
        clocks: clocks.collect(),
        pool,
        taken: state.taken,
        last_readings: state.last_readings.clone(),
        windows_closed: state.windows_closed,
        expressions_failed: state.expressions_failed,
        series_forgotten: state.series_forgotten,
    };
    postcard::to_stdvec(&image).or_fail(Kind::State, || "cannot write the windows' state")
}

/// The state that [`write`] wrote. Errors: `State`, also when it is that of another `select`.
pub(super) fn read(
    bytes: &[u8],
    rule: Rule,
    has_own_clocks: bool,
    aggregation: &Arc<Aggregation>,
) -> Result<(OwnState, Pool)> {
    let image: Image =
        postcard::from_bytes(bytes).or_fail(Kind::State, || "cannot read the windows' state")?;
    let pool = image.pool.restored(aggregation)?;
    image.fits(pool.store.len()).then_some(()).ok_or_else(unfit)?;

    let mut state = OwnState::new(has_own_clocks);
    let clocks = if has_own_clocks { image.series.len() } else { 1 };
    if image.clocks.len() != clocks {
        return Err(Error::new(Kind::State, "the windows' state has another number of clocks"));
    }

    state.clocks = vec![Clock::new(); clocks];
    let mut next = Next::default();
    for (at, series) in image.series.into_iter().enumerate() {
        let open = series.open.map(|open| next.window(open, rule));
        if let (Rule::Session(_), Some(OwnWindow { due: end, .. })) = (rule, &open) {
            let clock = if has_own_clocks { at } else { 0 };
            state.clocks[clock].expect(DueEnd { end: *end, series: at as SeriesId });
        }
        let own = OwnSeries { seen: series.seen, closed_to: series.closed_to, open };
        state.series.insert(series.name.into(), own);
    }

    for (clock, image) in state.clocks.iter_mut().zip(image.clocks) {
        (clock.watermark, clock.settled) = (image.watermark, image.settled);
        for (time, series) in image.held {
            clock.hold(HeldRow { time, place: next.row(), series });
        }
    }
    (state.taken, state.windows_closed) = (image.taken, image.windows_closed);
    (state.last_readings, state.expressions_failed) = (image.last_readings, image.expressions_failed);
    state.series_forgotten = image.series_forgotten;
    state.count();
    (pool.states.len() == next.state as usize).then_some((state, pool)).ok_or_else(unfit)
}

impl Image {
    /// Whether there are as many rows as it speaks of, of series that there are.
    fn fits(&self, rows: usize) -> bool {
        let open = self.series.iter().filter_map(|series| series.open.as_ref());
        let held = || self.clocks.iter().flat_map(|clock| &clock.held);
        let own: u64 = open.map(|open| u64::from(open.rows)).sum();
        own + held().count() as u64 == rows as u64
            && held().all(|&(_, series)| (series as usize) < self.series.len())
    }
}

fn unfit() -> Error {
    Error::new(Kind::State, "the windows' state does not fit together")
}

/// Places are given out in the order in which rows and states were written.
#[derive(Default)]
struct Next {
    row: u32,
    state: u32,
}

impl Next {
    fn row(&mut self) -> u32 {
        self.row += 1;
        self.row - 1
    }

    fn window(&mut self, open: OpenImage, rule: Rule) -> OwnWindow {
        let state = open.has_state.then(|| {
            self.state += 1;
            self.state - 1
        });
        let from = self.row;
        self.row += open.rows;
        let rows = WindowRows { state, since: (from..self.row).collect() };
        let due = match rule {
            Rule::Session(_) => rule.end_of(&open.span),
            Rule::Count(_) => EventTime::MAX,
        };
        OwnWindow { span: open.span, due, rows }
    }
}
