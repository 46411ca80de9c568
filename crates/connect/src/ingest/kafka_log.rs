//! A topic as the log of what comes in: kept by all its copies before it is answered.
//! It must not read the topic: the pipeline's source does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::lock::lock;
use tickcast_stream::message::RawRecord;

use super::log::RecordLog;
use crate::kafka::{
    KafkaTopicSpec, Login, RecordLimits, client_config, create, ensure_topic, partition_count,
};

/// After so long a record that the broker has not taken is given up, and whoever sent it is told.
const DELIVERY_MS: &str = "20000";
/// Longer than a delivery may take: then every record has its report.
const FLUSH: Duration = Duration::from_secs(30);

/// Writes to a topic.
pub(super) struct KafkaLog {
    topic: KafkaTopicSpec,
    /// None after a failure: the next one begins without what is still queued.
    producer: Option<Writing>,
}

struct Writing {
    producer: BaseProducer<Reports>,
    reports: Reports,
    login: Login,
}

/// Keeps the first failure.
#[derive(Default, Clone)]
struct Reports(Arc<Mutex<Option<KafkaError>>>);

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        // What lasts is told to whoever waits for an answer.
        tracing::debug!(%error, reason, "ingestion's producer");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            lock(&self.0).get_or_insert_with(|| error.clone());
        }
    }
}

impl KafkaLog {
    /// Makes the topic with one partition where it is missing. Errors: `Source`; `Retry::Later`
    /// while no broker answers.
    pub fn open(topic: &KafkaTopicSpec) -> Result<Self> {
        // Asking says more of a broker that is away than making does.
        if partition_count(&topic.client, &topic.topic)?.is_none() {
            ensure_topic(&topic.client, &topic.topic, 1, &[])?;
        }
        let producer = Some(Writing::open(topic)?);
        Ok(KafkaLog { topic: topic.clone(), producer })
    }
}

impl Writing {
    fn open(topic: &KafkaTopicSpec) -> Result<Self> {
        let KafkaTopicSpec { client, topic } = topic;
        let limits = RecordLimits::ask(client, &[topic])?;
        let [(most, most_bytes), (batch, batch_bytes)] = limits.properties(&[topic]);
        let defaults = [
            (most, most_bytes.as_str()),
            (batch, batch_bytes.as_str()),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.timeout.ms", DELIVERY_MS),
            // A group is handed over at once: there is nothing to wait for.
            ("linger.ms", "0"),
            ("compression.type", "zstd"),
        ];

        let (login, reports) = (Login::of(client), Reports::default());
        let producer = create(&client_config(client, &defaults), reports.clone())?;
        Ok(Writing { producer, reports, login })
    }

    fn write(&self, topic: &str, records: &[RawRecord]) -> std::result::Result<(), KafkaError> {
        self.login.renew(&self.producer);
        for record in records {
            let mut next = Some(outgoing(topic, record));
            while let Some(record) = next.take() {
                match self.producer.send(record) {
                    Ok(()) => {
                        self.producer.poll(Duration::ZERO);
                    }
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        self.producer.poll(Duration::from_millis(10));
                        next = Some(back);
                    }
                    Err((error, _)) => return Err(error),
                }
            }
        }

        self.producer.flush(FLUSH)?;
        match lock(&self.reports.0).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// A record without a key goes to the first partition: the records of a series must not be spread.
fn outgoing<'a>(topic: &'a str, record: &'a RawRecord) -> BaseRecord<'a, [u8], [u8]> {
    let mut out: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
    out.key = record.key.as_deref();
    out.partition = if record.key.is_none() { Some(0) } else { None };
    out.payload = record.payload.as_deref();
    // Kafka counts milliseconds.
    out.timestamp = record.timestamp.map(|time| time.0.div_euclid(1000));

    if !record.headers.is_empty() {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
            headers.insert(Header { key: &header.name, value: header.value.as_ref() })
        });
        out.headers = Some(headers);
    }
    out
}

impl RecordLog for KafkaLog {
    /// Errors: `Source`; all may pass, and some of the records may be there then.
    fn append(&mut self, records: &[RawRecord]) -> Result<()> {
        let writing = match self.producer.take() {
            Some(writing) => writing,
            None => Writing::open(&self.topic)?,
        };
        writing.write(&self.topic.topic, records).map_err(|cause| {
            let what = format!("cannot write to topic {}", self.topic.topic);
            Error::transient(Kind::Source, what).because(cause)
        })?;
        self.producer = Some(writing);
        Ok(())
    }
}
