//! Transactions: one epoch's results, chunks and offsets, visible together or not at all.
//! It must not decide what is in an epoch, nor when to try again.

use std::collections::BTreeMap;
use std::result;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::{Checkpoint, Commit, CommitBatch, CommitOutcome, Snapshot};
use tickcast_stream::lock::lock;
use tickcast_stream::{LogId, Offset, PartitionId};

use super::catalog::KeptInLog;
use super::reports::{FIRST_CHUNK, NO_MARK, Reported, Reports};
use super::signature::signed;
use super::state::Trimmer;
use super::transactions::{CALL, KafkaLedger, NOTE_VERSION, OffsetMetadata, STEP};
use crate::kafka::{
    BrokerLog, METADATA_TIMEOUT, Purpose, TopicNews, TopicWatch, Visible, client_config, create,
    reading_consumer, topic_ids,
};
use crate::ledger::keep::{self, InLog};
use crate::retry::retry;
use crate::sink::{Outgoing, for_each_record};

/// A transaction that is not ended by then is ended by the broker.
const TRANSACTION_TIMEOUT_MS: &str = "15000";

type Transactions = BaseProducer<Reports>;

/// The writing half.
pub(super) struct KafkaCommit {
    ledger: KafkaLedger,
    /// None after an error that needs a new producer.
    producer: Option<Transactions>,
    reports: Reports,
    trimmer: Trimmer,
    /// Looks whether the topics are still the same ones.
    watch: TopicWatch<BrokerLog>,
    /// A topic that is not there.
    missing: Option<String>,
    /// Where the snapshots that are being written begin in the state topic, by partition.
    firsts: BTreeMap<PartitionId, Offset>,
    kept: KeptInLog,
}

/// Why a step of a transaction failed, and what is to be done about it.
enum Trouble {
    /// The transaction can be aborted, and the same records sent again.
    Abort(String),
    /// The group does not take our commits: the partitions may be somebody else's.
    Refused(String),
    /// Another producer has our name.
    Fenced(String),
    /// Nobody knows what became of the transaction; a new producer finds out.
    Unknown(String),
    /// No repetition can mend it.
    Fatal(Error),
}

impl Trouble {
    fn of(step: &str, error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        let why = format!("{step}: {error}");
        let KafkaError::Transaction(cause) = &error else { return Trouble::Unknown(why) };
        match cause.code() {
            Code::UnknownMemberId
            | Code::IllegalGeneration
            | Code::RebalanceInProgress
            | Code::FencedInstanceId
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch => Trouble::Refused(why),
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Trouble::Fenced(why),
            _ if cause.txn_requires_abort() => Trouble::Abort(why),
            _ => Trouble::Unknown(why),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Fatal(error)
    }
}

type Step = result::Result<(), Trouble>;

/// Repeats a call for as long as it says that this helps.
fn repeat(step: &str, call: impl Fn() -> KafkaResult<()>) -> Step {
    let done = retry(STEP, Duration::from_millis(10), call, |error| {
        let helps = matches!(error, KafkaError::Transaction(error) if error.is_retriable());
        if helps {
            tracing::debug!(%error, step, "trying again");
        }
        helps
    });
    done.map_err(|error| Trouble::of(step, error))
}

/// Whether librdkafka has as many records as it takes: the broker is slower than we are.
fn is_queue_full(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
}

/// A watch over the topics that a ledger writes, which knows their ids. Errors: `Retry::Later`
/// while no broker answers.
fn watch(ledger: &KafkaLedger) -> Result<TopicWatch<BrokerLog>> {
    let consumer = Arc::new(reading_consumer(&ledger.client, Purpose::State, Visible::Committed)?);
    let topics: Vec<&str> = ledger.written().collect();
    let ids = topic_ids(consumer.client(), &topics, METADATA_TIMEOUT)
        .map_err(|error| Error::transient(Kind::Sink, "cannot ask for the ids of topics").because(error))?;
    let mut watch = TopicWatch::new(consumer, topics.into_iter().map(str::to_owned).collect());
    watch.learn(&ids);
    Ok(watch)
}

impl KafkaCommit {
    /// Ends whatever an earlier life of this instance had left open. Errors: `Retry::Later` while
    /// no broker answers.
    pub fn open(ledger: &KafkaLedger, kept: KeptInLog) -> Result<Self> {
        let mut writer = KafkaCommit {
            trimmer: Trimmer::new(&ledger.client, &ledger.state)?,
            watch: watch(ledger)?,
            missing: None,
            ledger: ledger.clone(),
            producer: None,
            reports: Reports::default(),
            firsts: BTreeMap::new(),
            kept,
        };
        writer.open_producer()?;
        Ok(writer)
    }

