//! Results as JSON objects.
//! It must not know where they go.

use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::record::{json_lines, lines};

use super::payloads::{Frame, Payloads};

/// The rows, an object each. Errors: `Sink`, where a column has no JSON.
pub(super) fn json_payloads(rows: &RecordBatch, frame: Frame) -> Result<Payloads> {
    let bytes = json_lines(rows)?;
    let places: Vec<_> = lines(&bytes).collect();
    if frame == Frame(None) {
        return Ok(Payloads { bytes: bytes.into(), places });
    }
    Payloads::of(places.len(), |row, framed| {
        frame.start(framed);
        framed.extend_from_slice(&bytes[places[row].clone()]);
        Ok(())
    })
}
