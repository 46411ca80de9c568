//! The state topic: snapshots as records of the partition they are of, in chunks.
//! It must not know what is committed; it finds what it is asked for, or says what is missing.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::chunk::{Head, decode};
use tickcast_stream::ledger::{Assembly, Chunk, Snapshot, SnapshotRef};
use tickcast_stream::{Offset, PartitionId};

use super::catalog::Catalog;
use super::reports::{FIRST_CHUNK, NO_MARK, Reported, Reports};
use super::signature::signed;
use crate::kafka::{
    KafkaClientSpec, Login, Purpose, ReadingConsumer, TopicPartition, Visible, client_config, create,
    log_range, read_to_end, reading_consumer,
};
use crate::ledger::keep::InLog;

/// Settings of a state topic that we make: it is emptied by us alone.
pub const TOPIC_SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
/// How long nothing may come before a claim is tried again.
const SILENCE: Duration = Duration::from_secs(10);
/// Records at the end of a log that are read at once, beside the chunks that are wanted.
const TAIL: i64 = 16;
const FLUSH: Duration = Duration::from_secs(60);

/// What a look at a partition has seen.
struct Look {
    /// The wanted snapshot.
    found: Option<Snapshot>,
    /// What the wanted one shares its beginning with, where that was not looked for or not found.
    lacks: Option<SnapshotRef>,
    catalog: Catalog,
    damage: Option<String>,
}

/// Which snapshots a look is for.
#[derive(Clone, Copy)]
enum Wanted {
    /// The newest.
    Newest,
    /// One that is named, and its base, once that is known.
    Named(SnapshotRef, Option<SnapshotRef>),
}

impl Wanted {
    fn of(named: Option<SnapshotRef>) -> Self {
        named.map_or(Wanted::Newest, |named| Wanted::Named(named, None))
    }

    fn named(self) -> Option<SnapshotRef> {
        match self {
            Wanted::Newest => None,
            Wanted::Named(named, _) => Some(named),
        }
    }

    fn is_for(self, head: &Head) -> bool {
        match self {
            Wanted::Newest => true,
            Wanted::Named(named, base) => named.is_of(head) || base.is_some_and(|base| base.is_of(head)),
        }
    }

    /// With what the look has found out to be lacking.
    fn and(self, lacks: Option<SnapshotRef>) -> Self {
        match self {
            Wanted::Newest => Wanted::Newest,
            Wanted::Named(named, base) => Wanted::Named(named, lacks.or(base)),
        }
    }
}

/// The state topic of a pipeline.
pub struct StateTopic {
    client: KafkaClientSpec,
    topic: String,
    /// Consumers are made when they are needed, and kept: making one takes longer than reading.
    committed: OnceLock<ReadingConsumer>,
    all: OnceLock<ReadingConsumer>,
}

