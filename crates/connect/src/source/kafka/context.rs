//! What librdkafka's threads and callbacks leave for the next poll, and our place in the group.
//! It must not answer the group: a rebalance is only noted here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tickcast_stream::source::Departure;

use super::log_ends::LogEnd;
use crate::kafka::{BrokerTrouble, Group, Life, member_id};
use tickcast_stream::lock::lock;
use tickcast_stream::{Offset, PartitionId};

pub(super) const OUTSIDE: &str = "the group has taken our partitions away, because it did not hear of us in time; it has to let us in again";

/// What callbacks have noted.
#[derive(Default)]
pub(super) struct CallbackInbox {
    pub rebalances: VecDeque<Rebalance>,
    /// Why no broker answers; over when one does.
    pub away: Option<String>,
    /// What a broker answered instead of records; over when records or partitions come, or brokers
    /// answer again.
    pub complaint: Option<String>,
    /// That there is no such topic; over when partitions of it come.
    pub missing: Option<String>,
    /// That the group has shut us out; over when it lets us in.
    pub outside: Option<&'static str>,
    /// Bytes that brokers have sent, as of the last statistics.
    pub received_bytes: u64,
    /// The ends of the logs, until they are told.
    pub log_ends: Option<BTreeMap<PartitionId, LogEnd>>,
    /// Commits that are not answered.
    pub committing: usize,
    /// The name under which the group gave us what we own.
    pub member: String,
    /// The group has given us a share of the partitions, maybe none of them.
    pub is_in: bool,
    /// Nobody polls any more: the group gets everything back at once.
    pub is_closing: bool,
}

impl CallbackInbox {
    /// What keeps records from coming, if anything does.
    pub fn problem(&self) -> Option<String> {
        let outside = || self.outside.map(str::to_owned);
        self.away.clone().or(self.missing.clone()).or(self.complaint.clone()).or_else(outside)
    }

    /// Brokers have answered.
    pub fn clear_troubles(&mut self) {
        (self.away, self.complaint) = (None, None);
    }
}

/// What the group has decided.
pub(super) enum Rebalance {
    Assigned { partitions: Vec<PartitionId>, member: String },
    Revoked { partitions: Vec<PartitionId>, departure: Departure },
}

/// The consumer's context.
#[derive(Clone, Default)]
pub(super) struct Context {
    inbox: Arc<Mutex<CallbackInbox>>,
}

impl Context {
    /// Works on what is noted; callbacks wait meanwhile.
    pub fn inbox<T>(&self, with: impl FnOnce(&mut CallbackInbox) -> T) -> T {
        with(&mut lock(&self.inbox))
    }

