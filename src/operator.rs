//! The operator: a deterministic state machine over batches.
//! It must not read a clock, do IO, use a channel or be async: what it emits is a pure function of what it was given.

use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::message::{EventTime, Reject, Stream};

/// A step of the dataflow.
pub trait Operator: Send {
    /// A word for logs and metrics.
    fn name(&self) -> &'static str;

    /// Takes in one batch of rows, in order.
    fn on_batch(&mut self, batch: &RecordBatch, out: &mut Emitter) -> Result<()>;

    /// Learns that no record before `watermark` will come: [`EventTime::MAX`] ends the input.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut Emitter) -> Result<()>;

    /// The whole state. Restored at any record, the operator goes on with the same bytes.
    fn snapshot(&self) -> Result<Vec<u8>>;

    /// Takes back a state that `snapshot` made. Errors: `State`, when the bytes do not fit.
    fn restore(&mut self, state: &[u8]) -> Result<()>;

    /// Adds what the operator can say of itself.
    fn report(&self, stats: &mut Stats);
}

/// Where an operator puts what it makes.
#[derive(Debug, Default)]
pub struct Emitter {
    /// Batches for the next operator.
    pub next: Vec<RecordBatch>,
    /// Results for the sinks.
    pub results: Vec<(Stream, RecordBatch)>,
    /// Records that were not taken in.
    pub rejects: Vec<Reject>,
}

/// What a partition's operators say of themselves. Totals count from the partition's first record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    pub windows_closed: u64,
    pub windows_open: u64,
    pub series_active: u64,
    /// The latest event time seen less the lateness, in microseconds.
    pub watermark_us: Option<i64>,
    pub train_steps: u64,
    /// Of the newest step.
    pub train_loss: f64,
    /// Of the newest step, before clipping.
    pub gradient_norm: f64,
    pub model_rollbacks: u64,
}
