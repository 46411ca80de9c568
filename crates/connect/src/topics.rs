//! The topics of a pipeline: made where they are missing, and looked at before a run.
//! It must not read or write records.

use tickcast_stream::error::{Error, Kind, Result};

use crate::ends::PipelineEnds;
use crate::kafka::{ensure_topic, grow_topic, mismatch, no_topic, partition_count};
use crate::ledger::TOPIC_SETTINGS;
use crate::spec::KafkaTopicSpec;

/// What was found at one end.
#[derive(Debug)]
pub struct Reached {
    /// The key of the pipeline file: `source`, `sinks.scores`, `state`.
    pub end: String,
    /// The topic, and how its cluster is reached.
    pub topic: KafkaTopicSpec,
    /// Its partitions, none if there is no such topic; or why nothing is known.
    pub found: Result<Option<i32>>,
}

/// Asks for every topic of a pipeline, the source's first.
pub fn reach_topics(ends: PipelineEnds<'_>) -> Vec<Reached> {
    let source = ends.source.client().map(|client| {
        let topic = KafkaTopicSpec { client: client.clone(), topic: ends.source.traits().label };
        ("source".to_owned(), topic)
    });
    let written = ends.topics_written().map(|(end, topic)| (end, topic.clone()));
    let reach = |(end, topic): (String, KafkaTopicSpec)| Reached {
        found: partition_count(&topic.client, &topic.topic),
        end,
        topic,
    };
    source.into_iter().chain(written).map(reach).collect()
}

impl PipelineEnds<'_> {
    /// Makes the topics that are missing. Errors: `Sink`, when a topic has not as many partitions as the source: records keep
    /// their partition's number; `Retry::Later` while no broker answers.
    pub fn make_topics(self) -> Result<()> {
        let wanted = self.source.partitions()?;
        let state = self.state.and_then(|state| state.topic());
        for (_, KafkaTopicSpec { client, topic }) in self.topics_written() {
            let is_state = state.is_some_and(|state| state.topic == *topic);
            let settings: &[(&str, &str)] = if is_state { &TOPIC_SETTINGS } else { &[] };
            ensure_topic(client, topic, wanted, settings)?;

            let found = partition_count(client, topic)?.ok_or_else(|| no_topic(client, topic))?;
            // A topic that is read may have grown; how many a generator has is a choice, which may be a mistake.
            if found < wanted && self.source.traits().is_shared {
                grow_topic(client, topic, wanted)?;
            } else if found != wanted {
                return Err(Error::new(Kind::Sink, mismatch(topic, found, wanted)));
            }
        }
        Ok(())
    }
}