    /// The topics that are written, and the id of each, as they are now.
    pub fn topics(&self) -> &BTreeMap<String, LogId> {
        self.watch.known()
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

        repeat("init_transactions", || producer.init_transactions(CALL)).map_err(|trouble| {
            let why = match trouble {
                Trouble::Fatal(error) => return error,
                Trouble::Abort(why)
                | Trouble::Refused(why)
                | Trouble::Fenced(why)
                | Trouble::Unknown(why) => why,
            };
            let what = format!("cannot begin transactions at {}", self.ledger.client.brokers);
            Error::transient(Kind::Sink, what).because(why)
        })?;
        self.producer = Some(producer);
        Ok(())
    }

    /// One transaction from its beginning to its commit.
    fn transact(&self, producer: &Transactions, epoch: &CommitBatch, group: &ConsumerGroupMetadata) -> Step {
        self.reports.with(|reported| *reported = Reported::default());
        fail::fail_point!("ledger.begin", |_| std::process::abort());
        repeat("begin_transaction", || producer.begin_transaction())?;
        self.produce(producer, epoch)?;

        fail::fail_point!("ledger.produced", |_| std::process::abort());
        self.drain(producer)?;
        fail::fail_point!("ledger.drained", |_| std::process::abort());

        let offsets = self.offsets(epoch)?;
        let sent = if epoch.entries.is_empty() {
            Ok(())
        } else {
            repeat("send_offsets", || producer.send_offsets_to_transaction(&offsets, group, CALL))
        };
        fail::fail_point!("ledger.offsets", |_| std::process::abort());
        fail::fail_point!("ledger.commit", |_| {
            // The broker may get the request, but nobody waits for its answer.
            let _ = producer.commit_transaction(Duration::from_millis(2));
            std::process::abort()
        });

        let ended = sent.and_then(|()| repeat("commit_transaction", || producer.commit_transaction(CALL)));
        fail::fail_point!("ledger.committed", |_| std::process::abort());
        fail::fail_point!("ledger.reply_lost", |_| Err(Trouble::Unknown(
            "a fail point lost the reply".into()
        )));
        ended
    }

    /// Hands the epoch's records to librdkafka.
    fn produce(&self, producer: &Transactions, epoch: &CommitBatch) -> Step {
        for (partition, stream, rows) in &epoch.results {
            let Some((_, topic)) = self.ledger.topics.iter().find(|(of, _)| of == stream) else { continue };
            let mut sent = Ok(());
            for_each_record(*stream, rows, &mut |record| {
                if sent.is_ok() {
                    sent = self.send(producer, topic, *partition, record, NO_MARK);
                }
                Ok(())
            })?;
            sent?;
        }

        for chunk in &epoch.chunks {
            let mark = if chunk.index == 0 { FIRST_CHUNK } else { NO_MARK };
            let (bytes, partition) = (chunk.encode(), chunk.snapshot.partition);
            let headers = Some(signed(&self.ledger.pipeline));
            let record = Outgoing { key: None, value: &bytes, headers };
            self.send(producer, &self.ledger.state, partition, record, mark)?;
        }
        Ok(())
    }

    fn send(
        &self,
        producer: &Transactions,
        topic: &str,
        partition: PartitionId,
        from: Outgoing<'_>,
        mark: usize,
    ) -> Step {
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, mark).partition(partition.0).payload(from.value);
        record.key = from.key;
        record.headers = from.headers;
        let mut next = Some(record);

        let send = || {
            let Some(record) = next.take() else { return Ok(()) };
            producer.send(record).map_err(|(error, record)| {
                next = Some(record);
                error
            })
        };
        let sent = retry(STEP, Duration::ZERO, send, |error| {
            let is_full = is_queue_full(error);
            if is_full {
                producer.poll(Duration::from_millis(1));
            }
            is_full
        });

        sent.map_err(|error| {
            if is_queue_full(&error) {
                return Trouble::Abort(format!("topic {topic}: the broker takes no records"));
            }
            // A partition may have been added since the producer looked; a new one looks again at
            // once.
            Trouble::Unknown(format!("topic {topic} partition {partition}: {error}"))
        })
    }

