//! A Kafka topic as a bounded source: from its beginning to the end that it has when reading starts.
//! It must not leave a trace on the broker: it joins no group and commits nothing, so a pipeline that reads the same topic
//! goes on undisturbed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::message::{EventTime, RawRecord, Records};
use tickcast_stream::source::{Event, Source};

use crate::kafka::{METADATA_TIMEOUT, client_config, create, partition_count};
use crate::spec::KafkaSourceSpec;

/// Records of one poll, over all partitions.
const BATCH: usize = 1024;
/// Bytes of one poll; the record that passes it is the last.
const BATCH_BYTES: usize = 16 << 20;
/// How long the broker may give nothing before reading fails.
const SILENCE: Duration = Duration::from_secs(30);

/// Part of a topic, by the times that Kafka itself has of its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// From the first record of this time or later; none: from the topic's beginning.
    pub from: Option<EventTime>,
    /// Before the first record of this time or later; none: to the topic's present end.
    pub to: Option<EventTime>,
}

/// Reads all partitions of a topic, once.
pub struct KafkaHistory {
    consumer: BaseConsumer,
    topic: String,
    /// Partitions that are not read to their ends yet, and the offsets after their last records.
    ends: BTreeMap<i32, i64>,
    ready: VecDeque<Event>,
    heard: Instant,
    /// What the broker said last instead of records.
    trouble: Option<String>,
}

impl KafkaHistory {
    /// Asks where the topic, or the span of it, ends. Errors: `Source`, when no broker answers or there is no such topic.
    pub fn open(plan: &KafkaSourceSpec, span: Span) -> Result<Self> {
        let topic = &plan.topic;
        let brokers = &plan.client.brokers;
        let count = partition_count(&plan.client, topic)?
            .ok_or_else(|| Error::new(Kind::Source, format!("topic {topic} does not exist at {brokers}")))?;
        let mut config = client_config(&plan.client, &[]);
        // librdkafka assigns partitions only to a consumer with a group's name; nothing joins it or commits to it.
        config.set("group.id", "tickcast-train").set("enable.auto.commit", "false");
        config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = create(&config, DefaultConsumerContext)?;
        let mut history = KafkaHistory {
            consumer,
            topic: topic.clone(),
            ends: BTreeMap::new(),
            ready: VecDeque::from([Event::Assigned((0..count).collect())]),
            heard: Instant::now(),
            trouble: None,
        };
        history.assign(count, span)?;
        Ok(history)
    }

    fn assign(&mut self, partitions: i32, span: Span) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            let fail = || format!("cannot read topic {} partition {partition}", self.topic);
            // Under read_committed the end is the last stable offset: what an open transaction has written is not below it.
            let (first, end) = self
                .consumer
                .fetch_watermarks(&self.topic, partition, METADATA_TIMEOUT)
                .or_fail(Kind::Source, fail)?;
            let within = |at: Option<i64>, else_at: i64| at.map_or(else_at, |at| at.clamp(first, end));
            let (first, end) = (
                within(self.offset_at(partition, span.from)?, first),
                within(self.offset_at(partition, span.to)?, end),
            );
            if first < end {
                list.add_partition_offset(&self.topic, partition, Offset::Offset(first))
                    .or_fail(Kind::Source, fail)?;
                self.ends.insert(partition, end);
            } else {
                self.ready.push_back(Event::End { partition });
            }
        }
        self.consumer.assign(&list).or_fail(Kind::Source, || format!("cannot read topic {}", self.topic))
    }

    /// The first offset of a time or later, beyond every record where there is none yet.
    fn offset_at(&self, partition: i32, time: Option<EventTime>) -> Result<Option<i64>> {
        let Some(EventTime(us)) = time else { return Ok(None) };
        let fail = || format!("cannot ask for a time in topic {} partition {partition}", self.topic);
        // Kafka has milliseconds: the first one that is not before.
        let ms = us.div_euclid(1000) + i64::from(us.rem_euclid(1000) > 0);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(ms)).or_fail(Kind::Source, fail)?;
        let found = self.consumer.offsets_for_times(list, METADATA_TIMEOUT).or_fail(Kind::Source, fail)?;
        let at = found.find_partition(&self.topic, partition).map(|found| found.offset());
        Ok(Some(if let Some(Offset::Offset(at)) = at { at } else { i64::MAX }))
    }

    /// Reads what is there, at most one batch, and sorts it by partition.
    fn read(&mut self, timeout: Duration) -> Result<()> {
        let mut by_partition: BTreeMap<i32, Vec<RawRecord>> = BTreeMap::new();
        let mut ended = Vec::new();
        let (mut wait, mut bytes) = (timeout, 0);
        for _ in 0..BATCH {
            if bytes >= BATCH_BYTES {
                break;
            }
            let message = match self.consumer.poll(wait) {
                None => break,
                // The last offsets may be transaction markers or aborted records, which are never handed out.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.push(partition);
                    continue;
                }
                // librdkafka goes on by itself where it can.
                Some(Err(error)) => {
                    self.trouble = Some(error.to_string());
                    break;
                }
                Some(Ok(message)) => message,
            };
            (wait, self.heard) = (Duration::ZERO, Instant::now());
            let (partition, offset) = (message.partition(), message.offset());
            let Some(&end) = self.ends.get(&partition) else { continue };
            if offset < end {
                let time = message.timestamp().to_millis().map(|ms| EventTime(ms.saturating_mul(1000)));
                let payload = message.payload().map(<[u8]>::to_vec);
                bytes += message.payload_len();
                by_partition.entry(partition).or_default().push(RawRecord {
                    offset,
                    timestamp: time,
                    payload,
                });
            }
            if offset + 1 >= end {
                ended.push(partition);
            }
        }
        let records = |(partition, records)| Event::Records { partition, records: Records::Raw(records) };
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
}

impl Source for KafkaHistory {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        if self.ready.is_empty() {
            self.read(timeout)?;
        }
        if let Some(event) = self.ready.pop_front() {
            return Ok(event);
        }
        if self.heard.elapsed() > SILENCE {
            let why = self.trouble.take().unwrap_or_else(|| "no answer".into());
            let (topic, seconds) = (&self.topic, SILENCE.as_secs());
            return Err(Error::new(
                Kind::Source,
                format!("nothing came from topic {topic} for {seconds} s: {why}"),
            ));
        }
        Ok(Event::Idle { problem: self.trouble.clone() })
    }

    /// Errors: `Source`, when the topic cannot be read from there.
    fn start(&mut self, partition: i32, position: Option<i64>) -> Result<()> {
        let Some(position) = position.filter(|_| self.ends.contains_key(&partition)) else { return Ok(()) };
        let fail = || format!("cannot read topic {} partition {partition} from {position}", self.topic);
        self.consumer
            .seek(&self.topic, partition, Offset::Offset(position), METADATA_TIMEOUT)
            .or_fail(Kind::Source, fail)
    }

    fn offset_range(&mut self, partition: i32) -> Result<Option<Range<i64>>> {
        let fail = || format!("cannot ask where topic {} partition {partition} begins and ends", self.topic);
        let marks = self.consumer.fetch_watermarks(&self.topic, partition, METADATA_TIMEOUT);
        marks.map(|(first, end)| Some(first..end)).or_fail(Kind::Source, fail)
    }

    fn set_paused(&mut self, partition: i32, paused: bool) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        done.or_fail(Kind::Source, || format!("cannot pause or resume partition {partition}"))
    }
}
