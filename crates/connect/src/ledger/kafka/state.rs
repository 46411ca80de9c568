//! The state topic: snapshots as records of the partition they are of, in chunks.
//! It must not know what is committed; it finds what it is asked for, or says what is missing.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::chunk::{Assembly, chunks_of, decode};
use tickcast_stream::ledger::{Chunk, Snapshot, SnapshotRef};

use crate::kafka::{METADATA_TIMEOUT, client_config, create};
use crate::spec::KafkaClientSpec;

/// Settings of a state topic that we make: it is emptied by us alone.
pub const TOPIC_SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
/// How long the broker may give nothing before reading fails.
const SILENCE: Duration = Duration::from_secs(10);
const FLUSH: Duration = Duration::from_secs(60);

/// The state topic of a pipeline.
pub struct StateTopic {
    client: KafkaClientSpec,
    topic: String,
    /// Made when they are needed, and kept: a new one takes longer than what it is made for.
    committed: OnceLock<BaseConsumer>,
    uncommitted: OnceLock<BaseConsumer>,
}

impl StateTopic {
    pub fn new(client: &KafkaClientSpec, topic: &str) -> Self {
        let (client, topic) = (client.clone(), topic.to_owned());
        StateTopic { client, topic, committed: OnceLock::new(), uncommitted: OnceLock::new() }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The snapshot that `named` names, or the newest whole one there is. Errors: `State`, when the named one is not whole,
    /// or when there are only damaged ones; `Retry::Later` while an open transaction hides what comes after its beginning.
    pub fn load(&self, partition: i32, named: Option<SnapshotRef>) -> Result<Option<Snapshot>> {
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
        match (found, named, damage) {
            (Some(snapshot), ..) => Ok(Some(snapshot)),
            (None, Some(SnapshotRef { position, chunks, .. }), damage) => Err(Error::new(
                Kind::State,
                format!(
                    "{place}: the snapshot at position {position} ({chunks} chunks), which the last commit names, is not \
                     whole: {}; `run --reset-state` learns anew from the topic's beginning",
                    damage.unwrap_or_else(|| "records are missing".into())
                ),
            )),
            (None, None, Some(damage)) => Err(Error::new(
                Kind::State,
                format!("{place}: {damage}, and no snapshot is whole; `run --reset-state` learns anew"),
            )),
            (None, None, None) => Ok(None),
        }
    }

    /// What is there to be seen: the wanted snapshot, and what is damaged.
    fn look(&self, partition: i32, named: Option<SnapshotRef>) -> Result<(Option<Snapshot>, Option<String>)> {
        let mut assembly = Assembly::default();
        let mut damage: Option<String> = None;
        self.read(&self.topic, partition, &mut |offset, value| {
            match decode(value) {
                Ok(piece) if piece.head.partition == partition => assembly.add(piece),
                Ok(piece) => {
                    let why =
                        format!("the record at offset {offset} is of partition {}", piece.head.partition);
                    damage.get_or_insert(why);
                }
                Err(why) => _ = damage.get_or_insert_with(|| format!("the record at offset {offset} {why}")),
            }
            true
        })?;
        Ok((assembly.whole(partition, named), damage))
    }

    /// A consumer of what is committed. It is of no group: librdkafka only wants a name.
    pub(super) fn consumer(&self) -> Result<&BaseConsumer> {
        self.consumer_of(&self.committed, "read_committed")
    }

    fn consumer_of<'a>(&self, cell: &'a OnceLock<BaseConsumer>, isolation: &str) -> Result<&'a BaseConsumer> {
        if let Some(consumer) = cell.get() {
            return Ok(consumer);
        }
        let mut config = client_config(&self.client, &[]);
        config.set("group.id", "tickcast-state").set("enable.auto.commit", "false");
        config.set("isolation.level", isolation).set("enable.partition.eof", "true");
        // Records may be dropped before us while we read.
        config.set("auto.offset.reset", "earliest");
        // It reads to an end: waiting there for more costs half a second a partition.
        config.set("fetch.wait.max.ms", "10");
        let made = create(&config, DefaultConsumerContext)?;
        Ok(cell.get_or_init(|| made))
    }

    /// Whether a reader finds anything in a partition of a topic of this cluster. Records of a transaction that was never
    /// committed are in its log too, and are not there for a reader.
    pub(super) fn has_records(&self, topic: &str, partition: i32) -> Result<bool> {
        let mut found = false;
        self.read(topic, partition, &mut |_, _| {
            found = true;
            false
        })?;
        Ok(found)
    }

    /// Whether somebody's open transaction keeps committed records after its beginning from being seen.
    fn is_hidden(&self, partition: i32) -> Result<bool> {
        // In this order: what is written meanwhile does not look hidden.
        let (_, end) =
            marks(self.consumer_of(&self.uncommitted, "read_uncommitted")?, &self.topic, partition)?;
        let (_, visible) = marks(self.consumer()?, &self.topic, partition)?;
        Ok(visible < end)
    }

    /// Every committed record of a partition, from its first to its last, with its offset, for as long as `take` wants more.
    fn read(&self, topic: &str, partition: i32, take: &mut dyn FnMut(i64, &[u8]) -> bool) -> Result<()> {
        let consumer = self.consumer()?;
        let (first, end) = marks(consumer, topic, partition)?;
        if first >= end {
            return Ok(());
        }
        let fail = || format!("cannot read topic {topic}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(first)).or_fail(Kind::State, fail)?;
        consumer.assign(&list).or_fail(Kind::State, fail)?;
        let read = read_to(consumer, (topic, partition), end, take);
        consumer.unassign().or_fail(Kind::State, fail)?;
        read
    }
}

