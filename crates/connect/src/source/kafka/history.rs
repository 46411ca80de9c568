//! A Kafka topic as a bounded source: from its beginning to the end that it has when reading
//! starts.
//! It must not leave a trace on the broker, as `kafka/read.rs` says: a pipeline that reads the same
//! topic goes on undisturbed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, Records};
use tickcast_stream::source::{Event, Source};
use tickcast_stream::{Offset, PartitionId};

use super::record::{BATCH_BYTES, BATCH_RECORDS, RecordGatherer, RecordParts};
use super::spec::KafkaSourceSpec;
use crate::kafka::{
    METADATA_TIMEOUT, Polled, Purpose, ReadingConsumer, SILENCE, Silence, TopicPartition, Visible, log_range,
    partition_count, reading_consumer,
};
use crate::source::kind::Span;

/// The records of one batch by partition, and the partitions that end with it.
type Batch = (BTreeMap<PartitionId, RecordGatherer>, BTreeSet<PartitionId>);

/// Reads all partitions of a topic, once.
pub struct KafkaHistory {
    consumer: ReadingConsumer,
    topic: String,
    /// Partitions that are not read to their ends yet, and the offsets after their last records.
    ends: BTreeMap<PartitionId, Offset>,
    ready: VecDeque<Event>,
    silence: Silence,
}

impl KafkaHistory {
    /// Asks where the topic, or the span of it, ends. Errors: `Source`, when no broker answers or
    /// there is no such topic.
    pub fn open(spec: &KafkaSourceSpec, span: Span) -> Result<Self> {
        let topic = &spec.topic;
        let brokers = &spec.client.brokers;
        let count = partition_count(&spec.client, topic)?
            .ok_or_else(|| Error::new(Kind::Source, format!("topic {topic} does not exist at {brokers}")))?;

        let mut history = KafkaHistory {
            consumer: reading_consumer(&spec.client, Purpose::History, Visible::Committed)?,
            topic: topic.clone(),
            ends: BTreeMap::new(),
            ready: VecDeque::from([Event::Assigned((0..count).map(PartitionId).collect())]),
            silence: Silence::new(SILENCE),
        };
        history.assign(count, span)?;
        Ok(history)
    }

    fn assign(&mut self, partitions: i32, span: Span) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for partition in (0..partitions).map(PartitionId) {
            let fail = || format!("cannot read topic {} partition {partition}", self.topic);
            let range = self.range_of(partition, span)?;
            if range.is_empty() {
                self.ready.push_back(Event::End { partition });
            } else {
                list.add_partition_offset(&self.topic, partition.0, KafkaOffset::Offset(range.start.0))
                    .or_fail(Kind::Source, fail)?;
                self.ends.insert(partition, range.end);
            }
        }

