//! Transactions: one epoch's results, chunks and offsets, visible together or not at all.
//! It must not decide what is in an epoch, nor when to try again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::{Checkpoint, Commit, CommitBatch, CommitOutcome};

use super::state::Trimmer;
use super::transactions::{CALL, KafkaLedger, NOTE_VERSION, OffsetMetadata, STEP};
use crate::kafka::{client_config, create};
use crate::sink::{Outgoing, for_each_record};

/// A transaction that is not ended by then is ended by the broker.
const TRANSACTION_TIMEOUT_MS: &str = "15000";

/// What librdkafka reports of the records of the open transaction.
#[derive(Clone, Default)]
struct Reports(Arc<Mutex<Reported>>);

#[derive(Default)]
struct Reported {
    failed: Option<String>,
    /// Offsets of first chunks, by partition.
    firsts: BTreeMap<i32, i64>,
}

impl Reports {
    fn with<T>(&self, work: impl FnOnce(&mut Reported) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Marks a record whose offset is wanted: the first chunk of a snapshot.
const FIRST_CHUNK: usize = 1;

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        // What lasts is told by who waits for it.
        tracing::debug!(%error, reason, "kafka ledger");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, mark: usize) {
        match result {
            Ok(message) if mark == FIRST_CHUNK => {
                self.with(|reported| _ = reported.firsts.insert(message.partition(), message.offset()));
            }
            Ok(_) => {}
            Err((error, message)) => self.with(|reported| {
                let (topic, partition) = (message.topic(), message.partition());
                reported
                    .failed
                    .get_or_insert_with(|| format!("topic {topic} partition {partition}: {error}"));
            }),
        }
    }
}

type Transactions = BaseProducer<Reports>;

/// The writing half.
pub(super) struct KafkaCommit {
    ledger: KafkaLedger,
    /// None after an error that it does not survive.
    producer: Option<Transactions>,
    reports: Reports,
    trimmer: Trimmer,
    /// Where the snapshots that are being written begin in the state topic, by partition.
    firsts: BTreeMap<i32, i64>,
}

/// Why a step of a transaction failed.
enum Trouble {
    Abort(String),
    Refused(String),
    /// Another producer has our name.
    Fenced(String),
    LostPartitions(String),
}

impl Trouble {
    fn of(step: &str, error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let why = format!("{step}: {error}");
        let KafkaError::Transaction(cause) = &error else { return Trouble::LostPartitions(why) };
        match cause.code() {
            Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch => Trouble::Refused(why),
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Trouble::Fenced(why),
            _ if cause.txn_requires_abort() => Trouble::Abort(why),
            _ => Trouble::LostPartitions(why),
        }
    }
}

/// Repeats a call for as long as it says that this helps.
fn repeat(step: &str, call: impl Fn() -> KafkaResult<()>) -> std::result::Result<(), Trouble> {
    let began = Instant::now();
    loop {
        match call() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && began.elapsed() < STEP => {
                tracing::debug!(%error, step, "trying again");
                std::thread::sleep(Duration::from_millis(10));
            }
            done => return done.map_err(|error| Trouble::of(step, error)),
        }
    }
}

impl KafkaCommit {
    /// Ends whatever an earlier life of this instance had left open. Errors: `Retry::Later` while no broker answers.
    pub fn open(ledger: &KafkaLedger) -> Result<Self> {
        let mut writer = KafkaCommit {
            trimmer: Trimmer::new(&ledger.client, &ledger.state)?,
            ledger: ledger.clone(),
            producer: None,
            reports: Reports::default(),
            firsts: BTreeMap::new(),
        };
        writer.open_producer()?;
        Ok(writer)
    }

