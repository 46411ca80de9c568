//! Where records come from and results go: sources, codecs, sinks and ledgers for Kafka and files, and a generator.
//! It must not know windows, forecasts or SQL. It is the only crate that links Kafka's client.

mod decode;
mod ends;
pub mod kafka;
pub mod ledger;
mod sink;
mod source;
mod spec;
mod table;
mod topics;

pub use decode::{DecodeSpec, Decoder, MAX_RECORD_BYTES, avro_fields, columns};
pub use ends::PipelineEnds;
pub use sink::{CommittedLen, FileSink, Home, SinkKind, for_each_record};
pub use source::{
    FileSource, GeneratedSource, KafkaHistory, KafkaSource, OpenOptions, OpenSource, SourceKind,
    SourceSchema, SourceTraits, Span,
};
pub use spec::{
    FileFormat, FileSinkSpec, FileSourceSpec, GeneratorSpec, KafkaClientSpec, KafkaSourceSpec,
    KafkaTopicSpec, Process, SinkFileFormat, SinkSpec, SinkSpecs, SourceSpec, StartFrom, StateSpec,
    StdoutSpec, WireFormat,
};
pub use topics::{Reached, reach_topics};
