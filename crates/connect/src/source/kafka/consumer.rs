//! Kafka topics as a source: a consumer in a group, each assigned partition read from where it is
//! told to start.
//! It must not decode, and must not commit by itself: positions become the group's when the runner
//! says they are durable.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset as KafkaOffset;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::Records;
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{LogId, Offset, PartitionId};

use super::assignment::Assignment;
use super::context::{Context, GroupMember};
use super::identity::Identity;
use super::joining::Joining;
use super::log_ends::PausedEnds;
use super::losses::Positions;
use super::partition_queue::{Queued, has_no_events};
use super::record::{BATCH_BYTES, BATCH_RECORDS, RecordGatherer};
use super::settings::consumer_config;
use super::spec::{KafkaSourceSpec, StartFrom};
use crate::kafka::{Group, Login, METADATA_TIMEOUT, TopicNews, TopicWatch};
use crate::source::quiet::QuietWatch;

/// Reads a topic as a member of a consumer group.
pub struct KafkaSource {
    // Before the consumer that it asks with: fields go in their order.
    pub(super) watch: TopicWatch<Context>,
    pub(super) assignment: Assignment,
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) context: Context,
    pub(super) config: ClientConfig,
    pub(super) login: Login,
    pub(super) identity: Identity,
    /// For those who commit in our name: whichever consumer we read with.
    pub(super) member: Arc<GroupMember>,
    /// The group has given our name away, and what this consumer owned is not let go of yet.
    pub(super) is_shut_out: bool,
    pub(super) topic: String,
    from: StartFrom,
    positions: Positions,
    /// The partitions whose positions the broker has refused.
    pub(super) refused: BTreeSet<PartitionId>,
    pub(super) ready: VecDeque<Event>,
    batch_records: usize,
    pub(super) paused: PausedEnds,
    quiet: QuietWatch,
}

impl KafkaSource {
    /// Joins the group, to read a topic of about so many partitions. `instances`: a directory that
    /// keeps the name of this instance, so that the next one takes its place if it is killed.
    /// Errors: `Source`, when librdkafka refuses the properties. The broker need not answer yet.
    pub fn open(spec: &KafkaSourceSpec, partitions: i32, instances: Option<&Path>) -> Result<Self> {
        let identity = Identity::claim(spec, instances);
        let login = Login::of(&spec.client);
        let config = consumer_config(spec, partitions, &identity);
        let Joining { consumer, context, assignment } = Joining::begin(&config, &spec.topic)?;
        Ok(KafkaSource {
            watch: TopicWatch::new(Arc::clone(&consumer), vec![spec.topic.clone()]),
            assignment,
            member: Arc::new(GroupMember::new(&consumer, &context, identity.life())),
            consumer,
            context,
            config,
            login,
            identity,
            is_shut_out: false,
            topic: spec.topic.clone(),
            from: spec.start,
            positions: Positions::new(&spec.topic, spec.on_loss),
            refused: BTreeSet::new(),
            ready: VecDeque::new(),
            batch_records: BATCH_RECORDS,
            paused: PausedEnds::default(),
            quiet: QuietWatch::default(),
        })
    }

    /// It tells when nothing has come of a partition for so long.
    pub fn with_quiet_after(mut self, after: Option<Duration>) -> Self {
        self.quiet = QuietWatch::new(after);
        self
    }

    /// At most this many records a poll, over all partitions.
    pub fn with_batch_records(mut self, records: usize) -> Self {
        self.batch_records = records.max(1);
        self
    }

    /// How many bytes brokers have sent to this consumer. It is told each second.
    pub fn received_bytes(&self) -> u64 {
        self.context.inbox(|inbox| inbox.received_bytes)
    }

    /// The consumer's place in its group, for commits in its name.
    pub fn group(&self) -> Arc<dyn Group> {
        Arc::clone(&self.member) as Arc<dyn Group>
    }

    /// The records of a partition that the broker has now. Errors: `Retry::Later` while it does not
    /// say.
    fn log(&self, partition: PartitionId) -> Result<Range<Offset>> {
        let fail = || format!("cannot ask where topic {} partition {partition} begins and ends", self.topic);
        let marks = self.consumer.fetch_watermarks(&self.topic, partition.0, METADATA_TIMEOUT);
        marks
            .map(|(first, end)| Offset(first)..Offset(end))
            .map_err(|error| Error::transient(Kind::Source, fail()).because(error))
    }

