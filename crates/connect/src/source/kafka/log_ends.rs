//! Where the logs of the assigned partitions end, and whether all of it was read.
//! It must not know what is committed, nor read records.
//!
//! A log may end with what is no record: the ends of transactions. So its end alone would leave a
//! lag of 1 for ever. librdkafka's statistics say more: the offset at which it has met the end, and
//! how many records it holds that were not polled yet. Where that is the end and these are none,
//! all is read, whatever the last offsets are.
//!
//! What is paused is fetched until its queue is full. Then nothing is heard of it: its end is asked
//! for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::statistics;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::{Offset, PartitionId};

/// How long the question for the ends of paused partitions may take.
const ASK: Duration = Duration::from_millis(500);
/// A broker that is asked for records answers far sooner, with none if need be.
const SILENT_US: i64 = 3_000_000;
/// A question that took long is asked less often: the source has to be polled.
const ASK_RARELY: u32 = 10;

/// The end of a partition's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogEnd {
    /// The offset after the last one that can be read: the last stable offset, where transactions
    /// count.
    pub end: Offset,
    /// Whether every record before it was polled.
    pub is_read: bool,
    /// Where fetching has come to.
    pub fetched: Offset,
}

impl LogEnd {
    /// What the statistics say of a partition; none, when nothing was fetched of it yet, or when
    /// its broker has not answered for a while: then they say what they said before.
    pub fn of(
        said: &statistics::Partition,
        brokers: &HashMap<String, statistics::Broker>,
    ) -> Option<(PartitionId, LogEnd)> {
        let answers = |broker: &statistics::Broker| {
            broker.nodeid == said.broker && (0..SILENT_US).contains(&broker.rxidle)
        };
        if !brokers.values().any(answers) {
            return None;
        }
        let is_read = said.eof_offset == said.ls_offset && said.fetchq_cnt == 0;
        let end = LogEnd { end: Offset(said.ls_offset), is_read, fetched: Offset(said.next_offset) };
        let is_known = said.partition >= 0 && said.ls_offset >= 0 && said.next_offset >= 0;
        is_known.then_some((PartitionId(said.partition), end))
    }

    /// What is still to be read, from the next record on, where that is known.
    pub fn unread(self, next: Option<Offset>) -> Range<Offset> {
        let next = next.unwrap_or(self.fetched);
        if self.is_read { next..next } else { next..self.end }
    }
}

/// Asks for the ends of partitions that are paused.
#[derive(Default)]
pub(super) struct PausedEnds {
    paused: BTreeSet<PartitionId>,
    not_before: Option<Instant>,
}

impl PausedEnds {
    /// A partition is paused, or goes on.
    pub fn set_paused(&mut self, partition: PartitionId, paused: bool) {
        if paused {
            self.paused.insert(partition);
        } else {
            self.paused.remove(&partition);
        }
    }

    /// Puts the ends of what is paused in place of what was heard last of it; without an answer
    /// that stays.
    pub fn ask(
        &mut self,
        consumer: &BaseConsumer<impl ConsumerContext>,
        topic: &str,
        ends: &mut BTreeMap<PartitionId, LogEnd>,
    ) {
        let now = Instant::now();
        if self.paused.is_empty() || self.not_before.is_some_and(|at| now < at) {
            return;
        }
        match self.answer(consumer, topic) {
            Ok(list) => list.elements().iter().for_each(|element| {
                if let (KafkaOffset::Offset(end), Ok(())) = (element.offset(), element.error())
                    && let Some(known) = ends.get_mut(&PartitionId(element.partition()))
                {
                    known.is_read &= known.end == Offset(end);
                    known.end = Offset(end);
                }
            }),
            Err(error) => tracing::debug!(%error, "cannot ask where the paused partitions end"),
        }
        self.not_before = Some(Instant::now() + now.elapsed() * ASK_RARELY);
    }

    fn answer(
        &self,
        consumer: &BaseConsumer<impl ConsumerContext>,
        topic: &str,
    ) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for partition in &self.paused {
            list.add_partition_offset(topic, partition.0, KafkaOffset::End)?;
        }
        // In place of a time it takes the end, and asks the leaders of all partitions at once.
        consumer.offsets_for_times(list, ASK)
    }
}
