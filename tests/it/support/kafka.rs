//! Kafka as the tests use it: topics, producers, readers, and what an administrator does. The file
//! must not know tickcast's pipelines or processes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_connect::kafka::topic_ids;
use tickcast_stream::message::{EventTime, RawRecord};
use tickcast_stream::{LogId, Offset, PartitionId};

use super::wait::{PATIENCE, wait_for, wait_till};

/// The configuration that every client of the tests begins with.
pub fn client(addr: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", addr).set("reconnect.backoff.max.ms", "200").set("log_level", "0");
    config
}

pub fn consumer(addr: &str) -> BaseConsumer {
    client(addr).create().unwrap()
}

fn admin(addr: &str) -> AdminClient<DefaultClientContext> {
    client(addr).create().unwrap()
}

/// Makes a topic and waits until it has leaders; the broker makes none by itself.
pub fn create_topic(addr: &str, topic: &str, partitions: i32) {
    // As many copies as the broker makes by itself.
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let made = block_on(admin(addr).create_topics([&new], &AdminOptions::new())).unwrap();
    if let Err((name, code)) = &made[0] {
        panic!("topic {name}: {code}");
    }
    await_leaders(addr, topic, partitions);
}

/// Makes a topic, unless one of its name is still being deleted.
pub fn try_create_topic(addr: &str, topic: &str, partitions: i32) -> bool {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let made = block_on(admin(addr).create_topics([&new], &AdminOptions::new())).unwrap();
    let is_made = made[0].is_ok();
    if is_made {
        await_leaders(addr, topic, partitions);
    }
    is_made
}

/// Sets one of a topic's settings; the others go back to the broker's own.
pub fn set_topic(addr: &str, topic: &str, name: &str, value: &str) {
    let wanted = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(name, value);
    let set = block_on(admin(addr).alter_configs([&wanted], &AdminOptions::new())).unwrap();
    assert!(set[0].is_ok(), "{set:?}");
}

/// Adds partitions to a topic, up to this number, and waits until they have leaders.
pub fn grow_topic(addr: &str, topic: &str, partitions: i32) {
    let wanted = NewPartitions::new(topic, partitions as usize);
    block_on(admin(addr).create_partitions([&wanted], &AdminOptions::new())).unwrap();
    await_leaders(addr, topic, partitions);
}

fn await_leaders(addr: &str, topic: &str, partitions: i32) {
    let watcher = consumer(addr);
    wait_till(&format!("leaders of topic {topic}"), || {
        let Ok(metadata) = watcher.fetch_metadata(Some(topic), Duration::from_secs(5)) else { return false };
        let parts = metadata.topics()[0].partitions();
        parts.len() == partitions as usize && parts.iter().all(|part| part.leader() >= 0)
    });
}

pub fn delete_topic(addr: &str, topic: &str) {
    block_on(admin(addr).delete_topics(&[topic], &AdminOptions::new())).unwrap();
}

/// Deletes the records of a partition before `offset`, as retention does.
pub fn delete_records(addr: &str, topic: &str, partition: PartitionId, offset: Offset) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition.0, KafkaOffset::Offset(offset.0)).unwrap();
    block_on(admin(addr).delete_records(&list, &AdminOptions::new())).unwrap();
}

/// The consumer groups that the broker knows.
pub fn groups(addr: &str) -> Vec<String> {
    let list = consumer(addr).fetch_group_list(None, PATIENCE).unwrap();
    list.groups().iter().map(|group| group.name().to_owned()).collect()
}

/// Waits a broker's outage out.
pub type TestProducer = ThreadedProducer<DefaultProducerContext>;

pub fn producer(addr: &str) -> TestProducer {
    client(addr).set("linger.ms", "2").set("enable.idempotence", "true").create().unwrap()
}

pub fn send(producer: &TestProducer, topic: &str, partition: PartitionId, value: &[u8]) {
    send_record(producer, BaseRecord::to(topic).partition(partition.0).payload(value));
}

pub fn send_record(producer: &TestProducer, record: BaseRecord<'_, [u8], [u8]>) {
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

/// Sends all of it, and waits until the broker has it.
pub fn produce<'a>(
    addr: &str,
    topic: &str,
    partition: PartitionId,
    values: impl IntoIterator<Item = &'a [u8]>,
) {
    let producer = producer(addr);
    values.into_iter().for_each(|value| send(&producer, topic, partition, value));
    producer.flush(PATIENCE).unwrap();
}