    /// Where the group has come to, for a run that remembers nothing itself.
    fn of_group(&self, partition: PartitionId) -> Result<Option<Offset>> {
        let fail = || format!("cannot ask how far the group has read partition {partition}");
        let committed = Group::committed(&*self.consumer, &self.topic, &[partition], METADATA_TIMEOUT);
        let list = committed.map_err(|error| Error::transient(Kind::Source, fail()).because(error))?;
        Ok(list.elements().first().and_then(|element| match element.offset() {
            KafkaOffset::Offset(offset) => Some(Offset(offset)),
            _ => None,
        }))
    }

    /// Tells which partitions are quiet, behind what was read of them.
    fn listen(&mut self, unread: &[(PartitionId, Range<Offset>)]) {
        let now = Instant::now();
        for &(partition, ref unread) in unread {
            if !unread.is_empty() {
                self.quiet.stir(partition);
            } else if self.quiet.is_quiet(partition, now) {
                self.ready.push_back(Event::Quiet { partition });
            }
        }
    }

    /// The broker has refused positions: looks whether the records there are gone, and goes on
    /// behind them. Errors: as [`Positions::within`]; `Retry::Later` while the broker does not say.
    fn look_for_losses(&mut self) -> Result<()> {
        while let Some(&partition) = self.refused.first() {
            if let Some(next) = self.positions.get(partition)
                && self.assignment.owns(partition)
            {
                let (from, lost) = self.positions.within(partition, next, &self.log(partition)?)?;
                self.assignment.restart(partition, from)?;
                self.positions.set(partition, from);
                self.ready.extend(lost);
            }
            self.refused.remove(&partition);
        }
        Ok(())
    }

