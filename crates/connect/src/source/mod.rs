//! Sources: where records come from.
//! It must not decode. A new source is one file here that has its spec and implements
//! [`SourceKind`] for it, and its line in [`SourceSpec`](crate::SourceSpec).

mod avro_blocks;
mod avro_records;
mod compressed;
mod csv_file;
mod csv_sample;
mod file;
mod file_batch;
mod file_identity;
mod file_kind;
mod file_list;
mod file_reader;
mod file_sequence;
mod file_spec;
mod files_id;
mod frames;
mod generator;
mod kafka;
mod kind;
mod name_order;
mod name_pattern;
mod parquet_leaves;
mod parquet_rows;
mod quiet;
mod sequence_id;
mod stdin;
mod ticks;
mod time_order;

pub use file::FileSource;
pub use file_spec::{FileEnd, FileFormat, FileOrder, FileSourceSpec};
pub use generator::GeneratedSource;
pub use kafka::{KafkaHistory, KafkaSource, KafkaSourceSpec, OnLoss, PositionBeyondEnd, StartFrom};
pub use kind::{OpenOptions, OpenSource, SourceGroup, SourceKind, SourceSchema, SourceTraits, Span};
pub(crate) use quiet::QuietWatch;
pub use ticks::{GeneratorSpec, Process};
pub use time_order::InTimeOrder;
