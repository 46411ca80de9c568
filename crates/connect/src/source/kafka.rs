//! Kafka topics as a source: a consumer in a group, each assigned partition read from where it is told to start.
//! It must not decode, and must not commit by itself: positions become the group's when the runner says they are
//! durable.
//!
//! A member that the group has shut out comes back under another name. librdkafka (2.12) does not always say so: one with
//! `group.instance.id` that is shut out within a rebalance goes on with what it had, though others had it in between. So
//! what is owned is owned under a name: under another one nothing is committed, until all of it is lost and claimed anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, RawRecord, Records};
use tickcast_stream::source::{Event, Source};

use crate::kafka::{Group, METADATA_TIMEOUT, client_config, create, member_id};
use crate::spec::{KafkaSourceSpec, StartFrom};

/// Bytes of one poll; the record that passes it is the last.
const BATCH_BYTES: usize = 16 << 20;
/// Records of one poll, over all partitions.
const BATCH: usize = 1024;

/// What librdkafka's threads and callbacks leave for the next poll.
#[derive(Default)]
struct CallbackInbox {
    rebalances: VecDeque<Rebalance>,
    /// Why no broker answers; over when one does.
    away: Option<String>,
    /// What a broker answered instead of records; over when records or partitions come, or brokers answer again.
    complaint: Option<String>,
    /// That there is no such topic; over when partitions of it come.
    missing: Option<String>,
    lag: BTreeMap<i32, i64>,
    /// The name under which the group gave us what we own.
    member: String,
    /// Nobody polls any more: the group gets everything back at once.
    is_closing: bool,
}

enum Rebalance {
    Assigned { partitions: Vec<i32>, member: String },
    Revoked { partitions: Vec<i32>, lost: bool },
}

#[derive(Clone, Default)]
struct Context {
    notes: Arc<Mutex<CallbackInbox>>,
}

impl Context {
    fn notes<T>(&self, with: impl FnOnce(&mut CallbackInbox) -> T) -> T {
        with(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Context {
    fn error(&self, error: KafkaError, reason: &str) {
        let why = format!("kafka: {reason}");
        let told = self.notes(|notes| notes.away.replace(why)).is_some();
        // librdkafka says so several times a second for as long as it lasts.
        if told {
            tracing::debug!(%error, reason, "kafka source");
        } else {
            tracing::warn!(%error, reason, "kafka source");
        }
    }

    /// Comes every second: the only word of a broker that is back while nothing is produced.
    fn stats(&self, statistics: Statistics) {
        let answers = statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let lags = partitions.filter(|partition| partition.partition >= 0 && partition.consumer_lag >= 0);
        self.notes(|notes| {
            if answers {
                (notes.away, notes.complaint) = (None, None);
            }
            lags.for_each(|p| _ = notes.lag.insert(p.partition, p.consumer_lag));
        });
    }
}

impl ConsumerContext for Context {
    /// Only notes it: an assigned partition waits until the runner says where to start, a revoked one until it is
    /// released, and the group waits with them.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.notes(|notes| notes.is_closing) {
            // The answer that librdkafka waits for; while it closes, it takes any for this one.
            _ = consumer.unassign();
            return;
        }
        let ids: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let member = member_id(consumer);
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(partitions = ?ids, "assigned");
            self.notes(|notes| {
                notes.missing = None;
                notes.rebalances.push_back(Rebalance::Assigned { partitions: ids, member });
            });
        } else {
            let lost = consumer.assignment_lost() || self.notes(|notes| notes.member != member);
            tracing::info!(partitions = ?ids, lost, "revoked");
            self.notes(|notes| notes.rebalances.push_back(Rebalance::Revoked { partitions: ids, lost }));
        }
    }
}

/// Our place in the group, for commits in its name.
struct GroupMember {
    consumer: Arc<BaseConsumer<Context>>,
    context: Context,
}

impl Group for GroupMember {
    fn metadata(&self) -> Option<ConsumerGroupMetadata> {
        let metadata = Group::metadata(&*self.consumer)?;
        // Names do not come back: if it is the right one now, it was so when the metadata was made.
        let member = member_id(&self.consumer);
        let is_known = !member.is_empty() && self.context.notes(|notes| notes.member == member);
        is_known.then_some(metadata)
    }

