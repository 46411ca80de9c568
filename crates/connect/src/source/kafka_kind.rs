//! A Kafka topic as a pipeline's source.
//! It must not read records.

use tickcast_stream::error::Result;

use super::kafka::KafkaSource;
use super::kafka_history::{KafkaHistory, Span};
use super::kind::{OpenOptions, OpenSource, SourceKind, SourceSchema, SourceTraits};
use crate::kafka::{no_topic, partition_count};
use crate::spec::{KafkaClientSpec, KafkaSourceSpec, StartFrom};

impl SourceKind for KafkaSourceSpec {
    fn traits(&self) -> SourceTraits {
        SourceTraits {
            is_bounded: false,
            is_shared: true,
            is_replayable: true,
            has_past: self.start == StartFrom::Warm,
            label: self.topic.clone(),
            identity: format!("topic {}", self.topic),
            format: None,
        }
    }

    fn partitions(&self) -> Result<i32> {
        partition_count(&self.client, &self.topic)?.ok_or_else(|| no_topic(&self.client, &self.topic))
    }

    fn open(&self, options: OpenOptions) -> Result<OpenSource> {
        let mut source = KafkaSource::open(self)?;
        if let Some(records) = options.batch_records {
            source = source.with_batch_records(records);
        }
        let group = Some(source.group());
        Ok(OpenSource { source: Box::new(source), known: SourceSchema::default(), group })
    }

    fn open_history(&self, span: Span) -> Result<OpenSource> {
        Ok(OpenSource::of(KafkaHistory::open(self, span)?))
    }

    fn client(&self) -> Option<&KafkaClientSpec> {
        Some(&self.client)
    }
}
