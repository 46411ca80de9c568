//! Results as Kafka records: a forecast or score as JSON under its series' name, a reject as it
//! came in, with headers.
//! It must not send them.

use arrow::array::{Array, AsArray};
use arrow::record_batch::RecordBatch;
use rdkafka::message::{Header, OwnedHeaders};
use tickcast_stream::error::Result;
use tickcast_stream::message::Stream;
use tickcast_stream::record::{RejectRows, json_lines, lines};

/// One record to send.
pub struct Outgoing<'a> {
    /// The series, where there is one.
    pub key: Option<&'a [u8]>,
    /// JSON, or the bytes of a rejected record.
    pub value: &'a [u8],
    /// Of a rejected record: why it was rejected, and where it comes from.
    pub headers: Option<OwnedHeaders>,
}

/// Hands every row of a stream's batch on as a record, in order. Errors: those of `send`.
pub fn for_each_record(
    stream: Stream,
    rows: &RecordBatch,
    send: &mut dyn FnMut(Outgoing<'_>) -> Result<()>,
) -> Result<()> {
    if stream == Stream::Rejects {
        return for_each_reject(rows, send);
    }

    let bytes = json_lines(rows)?;
    let series = rows.column(0).as_string::<i32>();
    for (row, line) in lines(&bytes).enumerate() {
        let key = series.is_valid(row).then(|| series.value(row).as_bytes());
        send(Outgoing { key, value: &bytes[line], headers: None })?;
    }
    Ok(())
}

fn for_each_reject(rows: &RecordBatch, send: &mut dyn FnMut(Outgoing<'_>) -> Result<()>) -> Result<()> {
    for row in RejectRows::of(rows)?.iter() {
        let (partition, offset) = (row.partition.to_string(), row.offset.to_string());
        let headers: [(&str, &str); 5] = [
            ("reason", row.reason),
            ("detail", row.detail),
            ("topic", row.topic),
            ("partition", &partition),
            ("offset", &offset),
        ];

        let headers = headers.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        send(Outgoing { key: None, value: row.value, headers: Some(headers) })?;
    }
    Ok(())
}
