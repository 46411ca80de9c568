//! Rows out of batches: in order, merged, or turned into a reject.
//! It must not know when a window closes.

use arrow::array::Int64Array;
use arrow::record_batch::RecordBatch;
use tickcast_stream::Offset;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::{EventTime, Reason, Reject, column};
use tickcast_stream::operator::Output;

use super::aggregate::{RowSet, SeriesId};
use super::assign::Windows;
use super::pick::{copy, pick};
use super::spec::Stamps;
use super::state::SeriesRows;

/// A record as a reject.
pub fn rejected(rows: &RecordBatch, row: usize, reason: Reason, detail: String) -> Result<Reject> {
    let offset = Offset(system::<Int64Array>(rows, column::OFFSET)?.value(row));
    Ok(Reject { offset, reason, detail })
}

/// A record that comes too late, as a reject.
pub(super) fn late(windows: &Windows, rows: &RecordBatch, row: usize, time: EventTime) -> Result<Reject> {
    let window = windows.last_of(time.plus_us(-windows.stamps.earlier_us()));
    let (start, end) = (show_time(window.start), show_time(window.end));
    let window = match windows.stamps {
        Stamps::Start => format!("[{start}, {end})"),
        Stamps::End => format!("({start}, {end}]"),
    };
    rejected(rows, row, Reason::Late, format!("its window {window} has closed"))
}

/// The rows that can be computed. Each is judged alone; the others are rejected with what `why_not`
/// says of them.
pub fn computable(
    rows: &RecordBatch,
    why_not: impl Fn(&RecordBatch) -> Result<Option<String>>,
    out: &mut dyn Output,
) -> Result<RecordBatch> {
    let mut keep = Vec::new();
    for row in 0..rows.num_rows() {
        match why_not(&rows.slice(row, 1))? {
            None => keep.push(row as u32),
            Some(why) => out.reject(rejected(rows, row, Reason::Undecodable, why)?),
        }
    }
    pick(rows, &keep)
}

/// The rows of a window in order of series.
pub(super) fn in_series_order(
    start: EventTime,
    series: &RowSet<SeriesId>,
    columns: &RecordBatch,
) -> Result<SeriesRows> {
    let mut order: Vec<u32> = (0..series.len() as u32).collect();
    order.sort_unstable_by_key(|&row| series[row as usize]);
    Ok(SeriesRows {
        ids: order.iter().map(|&row| series[row as usize]).collect(),
        spoke_at: vec![start; series.len()],
        columns: copy(columns, &order)?,
    })
}

/// A system column. Errors: `Query`, when the batch has none of this name and type.
pub fn system<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A> {
    batch
        .column_by_name(name)
        .and_then(|array| array.as_any().downcast_ref::<A>())
        .ok_or_else(|| Error::new(Kind::Query, format!("a batch of rows lacks its system column {name}")))
}

/// A time as a person writes it.
pub fn show_time(time: EventTime) -> String {
    jiff::Timestamp::from_microsecond(time.0).map_or_else(|_| time.0.to_string(), |t| t.to_string())
}
