//! Sources: where records come from.
//! It must not decode. A new source is one file here that implements [`SourceKind`] for its spec, and its line in [`SourceSpec`].

mod file;
mod file_kind;
mod frames;
mod generate;
mod generated;
mod generated_kind;
mod kafka;
mod kafka_history;
mod kafka_kind;
mod kind;
mod stdin;

pub use file::FileSource;
pub use generated::GeneratedSource;
pub use kafka::KafkaSource;
pub use kafka_history::{KafkaHistory, Span};
pub use kind::{OpenOptions, OpenSource, SourceKind, SourceSchema, SourceTraits};
