//! The clients of the load tool, by librdkafka's defaults where nothing else is said, and its
//! topics.
//! It must not know what is in a record.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

/// A topic, and where it is.
pub struct Topic {
    pub brokers: String,
    pub name: String,
    pub partitions: i32,
}

impl Topic {
    /// Another topic of the same brokers with as many partitions.
    pub fn beside(&self, name: &str) -> Topic {
        Topic { brokers: self.brokers.clone(), name: name.to_owned(), partitions: self.partitions }
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "load");
        config
    }
}

/// Now, in seconds of the Unix epoch.
pub fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64()
}

/// Makes a topic.
pub fn create(topic: &Topic) -> Value {
    let admin: AdminClient<DefaultClientContext> = topic.config().create().expect("an admin client");
    let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(1));
    let made = block_on(admin.create_topics([&new], &AdminOptions::new())).expect("an answer");
    made.into_iter().next().expect("an answer a topic").expect("a new topic");
    json!({ "created": topic.name })
}

/// A consumer of all partitions from their beginning, without a group. Everything else is
/// librdkafka's default.
pub fn consumer(topic: &Topic) -> BaseConsumer {
    let mut config = topic.config();
    config.set("group.id", "load").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create().expect("a consumer");

    let mut all = TopicPartitionList::new();
    for partition in 0..topic.partitions {
        all.add_partition_offset(&topic.name, partition, Offset::Beginning).expect("an offset");
    }
    consumer.assign(&all).expect("an assignment");
    consumer
}

/// A producer that nothing is lost by.
pub struct Sender {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
}

impl Sender {
    /// `linger_ms` is how long a batch may wait for more records.
    pub fn new(topic: &Topic, linger_ms: u32) -> Self {
        let mut config = topic.config();
        config.set("enable.idempotence", "true").set("compression.type", "lz4");
        config.set("linger.ms", linger_ms.to_string()).set("queue.buffering.max.messages", "500000");
        Sender { producer: config.create().expect("a producer"), topic: topic.name.clone() }
    }

    /// Sends a record; waits where the producer's queue is full.
    pub fn send(&self, partition: i32, key: &[u8], value: &[u8]) {
        let mut record = BaseRecord::to(&self.topic).partition(partition).key(key).payload(value);
        while let Err((error, back)) = self.producer.send(record) {
            let is_full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            assert!(is_full, "cannot write to {}: {error}", self.topic);
            std::thread::sleep(Duration::from_millis(1));
            record = back;
        }
    }

    /// Waits until the broker has all of it.
    pub fn finish(self) {
        self.producer.flush(Duration::from_secs(600)).expect("all records written");
    }
}
