//! A partition claimed from Kafka: what is committed of it, once nobody's transaction is open on it
//! any more.
//! It must not commit; it ends what others have left open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, DefaultConsumerContext};
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use tickcast_stream::error::{Error, Kind, OrFail, Result, Retry};
use tickcast_stream::ledger::{Checkpoint, Claim, Recover, Snapshot, SnapshotRef};
use tickcast_stream::lock::lock;
use tickcast_stream::{LogChanged, LogId, LogKind, PartitionId};

use super::catalog::KeptInLog;
use super::owner::TopicOwner;
use super::state::StateTopic;
use super::transactions::{KafkaLedger, OffsetMetadata, ResultTopic};
use crate::kafka::{CALL, Group, client_config, create, grow_topic, partitions_of};
use crate::retry::retry;

/// A claim that waits longer for somebody's open transaction ends it.
const UNSTABLE: Duration = Duration::from_secs(1);
/// A claim that takes longer fails; the caller works on other partitions and claims again.
const CLAIM: Duration = Duration::from_secs(3);

/// The reading half.
pub(super) struct KafkaRecover {
    ledger: KafkaLedger,
    state: StateTopic,
    owner: TopicOwner,
    kept: KeptInLog,
    /// Partitions whose claim is not through yet, and whose last writer's transactions it has
    /// ended.
    ended: BTreeSet<PartitionId>,
    /// How many partitions each topic had when it was last asked for.
    counts: BTreeMap<String, i32>,
    /// The topics that are written, as they are now.
    topics: BTreeMap<String, LogId>,
}

impl KafkaRecover {
    /// `topics`: those that are written, as they are now. No broker is asked yet.
    pub fn new(ledger: &KafkaLedger, kept: KeptInLog, topics: BTreeMap<String, LogId>) -> Self {
        KafkaRecover {
            state: StateTopic::new(&ledger.client, &ledger.state),
            owner: TopicOwner::new(&ledger.pipeline),
            kept,
            ledger: ledger.clone(),
            ended: BTreeSet::new(),
            counts: BTreeMap::new(),
            topics,
        }
    }

    /// What is committed, once nobody's transaction is open on the partition any more. Errors:
    /// `Retry::Later` until then.
    fn committed(&mut self, partition: PartitionId) -> Result<Option<OffsetMetadata>> {
        let ask = || self.ledger.group.committed(&self.ledger.offsets, &[partition], UNSTABLE);
        let committed = retry(CLAIM, Duration::ZERO, ask, |error| {
            tracing::debug!(%error, partition = partition.0, "what is committed is not known yet");
            // Once in a claim: it may take a while until that shows.
            if self.ended.insert(partition) {
                end_predecessor(&self.ledger, partition);
            }
            true
        });

        let list = committed.map_err(|error| {
            let group = &self.ledger.group_id;
            let what = format!("cannot read yet what group {group} has committed of partition {partition}");
            Error::transient(Kind::State, what).because(error)
        })?;
        self.ended.remove(&partition);
        Ok(self.ledger.notes(&list)?.remove(&partition))
    }

    /// Errors: `State`, when a topic that a commit was made to has been made anew since, and nobody
    /// has said to go on without what is gone.
    fn check_topics(&self, note: &OffsetMetadata) -> Result<()> {
        let changed = note.topics.iter().find_map(|(topic, &was)| {
            let &is = self.topics.get(topic).filter(|is| **is != was)?;
            Some(LogChanged { kind: LogKind::Topic, name: topic.clone(), was, is })
        });
        let changed = changed.filter(|_| !self.ledger.bootstrap);
        changed.map_or(Ok(()), |changed| Err(self.ledger.gone(&changed)))
    }

    /// Partitions may have been added to the source since the topics were made.
    fn grow_topics(&mut self, partition: PartitionId) -> Result<()> {
        let topics: Vec<String> = self.ledger.written().map(str::to_owned).collect();
        for topic in topics {
            if self.counts.get(&topic).is_some_and(|count| *count > partition.0) {
                continue;
            }
            let Some(count) = partitions_of(self.state.consumer()?, &topic)? else {
                continue;
            };
            if count <= partition.0 {
                tracing::info!(
                    topic,
                    partitions = partition.0 + 1,
                    "the source has grown: adding partitions"
                );
                grow_topic(&self.ledger.client, &topic, partition.0 + 1)?;
            } else {
                self.counts.insert(topic, count);
            }
        }
        Ok(())
    }

    /// The first topic in which a reader finds results of a partition. Those of a transaction that
    /// was never committed are in the log too, and no results.
    fn with_results(&self, partition: PartitionId) -> Result<Option<&str>> {
        for ResultTopic { topic, .. } in &self.ledger.topics {
            if self.state.has_records(topic, partition)? {
                return Ok(Some(topic));
            }
        }
        Ok(None)
    }
}