    /// Errors: because of `LogChanged`, when the topic is another one than it was.
    fn look_at_topic(&mut self) -> Result<()> {
        match self.watch.look() {
            Some(TopicNews::Changed(changed)) => {
                Err(Error::new(Kind::Source, "cannot go on reading").because(changed))
            }
            Some(TopicNews::Missing(topic)) => {
                self.context.misses(&topic);
                Ok(())
            }
            Some(TopicNews::Same) => {
                self.context.inbox(|inbox| inbox.missing = None);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Waits until there is something, at most one batch, and turns it into events.
    fn read(&mut self, timeout: Duration) -> Result<()> {
        let end = Instant::now() + timeout;
        self.login.renew(&*self.consumer);
        self.look_at_topic()?;
        loop {
            if self.is_shut_out {
                return self.end_shut_out(end);
            }
            // A rebalance comes first: records of a partition that was taken away are not ours.
            self.serve_events()?;
            self.assignment.take_rebalances(&mut self.ready)?;
            self.tell_wait();
            self.read_batch()?;
            self.look_for_losses()?;
            if !self.ready.is_empty() || !self.assignment.queues.wait_until(end) {
                return Ok(());
            }
        }
    }

    /// Lets librdkafka tell all that is no partition's: rebalances, statistics, answers to commits.
    fn serve_events(&mut self) -> Result<()> {
        loop {
            match self.consumer.poll(Duration::ZERO) {
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => return self.end_consumer(code),
                Some(Err(error)) => self.context.complain(&self.topic, &error),
                // Every partition's queue is taken before it is read.
                Some(Ok(_)) => {
                    return Err(Error::new(Kind::Source, "a record came beside its partition's queue"));
                }
                None => {}
            }
            if has_no_events(&self.consumer) {
                return Ok(());
            }
        }
    }

    /// One batch of what waits, a partition after the other.
    fn read_batch(&mut self) -> Result<()> {
        let (mut records, mut bytes) = (self.batch_records, BATCH_BYTES);
        while records > 0 && bytes > 0 {
            let Some(partition) = self.assignment.queues.next_turn() else { break };
            let read = self.read_partition(partition, records, bytes)?;
            if self.is_shut_out {
                break;
            }
            records = records.saturating_sub(read.len());
            bytes = bytes.saturating_sub(read.bytes());

            let read = read.finish();
            let Some(last) = read.last() else { continue };
            self.positions.set(partition, last.offset.next());
            self.quiet.stir(partition);
            self.context.inbox(|inbox| inbox.clear_troubles());
            self.ready.push_back(Event::Records { partition, records: Records::Raw(read) });
        }
        Ok(())
    }

    /// What waits of one partition, up to so many records, or bytes and what comes with them.
    fn read_partition(
        &mut self,
        partition: PartitionId,
        most: usize,
        bytes: usize,
    ) -> Result<RecordGatherer> {
        let mut next = self.positions.get(partition).unwrap_or(Offset(0));
        let (mut read, mut errors) = (RecordGatherer::default(), Vec::new());
        let mut has_more = true;
        while has_more && read.len() < most && read.bytes() < bytes {
            has_more =
                self.assignment.queues.drain(partition, most - read.len(), &mut |queued| match queued {
                    // librdkafka may go back to what it has given out, when it stops a partition by
                    // itself at that moment.
                    Queued::Record(record) if record.offset < next => {}
                    Queued::Record(record) => {
                        next = record.offset.next();
                        read.push(record);
                    }
                    Queued::Error(code) => errors.push(code),
                });
        }

        if has_more {
            self.assignment.queues.give_turn(partition);
        }
        errors.into_iter().try_for_each(|code| self.on_error(partition, code))?;
        Ok(read)
    }

    /// What came in place of a partition's records.
    fn on_error(&mut self, partition: PartitionId, code: RDKafkaErrorCode) -> Result<()> {
        match code {
            RDKafkaErrorCode::PartitionEOF => {}
            RDKafkaErrorCode::AutoOffsetReset => _ = self.refused.insert(partition),
            RDKafkaErrorCode::Fatal => {
                let why = self.consumer.client().fatal_error().map_or(code, |(why, _)| why);
                self.end_consumer(why)?;
            }
            _ => self.context.complain(&self.topic, &KafkaError::MessageConsumption(code)),
        }
        Ok(())
    }
}

impl Source for KafkaSource {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if self.ready.is_empty() {
            self.read(timeout)?;
        }
        let event = self.ready.pop_front();
        Ok(event.unwrap_or_else(|| Event::Idle { problem: self.context.inbox(|inbox| inbox.problem()) }))
    }

    fn start(&mut self, partition: PartitionId, position: Option<Offset>) -> Result<()> {
        if self.is_shut_out {
            // That it is lost is among what is ready.
            return Ok(());
        }
        let log = self.log(partition)?;
        let known = match (position, self.from) {
            (Some(position), _) => Some(position),
            // The group may have committed more, but what was learned of it is not here: its
            // windows would be torn.
            (None, StartFrom::Earliest | StartFrom::Warm) => Some(log.start),
            (None, StartFrom::Latest) => self.of_group(partition)?,
        };

        let (from, lost) = self.positions.within(partition, known.unwrap_or(log.end), &log)?;
        self.positions.set(partition, from);
        self.ready.extend(lost);
        self.paused.set_paused(partition, false);
        self.assignment.start(partition, KafkaOffset::Offset(from.0))
    }

    fn release(&mut self, partition: PartitionId) -> Result<()> {
        self.positions.forget(partition);
        self.quiet.stir(partition);
        let released = self.assignment.release(partition);
        // Who is shut out has nothing to give back.
        if self.is_shut_out { Ok(()) } else { released }
    }

    fn offset_range(&mut self, partition: PartitionId) -> Result<Option<Range<Offset>>> {
        self.log(partition).map(Some)
    }

    fn log_id(&mut self, _: Option<LogId>) -> Result<Option<LogId>> {
        if self.watch.known().is_empty() {
            let fail = || format!("cannot ask for the id of topic {}", self.topic);
            let asked = self.watch.ask(METADATA_TIMEOUT);
            asked.map_err(|error| Error::transient(Kind::Source, fail()).because(error))?;
        }
        Ok(self.watch.known().get(&self.topic).copied())
    }

    fn set_paused(&mut self, partition: PartitionId, paused: bool) -> Result<()> {
        if !self.assignment.owns(partition) {
            return Ok(());
        }
        self.paused.set_paused(partition, paused);
        self.assignment.queues.set_paused(partition, paused);
        Ok(())
    }

    fn commit(&mut self, partition: PartitionId, position: Offset) -> Result<()> {
        if !self.assignment.owns(partition) {
            return Ok(());
        }
        self.assignment.note_committed(partition, position);
        self.commit_group(&[(partition, position)])
    }

    fn unread(&mut self) -> Vec<(PartitionId, Range<Offset>)> {
        let Some(mut ends) = self.context.inbox(|inbox| inbox.log_ends.take()) else { return Vec::new() };
        self.paused.ask(&self.consumer, &self.topic, &mut ends);
        let owned = ends.into_iter().filter(|(partition, _)| self.assignment.owns(*partition));
        let unread: Vec<(PartitionId, Range<Offset>)> =
            owned.map(|(partition, end)| (partition, end.unread(self.positions.get(partition)))).collect();
        self.listen(&unread);
        unread
    }

    fn close(&mut self) -> Result<()> {
        self.leave()
    }
}

impl Drop for KafkaSource {
    /// The consumer's own end waits for answers, and from now on nobody gives them.
    fn drop(&mut self) {
        if let Err(error) = self.assignment.answer(&mut self.ready) {
            tracing::debug!(%error, "leaving the group");
        }
        self.context.inbox(|inbox| inbox.is_closing = true);
    }
}
