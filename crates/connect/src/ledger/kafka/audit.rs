//! What topics hold, read back for an audit.
//! It must not change anything, nor keep anybody from it.
//!
//! A reject may have been cut to what its topic took then. What is made again is cut to the size of
//! what is there, so both are compared as far as the topic holds it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use arrow::record_batch::RecordBatch;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use tickcast_stream::error::{Kind, OrFail, Result};
use tickcast_stream::ledger::{Audit, Checkpoint, KeptRecords, Snapshot};
use tickcast_stream::message::Stream;
use tickcast_stream::record::{RejectRows, json_lines, lines};
use tickcast_stream::{Offset, PartitionId};

use super::state::StateTopic;
use super::transactions::{KafkaLedger, ResultTopic};
use crate::kafka::{Purpose, SILENCE, TopicPartition, Visible, log_range, read_to_end, reading_consumer};
use crate::ledger::digest::digest;
use crate::sink::{Outgoing, Room, send_reject, size_of};
use crate::table::reject_of;

/// Topics that a pipeline writes to.
pub struct KafkaAudit {
    ledger: KafkaLedger,
    /// Rejects that are there in part only, and their sizes.
    cut: RefCell<BTreeMap<(PartitionId, Offset), Room>>,
}

impl KafkaAudit {
    /// No broker is asked yet.
    pub fn new(ledger: KafkaLedger) -> Self {
        KafkaAudit { ledger, cut: RefCell::default() }
    }

    /// Remembers a reject that was cut. One that cannot be read is found by its digest.
    fn remember(&self, message: &BorrowedMessage<'_>) {
        if let Ok(row) = reject_of(message)
            && row.cut.is_some()
        {
            self.cut.borrow_mut().insert((row.partition, row.offset), Room(size_of(&row)));
        }
    }

    /// Hands the records on that these rows are in a topic.
    fn records(
        &self,
        stream: Stream,
        rows: &RecordBatch,
        send: &mut dyn FnMut(Outgoing<'_>) -> Result<()>,
    ) -> Result<()> {
        if stream != Stream::Rejects {
            let Some(topic) = self.topic(stream) else { return Ok(()) };
            return topic.records.for_each(rows, Room::ANY, send);
        }
        let cut = self.cut.borrow();
        RejectRows::of(rows)?.iter().try_for_each(|row| {
            let room = cut.get(&(row.partition, row.offset)).copied().unwrap_or(Room::ANY);
            send_reject(&row, room, send)
        })
    }
}

impl KafkaAudit {
    fn topic(&self, stream: Stream) -> Option<&ResultTopic> {
        self.ledger.topics.iter().find(|topic| topic.stream == stream)
    }

    fn state(&self) -> StateTopic {
        StateTopic::new(&self.ledger.client, &self.ledger.state)
    }
}

/// Names and values in their order.
fn header_list<H: Headers>(headers: Option<&H>) -> Vec<(&str, Option<&[u8]>)> {
    let all = headers.into_iter().flat_map(|headers| headers.iter());
    all.map(|header| (header.key, header.value)).collect()
}

impl Audit for KafkaAudit {
    fn entry(&self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        self.ledger.entry(partition)
    }

    fn snapshots(&self, partition: PartitionId, entry: &Checkpoint) -> Result<Vec<Offset>> {
        let Some(named) = entry.snapshot else { return Ok(Vec::new()) };
        Ok(self.state().catalog(partition)?.positions(named))
    }

    fn snapshot(&self, partition: PartitionId, entry: &Checkpoint, at: Offset) -> Result<Option<Snapshot>> {
        let (state, Some(last)) = (self.state(), entry.snapshot) else { return Ok(None) };
        let named =
            if last.position == at { Some(last) } else { state.catalog(partition)?.named_at(at, last) };
        named.map_or(Ok(None), |named| state.load(partition, Some(named)))
    }

    fn kept(&self, partition: PartitionId, stream: Stream) -> Result<KeptRecords> {
        let Some(ResultTopic { topic, .. }) = self.topic(stream) else {
            return Ok(KeptRecords::default());
        };
        let from = TopicPartition { topic, partition };
        let fail = || format!("cannot read topic {topic} partition {partition}");
        let consumer = reading_consumer(&self.ledger.client, Purpose::History, Visible::Committed)?;
        let range = log_range(&consumer, from).or_fail(Kind::Sink, fail)?;

        let (mut records, is_cut) = (Vec::new(), range.start > Offset(0));
        let read = read_to_end(&consumer, from, range, SILENCE, &mut |message| {
            let headers = header_list(message.headers());
            let digest = digest((message.key(), message.payload(), headers));
            records.push((message.offset(), digest));
            if stream == Stream::Rejects {
                self.remember(message);
            }
            ControlFlow::Continue(())
        });
        read.or_fail(Kind::Sink, fail)?;
        Ok(KeptRecords { records, is_cut })
    }

    fn digests(&self, stream: Stream, rows: &RecordBatch) -> Result<Vec<(u64, String)>> {
        let mut digests = Vec::with_capacity(rows.num_rows());
        // Results are shown as JSON, whatever they are written as.
        let shown = if stream == Stream::Rejects { Vec::new() } else { json_lines(rows)? };
        let mut shown = lines(&shown).map(|line| &shown[line]);
        self.records(stream, rows, &mut |record| {
            let headers = header_list(record.headers.as_ref());
            let text = shown.next().or(record.value).unwrap_or_default();
            let digest = digest((record.key, record.value, headers));
            digests.push((digest, String::from_utf8_lossy(text).into_owned()));
            Ok(())
        })?;
        Ok(digests)
    }
}
