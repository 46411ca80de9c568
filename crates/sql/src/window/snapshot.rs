//! The window operator's state as bytes and back.
//! It must not decide anything: what goes in comes out, bit for bit.

use std::panic;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::EventTime;

use super::aggregate::{OpenWindow, RowSet, SeriesId};
use super::assign::WindowProgress;
use super::last_readings::LastReadings;
use super::plan::Aggregation;
use super::state::{SeriesRows, WindowState};

#[derive(Serialize, Deserialize)]
struct Image<Name> {
    progress: Option<WindowProgress>,
    series: Vec<Name>,
    spoke_in: Vec<EventTime>,
    open: Vec<WindowImage>,
    last_readings: LastReadings,
    last: Option<LastImage>,
    closed_to: Option<EventTime>,
    windows_closed: u64,
    expressions_failed: u64,
    series_forgotten: u64,
}

#[derive(Serialize, Deserialize)]
struct WindowImage {
    start: EventTime,
    series: Vec<SeriesId>,
    /// One Arrow IPC stream an aggregate.
    states: Vec<Vec<u8>>,
    folded_groups: usize,
    pending: Vec<u8>,
    pending_groups: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
struct LastImage {
    ids: Vec<SeriesId>,
    spoke_at: Vec<EventTime>,
    columns: Vec<u8>,
}

/// The state as bytes. Errors: `State`.
pub(super) fn write(state: &WindowState, aggregation: &Aggregation) -> Result<Vec<u8>> {
    let open = state.open.iter().map(|(&start, window)| window_image(start, window, aggregation));
    let last = state.last.as_ref().map(|last| -> Result<_> {
        let columns = to_ipc(&last.columns)?;
        Ok(LastImage { ids: last.ids.clone(), spoke_at: last.spoke_at.clone(), columns })
    });

    let image = Image {
        progress: state.progress,
        series: state.series.iter().map(|name| &**name).collect::<Vec<&str>>(),
        spoke_in: state.spoke_in.clone(),
        open: open.collect::<Result<_>>()?,
        last_readings: state.last_readings.clone(),
        last: last.transpose()?,
        closed_to: state.closed_to,
        windows_closed: state.windows_closed,
        expressions_failed: state.expressions_failed,
        series_forgotten: state.series_forgotten,
    };
    postcard::to_stdvec(&image).or_fail(Kind::State, || "cannot write the windows' state")
}

fn window_image(start: EventTime, window: &OpenWindow, aggregation: &Aggregation) -> Result<WindowImage> {
    Ok(WindowImage {
        start,
        series: window.series.iter().copied().collect(),
        states: window.states.iter().map(|arrays| arrays_to_ipc(arrays)).collect::<Result<_>>()?,
        folded_groups: window.folded_groups,
        pending: to_ipc(&window.pending_rows(aggregation)?)?,
        pending_groups: window.pending_groups.clone(),
    })
}

/// The state that [`write`] wrote. Errors: `State`, also when it is that of another `select`.
pub(super) fn read(bytes: &[u8], aggregation: &Aggregation) -> Result<WindowState> {
    let image: Image<String> =
        postcard::from_bytes(bytes).or_fail(Kind::State, || "cannot read the windows' state")?;
    let open = image.open.into_iter().map(|window| open_window(window, aggregation));
    let last = image.last.map(|last| last_rows(last, aggregation));

    let (series, spoke_in) = (image.series.into_iter().map(Arc::from).collect::<RowSet<_>>(), image.spoke_in);
    if series.len() != spoke_in.len() {
        return Err(Error::new(Kind::State, "the windows' state has not one time a series"));
    }
    Ok(WindowState {
        progress: image.progress,
        series,
        spoke_in,
        open: open.collect::<Result<_>>()?,
        last_readings: image.last_readings,
        last: last.transpose()?,
        closed_to: image.closed_to,
        windows_closed: image.windows_closed,
        expressions_failed: image.expressions_failed,
        series_forgotten: image.series_forgotten,
    })
}

fn open_window(image: WindowImage, aggregation: &Aggregation) -> Result<(EventTime, OpenWindow)> {
    let states = image.states.iter().map(|bytes| Ok(from_ipc(bytes)?.columns().to_vec()));
    let pending = rows_of(&image.pending, aggregation.argument_schema())?;

    let open = OpenWindow {
        series: image.series.into_iter().collect(),
        states: states.collect::<Result<_>>()?,
        folded_groups: image.folded_groups,
        pending: vec![pending],
        pending_groups: image.pending_groups,
    };
    Ok((image.start, open))
}

fn last_rows(image: LastImage, aggregation: &Aggregation) -> Result<SeriesRows> {
    let columns = rows_of(&image.columns, aggregation.output_schema())?;
    Ok(SeriesRows { ids: image.ids, spoke_at: image.spoke_at, columns })
}

/// The state of an aggregate as an Arrow IPC stream. Errors: `State`.
pub(super) fn arrays_to_ipc(arrays: &[ArrayRef]) -> Result<Vec<u8>> {
    let fields: Vec<Field> = arrays
        .iter()
        .enumerate()
        .map(|(i, array)| Field::new(i.to_string(), array.data_type().clone(), true))
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.to_vec());
    to_ipc(&batch.or_fail(Kind::State, || "an aggregate's state is ragged")?)
}

/// A batch as an Arrow IPC stream. Errors: `State`.
pub(super) fn to_ipc(batch: &RecordBatch) -> Result<Vec<u8>> {
    let fail = || "cannot write a batch of the windows' state";
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).or_fail(Kind::State, fail)?;
    writer.write(batch).or_fail(Kind::State, fail)?;
    writer.into_inner().or_fail(Kind::State, fail)
}

/// The batch that [`to_ipc`] wrote, of this schema. Errors: `State`, also when it is of another.
pub(super) fn rows_of(bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
    let rows = from_ipc(bytes)?;
    // A select without arguments has rows and no columns.
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), rows.columns().to_vec(), &options)
        .or_fail(Kind::State, || "the windows' state does not fit window.select")
}

/// The batch that [`to_ipc`] wrote. Errors: `State`. Arrow's reader panics at bytes that lie about
/// their own lengths: they are an error here.
pub(super) fn from_ipc(bytes: &[u8]) -> Result<RecordBatch> {
    let read = panic::catch_unwind(|| read_ipc(bytes));
    read.unwrap_or_else(|_| Err(Error::new(Kind::State, "a batch of the windows' state is damaged")))
}

/// By the decoder that takes bytes as they come: the reader of streams would make room for as many
/// as a message says that it has.
fn read_ipc(bytes: &[u8]) -> Result<RecordBatch> {
    let fail = || "cannot read a batch of the windows' state";
    let (mut decoder, mut left) = (StreamDecoder::new(), Buffer::from(bytes));
    while !left.is_empty() {
        if let Some(batch) = decoder.decode(&mut left).or_fail(Kind::State, fail)? {
            return Ok(batch);
        }
    }
    decoder.finish().or_fail(Kind::State, fail)?;
    let schema = decoder.schema().ok_or_else(|| Error::new(Kind::State, fail()))?;
    Ok(RecordBatch::new_empty(schema))
}