impl StateTopic {
    /// No broker is asked yet.
    pub fn new(client: &KafkaClientSpec, topic: &str) -> Self {
        let (client, topic) = (client.clone(), topic.to_owned());
        StateTopic { client, topic, committed: OnceLock::new(), all: OnceLock::new() }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// How its cluster is reached.
    pub(super) fn client(&self) -> &KafkaClientSpec {
        &self.client
    }

    /// The snapshot that `named` names, or the newest whole one there is. Errors: `State`, when the
    /// named one is not whole, or when there are only damaged ones; `Retry::Later` while an open
    /// transaction hides what comes after its beginning.
    pub fn load(&self, partition: PartitionId, named: Option<SnapshotRef>) -> Result<Option<Snapshot>> {
        Ok(self.find(partition, Wanted::of(named))?.found)
    }

    /// As `load`, with what there is beside it.
    fn find(&self, partition: PartitionId, wanted: Wanted) -> Result<Look> {
        let look = self.look_twice(partition, wanted)?;
        if look.found.is_some() && wanted.named().is_some() {
            return Ok(look);
        }

        let place = format!("state topic {} partition {partition}", self.topic);
        if self.is_hidden(partition)? {
            let what = format!(
                "{place}: an open transaction hides its end; waiting until it is over \
                     (should it last, `kafka-transactions.sh find-hanging` tells whose it is)"
            );
            return Err(Error::transient(Kind::State, what));
        }

        // What was hidden may have come out between the two.
        let look = self.look_twice(partition, wanted)?;
        let Look { found, lacks, damage, .. } = &look;
        let why = damage.clone().or_else(|| lacks.map(missing));
        let not_whole = match (found, wanted.named(), why) {
            (Some(_), ..) | (None, None, None) => return Ok(look),
            (None, Some(SnapshotRef { position, chunks, .. }), why) => format!(
                "{place}: the snapshot at position {position} ({chunks} chunks), which the last commit names, is not \
                 whole: {}; `run --rebuild` learns anew from the topic's beginning",
                why.unwrap_or_else(|| "records are missing".into())
            ),
            (None, None, Some(why)) => {
                format!("{place}: {why}, and no snapshot is whole; `run --rebuild` learns anew")
            }
        };
        Err(Error::new(Kind::State, not_whole))
    }

    /// A look at all there is: of a light snapshot one more, which is for its base too.
    fn look_twice(&self, partition: PartitionId, wanted: Wanted) -> Result<Look> {
        let look = self.look(partition, wanted, self.range(partition)?)?;
        if look.found.is_some() || look.lacks.is_none() || wanted.named().is_none() {
            return Ok(look);
        }
        self.look(partition, wanted.and(look.lacks), self.range(partition)?)
    }

    /// As `load`, of the snapshot that the last commit names, and what there is up to it. That one
    /// lies near the end of a log that may be long: no more of the log is read than need be.
    pub(super) fn load_last(
        &self,
        partition: PartitionId,
        named: SnapshotRef,
    ) -> Result<(Option<Snapshot>, Vec<InLog>)> {
        let (range, wanted) = (self.range(partition)?, Wanted::of(Some(named)));
        // A marker follows every nine chunks, and as much again may be of a snapshot that was not
        // finished.
        let tail = Offset(range.end.0 - 3 * i64::from(named.chunks) - TAIL).max(range.start);
        let Look { found, lacks, catalog, .. } = self.look(partition, wanted, tail..range.end)?;
        let Some(snapshot) = found else {
            let Look { found, catalog, .. } = self.find(partition, wanted.and(lacks))?;
            return Ok((found, catalog.up_to(named)));
        };

        let each = snapshot.state.len() as u64 / u64::from(named.chunks.max(1));
        let before =
            InLog { position: None, first: range.start, bytes: tail.since(range.start) as u64 * each };
        let before = Some(before).filter(|before| before.first < tail);
        Ok((Some(snapshot), before.into_iter().chain(catalog.up_to(named)).collect()))
    }

    /// What snapshots can be seen now.
    pub(super) fn catalog(&self, partition: PartitionId) -> Result<Catalog> {
        let mut catalog = Catalog::default();
        self.read(TopicPartition { topic: &self.topic, partition }, &mut |record| {
            let piece = decode(record.payload().unwrap_or_default());
            if let Some(piece) = piece.ok().filter(|piece| piece.head.partition == partition) {
                catalog.note(Offset(record.offset()), &piece);
            }
            ControlFlow::Continue(())
        })?;
        Ok(catalog)
    }

    /// What is there to be seen: the wanted snapshot, and what is damaged.
    fn look(&self, partition: PartitionId, wanted: Wanted, range: Range<Offset>) -> Result<Look> {
        let (mut assembly, mut catalog) = (Assembly::default(), Catalog::default());
        let mut damage: Option<String> = None;
        let of = TopicPartition { topic: &self.topic, partition };
        self.read_range(of, range, &mut |record| {
            let (offset, value) = (Offset(record.offset()), record.payload().unwrap_or_default());
            // An owner record.
            if value.is_empty() {
                return ControlFlow::Continue(());
            }
            match decode(value) {
                Ok(piece) if piece.head.partition == partition => {
                    catalog.note(offset, &piece);
                    if wanted.is_for(&piece.head) {
                        assembly.add(piece);
                        assembly.forget_older();
                    }
                }
                Ok(piece) => {
                    let why =
                        format!("the record at offset {offset} is of partition {}", piece.head.partition);
                    damage.get_or_insert(why);
                }
                Err(why) => _ = damage.get_or_insert_with(|| format!("the record at offset {offset} {why}")),
            }
            ControlFlow::Continue(())
        })?;
        let lacks = assembly.lacks();
        Ok(Look { found: assembly.whole(partition, wanted.named()), lacks, catalog, damage })
    }

    /// A consumer of what is committed.
    pub(super) fn consumer(&self) -> Result<&ReadingConsumer> {
        self.consumer_of(&self.committed, Visible::Committed)
    }

    fn consumer_of<'a>(
        &self,
        cell: &'a OnceLock<ReadingConsumer>,
        visible: Visible,
    ) -> Result<&'a ReadingConsumer> {
        if let Some(consumer) = cell.get() {
            return Ok(consumer);
        }
        let made = reading_consumer(&self.client, Purpose::State, visible)?;
        Ok(cell.get_or_init(|| made))
    }

    /// Whether a reader finds anything in a partition of a topic of this cluster. Records of a
    /// transaction that was never committed are in its log too, and are not there for a reader.
    pub(super) fn has_records(&self, topic: &str, partition: PartitionId) -> Result<bool> {
        let mut found = false;
        self.read(TopicPartition { topic, partition }, &mut |_| {
            found = true;
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Whether somebody's open transaction keeps committed records after its beginning from being
    /// seen.
    pub(super) fn is_hidden(&self, partition: PartitionId) -> Result<bool> {
        let of = TopicPartition { topic: &self.topic, partition };
        // In this order: what is written meanwhile does not look hidden.
        let all = range_of(self.consumer_of(&self.all, Visible::All)?, of)?;
        let visible = range_of(self.consumer()?, of)?;
        Ok(visible.end < all.end)
    }

    /// Every committed record of a partition, from its first to its last, for as long as `take`
    /// wants more.
    pub(super) fn read(
        &self,
        from: TopicPartition<'_>,
        take: &mut dyn FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        self.read_range(from, range_of(self.consumer()?, from)?, take)
    }

    fn read_range(
        &self,
        from: TopicPartition<'_>,
        range: Range<Offset>,
        take: &mut dyn FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        read_to_end(self.consumer()?, from, range, SILENCE, take).map_err(|why| away(from, why))
    }

    /// What of a partition can be seen now.
    fn range(&self, partition: PartitionId) -> Result<Range<Offset>> {
        range_of(self.consumer()?, TopicPartition { topic: &self.topic, partition })
    }
}

fn range_of(consumer: &ReadingConsumer, of: TopicPartition<'_>) -> Result<Range<Offset>> {
    log_range(consumer, of).map_err(|why| away(of, why))
}

/// What is wrong with a light snapshot whose base is not there.
fn missing(base: SnapshotRef) -> String {
    format!("records are missing of the one at position {}, which it needs", base.position)
}

fn away(TopicPartition { topic, partition }: TopicPartition<'_>, why: String) -> Error {
    Error::transient(Kind::State, format!("cannot read topic {topic} partition {partition}")).because(why)
}

/// Drops what the newest snapshots have replaced.
pub struct Trimmer {
    admin: AdminClient<DefaultClientContext>,
    login: Login,
    topic: String,
}

impl Trimmer {
    /// Errors: `Config`, when librdkafka refuses the properties.
    pub fn new(client: &KafkaClientSpec, topic: &str) -> Result<Self> {
        let login = Login::of(client);
        let admin = create(&client_config(client, &[]), DefaultClientContext)?;
        Ok(Trimmer { admin, login, topic: topic.to_owned() })
    }

    /// Asks the broker to drop the records of a partition before an offset, and does not wait. What
    /// stays is dropped with the next snapshot.
    pub fn trim(&self, partition: PartitionId, before: Offset) {
        self.login.renew(&self.admin);
        let mut list = TopicPartitionList::new();
        if list.add_partition_offset(&self.topic, partition.0, KafkaOffset::Offset(before.0)).is_ok() {
            drop(self.admin.delete_records(&list, &AdminOptions::new()));
        }
    }
}

/// Writes snapshots to the state topic outside of any transaction: for delivery at least once.
pub struct StateWriter {
    producer: ThreadedProducer<Reports>,
    login: Login,
    reports: Reports,
    trimmer: Trimmer,
    topic: String,
    pipeline: String,
}

impl StateWriter {
    /// Errors: `Config`, when librdkafka refuses the properties. The broker need not answer yet.
    pub fn open(client: &KafkaClientSpec, topic: &str, pipeline: &str) -> Result<Self> {
        let defaults = [("enable.idempotence", "true"), ("linger.ms", "0"), ("compression.type", "zstd")];
        let (login, reports) = (Login::of(client), Reports::default());
        let producer = create(&client_config(client, &defaults), reports.clone())?;
        let (topic, pipeline) = (topic.to_owned(), pipeline.to_owned());
        let trimmer = Trimmer::new(client, &topic)?;
        Ok(StateWriter { producer, login, reports, trimmer, topic, pipeline })
    }

    /// Makes a snapshot durable, then drops those before it; a light one drops none. Errors:
    /// `State`; then those before it stay.
    pub fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let fail = || format!("cannot write to the state topic {}", self.topic);
        self.login.renew(&self.producer);
        self.reports.with(|reported| *reported = Reported::default());
        let snapshot = Arc::new(snapshot.clone());
        let count = snapshot.name().chunks;
        for index in 0..count {
            let chunk = Chunk { snapshot: Arc::clone(&snapshot), index, count };
            let bytes = chunk.encode();
            let mark = if index == 0 { FIRST_CHUNK } else { NO_MARK };
            let record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(&self.topic, mark)
                .partition(snapshot.partition.0)
                .payload(bytes.as_slice())
                .headers(signed(&self.pipeline));
            self.producer.send(record).map_err(|(error, _)| error).or_fail(Kind::State, fail)?;
        }

        self.producer.flush(FLUSH).or_fail(Kind::State, fail)?;
        let Reported { failed, firsts, .. } = self.reports.with(std::mem::take);
        if let Some(why) = failed {
            return Err(Error::new(Kind::State, fail()).because(why));
        }
        if snapshot.base.is_none()
            && let Some(&first) = firsts.get(&snapshot.partition)
        {
            self.trimmer.trim(snapshot.partition, first);
        }
        Ok(())
    }
}
