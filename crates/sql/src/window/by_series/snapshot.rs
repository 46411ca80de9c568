//! The state of windows by series as bytes and back.
//! It must not decide anything: what goes in comes out, bit for bit. Neither batches nor what was
//! forgotten can be seen in the bytes.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::EventTime;

use super::super::assign::{Assigner, WindowProgress, Windows};
use super::super::last_readings::LastReadings;
use super::super::plan::Aggregation;
use super::super::pool::{Pool, WindowRows};
use super::super::pool_image::PoolImage;
use super::super::row_store::RowStore;
use super::super::snapshot::{rows_of, to_ipc};
use super::state::{OneSeries, SeriesState};

#[derive(Serialize, Deserialize)]
struct Image {
    series: Vec<SeriesImage>,
    /// States and rows of the open panes in the order of their series and of time.
    pool: PoolImage,
    /// Newest rows of the series that are carried, in their order: an Arrow IPC stream.
    last_rows: Vec<u8>,
    last_readings: LastReadings,
    windows_closed: u64,
    expressions_failed: u64,
    series_forgotten: u64,
}

#[derive(Serialize, Deserialize)]
struct SeriesImage {
    name: String,
    progress: WindowProgress,
    spoke_in: EventTime,
    open: Vec<PaneImage>,
    closed_to: Option<EventTime>,
    carried: Option<EventTime>,
}

#[derive(Serialize, Deserialize)]
struct PaneImage {
    start: EventTime,
    has_state: bool,
    /// How many of the rows are its own.
    rows: u32,
}

/// The state as bytes. Errors: `State`.
pub(super) fn write(state: &SeriesState, pool: &Pool, last_rows: &RowStore) -> Result<Vec<u8>> {
    let places: Vec<u32> = state.open().flat_map(|pane| pane.since.iter().copied()).collect();
    let carried = state.series.values().filter(|series| series.carried.is_some());
    let carried: Vec<u32> = carried.map(|series| series.last_row).collect();
    let pool = PoolImage::of(pool, state.open(), &places)?;

    let pane = |(&start, pane): (&EventTime, &WindowRows)| PaneImage {
        start,
        has_state: pane.state.is_some(),
        rows: pane.since.len() as u32,
    };
    let series = state.series.iter().map(|(name, series)| SeriesImage {
        name: name.to_string(),
        progress: series.assigner.progress,
        spoke_in: series.spoke_in,
        open: series.open.iter().map(pane).collect(),
        closed_to: series.closed_to,
        carried: series.carried,
    });

    let image = Image {
        series: series.collect(),
        pool,
        last_rows: to_ipc(&last_rows.gather(&carried)?)?,
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
    windows: &Windows,
    aggregation: &Arc<Aggregation>,
) -> Result<(SeriesState, Pool, RowStore)> {
    let image: Image =
        postcard::from_bytes(bytes).or_fail(Kind::State, || "cannot read the windows' state")?;
    let pool = image.pool.restored(aggregation)?;
    let last = rows_of(&image.last_rows, aggregation.output_schema())?;
    let had = (pool.states.len() as u64, pool.store.len() as u64, last.num_rows() as u64);
    if image.needs() != had {
        return Err(Error::new(Kind::State, "the windows' state does not fit together"));
    }

    let mut state = SeriesState::default();
    let mut next = Next::default();
    for image in image.series {
        let name = image.name.as_str().into();
        state.series.insert(name, next.series(image, windows));
    }

    state.last_readings = image.last_readings;
    (state.windows_closed, state.expressions_failed) = (image.windows_closed, image.expressions_failed);
    state.series_forgotten = image.series_forgotten;
    state.count();
    let last_rows = stored(&last)?;
    Ok((state, pool, last_rows))
}

fn stored(rows: &RecordBatch) -> Result<RowStore> {
    let mut store = RowStore::new(rows.schema());
    store.add(rows)?;
    Ok(store)
}

impl Image {
    /// States, rows and last rows that it speaks of.
    fn needs(&self) -> (u64, u64, u64) {
        let open = || self.series.iter().flat_map(|series| &series.open);
        let states = open().filter(|pane| pane.has_state).count() as u64;
        let carried = self.series.iter().filter(|series| series.carried.is_some()).count() as u64;
        (states, open().map(|pane| u64::from(pane.rows)).sum(), carried)
    }
}

/// Places are given out in the order in which rows and states were written.
#[derive(Default)]
struct Next {
    row: u32,
    state: u32,
    last_row: u32,
}

impl Next {
    fn series(&mut self, image: SeriesImage, windows: &Windows) -> OneSeries {
        let last_row = self.last_row;
        self.last_row += u32::from(image.carried.is_some());
        OneSeries {
            assigner: Assigner::new(windows, image.progress),
            spoke_in: image.spoke_in,
            open: image.open.iter().map(|pane| (pane.start, self.pane(pane))).collect(),
            closed_to: image.closed_to,
            carried: image.carried,
            last_row,
        }
    }

    fn pane(&mut self, image: &PaneImage) -> WindowRows {
        let state = image.has_state.then_some(self.state);
        self.state += u32::from(image.has_state);
        let from = self.row;
        self.row += image.rows;
        WindowRows { state, since: (from..self.row).collect() }
    }
}
