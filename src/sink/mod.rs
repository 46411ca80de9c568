//! Sinks: where forecasts, scores and rejects go.
//! It must not know what the records mean. A new sink is one file here, its plan, and its line in [`open`].

mod encode;
mod file;
mod kafka;
mod kafka_records;
mod patience;
mod pulse;
mod stdout;

use arrow::record_batch::RecordBatch;

use crate::config::plan::{Plan, SinkPlan};
use crate::error::Result;
use crate::message::Stream;

pub use encode::json_lines;
pub use file::{Extent, FileSink};
pub use kafka_records::{Outgoing, for_each_record};
pub use patience::Patience;
pub use pulse::Pulse;

/// One stream's destination.
pub trait Sink: Send {
    /// Gets ready for a partition. `resume`: earlier records of it stay and new ones follow them; otherwise the
    /// partition is written anew from its first record.
    fn begin(&mut self, partition: i32, resume: bool) -> Result<()>;

    /// Takes records of a partition, in order.
    fn write(&mut self, partition: i32, rows: &RecordBatch) -> Result<()>;

    /// Makes what was written visible to readers, as far as that is cheap.
    fn flush(&mut self) -> Result<()>;

    /// Makes all that was written durable before it returns.
    fn sync(&mut self) -> Result<()>;
}

/// Opens the sink of a stream.
pub fn open(plan: &SinkPlan, stream: Stream, patience: &Patience) -> Result<Box<dyn Sink>> {
    Ok(match plan {
        SinkPlan::Stdout => Box::new(stdout::StdoutSink::new()),
        SinkPlan::File { dir, format } => Box::new(file::FileSink::open(dir, *format, stream)?),
        SinkPlan::Kafka { client, topic } => {
            Box::new(kafka::KafkaSink::open(client, topic, stream, patience.clone())?)
        }
    })
}

/// The sinks of a pipeline that its file names, in the order of [`Stream::ALL`].
pub fn open_all(plan: &Plan, patience: &Patience) -> Result<Vec<(Stream, Box<dyn Sink>)>> {
    let mut sinks = Vec::new();
    for stream in Stream::ALL {
        if let Some(sink) = plan.sinks.of(stream) {
            sinks.push((stream, open(sink, stream, patience)?));
        }
    }
    Ok(sinks)
}