        self.consumer.assign(&list).or_fail(Kind::Source, || format!("cannot read topic {}", self.topic))
    }

    /// The part of a partition that is in the span.
    fn range_of(&self, partition: PartitionId, span: Span) -> Result<Range<Offset>> {
        let whole = log_range(&self.consumer, TopicPartition { topic: &self.topic, partition });
        let fail = || format!("cannot read topic {} partition {partition}", self.topic);
        let Range { start, end } = whole.or_fail(Kind::Source, fail)?;

        let within = |at: Option<Offset>, otherwise: Offset| at.map_or(otherwise, |at| at.clamp(start, end));
        let from = within(self.offset_at(partition, span.from)?, start);
        let to = within(self.offset_at(partition, span.to)?, end);
        Ok(from..to)
    }

    /// The first offset of a time or later, beyond every record where there is none yet.
    fn offset_at(&self, partition: PartitionId, time: Option<EventTime>) -> Result<Option<Offset>> {
        let Some(EventTime(us)) = time else { return Ok(None) };
        let fail = || format!("cannot ask for a time in topic {} partition {partition}", self.topic);
        // Kafka has milliseconds: the first one that is not before.
        let ms = us.div_euclid(1000) + i64::from(us.rem_euclid(1000) > 0);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition.0, KafkaOffset::Offset(ms))
            .or_fail(Kind::Source, fail)?;

        let found = self.consumer.offsets_for_times(list, METADATA_TIMEOUT).or_fail(Kind::Source, fail)?;
        let at = found.find_partition(&self.topic, partition.0).map(|found| found.offset());
        Ok(Some(Offset(if let Some(KafkaOffset::Offset(at)) = at { at } else { i64::MAX })))
    }

    /// Reads what is there, at most one batch, and turns it into events.
    fn read(&mut self, timeout: Duration) -> Result<()> {
        let (by_partition, ended) = self.read_batch(timeout)?;
        let records = |(partition, records)| Event::Records {
            partition,
            records: Records::Raw(RecordGatherer::finish(records)),
        };
        self.ready.extend(by_partition.into_iter().map(records));

        for partition in ended {
            // Written on since: what comes later is no history, and is not fetched any more.
            if self.ends.remove(&partition).is_some() {
                self.set_paused(partition, true)?;
                self.ready.push_back(Event::End { partition });
            }
        }
        Ok(())
    }

    /// Reads one batch. Errors: `Source`, when records were dropped before they were read.
    fn read_batch(&mut self, timeout: Duration) -> Result<Batch> {
        let mut by_partition: BTreeMap<PartitionId, RecordGatherer> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        let (mut wait, mut bytes) = (timeout, 0);
        for _ in 0..BATCH_RECORDS {
            if bytes >= BATCH_BYTES {
                break;
            }
            let message = match self.silence.poll(&self.consumer, wait) {
                Polled::Nothing => break,
                Polled::Gone => {
                    let what = format!("records of topic {} were dropped before they were read", self.topic);
                    return Err(
                        Error::new(Kind::Source, what).because("its retention is shorter than this reading")
                    );
                }
                Polled::End(partition) => {
                    ended.insert(partition);
                    continue;
                }
                Polled::Record(message) => message,
            };

            wait = Duration::ZERO;
            let (partition, offset) = (PartitionId(message.partition()), Offset(message.offset()));
            let Some(&end) = self.ends.get(&partition) else { continue };
            if offset < end {
                bytes += message.payload_len();
                by_partition.entry(partition).or_default().push(RecordParts::of(&message));
            }

            if offset.next() >= end {
                ended.insert(partition);
            }
        }
        Ok((by_partition, ended))
    }
}

impl Source for KafkaHistory {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if self.ready.is_empty() {
            self.read(timeout)?;
        }
        if let Some(event) = self.ready.pop_front() {
            return Ok(event);
        }
        self.silence.check().or_fail(Kind::Source, || format!("cannot read topic {}", self.topic))?;
        Ok(Event::Idle { problem: self.silence.trouble().map(str::to_owned) })
    }

    /// Errors: `Source`, when the topic cannot be read from there.
    fn start(&mut self, partition: PartitionId, position: Option<Offset>) -> Result<()> {
        let Some(position) = position.filter(|_| self.ends.contains_key(&partition)) else { return Ok(()) };
        let fail = || format!("cannot read topic {} partition {partition} from {position}", self.topic);
        self.consumer
            .seek(&self.topic, partition.0, KafkaOffset::Offset(position.0), METADATA_TIMEOUT)
            .or_fail(Kind::Source, fail)
    }

    fn offset_range(&mut self, partition: PartitionId) -> Result<Option<Range<Offset>>> {
        let fail = || format!("cannot ask where topic {} partition {partition} begins and ends", self.topic);
        log_range(&self.consumer, TopicPartition { topic: &self.topic, partition })
            .map(Some)
            .or_fail(Kind::Source, fail)
    }

    fn set_paused(&mut self, partition: PartitionId, paused: bool) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition.0);
        let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        done.or_fail(Kind::Source, || format!("cannot pause or resume partition {partition}"))
    }
}
