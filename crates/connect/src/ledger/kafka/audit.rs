//! What topics hold, read back for an audit.
//! It must not change anything, nor keep anybody from it.

use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;
use rdkafka::message::{Headers, Message};
use tickcast_stream::PartitionId;
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::ledger::{Audit, Checkpoint, Snapshot};
use tickcast_stream::message::Stream;

use super::state::StateTopic;
use super::transactions::KafkaLedger;
use crate::kafka::{Purpose, SILENCE, TopicPartition, Visible, log_range, read_to_end, reading_consumer};
use crate::ledger::digest::digest;
use crate::sink::for_each_record;

/// Topics that a pipeline writes to.
pub struct KafkaAudit(pub KafkaLedger);

/// Names and values in their order.
fn header_list<H: Headers>(headers: Option<&H>) -> Vec<(String, Vec<u8>)> {
    let all = headers.into_iter().flat_map(|headers| headers.iter());
    all.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
}

impl Audit for KafkaAudit {
    fn entry(&self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        self.0.entry(partition)
    }

    fn snapshot(&self, partition: PartitionId, entry: &Checkpoint) -> Result<Option<Snapshot>> {
        StateTopic::new(&self.0.client, &self.0.state).load(partition, entry.snapshot)
    }

    fn kept(&self, partition: PartitionId, stream: Stream) -> Result<Vec<(i64, u64)>> {
        let Some((_, topic)) = self.0.topics.iter().find(|(of, _)| *of == stream) else {
            return Ok(Vec::new());
        };
        let from = TopicPartition { topic, partition };
        let fail = || format!("cannot read topic {topic} partition {partition}");
        let consumer = reading_consumer(&self.0.client, Purpose::History, Visible::Committed)?;
        let range = log_range(&consumer, from).or_fail(Kind::Sink, fail)?;

        let mut kept = Vec::new();
        let read = read_to_end(&consumer, from, range, SILENCE, &mut |message| {
            let headers = header_list(message.headers());
            let digest = digest((message.key(), message.payload().unwrap_or_default(), headers));
            kept.push((message.offset(), digest));
            ControlFlow::Continue(())
        });
        read.or_fail(Kind::Sink, fail)?;
        Ok(kept)
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
