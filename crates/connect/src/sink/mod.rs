//! Sinks: where forecasts, scores and rejects go.
//! It must not know what the records mean. A new sink is one file here that has its spec and
//! implements [`SinkKind`] for it, and its line in [`SinkSpec`](crate::SinkSpec).

mod file;
mod file_spec;
mod kafka;
mod kafka_records;
mod kafka_spec;
mod kind;
mod reject_headers;
mod rewind;
mod room;
mod stdout;

pub use file::{CommittedLen, FileSink};
pub use file_spec::{FileSinkSpec, SinkFileFormat};
pub use kafka_records::{KafkaRecords, Outgoing, send_reject};
pub use kafka_spec::KafkaSinkSpec;
pub use kind::{Home, SinkKind};
pub use reject_headers::told_apart;
pub use room::{Room, size_of};
pub use stdout::StdoutSpec;