/// A record of a sink's topic: all of it that the pipeline decides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sent {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Sent {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.value).unwrap()
    }

    /// The headers as text, by name.
    pub fn named(&self) -> BTreeMap<&str, &str> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        self.headers.iter().map(|(name, value)| (name.as_str(), text(value.as_slice()))).collect()
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        write!(f, "{} {}", self.key.as_deref().map_or("-".into(), text), text(&self.value))?;
        self.headers.iter().try_for_each(|(key, value)| write!(f, " {key}={}", text(value)))
    }
}

pub fn headers_of(headers: Option<&impl Headers>) -> Vec<(String, Vec<u8>)> {
    let pairs = headers
        .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())));
    pairs.map(Iterator::collect).unwrap_or_default()
}

fn reader(addr: &str, isolation: &str) -> BaseConsumer {
    let mut config = client(addr);
    config.set("group.id", "tests").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    config.set("isolation.level", isolation).create().unwrap()
}

/// A topic that was made a moment ago may not be known to every thread of the broker.
fn end(reader: &BaseConsumer, topic: &str, partition: PartitionId) -> Offset {
    let ask = || reader.fetch_watermarks(topic, partition.0, PATIENCE).ok();
    Offset(wait_for(&format!("the end of topic {topic} {partition}"), ask).1)
}

/// Where a partition ends, open transactions included.
pub fn end_of(addr: &str, topic: &str, partition: PartitionId) -> Offset {
    end(&reader(addr, "read_uncommitted"), topic, partition)
}

/// Every committed record of a topic's partition, in order. What a dead producer has left open
/// hides what comes after it: this waits until the broker has ended it.
pub fn read_all<T>(
    addr: &str,
    topic: &str,
    partition: PartitionId,
    take: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Vec<T> {
    let reader = reader(addr, "read_committed");
    let everything = end_of(addr, topic, partition);
    wait_for(&format!("the end of all transactions on {topic} {partition}"), || {
        (end(&reader, topic, partition) >= everything).then_some(())
    });
    read_to_end(&reader, topic, partition, take)
}

/// Every committed record before the first transaction that is open now.
pub fn read_visible<T>(
    addr: &str,
    topic: &str,
    partition: PartitionId,
    take: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Vec<T> {
    read_to_end(&reader(addr, "read_committed"), topic, partition, take)
}

fn read_to_end<T>(
    reader: &BaseConsumer,
    topic: &str,
    partition: PartitionId,
    take: impl Fn(&BorrowedMessage<'_>) -> T,
) -> Vec<T> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition.0, KafkaOffset::Beginning).unwrap();
    reader.assign(&list).unwrap();

    let mut read = Vec::new();
    let mut heard = Instant::now();
    loop {
        match reader.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                read.push(take(&message));
                heard = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return read,
            Some(Err(error)) => assert!(heard.elapsed() < PATIENCE, "{topic} {partition}: {error}"),
            None => assert!(heard.elapsed() < PATIENCE, "{topic} {partition} cannot be read to its end"),
        }
    }
}

fn sent(message: &BorrowedMessage<'_>) -> Sent {
    Sent {
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().unwrap_or_default().to_vec(),
        headers: headers_of(message.headers()),
    }
}

/// What is committed of a stream.
pub fn committed(addr: &str, topic: &str, partition: PartitionId) -> Vec<Sent> {
    read_all(addr, topic, partition, sent)
}

/// The committed values of a partition as text.
pub fn values(addr: &str, topic: &str, partition: PartitionId) -> Vec<String> {
    committed(addr, topic, partition).iter().map(|sent| sent.text().to_owned()).collect()
}

/// How many committed records a topic has.
pub fn count(addr: &str, topic: &str, partitions: i32) -> usize {
    (0..partitions).map(PartitionId).map(|partition| committed(addr, topic, partition).len()).sum()
}

/// A partition's records as its source reads them.
pub fn input(addr: &str, topic: &str, partition: PartitionId) -> Vec<RawRecord> {
    read_all(addr, topic, partition, |message| RawRecord {
        offset: Offset(message.offset()),
        timestamp: message.timestamp().to_millis().map(|ms| EventTime(ms * 1000)),
        key: message.key().map(|key| key.to_vec().into()),
        payload: message.payload().map(|payload| payload.to_vec().into()),
        ..RawRecord::default()
    })
}

/// The id of a topic, and all records of one of its partitions.
pub fn log(addr: &str, topic: &str, partition: PartitionId) -> (Option<LogId>, Vec<RawRecord>) {
    let ids = topic_ids(consumer(addr).client(), &[topic], Duration::from_secs(10)).unwrap();
    (ids[topic], input(addr, topic, partition))
}