    fn open_producer(&mut self) -> Result<()> {
        // The old one must be gone first: two with one name fence each other.
        self.producer = None;
        let defaults = [
            ("transactional.id", self.ledger.id.as_str()),
            ("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
            ("linger.ms", "0"),
            ("retry.backoff.ms", "10"),
            ("compression.type", "zstd"),
        ];
        let producer: Transactions =
            create(&client_config(&self.ledger.client, &defaults), self.reports.clone())?;
        let away = |why: String| {
            let what = format!("cannot begin transactions at {}", self.ledger.client.brokers);
            Error::transient(Kind::Sink, what).because(why)
        };
        match repeat("init_transactions", || producer.init_transactions(CALL)) {
            Ok(()) => {}
            Err(
                Trouble::Abort(why)
                | Trouble::Refused(why)
                | Trouble::Fenced(why)
                | Trouble::LostPartitions(why),
            ) => {
                return Err(away(why));
            }
        }
        self.producer = Some(producer);
        Ok(())
    }

    fn transact(
        &self,
        producer: &Transactions,
        epoch: &CommitBatch,
        group: &ConsumerGroupMetadata,
    ) -> Result<std::result::Result<(), Trouble>> {
        self.reports.with(|reported| *reported = Reported::default());
        fail::fail_point!("ledger.begin", |_| std::process::abort());
        if let Err(trouble) = repeat("begin_transaction", || producer.begin_transaction()) {
            return Ok(Err(trouble));
        }
        if let Err(trouble) = self.produce(producer, epoch)? {
            return Ok(Err(trouble));
        }
        fail::fail_point!("ledger.produced", |_| std::process::abort());
        if let Err(trouble) = self.drain(producer) {
            return Ok(Err(trouble));
        }
        fail::fail_point!("ledger.drained", |_| std::process::abort());
        let offsets = self.offsets(epoch)?;
        let ended = if epoch.entries.is_empty() {
            Ok(())
        } else {
            repeat("send_offsets", || producer.send_offsets_to_transaction(&offsets, group, CALL))
        };
        fail::fail_point!("ledger.offsets", |_| std::process::abort());
        fail::fail_point!("ledger.commit", |_| {
            // The broker may have been asked, but nobody hears what it says.
            let _ = producer.commit_transaction(Duration::from_millis(2));
            std::process::abort()
        });
        let ended = ended.and_then(|()| repeat("commit_transaction", || producer.commit_transaction(CALL)));
        fail::fail_point!("ledger.committed", |_| std::process::abort());
        fail::fail_point!("ledger.reply_lost", |_| Ok(Err(Trouble::LostPartitions(
            "a fail point lost the reply".into()
        ))));
        Ok(ended)
    }

    /// Hands the epoch's records to librdkafka. Errors: those that no repetition can mend.
    fn produce(
        &self,
        producer: &Transactions,
        epoch: &CommitBatch,
    ) -> Result<std::result::Result<(), Trouble>> {
        for (partition, stream, rows) in &epoch.results {
            let Some((_, topic)) = self.ledger.topics.iter().find(|(of, _)| of == stream) else { continue };
            let mut sent = Ok(());
            for_each_record(*stream, rows, &mut |record| {
                if sent.is_ok() {
                    sent = self.send(producer, topic, *partition, record, 0);
                }
                Ok(())
            })?;
            if sent.is_err() {
                return Ok(sent);
            }
        }
        for chunk in &epoch.chunks {
            let mark = if chunk.index == 0 { FIRST_CHUNK } else { 0 };
            let (bytes, partition) = (chunk.encode(), chunk.snapshot.partition);
            let record = Outgoing { key: None, value: &bytes, headers: None };
            let sent = self.send(producer, &self.ledger.state, partition, record, mark);
            if sent.is_err() {
                return Ok(sent);
            }
        }
        Ok(Ok(()))
    }

    fn send(
        &self,
        producer: &Transactions,
        topic: &str,
        partition: i32,
        from: Outgoing<'_>,
        mark: usize,
    ) -> std::result::Result<(), Trouble> {
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, mark).partition(partition).payload(from.value);
        record.key = from.key;
        record.headers = from.headers;
        let began = Instant::now();
        let mut next = record;
        loop {
            match producer.send(next) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    if began.elapsed() > STEP {
                        return Err(Trouble::Abort(format!("topic {topic}: the broker takes no records")));
                    }
                    producer.poll(Duration::from_millis(1));
                    next = back;
                }
                // A partition may have been added since the producer looked; a new one looks again at once.
                Err((error, _)) => {
                    return Err(Trouble::LostPartitions(format!(
                        "topic {topic} partition {partition}: {error}"
                    )));
                }
            }
        }
    }

    /// Waits until the broker has every record: `commit_transaction` would wait in steps of 100 ms.
    fn drain(&self, producer: &Transactions) -> std::result::Result<(), Trouble> {
        let began = Instant::now();
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(1));
            if began.elapsed() > STEP {
                return Err(Trouble::Abort("the broker does not take the records".into()));
            }
        }
        producer.poll(Duration::ZERO);
        match self.reports.with(|reported| reported.failed.clone()) {
            Some(why) => Err(Trouble::Abort(format!("cannot write: {why}"))),
            None => Ok(()),
        }
    }

    fn offsets(&self, epoch: &CommitBatch) -> Result<TopicPartitionList> {
        let fail = || "cannot write an entry";
        let mut list = TopicPartitionList::new();
        for (&partition, &entry) in &epoch.entries {
            let note = OffsetMetadata { version: NOTE_VERSION, writer: self.ledger.id.clone(), entry };
            let note = serde_json::to_string(&note).or_fail(Kind::State, fail)?;
            let mut element = list.add_partition(&self.ledger.offsets, partition);
            element.set_offset(Offset::Offset(entry.progress.position)).or_fail(Kind::State, fail)?;
            element.set_metadata(note);
        }
        Ok(list)
    }

    /// Ends the open transaction without its records being seen. Where even that fails, the next producer of our name
    /// ends it.
    fn abort(&mut self) {
        let aborted = self.producer.as_ref().map(|producer| {
            repeat("abort_transaction", || {
                producer.poll(Duration::ZERO);
                producer.abort_transaction(CALL)
            })
        });
        if let Some(Err(_)) = aborted {
            self.producer = None;
        }
    }

    /// Drops what finished snapshots have replaced: all before their first chunks.
    fn trim(&mut self, epoch: &CommitBatch) {
        self.firsts.extend(self.reports.with(|reported| std::mem::take(&mut reported.firsts)));
        for chunk in epoch.chunks.iter().filter(|chunk| chunk.is_last()) {
            let partition = chunk.snapshot.partition;
            if let Some(first) = self.firsts.remove(&partition) {
                self.trimmer.trim(partition, first);
            }
        }
    }
}

