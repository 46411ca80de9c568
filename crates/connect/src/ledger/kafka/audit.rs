//! What topics hold, read back for an audit.
//! It must not change anything, nor keep anybody from it.

use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::{Audit, Checkpoint, Snapshot};
use tickcast_stream::message::Stream;

use super::state::StateTopic;
use super::transactions::KafkaLedger;
use crate::kafka::{METADATA_TIMEOUT, client_config, create};
use crate::ledger::digest::digest;
use crate::sink::for_each_record;

/// How long the broker may give nothing before reading fails.
const SILENCE: Duration = Duration::from_secs(30);

/// Topics that a pipeline writes to.
pub struct KafkaAudit(pub KafkaLedger);

/// Names and values in their order.
fn header_list<H: Headers>(headers: Option<&H>) -> Vec<(String, Vec<u8>)> {
    let all = headers.into_iter().flat_map(|headers| headers.iter());
    all.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
}

impl Audit for KafkaAudit {
    fn entry(&self, partition: i32) -> Result<Option<Checkpoint>> {
        self.0.entry(partition)
    }

    fn snapshot(&self, partition: i32, entry: &Checkpoint) -> Result<Option<Snapshot>> {
        StateTopic::new(&self.0.client, &self.0.state).load(partition, entry.snapshot)
    }

    fn kept(&self, partition: i32, stream: Stream) -> Result<Vec<(i64, u64)>> {
        let Some((_, topic)) = self.0.topics.iter().find(|(of, _)| *of == stream) else {
            return Ok(Vec::new());
        };
        let fail = || format!("cannot read topic {topic} partition {partition}");
        let mut config = client_config(&self.0.client, &[("group.id", "tickcast-verify")]);
        config.set("enable.auto.commit", "false").set("isolation.level", "read_committed");
        config.set("enable.partition.eof", "true");
        let consumer: BaseConsumer = create(&config, DefaultConsumerContext)?;
        let marks = consumer.fetch_watermarks(topic, partition, METADATA_TIMEOUT);
        let (first, end) = marks.or_fail(Kind::Sink, fail)?;
        let mut kept = Vec::new();
        if first >= end {
            return Ok(kept);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(first)).or_fail(Kind::Sink, fail)?;
        consumer.assign(&list).or_fail(Kind::Sink, fail)?;
        let mut heard = Instant::now();
        loop {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let headers = header_list(message.headers());
                    let digest = digest((message.key(), message.payload().unwrap_or_default(), headers));
                    kept.push((message.offset(), digest));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(kept),
                // librdkafka goes on by itself where it can.
                Some(Err(error)) if heard.elapsed() > SILENCE => return Err(error).or_fail(Kind::Sink, fail),
                None if heard.elapsed() > SILENCE => return Err(Error::new(Kind::Sink, fail())),
                Some(Err(_)) | None => {}
            }
        }
    }

    fn digests(&self, stream: Stream, rows: &RecordBatch) -> Result<Vec<(u64, String)>> {
        let mut digests = Vec::with_capacity(rows.num_rows());
        for_each_record(stream, rows, &mut |record| {
            let headers = header_list(record.headers.as_ref());
            digests.push((
                digest((record.key, record.value, headers)),
                String::from_utf8_lossy(record.value).into_owned(),
            ));
            Ok(())
        })?;
        Ok(digests)
    }
}
