//! A Kafka topic as a table: what is committed on it when the query starts, one DataFusion partition a Kafka partition.
//! It must not leave a trace on the broker: no group, no offset, no topic is made.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::PartitionStream;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::batches::{self, Batches};
use super::kafka_rows::Rows;
use crate::config::plan::KafkaClientPlan;
use crate::kafka::client_config;
use crate::message::Stream;

/// How long a question to the broker may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long a partition may give nothing before the query fails.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// The topic that a stream's sink writes to; the broker is asked only when a query reads it.
pub fn table(
    client: &KafkaClientPlan,
    topic: &str,
    stream: Stream,
    schema: SchemaRef,
) -> Arc<dyn TableProvider> {
    Arc::new(KafkaTable {
        source: Arc::new(Topic { client: client.clone(), name: topic.to_owned(), stream }),
        schema,
    })
}

#[derive(Debug)]
struct KafkaTable {
    source: Arc<Topic>,
    schema: SchemaRef,
}

impl TableProvider for KafkaTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // The trait is written with async_trait; this is what its macro makes of `async fn scan`.
    fn scan<'table, 'session, 'projection, 'filters, 'future>(
        &'table self,
        session: &'session dyn Session,
        projection: Option<&'projection Vec<usize>>,
        filters: &'filters [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<dyn ExecutionPlan>>> + Send + 'future>>
    where
        'table: 'future,
        'session: 'future,
        'projection: 'future,
        'filters: 'future,
        Self: 'future,
    {
        Box::pin(async move {
            let source = Arc::clone(&self.source);
            let ids = tokio::task::spawn_blocking(move || source.partitions());
            let ids = ids.await.map_err(|cause| DataFusionError::External(cause.into()))?;
            let open = |id| -> Arc<dyn PartitionStream> {
                Arc::new(Partition { source: Arc::clone(&self.source), id, schema: self.schema.clone() })
            };
            let partitions = ids.map_err(DataFusionError::Execution)?.into_iter().map(open).collect();
            StreamingTable::try_new(self.schema.clone(), partitions)?
                .scan(session, projection, filters, limit)
                .await
        })
    }
}

/// A topic and how to reach it.
#[derive(Debug)]
struct Topic {
    client: KafkaClientPlan,
    name: String,
    stream: Stream,
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

    fn partitions(&self) -> std::result::Result<Vec<i32>, String> {
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
}

/// One Kafka partition, read from its beginning to the end it has when reading starts.
#[derive(Debug)]
struct Partition {
    source: Arc<Topic>,
    id: i32,
    schema: SchemaRef,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (source, id) = (Arc::clone(&self.source), self.id);
        let rows = Rows::new(source.stream, self.schema.clone());
        batches::stream(self.schema.clone(), move |batches| {
            read(&source, id, rows, batches).map_err(|why| format!("{source}, partition {id}: {why}"))
        })
    }
}

fn read(source: &Topic, id: i32, mut rows: Rows, batches: &Batches) -> std::result::Result<(), String> {
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
    while batches.wanted() {
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