impl Commit for KafkaCommit {
    fn begin(&mut self, _: i32, _: Option<&Checkpoint>) -> Result<()> {
        Ok(())
    }

    fn attempt(&mut self, epoch: &CommitBatch) -> Result<CommitOutcome> {
        if self.producer.is_none()
            && let Err(error) = self.open_producer()
        {
            return Ok(CommitOutcome::Aborted(error.to_string()));
        }
        let Some(group) = self.ledger.group.metadata() else {
            return Ok(CommitOutcome::Refused("the consumer has lost its place in the group".into()));
        };
        let Some(producer) = &self.producer else { return Ok(CommitOutcome::Aborted("no producer".into())) };
        match self.transact(producer, epoch, &group)? {
            Ok(()) => {
                self.trim(epoch);
                Ok(CommitOutcome::Committed)
            }
            Err(Trouble::Abort(why)) => {
                self.abort();
                Ok(CommitOutcome::Aborted(why))
            }
            Err(Trouble::Refused(why)) => {
                self.abort();
                Ok(CommitOutcome::Refused(why))
            }
            Err(Trouble::Fenced(why)) if !self.ledger.shared => Err(Error::new(
                Kind::Sink,
                format!("another instance of this pipeline is running, with the same transactions ({why})"),
            )),
            Err(Trouble::Fenced(why) | Trouble::LostPartitions(why)) => {
                self.producer = None;
                Ok(CommitOutcome::Unknown(why))
            }
        }
    }

    fn settle(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, Checkpoint>> {
        // Beginning anew under the same name ends what was open, one way or the other.
        if self.producer.is_none() {
            self.open_producer()?;
        }
        let list = self.ledger.group.committed(&self.ledger.offsets, partitions, CALL);
        let list = list.map_err(|error| {
            Error::transient(Kind::State, "cannot read whether the last commit was made").because(error)
        })?;
        let ours = self.ledger.notes(&list)?.into_iter().filter(|(_, note)| note.writer == self.ledger.id);
        Ok(ours.map(|(partition, note)| (partition, note.entry)).collect())
    }

    fn release(&mut self, _: i32) -> Result<()> {
        Ok(())
    }
}
