//! What every Kafka client of tickcast needs: its configuration, and what a cluster says of a topic.
//! It must not read or write records.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::bindings::{rd_kafka_mem_free, rd_kafka_memberid};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::consumer::{
    BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, DefaultConsumerContext,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use tickcast_stream::error::{Error, Kind, Result};

use crate::spec::KafkaClientSpec;

/// How long a broker may take to tell of a topic.
pub const METADATA_TIMEOUT: Duration = Duration::from_secs(10);
const ADMIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A client configuration with the user's properties over our defaults.
pub fn client_config(client: &KafkaClientSpec, defaults: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &client.brokers).set("client.id", "tickcast");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in &client.properties {
        config.set(name, value);
    }
    config
}

/// A client, or what is wrong with its properties. librdkafka's own message would show the value, which may be a secret.
pub fn create<C, T: FromClientConfigAndContext<C>>(config: &ClientConfig, context: C) -> Result<T>
where
    C: ClientContext,
{
    config.create_with_context(context).map_err(|error| match error {
        KafkaError::ClientConfig(_, what, name, _) => Error::new(Kind::Config, format!("{what} ({name})")),
        other => Error::new(Kind::Config, "cannot make a Kafka client").because(other),
    })
}

/// Whether librdkafka takes the properties; no broker is asked. Errors: `Config`, without the values.
pub fn check_properties(client: &KafkaClientSpec) -> Result<()> {
    create::<_, BaseConsumer>(&client_config(client, &[("group.id", "tickcast")]), DefaultConsumerContext)
        .map(|_| ())
}

/// A consumer's place in its group, for those who commit in its name.
pub trait Group: Send + Sync {
    /// What a transaction needs to commit as this member: the broker refuses it once the group has moved on. None when
    /// the consumer has lost its place: what it would give then fences nobody.
    fn metadata(&self) -> Option<ConsumerGroupMetadata>;

    /// What is committed of these partitions; of one with an open transaction, the answer waits for its end.
    fn committed(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<TopicPartitionList>;
}

impl<C: ConsumerContext> Group for BaseConsumer<C> {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        let metadata = self.group_metadata();
        // In this order: a loss between the two calls is seen.
        metadata.filter(|_| !self.assignment_lost())
    }

    fn committed(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        partitions.iter().for_each(|&partition| _ = list.add_partition(topic, partition));
        let list = self.committed_offsets(list, timeout)?;
        list.elements().iter().try_for_each(|element| element.error())?;
        Ok(list)
    }
}

/// The name by which the group knows a consumer now; empty while it knows it by none. A member that was shut out comes back
/// under another name.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
pub fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives as long as `consumer`. The string is ours, ends with a zero, and is freed by who made it.
    unsafe {
        let id = rd_kafka_memberid(client);
        if id.is_null() {
            return String::new();
        }
        let name = CStr::from_ptr(id).to_string_lossy().into_owned();
        rd_kafka_mem_free(client, id.cast());
        name
    }
}

/// A member of a group that never joins it: for sources that are no topics. Nobody else may be in the group.
pub fn idle_member(client: &KafkaClientSpec, group: &str) -> Result<Arc<dyn Group>> {
    let mut config = client_config(client, &[("group.id", group)]);
    config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = create(&config, DefaultConsumerContext)?;
    Ok(Arc::new(consumer))
}

/// How many consumers are in a group now. Errors: `Source`; `Retry::Later` while no broker answers.
pub fn member_count(client: &KafkaClientSpec, group: &str) -> Result<usize> {
    let consumer: BaseConsumer = create(&client_config(client, &[]), DefaultConsumerContext)?;
    let list = consumer.fetch_group_list(Some(group), METADATA_TIMEOUT).map_err(|cause| {
        Error::transient(Kind::Source, format!("cannot ask who is in group {group}")).because(cause)
    })?;
    Ok(list.groups().iter().map(|group| group.members().len()).sum())
}

/// Makes a topic with this many partitions unless it exists. Errors: `Sink`; `Retry::Later` while no broker answers.
pub fn ensure_topic(
    client: &KafkaClientSpec,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = create(&client_config(client, &[]), DefaultClientContext)?;
    // -1: the broker's own default replication.
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let wanted = settings.iter().fold(wanted, |topic, (name, value)| topic.set(name, value));
    let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
    let made = futures::executor::block_on(admin.create_topics([&wanted], &options));
    let fail =
        |cause: String| Error::transient(Kind::Sink, format!("cannot make topic {topic}")).because(cause);
    match made.map_err(|cause| fail(cause.to_string()))?.pop() {
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(fail(code.to_string())),
        None => Err(fail("no answer".into())),
    }
}

/// Adds partitions to a topic until it has this many. Errors: as `ensure_topic`.
pub fn grow_topic(client: &KafkaClientSpec, topic: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = create(&client_config(client, &[]), DefaultClientContext)?;
    let wanted = NewPartitions::new(topic, partitions as usize);
    let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
    let grown = futures::executor::block_on(admin.create_partitions([&wanted], &options));
    let fail = |cause: String| {
        Error::transient(Kind::Sink, format!("cannot add partitions to topic {topic}")).because(cause)
    };
    match grown.map_err(|cause| fail(cause.to_string()))?.pop() {
        Some(Ok(_)) => Ok(()),
        Some(Err((_, code))) => Err(fail(code.to_string())),
        None => Err(fail("no answer".into())),
    }
}

/// What is wrong with a sink's topic: records keep their partition's number.
pub fn mismatch(topic: &str, found: i32, wanted: i32) -> String {
    format!("topic {topic} has {found} partitions, the source has {wanted}: they must be as many")
}

/// That a topic is not there yet.
pub fn no_topic(client: &KafkaClientSpec, topic: &str) -> Error {
    Error::transient(Kind::Source, format!("topic {topic} does not exist at {}", client.brokers))
}

/// Partitions of a topic, none if there is no such topic. Errors: `Source`; `Retry::Later` while no broker answers.
pub fn partition_count(client: &KafkaClientSpec, topic: &str) -> Result<Option<i32>> {
    let consumer: BaseConsumer = create(&client_config(client, &[]), DefaultConsumerContext)?;
    partitions_of(&consumer, topic, &client.brokers)
}

/// As `partition_count`, asked by a consumer that is there already.
pub fn partitions_of(consumer: &BaseConsumer, topic: &str, brokers: &str) -> Result<Option<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).map_err(|cause| {
        Error::transient(Kind::Source, format!("cannot reach Kafka at {brokers}")).because(cause)
    })?;
    match metadata.topics().first() {
        Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
            Ok(Some(found.partitions().len() as i32))
        }
        _ => Ok(None),
    }
}
