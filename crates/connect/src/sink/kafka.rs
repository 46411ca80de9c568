//! Kafka topics as sinks, each record on the partition of the input it came from.
//! It must not time out by itself: while the broker is away records wait, and the pipeline with
//! them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use tickcast_stream::PartitionId;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::Stream;
use tickcast_stream::runtime::RetryPolicy;
use tickcast_stream::sink::{Begin, Sink};
use tickcast_stream::table::Table;

use super::kafka_records::{KafkaRecords, Outgoing};
use super::kafka_spec::KafkaSinkSpec;
use super::kind::{Home, SinkKind};
use super::room::Room;
use crate::encode::Numbering;
use crate::kafka::{
    BrokerLog, KafkaTopicSpec, Login, RecordLimits, TopicNews, TopicWatch, client_config, create,
};
use crate::table::kafka_table;
use tickcast_stream::lock::lock;

/// One attempt to get everything to the broker.
const FLUSH: Duration = Duration::from_secs(1);

/// Keeps the first delivery that failed for good.
#[derive(Default, Clone)]
struct Deliveries {
    failed: Arc<Mutex<Option<String>>>,
}

impl Deliveries {
    fn check(&self, topic: &str) -> Result<()> {
        match lock(&self.failed).as_ref() {
            Some(cause) => {
                Err(Error::new(Kind::Sink, format!("cannot write to topic {topic}")).because(cause.clone()))
            }
            None => Ok(()),
        }
    }
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        // What lasts is told by the sink that waits for it.
        tracing::debug!(%error, reason, "kafka sink");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let hint = match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => ": raise its max.message.bytes",
                _ => "",
            };
            let partition = message.partition();
            lock(&self.failed).get_or_insert_with(|| format!("partition {partition}: {error}{hint}"));
        }
    }
}

impl SinkKind for KafkaSinkSpec {
    fn home(&self) -> Option<Home<'_>> {
        Some(Home::Cluster(&self.to.client.brokers))
    }

    fn table(&self, stream: Stream, schema: SchemaRef) -> Result<Table> {
        Ok(kafka_table(self, stream, schema))
    }

    fn open(&self, stream: Stream, columns: &SchemaRef, patience: &RetryPolicy) -> Result<Box<dyn Sink>> {
        let records = self.records(stream, columns, Numbering::Register)?;
        Ok(Box::new(KafkaSink::open(&self.to, records, patience.clone())?))
    }

    fn kafka(&self) -> Option<&KafkaSinkSpec> {
        Some(self)
    }
}

/// Writes one stream to a topic.
struct KafkaSink {
    producer: ThreadedProducer<Deliveries>,
    login: Login,
    deliveries: Deliveries,
    topic: String,
    records: KafkaRecords,
    patience: RetryPolicy,
    /// Looks whether the topic is still the same one.
    watch: TopicWatch<BrokerLog>,
    /// What the topic takes.
    room: Room,
    /// Rejects that were cut to it.
    cut: u64,
}

impl KafkaSink {
    /// Asks the topic how large its records may be; where it does not say, Kafka's default holds.
    /// Errors: `Sink`, when librdkafka refuses the properties. The broker need not answer yet.
    fn open(to: &KafkaTopicSpec, records: KafkaRecords, patience: RetryPolicy) -> Result<Self> {
        let KafkaTopicSpec { client, topic } = to;
        let limits = RecordLimits::ask(client, &[topic])?;
        let [(most, most_bytes), (batch, batch_bytes)] = limits.properties(&[topic]);
        let defaults = [
            (most, most_bytes.as_str()),
            (batch, batch_bytes.as_str()),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", "0"),
            // Results of a window come in one burst: a longer wait makes no larger batches of them.
            ("linger.ms", "1"),
            ("compression.type", "zstd"),
        ];
        let (login, deliveries) = (Login::of(client), Deliveries::default());
        let producer = create(&client_config(client, &defaults), deliveries.clone())?;
        let watch = TopicWatch::of_topics(client, vec![topic.to_owned()])?;
        let room = Room(limits.of(topic));
        let topic = topic.to_owned();
        Ok(KafkaSink { producer, login, deliveries, topic, records, patience, watch, room, cut: 0 })
    }

    fn send(&self, partition: PartitionId, from: Outgoing<'_>) -> Result<()> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.topic).partition(partition.0);
        record.key = from.key;
        record.payload = from.value;
        record.headers = from.headers;

        let mut record = Some(record);
        self.patience.until(&|| self.away(), &mut || {
            let Some(next) = record.take() else { return Ok(true) };
            match self.producer.send(next) {
                Ok(()) => Ok(true),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    // Back-pressure: the broker is slower than we are.
                    self.deliveries.check(&self.topic)?;
                    std::thread::sleep(Duration::from_millis(10));
                    record = Some(back);
                    Ok(false)
                }
                Err((error, _)) => {
                    let what = format!("cannot write to topic {} partition {partition}", self.topic);
                    Err(Error::new(Kind::Sink, what).because(error))
                }
            }
        })
    }

    fn away(&self) -> String {
        format!("the broker does not take the records of topic {}", self.topic)
    }
}

impl Sink for KafkaSink {
    fn begin(&mut self, _: PartitionId, _: Begin) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, partition: PartitionId, rows: &RecordBatch) -> Result<()> {
        self.deliveries.check(&self.topic)?;
        let mut cut = 0;
        self.records.for_each(rows, self.room, &mut |record| {
            cut += u64::from(record.is_cut);
            self.send(partition, record)
        })?;
        self.cut += cut;
        Ok(())
    }

    /// Errors: `Sink`, also when the topic is another one than it was: what was written is gone.
    fn flush(&mut self) -> Result<()> {
        self.login.renew(&self.producer);
        if let Some(TopicNews::Changed(changed)) = self.watch.look() {
            let what =
                format!("{changed} What was written to it is gone; the next run writes to the new one");
            return Err(Error::new(Kind::Sink, what));
        }
        // The producer sends by itself, within `linger.ms`.
        self.deliveries.check(&self.topic)
    }

    fn sync(&mut self) -> Result<()> {
        self.patience.until(&|| self.away(), &mut || {
            self.login.renew(&self.producer);
            self.deliveries.check(&self.topic)?;
            match self.producer.flush(FLUSH) {
                Ok(()) => Ok(true),
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => {
                    Ok(false)
                }
                Err(error) => Err(Error::new(Kind::Sink, self.away()).because(error)),
            }
        })?;
        self.deliveries.check(&self.topic)
    }

    fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.cut)
    }
}
