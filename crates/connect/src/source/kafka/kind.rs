//! What a Kafka topic is as a source, and how it is opened.
//! It must not read it.

use tickcast_stream::error::Result;

use super::consumer::KafkaSource;
use super::history::KafkaHistory;
use super::settings::UNKNOWN;
use super::spec::{KafkaSourceSpec, StartFrom};
use crate::kafka::{no_topic, partition_count};
use crate::source::kind::{
    OpenOptions, OpenSource, SourceGroup, SourceKind, SourceSchema, SourceTraits, Span,
};

impl SourceKind for KafkaSourceSpec {
    fn traits(&self) -> SourceTraits {
        SourceTraits {
            is_bounded: false,
            leaves_open: false,
            is_shared: true,
            is_replayable: true,
            has_past: self.start == StartFrom::Warm,
            has_timestamps: true,
            label: self.topic.clone(),
            identity: format!("topic {}", self.topic),
            format: None,
        }
    }

    fn partitions(&self) -> Result<i32> {
        partition_count(&self.client, &self.topic)?.ok_or_else(|| no_topic(&self.client, &self.topic))
    }

    fn open(&self, options: OpenOptions) -> Result<OpenSource> {
        // A broker that does not answer yet is waited for later.
        let mut source =
            KafkaSource::open(self, self.partitions().unwrap_or(UNKNOWN), options.instances.as_deref())?;
        if let Some(records) = options.batch_records {
            source = source.with_batch_records(records);
        }
        source = source.with_quiet_after(options.quiet_after);

        let group = Some(source.group());
        Ok(OpenSource { source: Box::new(source), known: SourceSchema::default(), group })
    }

    fn open_history(&self, span: Span) -> Result<OpenSource> {
        Ok(OpenSource::of(KafkaHistory::open(self, span)?))
    }

    fn group(&self) -> Option<SourceGroup<'_>> {
        Some(SourceGroup { client: &self.client, topic: &self.topic, name: &self.group })
    }
}
