//! An output that keeps everything.
//! It must not judge what it is given.

use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::message::{Reject, Stream};
use crate::operator::Output;

/// An output that keeps everything, to look at one operator alone.
#[derive(Debug, Default)]
pub struct Collected {
    /// Batches for the next operator.
    pub rows: Vec<RecordBatch>,
    /// Records for the sinks.
    pub results: Vec<(Stream, RecordBatch)>,
    /// Records that were not taken in.
    pub rejects: Vec<Reject>,
}

impl Output for Collected {
    fn rows(&mut self, rows: RecordBatch) -> Result<()> {
        self.rows.push(rows);
        Ok(())
    }

    fn results(&mut self, stream: Stream, records: RecordBatch) -> Result<()> {
        self.results.push((stream, records));
        Ok(())
    }

    fn send_on(&mut self) -> Result<()> {
        Ok(())
    }

    fn reject(&mut self, reject: Reject) {
        self.rejects.push(reject);
    }
}
