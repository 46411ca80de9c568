//! Where records come from and results go: sources, codecs, sinks and ledgers for Kafka and files,
//! and a generator.
//! It must not know windows, forecasts or SQL. It is the only crate that links Kafka's client.
//!
//! A spec says what a source or a sink is, and opens it. This reads a source to its end:
//!
//! ```
//! use std::time::Duration;
//!
//! use tickcast_connect::{GeneratorSpec, OpenOptions, Process, SourceKind};
//! use tickcast_stream::source::Event;
//!
//! let spec = GeneratorSpec {
//!     series: 3,
//!     ticks: 1000,
//!     rate: None,
//!     seed: 7,
//!     process: Process::Weather,
//!     partitions: 2,
//! };
//! let mut source = spec.open(OpenOptions::default())?.source;
//!
//! let (mut records_read, mut open_partitions) = (0, spec.partitions()?);
//! while open_partitions > 0 {
//!     match source.poll(Duration::from_millis(100))? {
//!         Event::Assigned(ids) => ids.into_iter().try_for_each(|id| source.start(id, None))?,
//!         Event::Records { records, .. } => records_read += records.len(),
//!         Event::End { .. } => open_partitions -= 1,
//!         _ => {}
//!     }
//! }
//! assert_eq!(records_read, 1000);
//! # tickcast_stream::error::Result::Ok(())
//! ```

mod decode;
mod durable_dir;
mod encode;
mod ends;
mod external_sort;
mod http;
pub mod ingest;
mod journal;
pub mod kafka;
pub mod ledger;
pub mod mqtt;
pub mod registry;
mod replay;
mod retry;
mod scarce;
mod secret;
mod sink;
mod source;
mod spec;
mod table;
mod tls;
mod topics;
mod whole_file;

pub use decode::{
    Ambiguous, Compute, ComputedValues, CsvHeader, CsvSpec, CsvStyle, DecodeSpec, Decoder, Envelope,
    FetchSchema, MAX_RECORD_BYTES, Melt, Nulls, NumberStyle, RecordColumn, RecordSchema, SchemaText,
    SeriesKey, Shape, TimeComputation, TimeCount, TimeFrom, TimeSpec, Tombstones, WireFormat, WriterSchemas,
    check_time_format, columns, csv_encoding, time_zone,
};
pub use encode::{
    KeyFormat, Numbering, PayloadFormat, PayloadSpec, ResultRegistry, ResultSchema, SubjectName,
    has_proto_number,
};
pub use ends::PipelineEnds;
pub use journal::{JournalSpec, Needed, Tail, journal_frames};
pub use kafka::{KafkaClientSpec, KafkaTopicSpec};
pub use replay::{Replay, ReplayFate};
pub use secret::Secret;
pub use sink::{
    CommittedLen, FileSink, FileSinkSpec, Home, KafkaRecords, KafkaSinkSpec, Room, SinkFileFormat, SinkKind,
    StdoutSpec,
};
pub use source::{
    FileEnd, FileFormat, FileOrder, FileSource, FileSourceSpec, GeneratedSource, GeneratorSpec, InTimeOrder,
    KafkaHistory, KafkaSource, KafkaSourceSpec, OnLoss, OpenOptions, OpenSource, PositionBeyondEnd, Process,
    SourceGroup, SourceKind, SourceSchema, SourceTraits, Span, StartFrom,
};
pub use spec::{SinkSpec, SinkSpecs, SourceSpec, StateSpec};
pub use topics::{Reached, reach_topics};
pub use whole_file::{read_whole, read_whole_text};
