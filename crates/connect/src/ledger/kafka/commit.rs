//! Transactions: one epoch's results, chunks and offsets, visible together or not at all.
//! It must not decide what is in an epoch, nor when to try again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::{Checkpoint, Commit, CommitBatch, CommitOutcome, Snapshot};
use tickcast_stream::lock::lock;
use tickcast_stream::message::Stream;
use tickcast_stream::{LogId, Offset, PartitionId};

use super::catalog::KeptInLog;
use super::reports::{FIRST_CHUNK, NO_MARK, Reported, Reports};
use super::signature::signed;
use super::state::Trimmer;
use super::transactions::{KafkaLedger, NOTE_VERSION, OffsetMetadata, ResultTopic};
use super::trouble::{Step, Trouble, is_too_large, repeat};
use crate::kafka::{
    BrokerLog, CALL, IDLE_MS, Login, RecordLimits, STEP, TRANSACTION_TIMEOUT_MS, TopicNews, TopicWatch,
    abort, client_config, create, hand_over, is_queue_full, record_limits,
};
use crate::ledger::keep::{self, InLog};
use crate::retry::retry;
use crate::sink::{Outgoing, Room};

/// How long a commit waits to hear whether the topics are still the same ones.
const LOOK: Duration = Duration::from_secs(2);

type Transactions = BaseProducer<Reports>;

/// The writing half.
pub(super) struct KafkaCommit {
    ledger: KafkaLedger,
    /// None after an error that needs a new producer.
    producer: Option<Transactions>,
    /// The producer's.
    login: Login,
    reports: Reports,
    trimmer: Trimmer,
    /// Looks whether the topics are still the same ones.
    watch: TopicWatch<BrokerLog>,
    /// A topic that is not there.
    missing: Option<String>,
    /// Where the snapshots that are being written begin in the state topic, by partition.
    firsts: BTreeMap<PartitionId, Offset>,
    kept: KeptInLog,
    /// How large records may be.
    limits: RecordLimits,
    /// Rejects that were cut: in the transaction that was last tried, and in all that were made.
    cut: Cell<u64>,
    all_cut: u64,
}

