//! Which partitions the group has given us, their queues, and what it waits for us to say.
//! It must not read records, nor decide where a partition starts.
//!
//! A member that the group has shut out comes back under another name. librdkafka (2.12) does not
//! always say so: one with `group.instance.id` that is shut out within a rebalance goes on with
//! what it had, though others had it in between. So what is owned is owned under a name: under
//! another one nothing is committed, until all of it is lost and claimed anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::source::{Departure, Event};
use tickcast_stream::{Offset, PartitionId};

use super::context::{Context, Rebalance};
use super::queues::{Bell, PartitionQueues};

/// A consumer's partitions.
pub(super) struct Assignment {
    consumer: Arc<BaseConsumer<Context>>,
    context: Context,
    topic: String,
    /// Where what is fetched waits. A revoked partition's is not emptied any more.
    pub queues: PartitionQueues,
    /// Assigned partitions that are not started yet, and where those that are begin.
    starting: BTreeMap<PartitionId, Option<KafkaOffset>>,
    owned: BTreeSet<PartitionId>,
    /// Our new name, while what we owned under the old one is being let go of.
    renamed: Option<String>,
    /// Revoked partitions, those that are not released yet first: they go back together.
    releasing: BTreeSet<PartitionId>,
    released: BTreeSet<PartitionId>,
    /// The newest position told of each partition that is ours.
    committed: BTreeMap<PartitionId, Offset>,
}

impl Assignment {
    /// Nothing is ours yet. `bell` rings when a record comes.
    pub fn new(
        consumer: &Arc<BaseConsumer<Context>>,
        context: &Context,
        topic: &str,
        bell: &Arc<Bell>,
    ) -> Self {
        Assignment {
            consumer: Arc::clone(consumer),
            context: context.clone(),
            topic: topic.to_owned(),
            queues: PartitionQueues::new(bell),
            starting: BTreeMap::new(),
            owned: BTreeSet::new(),
            renamed: None,
            releasing: BTreeSet::new(),
            released: BTreeSet::new(),
            committed: BTreeMap::new(),
        }
    }

    /// Whether a partition is ours, and started.
    pub fn owns(&self, partition: PartitionId) -> bool {
        self.owned.contains(&partition)
    }

    /// Keeps a position of a partition that is ours, for [`Assignment::committed`].
    pub fn note_committed(&mut self, partition: PartitionId, position: Offset) {
        self.committed.insert(partition, position);
    }

    /// The newest position told of each partition that is ours.
    pub fn committed(&self) -> Vec<(PartitionId, Offset)> {
        let owned = self.committed.iter().filter(|(partition, _)| self.owned.contains(partition));
        owned.map(|(&partition, &position)| (partition, position)).collect()
    }

    /// Turns what the callbacks noted into events.
    pub fn take_rebalances(&mut self, events: &mut VecDeque<Event>) -> Result<()> {
        while let Some(rebalance) = self.context.inbox(|inbox| inbox.rebalances.pop_front()) {
            match rebalance {
                Rebalance::Assigned { partitions, member } => {
                    self.take_assigned(partitions, member, events)?;
                }
                Rebalance::Revoked { partitions, departure } => {
                    self.take_revoked(partitions, departure, events)
                }
            }
        }
        Ok(())
    }

    fn take_assigned(
        &mut self,
        mut partitions: Vec<PartitionId>,
        member: String,
        events: &mut VecDeque<Event>,
    ) -> Result<()> {
        let is_other = self.context.inbox(|inbox| inbox.member != member);
        if is_other && !self.owned.is_empty() {
            tracing::warn!(partitions = ?self.owned, "the group had shut us out: what we had is claimed anew");
            let stale: Vec<PartitionId> = self.owned.iter().copied().collect();
            self.take_revoked(stale.clone(), Departure::Lost, events);
            self.renamed = Some(member);
            partitions.extend(stale);
        } else if is_other {
            self.context.inbox(|inbox| inbox.member = member);
        }

        if partitions.is_empty() {
            self.assign_started()?;
        }
        self.starting.extend(partitions.iter().map(|&id| (id, None)));
        events.push_back(Event::Assigned(partitions));
        Ok(())
    }