    fn committed(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> KafkaResult<TopicPartitionList> {
        Group::committed(&*self.consumer, topic, partitions, timeout)
    }
}

pub struct KafkaSource {
    consumer: Arc<BaseConsumer<Context>>,
    context: Context,
    topic: String,
    from: StartFrom,
    /// Assigned partitions that are not started yet, and where those that are begin.
    starting: BTreeMap<i32, Option<Offset>>,
    owned: BTreeSet<i32>,
    /// Our new name, while what we owned under the old one is being let go of.
    renamed: Option<String>,
    /// Revoked partitions, those that are not released yet first: they go back together.
    releasing: BTreeSet<i32>,
    released: BTreeSet<i32>,
    /// The newest position told of each partition.
    committed: BTreeMap<i32, i64>,
    ready: VecDeque<Event>,
    batch: usize,
}

impl KafkaSource {
    /// Joins the group. Errors: `Source`, when librdkafka refuses the properties. The broker need not answer yet.
    pub fn open(plan: &KafkaSourceSpec) -> Result<Self> {
        let reset = match plan.start {
            StartFrom::Warm | StartFrom::Earliest => "earliest",
            StartFrom::Latest => "latest",
        };
        let mut defaults = vec![
            ("group.id", plan.group.as_str()),
            ("auto.offset.reset", reset),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            ("statistics.interval.ms", "1000"),
            // A topic that grows is noticed within this time.
            ("topic.metadata.refresh.interval.ms", "30000"),
        ];
        let properties = &plan.client.properties;
        let is_new = |(name, value): &(String, String)| {
            name == "group.protocol" && value.eq_ignore_ascii_case("consumer")
        };
        // In the new protocol the broker decides both.
        if !properties.iter().any(is_new) {
            defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
            defaults.push(("session.timeout.ms", "10000"));
        }
        let context = Context::default();
        let fail = || format!("cannot make a consumer for topic {}", plan.topic);
        let consumer: BaseConsumer<Context> =
            create(&client_config(&plan.client, &defaults), context.clone())?;
        consumer.subscribe(&[&plan.topic]).or_fail(Kind::Source, fail)?;
        Ok(KafkaSource {
            consumer: Arc::new(consumer),
            context,
            topic: plan.topic.clone(),
            from: plan.start,
            starting: BTreeMap::new(),
            owned: BTreeSet::new(),
            renamed: None,
            releasing: BTreeSet::new(),
            released: BTreeSet::new(),
            committed: BTreeMap::new(),
            ready: VecDeque::new(),
            batch: BATCH,
        })
    }

    /// At most this many records a poll, over all partitions.
    pub fn with_batch_records(mut self, records: usize) -> Self {
        self.batch = records.max(1);
        self
    }

    fn list(&self, partition: i32) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        list
    }

    /// A restored position against what the broker still has. Left alone, librdkafka would go where `start` says, and
    /// with `latest` pass over all records there are. Errors: `Source`, when the topic is another one than it was.
    fn within_log(&self, partition: i32, position: i64) -> Result<i64> {
        match self.consumer.fetch_watermarks(&self.topic, partition, METADATA_TIMEOUT) {
            Ok((low, _)) if position < low => {
                let lost = low - position;
                tracing::warn!(partition, position, lost, "the broker dropped records before they were read");
                Ok(low)
            }
            Ok((_, high)) if position > high => Err(Error::new(
                Kind::Source,
                format!(
                    "topic {} partition {partition} ends at {high}, but its state was saved at {position}: was the topic \
                     made anew? Remove the state directory to begin anew",
                    self.topic
                ),
            )),
            Ok(_) => Ok(position),
            Err(error) => {
                tracing::warn!(%error, partition, "cannot ask where the log begins; reading on from the state");
                Ok(position)
            }
        }
    }

    /// Tells librdkafka what it may fetch, once every assigned partition has its start.
    fn assign_started(&mut self) -> Result<()> {
        if self.starting.values().any(Option::is_none) {
            return Ok(());
        }
        let fail = || "cannot take the assigned partitions";
        let mut list = TopicPartitionList::new();
        for (partition, offset) in std::mem::take(&mut self.starting) {
            let offset = offset.unwrap_or(Offset::Invalid);
            list.add_partition_offset(&self.topic, partition, offset).or_fail(Kind::Source, fail)?;
            self.owned.insert(partition);
        }
        self.consumer.incremental_assign(&list).or_fail(Kind::Source, fail)?;
        // A partition that was paused when it was taken away would come back paused.
        self.consumer.resume(&list).or_fail(Kind::Source, fail)
    }

