//! Rejects sent back as the records that they were, each at most once.
//! It must not choose them.
//!
//! What was sent is noted in a topic of its own, in the transaction that sends it: what is seen of
//! the one is seen of the other. Another replay of the same pipeline is shut out by the name of the
//! transactions, which is taken before the notes are read.

mod notes;
mod sender;

use rdkafka::message::{Header, OwnedHeaders};
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::record::RejectRow;

use self::notes::{Notes, Sent};
use self::sender::Sender;
use crate::kafka::{KafkaTopicSpec, partition_count};

/// Records of one transaction, and bytes of them, at most.
const BATCH_RECORDS: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;

/// What became of a reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayFate {
    /// It is sent, or would be.
    Sent,
    /// It was sent before.
    SentBefore,
    /// Only the beginning of it is there: it is not sent.
    Cut,
}

/// Sends rejects to a topic.
pub struct Replay {
    to: KafkaTopicSpec,
    partitions: i32,
    /// None: nothing is to be sent.
    sender: Option<Sender>,
    notes: Notes,
    /// Of the transaction that is open.
    open: Sent,
    records: usize,
    bytes: usize,
}

impl Replay {
    /// `notes`: the topic that says what was sent; it is made where it is missing. `dry`: nothing
    /// is sent or made. Errors: `Sink`, when there is no such topic, no broker answers, or another
    /// replay is on.
    pub fn open(to: &KafkaTopicSpec, notes: &str, dry: bool) -> Result<Self> {
        let missing =
            || Error::new(Kind::Sink, format!("topic {} does not exist at {}", to.topic, to.client.brokers));
        let partitions = partition_count(&to.client, &to.topic)?.ok_or_else(missing)?;

        // In this order: nobody adds to the notes that are read.
        let sender = if dry { None } else { Some(Sender::open(to, notes)?) };
        let notes = Notes::read(&to.client, notes, &to.topic)?;
        Ok(Replay { to: to.clone(), partitions, sender, notes, open: Sent::default(), records: 0, bytes: 0 })
    }

    /// Sends a reject, unless it was sent before. Errors: `Sink`, when it cannot be sent; those of
    /// the open transaction are then not sent either.
    pub fn offer(&mut self, row: &RejectRow<'_>) -> Result<ReplayFate> {
        if row.cut.is_some() {
            return Ok(ReplayFate::Cut);
        }
        if !self.notes.sent.insert(row.topic, row.partition, row.offset) {
            return Ok(ReplayFate::SentBefore);
        }

        let Some(sender) = &mut self.sender else { return Ok(ReplayFate::Sent) };
        let partition = (row.partition.0 < self.partitions).then_some(row.partition);
        let own = row
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: *value }));
        let headers = (!row.headers.is_empty()).then_some(own);
        sender.send(&self.to.topic, partition, row, headers)?;
        self.open.insert(row.topic, row.partition, row.offset);
        self.records += 1;
        self.bytes += row.value.map_or(0, <[u8]>::len);

        if self.records >= BATCH_RECORDS || self.bytes >= BATCH_BYTES {
            self.commit()?;
        }
        Ok(ReplayFate::Sent)
    }

    /// Makes all that was sent visible. Errors: as [`Replay::offer`].
    pub fn finish(mut self) -> Result<()> {
        self.commit()
    }

    fn commit(&mut self) -> Result<()> {
        let sent = std::mem::take(&mut self.open);
        (self.records, self.bytes) = (0, 0);
        match &mut self.sender {
            Some(sender) if !sent.is_empty() => sender.commit(&self.notes.topic, &sent.notes(&self.to.topic)),
            _ => Ok(()),
        }
    }
}