    fn take_revoked(
        &mut self,
        partitions: Vec<PartitionId>,
        departure: Departure,
        events: &mut VecDeque<Event>,
    ) {
        for id in &partitions {
            self.owned.remove(id);
            self.queues.set_paused(*id, true);
            self.starting.remove(id);
            self.committed.remove(id);
            self.releasing.insert(*id);
        }
        events.push_back(Event::Revoked { partitions, departure });
    }

    /// The group has shut us out for good: all that is ours is lost.
    pub fn lose_all(&mut self, events: &mut VecDeque<Event>) {
        let all: BTreeSet<PartitionId> = self.owned.iter().chain(self.starting.keys()).copied().collect();
        if !all.is_empty() {
            self.take_revoked(all.into_iter().collect(), Departure::Lost, events);
        }
    }

    /// Whether every partition that was taken away is released.
    pub fn is_let_go(&self) -> bool {
        self.releasing.is_empty()
    }

    /// Says where an assigned partition starts.
    pub fn start(&mut self, partition: PartitionId, offset: KafkaOffset) -> Result<()> {
        self.starting.insert(partition, Some(offset));
        self.assign_started()
    }

    /// Reads a partition that is ours on from another place. librdkafka has stopped fetching it,
    /// and does not seek in what it does not fetch.
    pub fn restart(&mut self, partition: PartitionId, offset: Offset) -> Result<()> {
        let fail = || format!("cannot read partition {partition} on from {offset}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition.0, KafkaOffset::Offset(offset.0))
            .or_fail(Kind::Source, fail)?;
        self.consumer.incremental_unassign(&list).or_fail(Kind::Source, fail)?;
        self.queues.take(&self.consumer, &self.topic, partition)?;
        self.consumer.incremental_assign(&list).or_fail(Kind::Source, fail)
    }

    /// Tells librdkafka what it may fetch, once every assigned partition has its start.
    fn assign_started(&mut self) -> Result<()> {
        if self.starting.values().any(Option::is_none) {
            return Ok(());
        }
        let fail = || "cannot take the assigned partitions";

        let mut list = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.starting) {
            let offset = offset.unwrap_or(KafkaOffset::Invalid);
            list.add_partition_offset(&self.topic, partition.0, offset).or_fail(Kind::Source, fail)?;
            self.queues.take(&self.consumer, &self.topic, partition)?;
            self.owned.insert(partition);
        }

        self.consumer.incremental_assign(&list).or_fail(Kind::Source, fail)
    }

    /// Lets go of a revoked partition.
    pub fn release(&mut self, partition: PartitionId) -> Result<()> {
        if self.releasing.remove(&partition) {
            self.released.insert(partition);
        }
        self.unassign_released()
    }

    /// Gives the revoked partitions back, once all of them are released.
    fn unassign_released(&mut self) -> Result<()> {
        if !self.releasing.is_empty() {
            return Ok(());
        }
        if let Some(member) = self.renamed.take() {
            self.context.inbox(|inbox| inbox.member = member);
        }
        if self.released.is_empty() {
            return Ok(());
        }

        let released = std::mem::take(&mut self.released);
        let mut list = TopicPartitionList::new();
        for partition in &released {
            list.add_partition(&self.topic, partition.0);
        }
        let done = self.consumer.incremental_unassign(&list);
        // What waits there is of no assignment any more, and would stay until the next one.
        released.into_iter().for_each(|partition| self.queues.give_back(partition));
        done.or_fail(Kind::Source, || "cannot give partitions back")
    }

    /// Answers what librdkafka may still wait for, without a claim to anything.
    pub fn answer(&mut self, events: &mut VecDeque<Event>) -> Result<()> {
        self.take_rebalances(events)?;
        self.released.append(&mut self.releasing);
        self.unassign_released()?;
        self.starting.values_mut().for_each(|start| _ = start.get_or_insert(KafkaOffset::End));
        if self.starting.is_empty() { Ok(()) } else { self.assign_started() }
    }
}