impl KafkaCommit {
    /// Ends whatever an earlier life of this instance had left open. Errors: `Retry::Later` while
    /// no broker answers.
    pub fn open(ledger: &KafkaLedger, kept: KeptInLog) -> Result<Self> {
        let topics: Vec<&str> = ledger.written().collect();
        let mut writer = KafkaCommit {
            trimmer: Trimmer::new(&ledger.client, &ledger.state)?,
            watch: ledger.watch()?,
            missing: None,
            limits: RecordLimits::ask(&ledger.client, &topics)?,
            ledger: ledger.clone(),
            producer: None,
            login: Login::of(&ledger.client),
            reports: Reports::default(),
            firsts: BTreeMap::new(),
            kept,
            cut: Cell::new(0),
            all_cut: 0,
        };
        ledger.end_former();
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
        self.login = Login::of(&self.ledger.client);
        let topics: Vec<&str> = self.ledger.written().collect();
        let [(most, most_bytes), (batch, batch_bytes)] = self.limits.properties(&topics);
        let defaults = [
            (most, most_bytes.as_str()),
            (batch, batch_bytes.as_str()),
            ("transactional.id", self.ledger.id.as_str()),
            ("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS),
            ("connections.max.idle.ms", IDLE_MS),
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
                | Trouble::TooLarge(why)
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
        self.cut.set(0);
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
            let topic = self.ledger.topics.iter().find(|topic| topic.stream == *stream);
            let Some(ResultTopic { topic, records, .. }) = topic else { continue };
            let mut sent = Ok(());
            records.for_each(rows, Room(self.limits.of(topic)), &mut |record| {
                self.cut.set(self.cut.get() + u64::from(record.is_cut));
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
            let record = Outgoing { key: None, value: Some(&bytes), headers, is_cut: false };
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
            BaseRecord::with_opaque_to(topic, mark).partition(partition.0);
        record.key = from.key;
        record.payload = from.value;
        record.headers = from.headers;

        hand_over(producer, record).map_err(|error| {
            if is_queue_full(&error) {
                return Trouble::Abort(format!("topic {topic}: the broker takes no records"));
            }
            if is_too_large(&error) {
                return Trouble::TooLarge(topic.to_owned());
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

    /// What lies behind a trouble: once the broker has refused a record, librdkafka takes no others
    /// and says only that.
    fn cause_of(&self, producer: &Transactions, trouble: Trouble) -> Trouble {
        producer.poll(Duration::ZERO);
        let too_large = self.reports.with(|reported| reported.too_large.clone());
        match (trouble, too_large) {
            (Trouble::Abort(_) | Trouble::Unknown(_), Some(topic)) => Trouble::TooLarge(topic),
            (trouble, _) => trouble,
        }
    }

    fn offsets(&self, epoch: &CommitBatch) -> Result<TopicPartitionList> {
        let fail = || "cannot write an entry";
        let mut list = TopicPartitionList::new();
        for (&partition, entry) in &epoch.entries {
            let (writer, topics) = (self.ledger.id.clone(), self.topics().clone());
            let note = OffsetMetadata { version: NOTE_VERSION, writer, entry: entry.clone(), topics };
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
        self.producer = self.producer.take().filter(|producer| abort(producer).is_ok());
    }

    /// Drops the records that finished snapshots have replaced: all before the first chunk of the
    /// oldest that is worth keeping. A light one replaces none, and stays with its base.
    fn trim(&mut self, epoch: &CommitBatch) {
        self.firsts.extend(self.reports.with(|reported| std::mem::take(&mut reported.firsts)));
        for chunk in epoch.chunks.iter().filter(|chunk| chunk.is_last()) {
            let Snapshot { partition, position, ref state, base, .. } = *chunk.snapshot;
            let Some(first) = self.firsts.remove(&partition) else { continue };
            let (readable, bytes) = (self.ledger.first_readable(partition), state.len() as u64);

            let mut kept = lock(&self.kept);
            let kept = kept.entry(partition).or_default();
            if base.is_some() {
                kept.last_mut().into_iter().for_each(|whole| whole.join(position, bytes));
                continue;
            }
            kept.push(InLog { position: Some(position), first, bytes });
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
        // A topic may be gone, and the next attempt may find another one of its name.
        self.watch.doubt();
        match trouble {
            Trouble::Abort(why) => {
                self.abort();
                Ok(CommitOutcome::Aborted(why))
            }
            Trouble::Refused(why) => {
                self.abort();
                Ok(CommitOutcome::Refused(why))
            }

            Trouble::TooLarge(topic) => self.send_less(&topic),
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

impl KafkaCommit {
    /// What to do about a topic that has refused records for their size: less is sent to it from
    /// now on, where that helps. Errors: `Sink`, where it does not.
    fn send_less(&mut self, topic: &str) -> Result<CommitOutcome> {
        self.abort();
        let says = record_limits(&self.ledger.client, &[topic])?.remove(topic);
        let may_cut = self.ledger.topics.iter().any(|to| to.stream == Stream::Rejects && to.topic == topic);
        if self.limits.refused(topic, says, may_cut) {
            // The size of batches is a property of the producer.
            self.producer = None;
            let bytes = self.limits.of(topic);
            return Ok(CommitOutcome::Aborted(format!("topic {topic} refuses records over {bytes} bytes")));
        }

        let takes =
            says.map_or("does not say how much it takes".into(), |bytes| format!("takes {bytes} bytes"));
        let what = format!(
            "topic {topic} refuses a record for its size: it {takes}; raise its max.message.bytes (the producer's \
             message.max.bytes, if it is set, must allow it too)"
        );
        Err(Error::new(Kind::Sink, what))
    }
}

impl Commit for KafkaCommit {
    fn begin(&mut self, _: PartitionId, _: Option<&Checkpoint>) -> Result<()> {
        Ok(())
    }

    fn attempt(&mut self, epoch: &CommitBatch) -> Result<CommitOutcome> {
        match self.watch.look_now(LOOK) {
            Some(TopicNews::Changed(changed)) => return Err(self.ledger.gone(&changed)),
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
        self.login.renew(producer);
        let Err(trouble) = self.transact(producer, epoch, &group) else {
            self.trim(epoch);
            self.all_cut += self.cut.get();
            return Ok(CommitOutcome::Committed);
        };
        let trouble = self.cause_of(producer, trouble);
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

    fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.all_cut)
    }
}
