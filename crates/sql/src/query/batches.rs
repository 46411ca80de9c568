//! A blocking reader as a DataFusion stream, one batch after the other through a short queue.
//! It must not know what is read.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use tickcast_stream::table::Rows;
use tokio::sync::mpsc::Sender;

/// Batches read ahead of the query.
const AHEAD: usize = 2;

/// Where a reader puts its batches.
struct Batches(Sender<Result<RecordBatch>>);

impl Rows for Batches {
    fn send(&mut self, batch: RecordBatch) {
        let _ = self.0.blocking_send(Ok(batch));
    }

    fn is_wanted(&self) -> bool {
        !self.0.is_closed()
    }
}

/// Runs `read` on a thread for blocking work. An `Err` is told to whoever asked the query, as it
/// is.
pub fn stream(
    schema: SchemaRef,
    read: impl FnOnce(&mut dyn Rows) -> std::result::Result<(), String> + Send + 'static,
) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStream::builder(schema, AHEAD);
    let mut batches = Batches(builder.tx());
    builder.spawn_blocking(move || read(&mut batches).map_err(DataFusionError::Execution));
    builder.build()
}
