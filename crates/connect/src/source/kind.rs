//! What a source says of itself before it is read, and how it is opened.
//! It must not know which sources there are.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Field;
use tickcast_stream::error::Result;
use tickcast_stream::message::EventTime;
use tickcast_stream::source::Source;

use crate::decode::{CsvStyle, RecordSchema, WireFormat};
use crate::kafka::{Group, KafkaClientSpec};

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTraits {
    /// It ends by itself.
    pub is_bounded: bool,
    /// Its windows stay open at its end: it may go on.
    pub leaves_open: bool,
    /// Others may read other partitions of it under the same name, and may have read before.
    pub is_shared: bool,
    /// It can be read again from a position.
    pub is_replayable: bool,
    /// A partition of which nothing is known has a past that is only learned.
    pub has_past: bool,
    /// Its records have times of its own.
    pub has_timestamps: bool,
    /// What rejects call it: the topic, the file.
    pub label: String,
    /// Names the input whose positions these are: a state must not go on in another input.
    pub identity: String,
    /// The wire format of its records, where the source says it and not the pipeline file.
    pub format: Option<WireFormat>,
}

/// What a source knows of its records before it is read.
#[derive(Debug, Clone, Default)]
pub struct SourceSchema {
    /// The column names of CSV records.
    pub header: Option<Vec<String>>,
    /// How the fields of CSV records are written.
    pub csv: Option<CsvStyle>,
    /// The fields of records that carry their types.
    pub fields: Option<Vec<Field>>,
    /// The schema of records that were written with one.
    pub definition: Option<RecordSchema>,
}

/// How a source is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Records of one batch, at most; none: the source's own choice. It cannot be seen in what
    /// comes out.
    pub batch_records: Option<usize>,
    /// When nothing has come of a partition for so long, the source says so; none: it does not.
    pub quiet_after: Option<Duration>,
    /// A directory that keeps the names of this pipeline's instances; none: an instance that is
    /// killed comes back as another one.
    pub instances: Option<PathBuf>,
}

/// Part of a source's past, by the times that Kafka itself has of its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// From the first record of this time or later; none: from the topic's beginning.
    pub from: Option<EventTime>,
    /// Before the first record of this time or later; none: to the topic's present end.
    pub to: Option<EventTime>,
}

/// A source, ready to be read.
pub struct OpenSource {
    /// The source itself.
    pub source: Box<dyn Source>,
    /// What it knows of its records.
    pub known: SourceSchema,
    /// Its place in its consumer group, for commits in its name.
    pub group: Option<Arc<dyn Group>>,
}

impl OpenSource {
    /// A source that is in no group and knows nothing of its records.
    pub fn of(source: impl Source + 'static) -> Self {
        OpenSource { source: Box::new(source), known: SourceSchema::default(), group: None }
    }
}

/// The consumer group that a source is read in.
#[derive(Debug, Clone, Copy)]
pub struct SourceGroup<'a> {
    /// The cluster.
    pub client: &'a KafkaClientSpec,
    /// The topic that the group's offsets are of.
    pub topic: &'a str,
    /// The group's name.
    pub name: &'a str,
}

/// A source's spec: says what the source is, and opens it.
pub trait SourceKind: Debug + Send + Sync {
    /// What the source is, without a look at it.
    fn traits(&self) -> SourceTraits;

    /// What the source knows of its records, where asking does not use records up. Errors:
    /// `Source`.
    fn known(&self) -> Result<SourceSchema> {
        Ok(SourceSchema::default())
    }

    /// How many partitions it has. Errors: `Source`; `Retry::Later` while no broker answers.
    fn partitions(&self) -> Result<i32>;

    /// Opens it for a run. Errors: `Source`.
    fn open(&self, options: OpenOptions) -> Result<OpenSource>;

    /// Opens its past, from the beginning to the end that it has now; of a topic, only the span. It
    /// joins no group and leaves no trace. Errors: `Source`.
    fn open_history(&self, span: Span) -> Result<OpenSource>;

    /// The consumer group that it is read in, where it has one.
    fn group(&self) -> Option<SourceGroup<'_>> {
        None
    }

    /// How its cluster is reached, where it has one.
    fn client(&self) -> Option<&KafkaClientSpec> {
        self.group().map(|group| group.client)
    }
}