    /// Notes what came instead of a record, for the next `Idle`.
    pub fn complain(&self, topic: &str, error: &KafkaError) {
        tracing::debug!(%error, "kafka source");
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
            self.misses(topic);
        } else {
            self.inbox(|inbox| inbox.complaint = Some(format!("kafka: {error}")));
        }
    }

    /// Notes that there is no such topic.
    pub fn misses(&self, topic: &str) {
        let missing = format!("topic {topic} does not exist (waiting for it)");
        self.inbox(|inbox| inbox.missing = Some(missing));
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            // The source looks itself which records are gone.
            return tracing::debug!(%error, reason, "kafka source");
        }
        let why =
            BrokerTrouble::read(reason).map_or(format!("kafka: {reason}"), |trouble| trouble.to_string());
        let is_all_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        let is_known = self.inbox(|inbox| {
            let is_known = inbox.away.is_some();
            // That all are away says less than why one of them is.
            if !(is_known && is_all_down) {
                inbox.away = Some(why);
            }
            is_known
        });

        // librdkafka says so several times a second for as long as it lasts.
        if is_known {
            tracing::debug!(%error, reason, "kafka source");
        } else {
            tracing::warn!(%error, reason, "kafka source");
        }
    }

    /// Comes every second: the only word of a broker that is back while nothing is produced, and of
    /// the logs' ends.
    fn stats(&self, statistics: Statistics) {
        let answers = statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let log_ends = partitions.filter_map(|said| LogEnd::of(said, &statistics.brokers)).collect();
        self.inbox(|inbox| {
            if answers {
                inbox.clear_troubles();
            }
            inbox.received_bytes = u64::try_from(statistics.rx_bytes).unwrap_or_default();
            inbox.log_ends = Some(log_ends);
        });
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        // A commit that fails costs a longer replay, no record: the next one makes up for it.
        if let Err(error) = result {
            tracing::warn!(%error, ?offsets, "cannot commit");
        }
        self.inbox(|inbox| inbox.committing = inbox.committing.saturating_sub(1));
    }

    /// Only notes it. An assigned partition waits until the runner says where to start. A revoked
    /// one waits until it is released, and the group waits with it.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.inbox(|inbox| inbox.is_closing) {
            // The answer that librdkafka waits for; while it closes, it takes any for this one.
            _ = consumer.unassign();
            return;
        }

        let ids: Vec<PartitionId> =
            list.elements().iter().map(|element| PartitionId(element.partition())).collect();
        let member = member_id(consumer);
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(partitions = ?ids, "assigned");
            self.inbox(|inbox| {
                (inbox.missing, inbox.outside, inbox.is_in) = (None, None, true);
                inbox.rebalances.push_back(Rebalance::Assigned { partitions: ids, member });
            });
        } else {
            let lost = consumer.assignment_lost() || self.inbox(|inbox| inbox.member != member);
            tracing::info!(partitions = ?ids, lost, "revoked");
            let departure = if lost { Departure::Lost } else { Departure::Returned };
            self.inbox(|inbox| {
                inbox.outside = lost.then_some(OUTSIDE);
                inbox.rebalances.push_back(Rebalance::Revoked { partitions: ids, departure });
            });
        }
    }
}

/// Our place in the group, for commits in its name: that of the consumer that we read with.
pub(super) struct GroupMember {
    seat: Mutex<Seat>,
    life: Option<Life>,
}

#[derive(Clone)]
struct Seat {
    consumer: Arc<BaseConsumer<Context>>,
    context: Context,
}

impl GroupMember {
    /// The place of this consumer.
    pub fn new(consumer: &Arc<BaseConsumer<Context>>, context: &Context, life: Option<Life>) -> Self {
        let seat = Seat { consumer: Arc::clone(consumer), context: context.clone() };
        GroupMember { seat: Mutex::new(seat), life }
    }

    /// From now on we read with this consumer.
    pub fn sit_down(&self, consumer: &Arc<BaseConsumer<Context>>, context: &Context) {
        let seat = Seat { consumer: Arc::clone(consumer), context: context.clone() };
        // The former one ends when the lock is free: that may take a while.
        let former = std::mem::replace(&mut *lock(&self.seat), seat);
        drop(former);
    }

    fn seat(&self) -> Seat {
        lock(&self.seat).clone()
    }
}

impl Group for GroupMember {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        let Seat { consumer, context } = self.seat();
        let metadata = Group::metadata(&*consumer)?;
        // Names do not come back: if it is the right one now, it was so when the metadata was made.
        let member = member_id(&consumer);
        let is_known = !member.is_empty() && context.inbox(|inbox| inbox.member == member);
        is_known.then_some(metadata)
    }

    fn committed(
        &self,
        topic: &str,
        partitions: &[PartitionId],
        timeout: Duration,
    ) -> KafkaResult<TopicPartitionList> {
        Group::committed(&*self.seat().consumer, topic, partitions, timeout)
    }

    fn first_readable(&self, topic: &str, partition: PartitionId) -> Option<Offset> {
        Group::first_readable(&*self.seat().consumer, topic, partition)
    }

    fn life(&self) -> Option<Life> {
        self.life.clone()
    }
}
