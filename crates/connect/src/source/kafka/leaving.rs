//! How a consumer leaves its group, so that the group need not wait for its session to time out.
//! It must not read.

use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::{Offset, PartitionId};

use super::consumer::KafkaSource;
use super::context::Context;
use crate::kafka::{Owned, member_id};

/// How long leaving the group may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

impl KafkaSource {
    /// Commits without waiting: nobody knows when the brokers will answer.
    pub(super) fn commit_group(&self, positions: &[(PartitionId, Offset)]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for &(partition, position) in positions {
            list.add_partition_offset(&self.topic, partition.0, KafkaOffset::Offset(position.0))
                .or_fail(Kind::Source, || {
                    format!("cannot commit position {position} of partition {partition}")
                })?;
        }

        match commit_answered(&self.consumer, &list) {
            Ok(()) => self.context.inbox(|inbox| inbox.committing += 1),
            Err(error) => tracing::warn!(%error, ?positions, "cannot commit"),
        }
        Ok(())
    }

    /// Says what is durable, and leaves.
    pub(super) fn leave(&mut self) -> Result<()> {
        let last = self.assignment.committed();
        if !last.is_empty() {
            self.commit_group(&last)?;
        }
        let until = Instant::now() + LEAVE_WITHIN;
        let is_committed =
            self.poll_until(until, |source| source.context.inbox(|inbox| inbox.committing == 0))?;

        // Leaving now, the group need not wait for our session to time out.
        let was_member = self.identity.says_goodbye() && !member_id(&self.consumer).is_empty();
        self.consumer.unsubscribe();
        let has_left = |source: &Self| source.consumer.assignment().is_ok_and(|list| list.count() == 0);
        let is_left = self.poll_until(until, has_left)?;
        if !is_committed || !is_left {
            tracing::warn!("the brokers do not answer: the group learns by its time-out that we have left");
            // Its end would wait for their answers, in a call that has no limit: it is left behind.
            std::mem::forget(Arc::clone(&self.consumer));
        } else if was_member {
            self.say_goodbye(until)?;
        }
        Ok(())
    }

    /// A named consumer that ends before librdkafka has sent its leave would not send it any more:
    /// the group would keep its place. Its name in the group is gone when the leave is on its way.
    fn say_goodbye(&mut self, until: Instant) -> Result<()> {
        if self.poll_until(until, |source| member_id(&source.consumer).is_empty())? {
            self.identity.has_left();
        }
        Ok(())
    }

    /// Lets librdkafka work until something holds; false, when the time is up before. What is read
    /// meanwhile is not kept.
    fn poll_until(&mut self, end: Instant, holds: impl Fn(&Self) -> bool) -> Result<bool> {
        loop {
            self.assignment.answer(&mut self.ready)?;
            if holds(self) {
                return Ok(true);
            }
            if Instant::now() > end {
                return Ok(false);
            }
            _ = self.consumer.poll(Duration::from_millis(20));
        }
    }
}

/// Commits without waiting. The answer comes as an event of the consumer: of a commit that is given
/// no queue for it, librdkafka says nothing to who takes events.
#[expect(unsafe_code, reason = "librdkafka's call has no safe wrapper")]
fn commit_answered(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> KafkaResult<()> {
    let client = consumer.client().native_ptr();
    // SAFETY: the consumer lives longer than the call, which copies the list. The queue is released
    // by its guard; the call keeps what it needs of it.
    let code = unsafe {
        let queue = Owned(native::rd_kafka_queue_get_consumer(client), native::rd_kafka_queue_destroy);
        if queue.0.is_null() {
            return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownGroup));
        }
        native::rd_kafka_commit_queue(client, list.ptr(), queue.0, None, ptr::null_mut())
    };
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::ConsumerCommit(code)),
    }
}
