//! The operator: a deterministic state machine over batches.
//! It must not read a clock, do IO, use a channel or be async: what it emits is a pure function of
//! what it was given.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use tickcast_forecast::ForecasterStats;

use crate::error::Result;
use crate::far_behind::FarBehind;
use crate::message::{EventTime, Reject, Stream};

#[cfg(test)]
pub(crate) use crate::testing::Collected;

/// A state on its way out: the call makes its bytes.
pub type SnapshotWriter = Box<dyn FnOnce() -> Result<Vec<u8>> + Send>;

/// A step of the dataflow.
pub trait Operator: Send {
    /// A word for logs and metrics.
    fn name(&self) -> &'static str;

    /// Takes in one batch of rows, in order.
    fn on_batch(&mut self, batch: &RecordBatch, out: &mut dyn Output) -> Result<()>;

    /// Learns that no record before `watermark` will come: [`EventTime::MAX`] ends the input.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<()>;

    /// Does what it has put off because nothing that came out waits for it: at the latest when the
    /// next batch or `snapshot` needs it. What comes out does not show when. False: there was
    /// nothing.
    fn work_off(&mut self) -> bool {
        false
    }

    /// The whole state as of now; cheap: it is written out when called, later and on another
    /// thread, whatever the operator does meanwhile. Restored at any record, the operator goes on
    /// with the same bytes.
    fn snapshot(&mut self) -> SnapshotWriter;

    /// Takes back a state that `snapshot` made. Errors: `State`, when the bytes do not fit.
    fn restore(&mut self, state: &[u8]) -> Result<()>;

    /// Adds what the operator can say of itself.
    fn report(&self, stats: &mut OperatorStats);
}

/// Where an operator puts what it makes, piece by piece: one record can close a thousand windows,
/// and they need not be in memory together.
pub trait Output {
    /// A batch for the next operator, which takes it in before this returns.
    fn rows(&mut self, rows: RecordBatch) -> Result<()>;

    /// Records for a sink.
    fn results(&mut self, stream: Stream, records: RecordBatch) -> Result<()>;

    /// The results so far need not wait for what the operator does next, which takes long.
    fn send_on(&mut self) -> Result<()>;

    /// A record of the batch that is worked on was not taken in.
    fn reject(&mut self, reject: Reject);
}

/// What a partition's operators say of themselves. Totals count from the partition's first record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorStats {
    /// Windows closed since the first record.
    pub windows_closed: u64,
    /// Selected columns of closed windows that could not be computed since the first record.
    pub expressions_failed: u64,
    /// What failed first of each such column since the operator was made, by the column.
    pub failures: BTreeMap<String, String>,
    /// Windows that are open now.
    pub windows_open: u64,
    /// Records in open windows that the end of the input does not close.
    pub records_unfinished: u64,
    /// Series that are kept now.
    pub series_active: u64,
    /// Records that `where` has left out since the first record.
    pub records_filtered: u64,
    /// Records that were forgotten since the first one, although copies of them may still come.
    pub records_forgotten: u64,
    /// Series that were forgotten since the first record, because there were too many.
    pub series_forgotten: u64,
    /// Series that stand still while others go on, where the windows of each close by its own
    /// times.
    pub series_stale: u64,
    /// One series whose times are far behind those of the others.
    pub far_behind: Option<FarBehind>,
    /// The latest event time seen less the lateness, in microseconds.
    pub watermark_us: Option<i64>,
    /// What is said of each target, in the order of the records.
    pub targets: Vec<TargetStats>,
}

/// What is said of a target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetStats {
    /// The column that is forecast.
    pub target: Arc<str>,
    /// What its forecaster says.
    pub forecaster: ForecasterStats,
}
