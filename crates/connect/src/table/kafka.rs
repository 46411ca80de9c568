//! A Kafka topic as a table: what is committed on it when the query starts, a part a partition.
//! It must not leave a trace on the broker: no group, no offset, no topic is made.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use tickcast_stream::PartitionId;
use tickcast_stream::message::Stream;
use tickcast_stream::table::{Rows, Table, TableScan};

use super::kafka_rows::MessageRows;
use crate::encode::PayloadSpec;
use crate::kafka::{
    KafkaClientSpec, KafkaTopicSpec, METADATA_TIMEOUT, Purpose, ReadingConsumer, SILENCE, TopicPartition,
    Visible, log_range, read_to_end, reading_consumer,
};
use crate::sink::KafkaSinkSpec;

/// The topic that a stream's sink writes to; the broker is asked only when a query reads it.
pub fn kafka_table(sink: &KafkaSinkSpec, stream: Stream, schema: SchemaRef) -> Table {
    let KafkaTopicSpec { client, topic } = &sink.to;
    let (client, name, payload) = (client.clone(), topic.clone(), sink.payload.clone());
    Table::Scan(Arc::new(Topic { client, name, payload, stream, schema }))
}

/// A topic and how to reach it.
#[derive(Debug)]
struct Topic {
    client: KafkaClientSpec,
    name: String,
    /// How its records are written.
    payload: PayloadSpec,
    stream: Stream,
    schema: SchemaRef,
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {} at {}", self.name, self.client.brokers)
    }
}

impl Topic {
    fn consumer(&self) -> std::result::Result<ReadingConsumer, String> {
        reading_consumer(&self.client, Purpose::Query, Visible::Committed)
            .map_err(|cause| format!("cannot make a consumer for {self}: {cause}"))
    }
}

impl TableScan for Topic {
    fn parts(&self) -> std::result::Result<Vec<i32>, String> {
        let consumer = self.consumer()?;
        let metadata = consumer
            .fetch_metadata(Some(&self.name), METADATA_TIMEOUT)
            .map_err(|error| format!("cannot reach {self}: {}", consumer.context().explain(&error)))?;

        let Some(topic) = metadata.topics().first() else {
            return Err(format!("the broker does not know {self}"));
        };
        match topic.error() {
            Some(code) => Err(format!("cannot read {self}: {}", RDKafkaErrorCode::from(code))),
            None => Ok(topic.partitions().iter().map(|partition| partition.id()).collect()),
        }
    }

    fn read(&self, part: i32, rows: &mut dyn Rows) -> std::result::Result<(), String> {
        read(self, PartitionId(part), rows).map_err(|why| format!("{self}, partition {part}: {why}"))
    }
}

fn read(source: &Topic, partition: PartitionId, batches: &mut dyn Rows) -> std::result::Result<(), String> {
    let consumer = source.consumer()?;
    let from = TopicPartition { topic: &source.name, partition };
    let range = log_range(&consumer, from)?;

    let mut rows = MessageRows::new(source.stream, source.schema.clone(), &source.payload)?;
    let mut read = Ok(());
    read_to_end(&consumer, from, range, SILENCE, &mut |message| {
        if !batches.is_wanted() {
            return ControlFlow::Break(());
        }
        read = rows.push(message).map_err(|why| format!("offset {}: {why}", message.offset()));
        if read.is_ok() && rows.is_full() {
            read = rows.take().map(|rows| batches.send(rows));
        }
        if read.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    read?;

    if !rows.is_empty() {
        batches.send(rows.take()?);
    }
    Ok(())
}
