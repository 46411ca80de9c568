//! What topics hold, read back for an audit.
//! It must not change anything, nor keep anybody from it.

use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;
use rdkafka::message::{Headers, Message};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::ledger::{Audit, Checkpoint, KeptRecords, Snapshot};
use tickcast_stream::message::Stream;
use tickcast_stream::{Offset, PartitionId};

use super::state::StateTopic;
use super::transactions::KafkaLedger;
use crate::kafka::{Purpose, SILENCE, TopicPartition, Visible, log_range, read_to_end, reading_consumer};
use crate::ledger::digest::digest;
use crate::sink::for_each_record;

/// Topics that a pipeline writes to.
pub struct KafkaAudit(pub KafkaLedger);

impl KafkaAudit {
    fn state(&self) -> StateTopic {
        StateTopic::new(&self.0.client, &self.0.state)
    }
}

/// Names and values in their order.
fn header_list<H: Headers>(headers: Option<&H>) -> Vec<(String, Vec<u8>)> {
    let all = headers.into_iter().flat_map(|headers| headers.iter());
    all.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect()
}

impl Audit for KafkaAudit {
    fn entry(&self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        self.0.entry(partition)
    }

    fn snapshots(&self, partition: PartitionId, entry: &Checkpoint) -> Result<Vec<Offset>> {
        let Some(named) = entry.snapshot else { return Ok(Vec::new()) };
        let catalog = self.state().catalog(partition)?;
        Ok(catalog.up_to(named).into_iter().filter_map(|in_log| in_log.position).collect())
    }

    fn snapshot(&self, partition: PartitionId, entry: &Checkpoint, at: Offset) -> Result<Option<Snapshot>> {
        let state = self.state();
        let named = match entry.snapshot.filter(|named| named.position == at) {
            Some(named) => Some(named),
            None => state.catalog(partition)?.named_at(at),
        };
        named.map_or(Ok(None), |named| state.load(partition, Some(named)))
    }

    fn kept(&self, partition: PartitionId, stream: Stream) -> Result<KeptRecords> {
        let Some((_, topic)) = self.0.topics.iter().find(|(of, _)| *of == stream) else {
            return Ok(KeptRecords::default());
        };
        let from = TopicPartition { topic, partition };
        let fail = || format!("cannot read topic {topic} partition {partition}");
        let consumer = reading_consumer(&self.0.client, Purpose::History, Visible::Committed)?;
        let range = log_range(&consumer, from).or_fail(Kind::Sink, fail)?;

        let (mut records, is_cut) = (Vec::new(), range.start > Offset(0));
        let read = read_to_end(&consumer, from, range, SILENCE, &mut |message| {
            let headers = header_list(message.headers());
            let digest = digest((message.key(), message.payload().unwrap_or_default(), headers));
            records.push((message.offset(), digest));
            ControlFlow::Continue(())
        });
        read.or_fail(Kind::Sink, fail)?;
        Ok(KeptRecords { records, is_cut })
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
