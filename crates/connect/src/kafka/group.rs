//! Consumer groups: who commits in a group's name, and who is in it.
//! It must not decide what is committed.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings::{rd_kafka_mem_free, rd_kafka_memberid};
use rdkafka::consumer::{
    BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, DefaultConsumerContext,
};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionList;
use tickcast_stream::error::{Kind, Result};
use tickcast_stream::{Offset, PartitionId};

use super::client::create;
use super::cluster::{Cluster, away};
use super::config::client_config;
use super::login::Login;
use super::spec::KafkaClientSpec;

/// How long an answer may take without which one can do.
const AT_ONCE: Duration = Duration::from_secs(1);

/// One life of an instance: from its start to its end, however it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// Nobody else has it.
    pub id: String,
    /// That of the instance in whose place this one is, where that one was killed.
    pub former: Option<String>,
}

/// A consumer's place in its group, for those who commit in its name.
pub trait Group: Send + Sync {
    /// What a transaction needs to commit as this member: the broker refuses it once the group has
    /// moved on. None when the consumer has lost its place: what it would give then fences nobody.
    fn metadata(&self) -> Option<ConsumerGroupMetadata>;

    /// What is committed of these partitions. The answer of a partition with an open transaction
    /// waits for the transaction's end.
    fn committed(
        &self,
        topic: &str,
        partitions: &[PartitionId],
        timeout: Duration,
    ) -> KafkaResult<TopicPartitionList>;

    /// The first record of a partition that is still there; none, where no broker says it at once.
    fn first_readable(&self, topic: &str, partition: PartitionId) -> Option<Offset>;

    /// The life of the instance that this is the place of, where a directory keeps account of it.
    fn life(&self) -> Option<Life> {
        None
    }
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
        partitions: &[PartitionId],
        timeout: Duration,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        partitions.iter().for_each(|&partition| _ = list.add_partition(topic, partition.0));
        let list = self.committed_offsets(list, timeout)?;
        list.elements().iter().try_for_each(|element| element.error())?;
        Ok(list)
    }

    fn first_readable(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        let marks = self.fetch_watermarks(topic, partition.0, AT_ONCE).ok()?;
        Some(Offset(marks.0))
    }
}

/// The name by which the group knows a consumer now; empty while it knows it by none. A member that
/// was shut out comes back under another name.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
pub fn member_id<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives as long as `consumer`. The string is ours, ends with a zero, and is
    // freed by the library that made it.
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

/// A member of a group that never joins it: for sources that are no topics. Nobody else may be in
/// the group.
pub fn idle_member(client: &KafkaClientSpec, group: &str) -> Result<Arc<dyn Group>> {
    let login = Login::of(client);
    let mut config = client_config(client, &[("group.id", group)]);
    config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    let consumer = create(&config, DefaultConsumerContext)?;
    Ok(Arc::new(IdleMember { consumer, login }))
}

/// A consumer that reads nothing, and whose login has to be kept up.
struct IdleMember {
    consumer: BaseConsumer,
    login: Login,
}

impl Group for IdleMember {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.login.renew(&self.consumer);
        Group::metadata(&self.consumer)
    }

    fn committed(
        &self,
        topic: &str,
        partitions: &[PartitionId],
        timeout: Duration,
    ) -> KafkaResult<TopicPartitionList> {
        self.login.renew(&self.consumer);
        Group::committed(&self.consumer, topic, partitions, timeout)
    }

    fn first_readable(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        Group::first_readable(&self.consumer, topic, partition)
    }
}

/// How many consumers are in a group now. Errors: `Source`; `Retry::Later` while no broker answers.
pub fn member_count(client: &KafkaClientSpec, group: &str) -> Result<usize> {
    Cluster::open(client)?.member_count(group).map_err(|why| away(Kind::Source, why))
}