    /// Gives the revoked partitions back, once all of them are released.
    fn unassign_released(&mut self) -> Result<()> {
        if !self.releasing.is_empty() {
            return Ok(());
        }
        if let Some(member) = self.renamed.take() {
            self.context.notes(|notes| notes.member = member);
        }
        if self.released.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for partition in std::mem::take(&mut self.released) {
            list.add_partition(&self.topic, partition);
        }
        self.consumer.incremental_unassign(&list).or_fail(Kind::Source, || "cannot give partitions back")
    }

    /// Answers what librdkafka may still wait for, without a claim to anything.
    fn answer(&mut self) -> Result<()> {
        self.take_rebalances()?;
        self.released.append(&mut self.releasing);
        self.unassign_released()?;
        self.starting.values_mut().for_each(|start| _ = start.get_or_insert(Offset::End));
        if self.starting.is_empty() { Ok(()) } else { self.assign_started() }
    }

    /// The consumer's place in its group, for commits in its name.
    pub fn group(&self) -> Arc<dyn Group> {
        Arc::new(GroupMember { consumer: Arc::clone(&self.consumer), context: self.context.clone() })
    }

    fn commit_group(&self, positions: &[(i32, i64)], mode: CommitMode) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for &(partition, position) in positions {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(position))
                .or_fail(Kind::Source, || {
                    format!("cannot commit position {position} of partition {partition}")
                })?;
        }
        // A commit that fails costs a longer replay, no record: the next one makes up for it.
        if let Err(error) = self.consumer.commit(&list, mode) {
            tracing::warn!(%error, ?positions, "cannot commit");
        }
        Ok(())
    }

    /// Turns what the callbacks noted into events.
    fn take_rebalances(&mut self) -> Result<()> {
        while let Some(rebalance) = self.context.notes(|notes| notes.rebalances.pop_front()) {
            match rebalance {
                Rebalance::Assigned { partitions, member } => self.take_assigned(partitions, member)?,
                Rebalance::Revoked { partitions, lost } => self.take_revoked(partitions, lost),
            }
        }
        Ok(())
    }

    fn take_assigned(&mut self, mut partitions: Vec<i32>, member: String) -> Result<()> {
        let is_other = self.context.notes(|notes| notes.member != member);
        if is_other && !self.owned.is_empty() {
            tracing::warn!(partitions = ?self.owned, "the group had shut us out: what we had is claimed anew");
            let stale: Vec<i32> = self.owned.iter().copied().collect();
            self.take_revoked(stale.clone(), true);
            self.renamed = Some(member);
            partitions.extend(stale);
        } else if is_other {
            self.context.notes(|notes| notes.member = member);
        }
        if partitions.is_empty() {
            self.assign_started()?;
        }
        self.starting.extend(partitions.iter().map(|&id| (id, None)));
        self.ready.push_back(Event::Assigned(partitions));
        Ok(())
    }

    fn take_revoked(&mut self, partitions: Vec<i32>, lost: bool) {
        for id in &partitions {
            self.owned.remove(id);
            self.starting.remove(id);
            self.committed.remove(id);
            self.releasing.insert(*id);
        }
        self.ready.push_back(Event::Revoked { partitions, lost });
    }

    /// Why this consumer never reads again.
    fn fatal(&self, code: RDKafkaErrorCode) -> Error {
        let what = match code {
            RDKafkaErrorCode::FencedInstanceId => {
                "another instance has joined with the same group.instance.id".into()
            }
            RDKafkaErrorCode::UnreleasedInstanceId => {
                "another instance has the same group.instance.id, or had it until it died a moment ago".into()
            }
            _ => format!("cannot read topic {}", self.topic),
        };
        Error::new(Kind::Source, what).because(code)
    }

    fn complain(&self, error: &KafkaError) {
        tracing::debug!(%error, "kafka source");
        let missing = error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition);
        self.context.notes(|notes| match missing {
            true => notes.missing = Some(format!("topic {} does not exist (waiting for it)", self.topic)),
            false => notes.complaint = Some(format!("kafka: {error}")),
        });
    }

    /// Reads what is there, at most one batch, and sorts it by partition.
    fn read(&mut self, timeout: Duration) -> Result<()> {
        let mut by_partition: BTreeMap<i32, Vec<RawRecord>> = BTreeMap::new();
        let mut wait = timeout;
        let mut bytes = 0;
        for _ in 0..self.batch {
            if bytes >= BATCH_BYTES {
                break;
            }
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let record = RawRecord {
                        offset: message.offset(),
                        timestamp: message
                            .timestamp()
                            .to_millis()
                            .map(|ms| EventTime(ms.saturating_mul(1000))),
                        payload: message.payload().map(<[u8]>::to_vec),
                    };
                    bytes += message.payload_len();
                    by_partition.entry(message.partition()).or_default().push(record);
                    wait = Duration::ZERO;
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => return Err(self.fatal(code)),
                Some(Err(error)) => {
                    self.complain(&error);
                    break;
                }
            }
        }
        if !by_partition.is_empty() {
            self.context.notes(|notes| (notes.away, notes.complaint) = (None, None));
        }
        // A rebalance within this poll comes first: records of a partition that was taken away are not ours.
        self.take_rebalances()?;
        for (partition, records) in by_partition {
            if self.owned.contains(&partition) {
                self.ready.push_back(Event::Records { partition, records: Records::Raw(records) });
            }
        }
        Ok(())
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if self.ready.is_empty() {
            self.read(timeout)?;
        }
        let problem = || {
            self.context
                .notes(|notes| notes.away.clone().or(notes.missing.clone()).or(notes.complaint.clone()))
        };
        Ok(self.ready.pop_front().unwrap_or_else(|| Event::Idle { problem: problem() }))
    }

    fn start(&mut self, partition: i32, position: Option<i64>) -> Result<()> {
        let offset = match (position, self.from) {
            (Some(position), _) => Offset::Offset(self.within_log(partition, position)?),
            // The group may have committed more, but what was learned of it is not here: its windows would be torn.
            (None, StartFrom::Earliest | StartFrom::Warm) => Offset::Beginning,
            (None, StartFrom::Latest) => Offset::Invalid,
        };
        self.starting.insert(partition, Some(offset));
        self.assign_started()
    }

    fn release(&mut self, partition: i32) -> Result<()> {
        if self.releasing.remove(&partition) {
            self.released.insert(partition);
        }
        self.unassign_released()
    }

    fn offset_range(&mut self, partition: i32) -> Result<Option<Range<i64>>> {
        let fail = || format!("cannot ask where topic {} partition {partition} begins and ends", self.topic);
        let marks = self.consumer.fetch_watermarks(&self.topic, partition, METADATA_TIMEOUT);
        marks
            .map(|(first, end)| Some(first..end))
            .map_err(|error| Error::transient(Kind::Source, fail()).because(error))
    }

    fn set_paused(&mut self, partition: i32, paused: bool) -> Result<()> {
        if !self.owned.contains(&partition) {
            return Ok(());
        }
        let list = self.list(partition);
        let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        done.or_fail(Kind::Source, || format!("cannot pause or resume partition {partition}"))
    }

    fn commit(&mut self, partition: i32, position: i64) -> Result<()> {
        if !self.owned.contains(&partition) {
            return Ok(());
        }
        self.committed.insert(partition, position);
        self.commit_group(&[(partition, position)], CommitMode::Async)
    }

    fn lag(&mut self, partition: i32) -> Option<i64> {
        self.context.notes(|notes| notes.lag.get(&partition).copied())
    }

    fn close(&mut self) -> Result<()> {
        let owned = self.committed.iter().filter(|(partition, _)| self.owned.contains(partition));
        let last: Vec<(i32, i64)> = owned.map(|(&partition, &position)| (partition, position)).collect();
        if !last.is_empty() {
            self.commit_group(&last, CommitMode::Sync)?;
        }
        self.answer()?;
        // Leaving now, the group need not wait for our session to time out.
        self.consumer.unsubscribe();
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            _ = self.consumer.poll(Duration::from_millis(20));
            self.answer()?;
            let is_left = self.consumer.assignment().is_ok_and(|list| list.count() == 0);
            if is_left || Instant::now() > until {
                return Ok(());
            }
        }
    }
}

impl Drop for KafkaSource {
    /// The consumer's own end waits for answers, and from now on nobody gives them.
    fn drop(&mut self) {
        if let Err(error) = self.answer() {
            tracing::debug!(%error, "leaving the group");
        }
        self.context.notes(|notes| notes.is_closing = true);
    }
}
