//! The transactions of a replay.
//! It must not know what was sent before.

use std::time::Duration;

use rdkafka::error::KafkaResult;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use tickcast_stream::PartitionId;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::record::RejectRow;

use super::notes::Note;
use crate::kafka::{
    CALL, IDLE_MS, KafkaTopicSpec, RecordLimits, TRANSACTION_TIMEOUT_MS, abort, client_config, create,
    ensure_topic, hand_over, while_it_helps,
};
use crate::ledger::TOPIC_SETTINGS;

/// A producer of transactions.
pub struct Sender {
    producer: BaseProducer,
    topic: String,
    is_open: bool,
}

impl Sender {
    /// Makes the topic of the notes where it is missing, and shuts out whoever sends under the same
    /// name. Errors: `Sink`, when no broker answers.
    pub fn open(to: &KafkaTopicSpec, notes: &str) -> Result<Self> {
        let KafkaTopicSpec { client, topic } = to;
        // Notes are of use for as long as the rejects are, which nobody knows.
        ensure_topic(client, notes, 1, &TOPIC_SETTINGS)?;
        let [(most, most_bytes), (batch, batch_bytes)] =
            RecordLimits::ask(client, &[topic])?.properties(&[topic]);
        let id = format!("tickcast-replay-{notes}");
        let defaults = [
            (most, most_bytes.as_str()),
            (batch, batch_bytes.as_str()),
            ("transactional.id", id.as_str()),
            ("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
            ("connections.max.idle.ms", IDLE_MS),
            ("compression.type", "zstd"),
        ];

        let producer: BaseProducer = create(&client_config(client, &defaults), DefaultProducerContext)?;
        let sender = Sender { producer, topic: topic.clone(), is_open: false };
        sender.repeat("init_transactions", |producer| producer.init_transactions(CALL))?;
        Ok(sender)
    }

    /// Sends a record as it came. Errors: `Sink`.
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<PartitionId>,
        row: &RejectRow<'_>,
        headers: Option<OwnedHeaders>,
    ) -> Result<()> {
        if !self.is_open {
            self.repeat("begin_transaction", |producer| producer.begin_transaction())?;
            self.is_open = true;
        }
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        record.partition = partition.map(|partition| partition.0);
        record.key = row.key;
        record.payload = row.value;
        record.headers = headers;
        // Kafka counts milliseconds.
        record.timestamp = row.timestamp.map(|time| time.0.div_euclid(1000));
        self.hand_over(record)
    }

    /// Makes what was sent visible, and the notes of it. Errors: `Sink`; then none of it is, unless
    /// only the answer was lost. The notes tell.
    pub fn commit(&mut self, topic: &str, notes: &[Note]) -> Result<()> {
        for note in notes {
            let note = serde_json::to_vec(note).or_fail(Kind::Sink, || "cannot write what was sent")?;
            self.hand_over(BaseRecord::to(topic).partition(0).payload(&note))?;
        }
        self.repeat("commit_transaction", |producer| producer.commit_transaction(CALL))?;
        self.is_open = false;
        Ok(())
    }

    fn hand_over(&self, record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        let sent = hand_over(&self.producer, record);
        self.producer.poll(Duration::ZERO);
        sent.or_fail(Kind::Sink, || self.fail())
    }

    /// Repeats a call for as long as it says that this helps.
    fn repeat(&self, step: &str, call: impl Fn(&BaseProducer) -> KafkaResult<()>) -> Result<()> {
        let done = while_it_helps(step, || call(&self.producer));
        done.or_fail(Kind::Sink, || self.fail())
    }

    fn fail(&self) -> String {
        format!("cannot send to topic {}; what was sent before is not sent twice", self.topic)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.is_open {
            // Where this fails, the broker ends it when its time is up.
            let _ = abort(&self.producer);
        }
    }
}
