//! What a pipeline reads and writes, checked and defaulted.
//! It must not know the pipeline file that it comes from.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use tickcast_stream::Stream;

use crate::journal::JournalSpec;
use crate::kafka::KafkaTopicSpec;
use crate::sink::{FileSinkSpec, Home, KafkaSinkSpec, SinkKind, StdoutSpec};
use crate::source::{FileSourceSpec, GeneratorSpec, KafkaSourceSpec, SourceKind};

/// Where a pipeline's records come from.
#[derive(Debug, Clone)]
pub enum SourceSpec {
    /// A Kafka topic.
    Kafka(KafkaSourceSpec),
    /// A file or standard input.
    File(FileSourceSpec),
    /// Ticks that are made up.
    Generate(GeneratorSpec),
    /// A journal, which ingestion writes.
    Journal(JournalSpec),
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
            SourceSpec::Journal(spec) => spec,
            SourceSpec::Custom(spec) => spec.as_ref(),
        }
    }
}

/// Where a pipeline's results go; what has no sink is not written.
#[derive(Debug, Clone, Default)]
pub struct SinkSpecs {
    /// The forecasts.
    pub forecasts: Option<SinkSpec>,
    /// What became of the forecasts, once the truth is known.
    pub scores: Option<SinkSpec>,
    /// The records that could not be used, and why.
    pub rejects: Option<SinkSpec>,
}

impl SinkSpecs {
    /// The sinks that are topics.
    pub fn topics(&self) -> impl Iterator<Item = (Stream, &KafkaTopicSpec)> {
        self.kafka().map(|(stream, sink)| (stream, &sink.to))
    }

    /// The sinks that are topics, with how results are written there.
    pub fn kafka(&self) -> impl Iterator<Item = (Stream, &KafkaSinkSpec)> {
        self.all().filter_map(|(stream, sink)| Some((stream, sink.kafka()?)))
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
    Kafka(KafkaSinkSpec),
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
