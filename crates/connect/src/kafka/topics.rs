//! Topics: how many partitions they have, and how they are made and grow.
//! It must not read or write records.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use tickcast_stream::error::{Error, Kind, Result};

use super::client::{METADATA_TIMEOUT, create};
use super::cluster::{Cluster, away, count_in};
use super::config::client_config;
use super::spec::KafkaClientSpec;
use super::trouble::BrokerLog;

const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// Partitions of a topic, none if there is no such topic. Errors: `Source`; `Retry::Later` while no
/// broker answers.
pub fn partition_count(client: &KafkaClientSpec, topic: &str) -> Result<Option<i32>> {
    Cluster::open(client)?.partition_count(topic).map_err(|why| away(Kind::Source, why))
}

/// As [`partition_count`], asked by a consumer that is there already.
pub fn partitions_of(consumer: &BaseConsumer<BrokerLog>, topic: &str) -> Result<Option<i32>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), METADATA_TIMEOUT)
        .map_err(|error| away(Kind::Source, consumer.context().explain(&error)))?;
    Ok(count_in(&metadata))
}

/// Makes a topic with this many partitions unless it exists. Errors: `Sink`; `Retry::Later` while
/// no broker answers.
pub fn ensure_topic(
    client: &KafkaClientSpec,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<()> {
    // -1: the broker's own default replication.
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let wanted = settings.iter().fold(wanted, |topic, (name, value)| topic.set(name, value));

    let made = block_on(admin(client)?.create_topics([&wanted], &options()));
    match only(made) {
        Ok(()) | Err(NotDone { code: Some(RDKafkaErrorCode::TopicAlreadyExists), .. }) => Ok(()),
        Err(NotDone { why, .. }) => {
            Err(Error::transient(Kind::Sink, format!("cannot make topic {topic}")).because(why))
        }
    }
}

/// Adds partitions to a topic until it has this many. Errors: as [`ensure_topic`].
pub fn grow_topic(client: &KafkaClientSpec, topic: &str, partitions: i32) -> Result<()> {
    let wanted = NewPartitions::new(topic, partitions as usize);
    let grown = block_on(admin(client)?.create_partitions([&wanted], &options()));
    only(grown).map_err(|NotDone { why, .. }| {
        Error::transient(Kind::Sink, format!("cannot add partitions to topic {topic}")).because(why)
    })
}

/// A client for such questions. Errors: `Config`, when librdkafka refuses the properties.
pub(super) fn admin(client: &KafkaClientSpec) -> Result<AdminClient<DefaultClientContext>> {
    create(&client_config(client, &[]), DefaultClientContext)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT))
}

/// Why a topic is not as it was wanted.
struct NotDone {
    /// The broker's answer, if it gave one.
    code: Option<RDKafkaErrorCode>,
    why: String,
}

/// The answer of a call for one topic.
fn only(answer: KafkaResult<Vec<TopicResult>>) -> std::result::Result<(), NotDone> {
    let not_asked = |why: String| NotDone { code: None, why };
    match answer.map_err(|cause| not_asked(cause.to_string()))?.pop() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(NotDone { code: Some(code), why: code.to_string() }),
        None => Err(not_asked("no answer".to_owned())),
    }
}

/// That a topic that is written has another number of partitions than the source. Records keep
/// their partition's number, so both must be the same.
pub fn mismatch(topic: &str, found: i32, wanted: i32) -> String {
    format!("topic {topic} has {found} partitions, the source has {wanted}: they must be as many")
}

/// That a topic is not there yet.
pub fn no_topic(client: &KafkaClientSpec, topic: &str) -> Error {
    Error::transient(Kind::Source, format!("topic {topic} does not exist at {}", client.brokers))
}