    /// Waits until the broker has every record: `commit_transaction` would wait in steps of 100 ms.
    fn drain(&self, producer: &Transactions) -> Step {
        let in_flight = || if producer.in_flight_count() > 0 { Err(()) } else { Ok(()) };
        let drained = retry(STEP, Duration::ZERO, in_flight, |()| {
            producer.poll(Duration::from_millis(1));
            true
        });
        drained.map_err(|()| Trouble::Abort("the broker does not take the records".into()))?;

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
            let (writer, topics) = (self.ledger.id.clone(), self.topics().clone());
            let note = OffsetMetadata { version: NOTE_VERSION, writer, entry, topics };
            let note = serde_json::to_string(&note).or_fail(Kind::State, fail)?;
            let mut element = list.add_partition(&self.ledger.offsets, partition.0);
            element.set_offset(KafkaOffset::Offset(entry.progress.position.0)).or_fail(Kind::State, fail)?;
            element.set_metadata(note);
        }
        Ok(list)
    }

    /// Aborts the open transaction: its records are never seen. Where that fails, the next producer
    /// of our name aborts it.
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

    /// Drops the records that finished snapshots have replaced: all before the first chunk of the
    /// oldest that is worth keeping.
    fn trim(&mut self, epoch: &CommitBatch) {
        self.firsts.extend(self.reports.with(|reported| std::mem::take(&mut reported.firsts)));
        for chunk in epoch.chunks.iter().filter(|chunk| chunk.is_last()) {
            let Snapshot { partition, position, ref state, .. } = *chunk.snapshot;
            let Some(first) = self.firsts.remove(&partition) else { continue };
            let readable = self.ledger.first_readable(partition);

            let mut kept = lock(&self.kept);
            let kept = kept.entry(partition).or_default();
            kept.push(InLog { position: Some(position), first, bytes: state.len() as u64 });
            keep::in_log(kept, readable);
            if let Some(oldest) = kept.first() {
                self.trimmer.trim(partition, oldest.first);
            }
        }
    }
}

impl KafkaCommit {
    /// Puts the producer in order after a transaction that was not committed.
    fn after(&mut self, trouble: Trouble) -> Result<CommitOutcome> {
        match trouble {
            Trouble::Abort(why) => {
                self.abort();
                Ok(CommitOutcome::Aborted(why))
            }
            Trouble::Refused(why) => {
                self.abort();
                Ok(CommitOutcome::Refused(why))
            }

            Trouble::Fenced(why) if !self.ledger.shared => Err(Error::new(
                Kind::Sink,
                format!("another instance of this pipeline is running, with the same transactions ({why})"),
            )),
            Trouble::Fenced(why) | Trouble::Unknown(why) => {
                self.producer = None;
                Ok(CommitOutcome::Unknown(why))
            }
            Trouble::Fatal(error) => Err(error),
        }
    }
}

impl Commit for KafkaCommit {
    fn begin(&mut self, _: PartitionId, _: Option<&Checkpoint>) -> Result<()> {
        Ok(())
    }

    fn attempt(&mut self, epoch: &CommitBatch) -> Result<CommitOutcome> {
        match self.watch.look() {
            Some(TopicNews::Changed(changed)) => {
                return Err(Error::new(Kind::Sink, "cannot commit").because(changed));
            }
            Some(TopicNews::Missing(topic)) => self.missing = Some(topic),
            Some(TopicNews::Same) => self.missing = None,
            None => {}
        }
        if let Some(topic) = &self.missing {
            return Ok(CommitOutcome::Aborted(format!("topic {topic} does not exist")));
        }
        if self.producer.is_none()
            && let Err(error) = self.open_producer()
        {
            return Ok(CommitOutcome::Aborted(error.to_string()));
        }
        let Some(group) = self.ledger.group.metadata() else {
            return Ok(CommitOutcome::Refused("the consumer has lost its place in the group".into()));
        };
        let Some(producer) = &self.producer else { return Ok(CommitOutcome::Aborted("no producer".into())) };
        let Err(trouble) = self.transact(producer, epoch, &group) else {
            self.trim(epoch);
            return Ok(CommitOutcome::Committed);
        };
        self.after(trouble)
    }

    fn settle(&mut self, partitions: &[PartitionId]) -> Result<BTreeMap<PartitionId, Checkpoint>> {
        // A new producer of the same name ends the open transaction: it is committed or aborted.
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

    fn release(&mut self, _: PartitionId) -> Result<()> {
        Ok(())
    }
}
