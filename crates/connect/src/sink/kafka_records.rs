//! Results as Kafka records: a forecast or score as JSON under its series' name, a reject as it
//! came in, with more headers.
//! It must not send them.

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use rdkafka::message::{Header, OwnedHeaders};
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;
use tickcast_stream::record::{RejectRow, RejectRows, json_lines, lines};

use super::reject_headers::said_of;
use super::room::{Room, fitted};

/// One record to send.
pub struct Outgoing<'a> {
    /// The series, or the key of a rejected record, where there is one.
    pub key: Option<&'a [u8]>,
    /// JSON, or the value of a rejected record; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Of a rejected record: its own, then why it was rejected and where it comes from.
    pub headers: Option<OwnedHeaders>,
    /// Whether a part of a rejected record had to be left out, to fit into the topic.
    pub is_cut: bool,
}

/// Hands every row of a stream's batch on as a record, in order. Rejects are cut to the room that
/// the topic has. Errors: those of `send`.
pub fn for_each_record(
    stream: Stream,
    rows: &RecordBatch,
    room: Room,
    send: &mut dyn FnMut(Outgoing<'_>) -> Result<()>,
) -> Result<()> {
    if stream == Stream::Rejects {
        return RejectRows::of(rows)?.iter().try_for_each(|row| send_reject(&row, room, send));
    }

    let bytes = json_lines(rows)?;
    let series = rows.column(0).as_string::<i32>();
    for (row, line) in lines(&bytes).enumerate() {
        let key = series.is_valid(row).then(|| series.value(row).as_bytes());
        send(Outgoing { key, value: Some(&bytes[line]), headers: None, is_cut: false })?;
    }
    Ok(())
}

/// Hands a reject on as a record, cut to the room there is. Errors: those of `send`.
pub fn send_reject(
    row: &RejectRow<'_>,
    room: Room,
    send: &mut dyn FnMut(Outgoing<'_>) -> Result<()>,
) -> Result<()> {
    let cut = fitted(row, room);
    let row = cut.as_ref().unwrap_or(row);
    let own = row.headers.iter().copied();
    let ours = said_of(row);
    let ours = ours.iter().map(|(name, value)| (*name, Some(value.as_bytes())));

    let headers = own
        .chain(ours)
        .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value }));
    send(Outgoing { key: row.key, value: row.value, headers: Some(headers), is_cut: cut.is_some() })
}
