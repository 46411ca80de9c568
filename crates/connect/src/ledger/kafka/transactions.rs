//! Kafka as the ledger: results, snapshots and the group's offsets in one transaction.
//! It must not decide what is in an epoch, nor when to try again.
//!
//! The metadata of an offset is the checkpoint. The group refuses what a zombie sends, because
//! every transaction carries the metadata of the generation in which its consumer got its
//! partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::Checkpoint;
use tickcast_stream::message::Stream;
use tickcast_stream::{LogChanged, LogId, Offset, PartitionId};

use crate::kafka::{BrokerLog, Group, KafkaClientSpec, METADATA_TIMEOUT, STEP, TopicWatch};
use crate::sink::KafkaRecords;

/// Where a pipeline's results, states and offsets are.
#[derive(Clone)]
pub struct KafkaLedger {
    /// The pipeline's name: the state topic is its own.
    pub pipeline: String,
    /// The cluster.
    pub client: KafkaClientSpec,
    /// Every stream that is written.
    pub topics: Vec<ResultTopic>,
    /// The state topic.
    pub state: String,
    /// The topic whose partitions the group's offsets are of: the source's, or for other sources
    /// the state's.
    pub offsets: String,
    /// The source's consumer, or one that never joins.
    pub group: Arc<dyn Group>,
    /// The group's name.
    pub group_id: String,
    /// Names this instance's transactions.
    pub id: String,
    /// Names those of the instance in whose place this one is, where that one was killed.
    pub former: Option<String>,
    /// Whether another consumer of the group may have other partitions. Otherwise a second instance
    /// is a mistake.
    pub shared: bool,
    /// Whether to begin anew where there are results and no commit says how far they go.
    pub bootstrap: bool,
}

/// A topic that results go to.
#[derive(Clone)]
pub struct ResultTopic {
    /// Whose results.
    pub stream: Stream,
    /// The name of the topic.
    pub topic: String,
    /// What makes their records.
    pub records: Arc<KafkaRecords>,
}

/// What the metadata of an offset says.
#[derive(Serialize, Deserialize)]
pub(super) struct OffsetMetadata {
    pub version: u32,
    pub writer: String,
    pub entry: Checkpoint,
    /// The topics that were written, where the broker has ids: what was committed to one that is
    /// made anew is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, LogId>,
}

pub(super) const NOTE_VERSION: u32 = 1;

impl KafkaLedger {
    /// What is committed of each partition, read from the metadata of its offset. An offset without
    /// our metadata says nothing.
    pub(super) fn notes(&self, list: &TopicPartitionList) -> Result<BTreeMap<PartitionId, OffsetMetadata>> {
        let mut notes = BTreeMap::new();
        for element in list.elements() {
            if !matches!(element.offset(), KafkaOffset::Offset(_)) || element.metadata().is_empty() {
                continue;
            }
            let Ok(note) = serde_json::from_str::<OffsetMetadata>(element.metadata()) else { continue };
            if note.version != NOTE_VERSION {
                let what = format!(
                    "the commits of group {} are of format version {}, which this tickcast does not read",
                    self.group_id, note.version
                );
                return Err(Error::new(Kind::State, what));
            }
            notes.insert(PartitionId(element.partition()), note);
        }
        Ok(notes)
    }

    /// What is committed of a partition now.
    pub fn entry(&self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        let list = self.group.committed(&self.offsets, &[partition], STEP);
        let list = list.or_fail(Kind::State, || {
            format!("cannot read what group {} has committed of partition {partition}", self.group_id)
        })?;
        Ok(self.notes(&list)?.remove(&partition).map(|note| note.entry))
    }

    /// The first record of a partition of the source that can still be read. None: it is not known
    /// now, or the source is no topic.
    pub(super) fn first_readable(&self, partition: PartitionId) -> Option<Offset> {
        // Of another source the group's offsets are of the state topic.
        let is_source = self.offsets != self.state;
        is_source.then(|| self.group.first_readable(&self.offsets, partition))?
    }

    /// A watch over the topics that are written, which knows their ids. Errors: `Retry::Later`
    /// while no broker answers.
    pub(super) fn watch(&self) -> Result<TopicWatch<BrokerLog>> {
        let mut watch = TopicWatch::of_topics(&self.client, self.written().map(str::to_owned).collect())?;
        let fail = |error| Error::transient(Kind::Sink, "cannot ask for the ids of topics").because(error);
        watch.ask(METADATA_TIMEOUT).map_err(fail)?;
        Ok(watch)
    }

    /// That a topic that was written is another one now, and what to do about it.
    pub(super) fn gone(&self, changed: &LogChanged) -> Error {
        let way = if changed.name == self.state {
            "The states are gone with it: `run --rebuild` makes them again from the input"
        } else {
            "The results that were committed to it are gone: `run --bootstrap` goes on without them"
        };
        Error::new(Kind::State, format!("{changed} {way}"))
    }

    pub(super) fn written(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(|to| to.topic.as_str()).chain([self.state.as_str()])
    }
}
