//! Ingest: from files, generators and topics to rows a partition.
//! It must not know windows or forecasts; it decodes, and hands on what cannot be decoded as rejects.

mod decode;
mod file;
mod frames;
mod generate;
mod generated;
mod kafka;
mod kafka_history;
mod source;
mod stdin;

pub use decode::{DecodeSpec, Decoded, Decoder, MAX_RECORD_BYTES, avro_fields, columns};
pub use file::FileSource;
pub use generated::GeneratedSource;
pub use kafka::KafkaSource;
pub use kafka_history::{KafkaHistory, Span};
pub use source::{Event, Source};
