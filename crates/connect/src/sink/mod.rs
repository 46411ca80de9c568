//! Sinks: where forecasts, scores and rejects go.
//! It must not know what the records mean. A new sink is one file here that implements [`SinkKind`] for its spec, and its line
//! in `SinkSpec`.

mod file;
mod kafka;
mod kafka_records;
mod kind;
mod stdout;

pub use file::{CommittedLen, FileSink};
pub use kafka_records::{Outgoing, for_each_record};
pub use kind::{Home, SinkKind};
