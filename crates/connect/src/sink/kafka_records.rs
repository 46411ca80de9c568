//! Records of a stream for its topic: results as they are encoded, a reject as it came in, with
//! more headers.
//! It must not send them.

use arrow::record_batch::RecordBatch;
use rdkafka::message::{Header, OwnedHeaders};
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;
use tickcast_stream::record::{RejectRow, RejectRows};

use super::reject_headers::said_of;
use super::room::{Room, fitted};
use crate::encode::ResultEncoder;

/// One record to send.
pub struct Outgoing<'a> {
    /// The series, or the key of a rejected record, where there is one.
    pub key: Option<&'a [u8]>,
    /// The result, or the value of a rejected record; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Of a rejected record: its own, then why it was rejected and where it comes from.
    pub headers: Option<OwnedHeaders>,
    /// Whether a part of a rejected record had to be left out, to fit into the topic.
    pub is_cut: bool,
}

/// Makes the records of a stream.
pub enum KafkaRecords {
    /// Of forecasts or scores.
    Results(Box<ResultEncoder>),
    /// Of rejects.
    Rejects,
}

impl KafkaRecords {
    /// Those of a stream whose topic has results as bare JSON.
    pub fn json(stream: Stream) -> Self {
        match stream {
            Stream::Rejects => KafkaRecords::Rejects,
            Stream::Forecasts | Stream::Scores => KafkaRecords::Results(Box::new(ResultEncoder::json())),
        }
    }

    /// Hands every row of a batch on as a record, in order. Rejects are cut to the room that the
    /// topic has. Errors: `Sink`, and those of `send`.
    pub fn for_each(
        &self,
        rows: &RecordBatch,
        room: Room,
        send: &mut dyn FnMut(Outgoing<'_>) -> Result<()>,
    ) -> Result<()> {
        match self {
            KafkaRecords::Rejects => {
                RejectRows::of(rows)?.iter().try_for_each(|row| send_reject(&row, room, send))
            }
            KafkaRecords::Results(encoder) => encoder.for_each(rows, &mut |result| {
                let (key, value) = (Some(result.key.as_ref()), Some(result.value));
                send(Outgoing { key, value, headers: result.headers, is_cut: false })
            }),
        }
    }
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
