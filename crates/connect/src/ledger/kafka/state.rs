//! The state topic: snapshots as records of the partition they are of, in chunks.
//! It must not know what is committed; it finds what it is asked for, or says what is missing.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::chunk::{Assembly, chunks_of, decode};
use tickcast_stream::ledger::{Chunk, Snapshot, SnapshotRef};
use tickcast_stream::{Offset, PartitionId};

use super::reports::{NO_MARK, Reported, Reports};
use crate::kafka::{
    KafkaClientSpec, METADATA_TIMEOUT, Purpose, ReadingConsumer, TopicPartition, Visible, client_config,
    create, log_range, read_to_end, reading_consumer,
};

/// Settings of a state topic that we make: it is emptied by us alone.
pub const TOPIC_SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
/// How long nothing may come before a claim is tried again.
const SILENCE: Duration = Duration::from_secs(10);
const FLUSH: Duration = Duration::from_secs(60);

/// The state topic of a pipeline.
pub struct StateTopic {
    client: KafkaClientSpec,
    topic: String,
    /// Consumers are made when they are needed, and kept: making one takes longer than reading.
    committed: OnceLock<ReadingConsumer>,
    all: OnceLock<ReadingConsumer>,
}

impl StateTopic {
    /// No broker is asked yet.
    pub fn new(client: &KafkaClientSpec, topic: &str) -> Self {
        let (client, topic) = (client.clone(), topic.to_owned());
        StateTopic { client, topic, committed: OnceLock::new(), all: OnceLock::new() }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The snapshot that `named` names, or the newest whole one there is. Errors: `State`, when the
    /// named one is not whole, or when there are only damaged ones; `Retry::Later` while an open
    /// transaction hides what comes after its beginning.
    pub fn load(&self, partition: PartitionId, named: Option<SnapshotRef>) -> Result<Option<Snapshot>> {
        let (found, _) = self.look(partition, named)?;
        if found.is_some() && named.is_some() {
            return Ok(found);
        }

        let place = format!("state topic {} partition {partition}", self.topic);
        if self.is_hidden(partition)? {
            let what = format!(
                "{place}: an open transaction hides its end; waiting until it is over \
                     (should it last, `kafka-transactions.sh find-hanging` tells whose it is)"
            );
            return Err(Error::transient(Kind::State, what));
        }

        // What was hidden may have come out between the two.
        let (found, damage) = self.look(partition, named)?;
        let not_whole = match (&found, named, damage) {
            (Some(_), ..) | (None, None, None) => return Ok(found),
            (None, Some(SnapshotRef { position, chunks, .. }), damage) => format!(
                "{place}: the snapshot at position {position} ({chunks} chunks), which the last commit names, is not \
                 whole: {}; `run --rebuild` learns anew from the topic's beginning",
                damage.unwrap_or_else(|| "records are missing".into())
            ),
            (None, None, Some(damage)) => {
                format!("{place}: {damage}, and no snapshot is whole; `run --rebuild` learns anew")
            }
        };
        Err(Error::new(Kind::State, not_whole))
    }

    /// What is there to be seen: the wanted snapshot, and what is damaged.
    fn look(
        &self,
        partition: PartitionId,
        named: Option<SnapshotRef>,
    ) -> Result<(Option<Snapshot>, Option<String>)> {
        let mut assembly = Assembly::default();
        let mut damage: Option<String> = None;
        self.read(TopicPartition { topic: &self.topic, partition }, &mut |offset, value| {
            match decode(value) {
                Ok(piece) if piece.head.partition == partition => assembly.add(piece),
                Ok(piece) => {
                    let why =
                        format!("the record at offset {offset} is of partition {}", piece.head.partition);
                    damage.get_or_insert(why);
                }
                Err(why) => _ = damage.get_or_insert_with(|| format!("the record at offset {offset} {why}")),
            }
            ControlFlow::Continue(())
        })?;
        Ok((assembly.whole(partition, named), damage))
    }

    /// A consumer of what is committed.
    pub(super) fn consumer(&self) -> Result<&ReadingConsumer> {
        self.consumer_of(&self.committed, Visible::Committed)
    }

    fn consumer_of<'a>(
        &self,
        cell: &'a OnceLock<ReadingConsumer>,
        visible: Visible,
    ) -> Result<&'a ReadingConsumer> {
        if let Some(consumer) = cell.get() {
            return Ok(consumer);
        }
        let made = reading_consumer(&self.client, Purpose::State, visible)?;
        Ok(cell.get_or_init(|| made))
    }

    /// Whether a reader finds anything in a partition of a topic of this cluster. Records of a
    /// transaction that was never committed are in its log too, and are not there for a reader.
    pub(super) fn has_records(&self, topic: &str, partition: PartitionId) -> Result<bool> {
        let mut found = false;
        self.read(TopicPartition { topic, partition }, &mut |_, _| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Whether somebody's open transaction keeps committed records after its beginning from being
    /// seen.
    fn is_hidden(&self, partition: PartitionId) -> Result<bool> {
        let of = TopicPartition { topic: &self.topic, partition };
        // In this order: what is written meanwhile does not look hidden.
        let all = range_of(self.consumer_of(&self.all, Visible::All)?, of)?;
        let visible = range_of(self.consumer()?, of)?;
        Ok(visible.end < all.end)
    }

    /// Every committed record of a partition, from its first to its last, with its offset, for as
    /// long as `take` wants more.
    fn read(
        &self,
        from: TopicPartition<'_>,
        take: &mut dyn FnMut(Offset, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let consumer = self.consumer()?;
        let range = range_of(consumer, from)?;
        read_to_end(consumer, from, range, SILENCE, &mut |message| {
            take(Offset(message.offset()), message.payload().unwrap_or_default())
        })
        .map_err(|why| away(from, why))
    }
}

fn range_of(consumer: &ReadingConsumer, of: TopicPartition<'_>) -> Result<Range<Offset>> {
    log_range(consumer, of).map_err(|why| away(of, why))
}

fn away(TopicPartition { topic, partition }: TopicPartition<'_>, why: String) -> Error {
    Error::transient(Kind::State, format!("cannot read topic {topic} partition {partition}")).because(why)
}

/// Drops what the newest snapshots have replaced.
pub struct Trimmer {
    admin: AdminClient<DefaultClientContext>,
    topic: String,
}

impl Trimmer {
    /// Errors: `Config`, when librdkafka refuses the properties.
    pub fn new(client: &KafkaClientSpec, topic: &str) -> Result<Self> {
        let admin = create(&client_config(client, &[]), DefaultClientContext)?;
        Ok(Trimmer { admin, topic: topic.to_owned() })
    }

    /// Asks the broker to drop the records of a partition before an offset, and does not wait. What
    /// stays is dropped with the next snapshot.
    pub fn trim(&self, partition: PartitionId, before: Offset) {
        let mut list = TopicPartitionList::new();
        if list.add_partition_offset(&self.topic, partition.0, KafkaOffset::Offset(before.0)).is_ok() {
            drop(self.admin.delete_records(&list, &AdminOptions::new()));
        }
    }
}

/// Writes snapshots to the state topic outside of any transaction: for delivery at least once.
pub struct StateWriter {
    producer: ThreadedProducer<Reports>,
    reports: Reports,
    trimmer: Trimmer,
    topic: String,
}

impl StateWriter {
    /// Errors: `Config`, when librdkafka refuses the properties. The broker need not answer yet.
    pub fn open(client: &KafkaClientSpec, topic: &str) -> Result<Self> {
        let defaults = [("enable.idempotence", "true"), ("linger.ms", "0"), ("compression.type", "zstd")];
        let reports = Reports::default();
        let producer = create(&client_config(client, &defaults), reports.clone())?;
        let (trimmer, topic) = (Trimmer::new(client, topic)?, topic.to_owned());
        Ok(StateWriter { producer, reports, trimmer, topic })
    }

    /// Makes a snapshot durable, then drops those before it. Errors: `State`; then those before it
    /// stay.
    pub fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let fail = || format!("cannot write to the state topic {}", self.topic);
        self.reports.with(|reported| *reported = Reported::default());
        let end = self.end(snapshot.partition);
        let snapshot = Arc::new(snapshot.clone());
        let count = chunks_of(&snapshot.state);
        for index in 0..count {
            let chunk = Chunk { snapshot: Arc::clone(&snapshot), index, count };
            let bytes = chunk.encode();
            let record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(&self.topic, NO_MARK)
                .partition(snapshot.partition.0)
                .payload(&bytes);
            self.producer.send(record).map_err(|(error, _)| error).or_fail(Kind::State, fail)?;
        }

        self.producer.flush(FLUSH).or_fail(Kind::State, fail)?;
        if let Some(why) = self.reports.with(|reported| reported.failed.take()) {
            return Err(Error::new(Kind::State, fail()).because(why));
        }
        // The topic ended here before this snapshot was written: all before it is older.
        if let Some(end) = end {
            self.trimmer.trim(snapshot.partition, end);
        }
        Ok(())
    }

    fn end(&self, partition: PartitionId) -> Option<Offset> {
        let marks = self.producer.client().fetch_watermarks(&self.topic, partition.0, METADATA_TIMEOUT);
        marks.ok().map(|(_, end)| Offset(end))
    }
}
