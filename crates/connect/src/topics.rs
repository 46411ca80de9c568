//! The topics of a pipeline: made where they are missing, and looked at before a run.
//! It must not read or write records.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::result;
use std::thread;

use tickcast_stream::error::{Error, Kind, Result};

use crate::ends::PipelineEnds;
use crate::kafka::{
    Cluster, KafkaClientSpec, KafkaTopicSpec, ensure_topic, grow_topic, mismatch, no_topic, partition_count,
    record_limits,
};
use crate::ledger::TOPIC_SETTINGS;

/// What was found at one end.
#[derive(Debug)]
pub struct Reached {
    /// The key of the pipeline file: `source`, `sinks.scores`, `state`.
    pub end: String,
    /// The topic, and how its cluster is reached.
    pub topic: KafkaTopicSpec,
    /// Its partitions, none if there is no such topic; or why nothing is known.
    pub found: result::Result<Option<i32>, String>,
    /// The bytes that it takes in a record (`max.message.bytes`), where the broker says it.
    pub record_limit: Option<usize>,
}

/// Asks for every topic of a pipeline, the source's first. All clusters are asked at the same time,
/// each over one connection; one that does not answer is not asked again.
pub fn reach_topics(ends: PipelineEnds<'_>) -> Vec<Reached> {
    let source = ends.source.client().map(|client| {
        let topic = KafkaTopicSpec { client: client.clone(), topic: ends.source.traits().label };
        ("source".to_owned(), topic)
    });
    let written = ends.topics_written().map(|(end, topic)| (end, topic.clone()));
    let wanted: Vec<(String, KafkaTopicSpec)> = source.into_iter().chain(written).collect();

    let mut clusters: Vec<(&KafkaClientSpec, Vec<(usize, &str)>)> = Vec::new();
    for (index, (_, KafkaTopicSpec { client, topic })) in wanted.iter().enumerate() {
        match clusters.iter_mut().find(|(of, _)| *of == client) {
            Some((_, topics)) => topics.push((index, topic)),
            None => clusters.push((client, vec![(index, topic)])),
        }
    }
    let mut found: Vec<(usize, Answer)> = thread::scope(|scope| {
        let asked: Vec<_> = clusters
            .into_iter()
            .map(|(client, topics)| scope.spawn(move || ask_cluster(client, &topics)))
            .collect();
        asked
            .into_iter()
            .flat_map(|cluster| cluster.join().unwrap_or_else(|cause| resume_unwind(cause)))
            .collect()
    });

    found.sort_by_key(|(index, _)| *index);
    let reached = wanted.into_iter().zip(found);
    reached
        .map(|((end, topic), (_, Answer { found, record_limit }))| Reached {
            end,
            topic,
            found,
            record_limit,
        })
        .collect()
}

/// What a cluster says of a topic: as in [`Reached`].
struct Answer {
    found: result::Result<Option<i32>, String>,
    record_limit: Option<usize>,
}

/// The answer for each topic of a cluster, with the index that came with it.
fn ask_cluster(client: &KafkaClientSpec, topics: &[(usize, &str)]) -> Vec<(usize, Answer)> {
    let opened = Cluster::open(client);
    let mut failed = opened.as_ref().err().map(Error::to_string);

    let mut ask = |topic: &str| match (&failed, &opened) {
        (None, Ok(cluster)) => cluster.partition_count(topic).map_err(|why| {
            let why = format!("cannot reach Kafka: {why}");
            failed = Some(why.clone());
            why
        }),
        _ => Err(failed.clone().unwrap_or_default()),
    };
    let found: Vec<_> = topics.iter().map(|&(index, topic)| (index, topic, ask(topic))).collect();
    let there: Vec<&str> =
        found.iter().filter(|(.., found)| matches!(found, Ok(Some(_)))).map(|(_, topic, _)| *topic).collect();
    let limits = if there.is_empty() { Ok(BTreeMap::new()) } else { record_limits(client, &there) };
    let limits = limits.unwrap_or_default();
    let answer = |(index, topic, found)| (index, Answer { found, record_limit: limits.get(topic).copied() });
    found.into_iter().map(answer).collect()
}

impl PipelineEnds<'_> {
    /// Makes the topics that are missing. Errors: `Sink`, when a topic has not as many partitions
    /// as the source: records keep their partition's number; `Retry::Later` while no broker
    /// answers.
    pub fn make_topics(self) -> Result<()> {
        let wanted = self.source.partitions()?;
        let state = self.state.and_then(|state| state.topic());
        for (_, KafkaTopicSpec { client, topic }) in self.topics_written() {
            let is_state = state.is_some_and(|state| state.topic == *topic);
            let found = match partition_count(client, topic)? {
                Some(found) => found,
                None => {
                    let settings: &[(&str, &str)] = if is_state { &TOPIC_SETTINGS } else { &[] };
                    ensure_topic(client, topic, wanted, settings)?;
                    partition_count(client, topic)?.ok_or_else(|| no_topic(client, topic))?
                }
            };

            // A topic that is read may have grown. The number of a generator's partitions is a
            // setting, which may be a mistake.
            if found < wanted && self.source.traits().is_shared {
                grow_topic(client, topic, wanted)?;
            } else if found != wanted {
                return Err(Error::new(Kind::Sink, mismatch(topic, found, wanted)));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use tickcast_stream::record::RecordShape;

    use super::*;
    use crate::encode::PayloadSpec;
    use crate::sink::KafkaSinkSpec;
    use crate::source::{GeneratorSpec, Process};
    use crate::spec::{SinkSpec, SinkSpecs, SourceSpec, StateSpec};

    #[test]
    fn clusters_are_asked_side_by_side_and_a_silent_one_once() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = silent.local_addr().unwrap().to_string();
        let topic = |brokers: &str, topic: &str| KafkaTopicSpec {
            client: KafkaClientSpec { brokers: brokers.to_owned(), ..KafkaClientSpec::default() },
            topic: topic.to_owned(),
        };
        let sink = |to| Some(SinkSpec::Kafka(KafkaSinkSpec { to, payload: PayloadSpec::default() }));
        let sinks = SinkSpecs {
            forecasts: sink(topic(&silent, "f")),
            scores: sink(topic("127.0.0.1:1", "s")),
            rejects: sink(topic("127.0.0.1:2", "r")),
        };
        let state = StateSpec::Kafka(topic(&silent, "kept"));
        let source = SourceSpec::Generate(GeneratorSpec {
            series: 1,
            ticks: 1,
            rate: None,
            seed: 1,
            process: Process::Market,
            partitions: 1,
        });

        let began = Instant::now();
        let shape = RecordShape { levels: &[], direction: false };
        let ends = PipelineEnds { name: "x", source: &source, sinks: &sinks, state: Some(&state), shape };
        let found = reach_topics(ends).into_iter().map(|reached| (reached.end, reached.found.unwrap_err()));
        let no_answer = format!("cannot reach Kafka: no answer from {silent} within 10 s");
        let refused = |at: &str| format!("cannot reach Kafka: connection refused at {at}");
        let expected = [
            ("sinks.forecasts", no_answer.clone()),
            ("sinks.scores", refused("127.0.0.1:1")),
            ("sinks.rejects", refused("127.0.0.1:2")),
            ("state", no_answer),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected.map(|(end, why)| (end.to_owned(), why)));
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    }
}
