//! A Kafka topic as a table: what is committed on it when the query starts, a part a partition.
//! It must not leave a trace on the broker: no group, no offset, no topic is made.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use tickcast_stream::message::Stream;
use tickcast_stream::table::{Rows, Table, TableScan};

use super::kafka_rows::MessageRows;
use crate::kafka::client_config;
use crate::spec::{KafkaClientSpec, KafkaTopicSpec};

/// How long a question to the broker may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long a partition may give nothing before the query fails.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// The topic that a stream's sink writes to; the broker is asked only when a query reads it.
pub fn kafka_table(topic: &KafkaTopicSpec, stream: Stream, schema: SchemaRef) -> Table {
    let KafkaTopicSpec { client, topic } = topic;
    Table::Scan(Arc::new(Topic { client: client.clone(), name: topic.clone(), stream, schema }))
}

/// A topic and how to reach it.
#[derive(Debug)]
struct Topic {
    client: KafkaClientSpec,
    name: String,
    stream: Stream,
    schema: SchemaRef,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {} at {}", self.name, self.client.brokers)
    }
}

impl Topic {
    fn consumer(&self) -> std::result::Result<BaseConsumer, String> {
        let mut config = client_config(&self.client, &[("queued.max.messages.kbytes", "8192")]);
        // librdkafka assigns partitions only to a consumer with a group's name; nothing joins or commits to it.
        config.set("group.id", "tickcast-sql").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest");
        config.create().map_err(|cause| format!("cannot make a consumer for {self}: {cause}"))
    }
}

impl TableScan for Topic {
    fn parts(&self) -> std::result::Result<Vec<i32>, String> {
        let metadata = self.consumer()?.fetch_metadata(Some(&self.name), ANSWER_WITHIN);
        let metadata = metadata.map_err(|cause| format!("cannot reach {self}: {cause}"))?;
        let Some(topic) = metadata.topics().first() else {
            return Err(format!("the broker does not know {self}"));
        };
        match topic.error() {
            Some(code) => {
                Err(format!("cannot read {self}: {}", rdkafka::error::RDKafkaErrorCode::from(code)))
            }
            None => Ok(topic.partitions().iter().map(|partition| partition.id()).collect()),
        }
    }

    fn read(&self, part: i32, rows: &mut dyn Rows) -> std::result::Result<(), String> {
        read(self, part, rows).map_err(|why| format!("{self}, partition {part}: {why}"))
    }
}

fn read(source: &Topic, id: i32, batches: &mut dyn Rows) -> std::result::Result<(), String> {
    let mut rows = MessageRows::new(source.stream, source.schema.clone());
    let consumer = source.consumer()?;
    let said = |cause: KafkaError| cause.to_string();
    // Under read_committed the end is the last stable offset: what an open transaction has written is not below it.
    let (start, end) = consumer.fetch_watermarks(&source.name, id, ANSWER_WITHIN).map_err(said)?;
    if start >= end {
        return Ok(());
    }
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&source.name, id, Offset::Offset(start)).map_err(said)?;
    consumer.assign(&from).map_err(said)?;
    let mut heard = Instant::now();
    let mut trouble = None;
    while batches.is_wanted() {
        match consumer.poll(POLL) {
            Some(Ok(message)) if message.offset() >= end => break,
            Some(Ok(message)) => {
                heard = Instant::now();
                let offset = message.offset();
                rows.push(&message).map_err(|why| format!("offset {offset}: {why}"))?;
                if rows.is_full() {
                    batches.send(rows.take()?);
                }
                if offset + 1 == end {
                    break;
                }
            }
            // The last offsets may be transaction markers or aborted records, which are never handed out.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            // librdkafka goes on by itself where it can.
            Some(Err(cause)) => trouble = Some(cause.to_string()),
            None => {}
        }
        if heard.elapsed() > SILENCE {
            let why = trouble.unwrap_or_else(|| "no answer".into());
            return Err(format!("nothing came for {} s: {why}", SILENCE.as_secs()));
        }
    }
    if !rows.is_empty() {
        batches.send(rows.take()?);
    }
    Ok(())
}
