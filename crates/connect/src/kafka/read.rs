//! Reading a partition from an offset to the end that it has now.
//! It must not leave a trace on the broker: it joins no group and commits nothing, so a pipeline
//! that reads the same topic goes on undisturbed. It must not know what the records mean.
//!
//! - **The end.** The last offsets of a partition may be transaction markers or aborted records,
//!   which are never handed out. So a reading is over with the record before the end, with the
//!   first one beyond it, or when librdkafka says that the end is reached.
//! - **Silence.** librdkafka goes on by itself where it can. A reading fails only when nothing has
//!   come for a while; the failure names what went wrong last.

use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use tickcast_stream::error::Result;
use tickcast_stream::{Offset, PartitionId};

use super::client::{METADATA_TIMEOUT, create};
use super::config::client_config;
use super::spec::KafkaClientSpec;
use super::trouble::BrokerLog;

/// How long nothing may come before a reading fails, unless somebody is in a hurry.
pub const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A consumer that [`reading_consumer`] has made.
pub type ReadingConsumer = BaseConsumer<BrokerLog>;

/// What a reading is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The past of a source, or what was written: `backtest`, `train`, `verify` and `run
    /// --rebuild`.
    History,
    /// The states of a pipeline.
    State,
    /// A query.
    Query,
}

impl Purpose {
    /// The name of a group that nothing ever joins and that commits nothing. librdkafka assigns
    /// partitions only to a consumer with a `group.id`: without one `assign` fails with
    /// `UnknownGroup`. On a cluster with ACLs it must be allowed to read these groups.
    fn group(self) -> &'static str {
        match self {
            Purpose::History => "tickcast-history",
            Purpose::State => "tickcast-state",
            Purpose::Query => "tickcast-sql",
        }
    }
}

/// Which records a reading sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visible {
    /// Those that are committed. The end is the last stable offset: what an open transaction has
    /// written is not before it.
    Committed,
    /// All that are in the log.
    All,
}

/// Makes a consumer that only reads. Errors: `Config`, when librdkafka refuses the properties.
pub fn reading_consumer(
    client: &KafkaClientSpec,
    purpose: Purpose,
    visible: Visible,
) -> Result<ReadingConsumer> {
    // A query has a consumer for each partition at the same time.
    let few: &[(&str, &str)] = &[("queued.max.messages.kbytes", "8192")];
    let mut config = client_config(client, if purpose == Purpose::Query { few } else { &[] });

    let isolation = match visible {
        Visible::Committed => "read_committed",
        Visible::All => "read_uncommitted",
    };
    config.set("group.id", purpose.group()).set("enable.auto.commit", "false");
    config.set("isolation.level", isolation).set("enable.partition.eof", "true");
    // Records may be dropped before us while we read: a query goes on behind them, a history has a
    // hole then.
    config.set("auto.offset.reset", if purpose == Purpose::History { "error" } else { "earliest" });
    // At the end the broker would wait half a second for more.
    config.set("fetch.wait.max.ms", "10");
    create(&config, BrokerLog::default())
}

/// A partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicPartition<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: PartitionId,
}

/// What a poll of a reading consumer has brought.
pub enum Polled<'a> {
    /// A record.
    Record(BorrowedMessage<'a>),
    /// A partition has no records any more that can be seen.
    End(PartitionId),
    /// Records of a partition of a history were dropped before they were read.
    Gone,
    /// Nothing, for now.
    Nothing,
}

/// Watches a reading for silence.
#[derive(Debug)]
pub struct Silence {
    limit: Duration,
    heard: Instant,
    trouble: Option<String>,
}

impl Silence {
    /// From now on records must come, one within each `limit`.
    pub fn new(limit: Duration) -> Self {
        Silence { limit, heard: Instant::now(), trouble: None }
    }

    /// Polls the consumer, and keeps what it says instead of records.
    pub fn poll<'a>(&mut self, consumer: &'a ReadingConsumer, wait: Duration) -> Polled<'a> {
        match consumer.poll(wait) {
            None => Polled::Nothing,
            Some(Err(KafkaError::PartitionEOF(partition))) => Polled::End(PartitionId(partition)),
            Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset))) => Polled::Gone,
            Some(Err(error)) => {
                self.trouble = Some(consumer.context().explain(&error));
                Polled::Nothing
            }
            Some(Ok(message)) => {
                self.heard = Instant::now();
                if self.trouble.take().is_some() {
                    consumer.context().clear();
                }
                Polled::Record(message)
            }
        }
    }

    /// What was said last instead of records.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Errors: for how long nothing has come and why, when that is too long.
    pub fn check(&self) -> std::result::Result<(), String> {
        if self.heard.elapsed() <= self.limit {
            return Ok(());
        }
        let why = self.trouble().unwrap_or("no answer");
        Err(format!("nothing came for {} s: {why}", self.limit.as_secs()))
    }
}

/// Where a partition begins, and where it ends for this consumer. Errors: why no broker says it.
pub fn log_range(
    consumer: &ReadingConsumer,
    TopicPartition { topic, partition }: TopicPartition<'_>,
) -> std::result::Result<Range<Offset>, String> {
    let marks = consumer.fetch_watermarks(topic, partition.0, METADATA_TIMEOUT);
    let (first, end) = marks.map_err(|error| consumer.context().explain(&error))?;
    Ok(Offset(first)..Offset(end))
}

/// Hands the records of a range to `take`, in order, for as long as it wants more. The consumer
/// must have nothing else assigned, and has nothing assigned afterwards. Errors: why it cannot be
/// read, when nothing has come for the time of `silence`.
pub fn read_to_end(
    consumer: &ReadingConsumer,
    from: TopicPartition<'_>,
    range: Range<Offset>,
    silence: Duration,
    take: &mut dyn FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> std::result::Result<(), String> {
    if range.is_empty() {
        return Ok(());
    }
    let said = |error: KafkaError| error.to_string();

    let mut list = TopicPartitionList::new();
    list.add_partition_offset(from.topic, from.partition.0, KafkaOffset::Offset(range.start.0))
        .map_err(said)?;
    consumer.assign(&list).map_err(said)?;

    let read = read_assigned(consumer, from, range.end, silence, take);
    consumer.unassign().map_err(said)?;
    read
}

fn read_assigned(
    consumer: &ReadingConsumer,
    from: TopicPartition<'_>,
    end: Offset,
    silence: Duration,
    take: &mut dyn FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> std::result::Result<(), String> {
    let mut silence = Silence::new(silence);

    loop {
        match silence.poll(consumer, POLL) {
            Polled::End(partition) if partition == from.partition => return Ok(()),
            Polled::Record(message) if is_of(&message, from) => {
                let offset = Offset(message.offset());
                if offset >= end || take(&message).is_break() || offset.next() == end {
                    return Ok(());
                }
            }
            Polled::Gone => return Err("records were dropped before they were read".to_owned()),
            Polled::Record(_) | Polled::End(_) | Polled::Nothing => {}
        }
        silence.check()?;
    }
}

/// Whether a record is of this partition: one of what was assigned before may still be on its way.
fn is_of(message: &BorrowedMessage<'_>, from: TopicPartition<'_>) -> bool {
    message.topic() == from.topic && message.partition() == from.partition.0
}
