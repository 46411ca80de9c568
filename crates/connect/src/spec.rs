//! What a pipeline reads and writes, checked and defaulted.
//! It must not know the pipeline file that it comes from.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tickcast_stream::Stream;

use crate::sink::{Home, SinkKind};
use crate::source::SourceKind;

/// A broker list and librdkafka properties; `Debug` hides the values of the properties.
#[derive(Clone, Default)]
pub struct KafkaClientSpec {
    pub brokers: String,
    /// librdkafka properties in the order of the file, secrets already read from their files.
    pub properties: Vec<(String, String)>,
}

impl std::fmt::Debug for KafkaClientSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("KafkaClientSpec").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

/// Where a pipeline's records come from.
#[derive(Debug, Clone)]
pub enum SourceSpec {
    /// A Kafka topic.
    Kafka(KafkaSourceSpec),
    /// A file or standard input.
    File(FileSourceSpec),
    /// Ticks that are made up.
    Generate(GeneratorSpec),
    /// Somebody else's source.
    Custom(Arc<dyn SourceKind>),
}

/// What all sources can say and do.
impl Deref for SourceSpec {
    type Target = dyn SourceKind;

    fn deref(&self) -> &Self::Target {
        match self {
            SourceSpec::Kafka(spec) => spec,
            SourceSpec::File(spec) => spec,
            SourceSpec::Generate(spec) => spec,
            SourceSpec::Custom(spec) => spec.as_ref(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct KafkaSourceSpec {
    pub client: KafkaClientSpec,
    pub topic: String,
    pub group: String,
    pub start: StartFrom,
}

/// Where a pipeline begins in a topic of which it has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum StartFrom {
    /// At its first record, to learn; forecasts and scores are put out from where it ends now. Of the past only rejects are.
    Warm,
    /// At its first record; all is put out.
    Earliest,
    /// At its end.
    Latest,
}

#[derive(Debug, Clone)]
pub struct FileSourceSpec {
    /// `-` is standard input.
    pub path: PathBuf,
    pub format: FileFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(Debug, Clone)]
pub struct GeneratorSpec {
    pub series: u32,
    pub ticks: u64,
    /// Ticks a second; none: as fast as the pipeline takes them.
    pub rate: Option<f64>,
    pub seed: u64,
    pub process: Process,
    pub partitions: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all(deserialize = "snake_case"))]
pub enum Process {
    Market,
    Weather,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFormat {
    Json,
    Csv,
}

#[derive(Debug, Clone, Default)]
pub struct SinkSpecs {
    pub forecasts: Option<SinkSpec>,
    pub scores: Option<SinkSpec>,
    pub rejects: Option<SinkSpec>,
}

impl SinkSpecs {
    /// The sinks that are topics.
    pub fn topics(&self) -> impl Iterator<Item = (Stream, &KafkaTopicSpec)> {
        self.all().filter_map(|(stream, sink)| Some((stream, sink.topic()?)))
    }

    /// The sinks that are directories.
    pub fn directories(&self) -> impl Iterator<Item = (Stream, &FileSinkSpec)> {
        self.all().filter_map(|(stream, sink)| Some((stream, sink.directory()?)))
    }

    /// Every sink that the file names, in the order of [`Stream::ALL`].
    pub fn all(&self) -> impl Iterator<Item = (Stream, &SinkSpec)> {
        Stream::ALL.into_iter().filter_map(|stream| Some((stream, self.of(stream)?)))
    }

    /// The sink of a stream, if the file names one.
    pub fn of(&self, stream: Stream) -> Option<&SinkSpec> {
        match stream {
            Stream::Forecasts => self.forecasts.as_ref(),
            Stream::Scores => self.scores.as_ref(),
            Stream::Rejects => self.rejects.as_ref(),
        }
    }
}

/// Where the records of a stream go.
#[derive(Debug, Clone)]
pub enum SinkSpec {
    /// Standard output, as JSON lines.
    Stdout(StdoutSpec),
    /// A directory.
    File(FileSinkSpec),
    /// A Kafka topic.
    Kafka(KafkaTopicSpec),
    /// Somebody else's sink.
    Custom(Arc<dyn SinkKind>),
}

/// What all sinks can say and do.
impl Deref for SinkSpec {
    type Target = dyn SinkKind;

    fn deref(&self) -> &Self::Target {
        match self {
            SinkSpec::Stdout(spec) => spec,
            SinkSpec::File(spec) => spec,
            SinkSpec::Kafka(spec) => spec,
            SinkSpec::Custom(spec) => spec.as_ref(),
        }
    }
}

/// Standard output has no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdoutSpec;

/// A directory that gets one file a partition, or several parts.
#[derive(Debug, Clone)]
pub struct FileSinkSpec {
    /// It is made where it is not there.
    pub dir: PathBuf,
    /// What is in the files.
    pub format: SinkFileFormat,
}

/// A topic that is written, and how its cluster is reached.
#[derive(Debug, Clone)]
pub struct KafkaTopicSpec {
    /// The cluster.
    pub client: KafkaClientSpec,
    /// The name of the topic.
    pub topic: String,
}

/// What is in the files of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkFileFormat {
    /// A JSON object a line.
    Ndjson,
    /// Parquet, in parts.
    Parquet,
}

/// Where states are kept.
#[derive(Debug, Clone)]
pub enum StateSpec {
    /// A directory.
    Dir(PathBuf),
    /// A topic.
    Kafka(KafkaTopicSpec),
}

impl StateSpec {
    /// What one commit with this state can span.
    pub fn home(&self) -> Home<'_> {
        match self {
            StateSpec::Dir(_) => Home::Files,
            StateSpec::Kafka(topic) => Home::Cluster(&topic.client.brokers),
        }
    }

    /// The topic, where it is one.
    pub fn topic(&self) -> Option<&KafkaTopicSpec> {
        match self {
            StateSpec::Dir(_) => None,
            StateSpec::Kafka(topic) => Some(topic),
        }
    }
}
