//! A state topic for delivery at least once. States are written as they come, and a partition goes
//! on from its newest one.
//! It must not know what is committed.

use std::sync::Mutex;

use tickcast_stream::PartitionId;
use tickcast_stream::error::Result;
use tickcast_stream::ledger::{Snapshot, SnapshotStore};
use tickcast_stream::lock::lock;

use super::owner::TopicOwner;
use super::state::{StateTopic, StateWriter};
use crate::kafka::KafkaTopicSpec;

/// A topic that snapshots go to.
pub struct StateTopicStore {
    reader: StateTopic,
    writer: StateWriter,
    owner: Mutex<TopicOwner>,
}

impl StateTopicStore {
    /// For the pipeline of this name. Errors: `State`, when a client cannot be made.
    pub fn open(spec: &KafkaTopicSpec, pipeline: &str) -> Result<Self> {
        let KafkaTopicSpec { client, topic } = spec;
        Ok(StateTopicStore {
            reader: StateTopic::new(client, topic),
            writer: StateWriter::open(client, topic, pipeline)?,
            owner: Mutex::new(TopicOwner::new(pipeline)),
        })
    }
}

impl SnapshotStore for StateTopicStore {
    fn save(&self, snapshot: &Snapshot) -> Result<()> {
        self.writer.save(snapshot)
    }

    fn newest(&self, partition: PartitionId) -> Result<Option<Snapshot>> {
        lock(&self.owner).claim(&self.reader)?;
        self.reader.load(partition, None)
    }
}