impl Recover for KafkaRecover {
    fn take_over(&mut self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        Ok(self.take_note(partition)?.map(|note| note.entry))
    }

    fn claim(&mut self, partition: PartitionId) -> Result<Claim> {
        let claimed = self.claim_now(partition);
        if claimed.as_ref().is_err_and(|error| error.retry == Retry::Later) {
            // A consumer does not see partitions that were added since it looked first; a new one
            // does.
            self.state = StateTopic::new(&self.ledger.client, &self.ledger.state);
        }
        claimed
    }

    fn may_begin_anew(&self) -> bool {
        self.ledger.bootstrap
    }
}

impl KafkaRecover {
    /// The snapshot that is named, and note of those before it.
    fn load(&mut self, partition: PartitionId, named: SnapshotRef) -> Result<Option<Snapshot>> {
        let (snapshot, kept) = self.state.load_last(partition, named)?;
        lock(&self.kept).insert(partition, kept);
        Ok(snapshot)
    }

    /// Takes a partition over: what the newest commit says of it.
    fn take_note(&mut self, partition: PartitionId) -> Result<Option<OffsetMetadata>> {
        self.grow_topics(partition)?;
        // In this order: what a dead instance has left open is ended, and the owner can be seen.
        let committed = self.committed(partition)?;
        self.owner.claim(&self.state)?;
        Ok(committed)
    }

    fn claim_now(&mut self, partition: PartitionId) -> Result<Claim> {
        let note = self.take_note(partition)?;
        lock(&self.kept).remove(&partition);
        if let Some(note) = note {
            self.check_topics(&note)?;
            let entry = note.entry;
            let snapshot = match entry.snapshot {
                Some(named) => self.load(partition, named)?,
                None => None,
            };
            return Ok(Claim { entry: Some(entry), snapshot });
        }

        let group = &self.ledger.group_id;
        let snapshot = self.state.load(partition, None)?;
        match self.with_results(partition)? {
            Some(topic) if !self.ledger.bootstrap => Err(Error::new(
                Kind::State,
                format!(
                    "topic {topic} has results of partition {partition}, but group {group} does not say how far they go \
                     (its offsets may have expired, the source's topic may have been made anew, or it is another group): `run --bootstrap` goes on from {} and may \
                     write some of them again",
                    match &snapshot {
                        Some(snapshot) => format!("the newest snapshot, at position {}", snapshot.position),
                        None => "the source's start".to_owned(),
                    }
                ),
            )),
            _ => Ok(Claim { entry: None, snapshot }),
        }
    }
}

impl KafkaLedger {
    /// Ends the transaction that this instance's former life has left open. Readers see nothing
    /// that comes after it, and no claim waits for it where the group was not told of it yet.
    pub(super) fn end_former(&self) {
        let Some(former) = &self.former else { return };
        match take_over_transactions(self, former) {
            Ok(()) => {
                tracing::info!(writer = former, "ended what the former life of this instance had left open")
            }
            Err(error) => {
                tracing::warn!(%error, writer = former, "cannot end what was left open; it has a time-out")
            }
        }
    }
}

/// Ends the open transaction of the instance that wrote last of this partition: it has died, or has
/// been cut off. Otherwise the broker would wait for the transaction's time-out.
fn end_predecessor(ledger: &KafkaLedger, partition: PartitionId) {
    match last_writer(ledger, partition) {
        Ok(Some(id)) if id != ledger.id => {
            tracing::info!(
                partition = partition.0,
                writer = id,
                "ending the open transaction of who had the partition"
            );
            if let Err(error) = take_over_transactions(ledger, &id) {
                tracing::warn!(%error, partition = partition.0, "cannot end it; waiting for its time-out");
            }
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, partition = partition.0, "cannot tell who had the partition"),
    }
}

/// Who made the last commit of a partition, though a transaction may be open on it.
fn last_writer(ledger: &KafkaLedger, partition: PartitionId) -> Result<Option<String>> {
    let mut config = client_config(&ledger.client, &[("group.id", &ledger.group_id)]);
    config.set("isolation.level", "read_uncommitted").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = create(&config, DefaultConsumerContext)?;
    let list = Group::committed(&consumer, &ledger.offsets, &[partition], CALL);
    let list = list.or_fail(Kind::State, || "cannot read the last commit")?;
    Ok(ledger.notes(&list)?.remove(&partition).map(|note| note.writer))
}

/// Begins transactions under another instance's name, which ends the one it has left open.
fn take_over_transactions(ledger: &KafkaLedger, id: &str) -> Result<()> {
    let config = client_config(&ledger.client, &[("transactional.id", id)]);
    let producer: BaseProducer = create(&config, DefaultProducerContext)?;
    producer.init_transactions(CALL).or_fail(Kind::State, || "cannot take over its transactions")
}