fn marks(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<(i64, i64)> {
    let marks = consumer.fetch_watermarks(topic, partition, METADATA_TIMEOUT);
    marks.map_err(|error| away(topic, partition).because(error))
}

fn away(topic: &str, partition: i32) -> Error {
    Error::transient(Kind::State, format!("cannot read topic {topic} partition {partition}"))
}

fn read_to(
    consumer: &BaseConsumer,
    (topic, partition): (&str, i32),
    end: i64,
    take: &mut dyn FnMut(i64, &[u8]) -> bool,
) -> Result<()> {
    let mut heard = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) if message.topic() == topic && message.partition() == partition => {
                heard = Instant::now();
                let goes_on = take(message.offset(), message.payload().unwrap_or_default());
                if !goes_on || message.offset() + 1 >= end {
                    return Ok(());
                }
            }
            Some(Err(KafkaError::PartitionEOF(of))) if of == partition => return Ok(()),
            // librdkafka goes on by itself where it can.
            Some(Err(error)) if heard.elapsed() > SILENCE => {
                return Err(away(topic, partition).because(error));
            }
            None if heard.elapsed() > SILENCE => return Err(away(topic, partition).because("no answer")),
            Some(_) | None => {}
        }
    }
}

/// Drops what the newest snapshots have replaced.
pub struct Trimmer {
    admin: AdminClient<DefaultClientContext>,
    topic: String,
}

impl Trimmer {
    pub fn new(client: &KafkaClientSpec, topic: &str) -> Result<Self> {
        let admin = create(&client_config(client, &[]), DefaultClientContext)?;
        Ok(Trimmer { admin, topic: topic.to_owned() })
    }

    /// Asks the broker to drop the records of a partition before an offset. It is not waited for: what stays is dropped
    /// with the next.
    pub fn trim(&self, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        if list.add_partition_offset(&self.topic, partition, Offset::Offset(before)).is_ok() {
            drop(self.admin.delete_records(&list, &AdminOptions::new()));
        }
    }
}

/// Writes snapshots to the state topic outside of any transaction: for delivery at least once.
pub struct StateWriter {
    producer: ThreadedProducer<DefaultProducerContext>,
    trimmer: Trimmer,
    topic: String,
}

impl StateWriter {
    /// Errors: `Config`, when librdkafka refuses the properties. The broker need not answer yet.
    pub fn open(client: &KafkaClientSpec, topic: &str) -> Result<Self> {
        let defaults = [("enable.idempotence", "true"), ("linger.ms", "0"), ("compression.type", "zstd")];
        let producer = create(&client_config(client, &defaults), DefaultProducerContext)?;
        Ok(StateWriter { producer, trimmer: Trimmer::new(client, topic)?, topic: topic.to_owned() })
    }

    /// Makes a snapshot durable, then drops those before it. Errors: `State`.
    pub fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let fail = || format!("cannot write to the state topic {}", self.topic);
        let end = self.end(snapshot.partition);
        let snapshot = std::sync::Arc::new(snapshot.clone());
        let count = chunks_of(&snapshot.state);
        for index in 0..count {
            let chunk = Chunk { snapshot: std::sync::Arc::clone(&snapshot), index, count };
            let bytes = chunk.encode();
            let record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&self.topic).partition(snapshot.partition).payload(&bytes);
            self.producer.send(record).map_err(|(error, _)| error).or_fail(Kind::State, fail)?;
        }
        self.producer.flush(FLUSH).or_fail(Kind::State, fail)?;
        // Before this one was written the topic ended here: all before it is older.
        if let Some(end) = end {
            self.trimmer.trim(snapshot.partition, end);
        }
        Ok(())
    }

    fn end(&self, partition: i32) -> Option<i64> {
        let marks = self.producer.client().fetch_watermarks(&self.topic, partition, METADATA_TIMEOUT);
        marks.ok().map(|(_, end)| end)
    }
}
