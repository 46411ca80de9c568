//! The notes of a replay: which records of which topics were sent where.
//! It must not send anything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use rdkafka::message::Message;
use serde::{Deserialize, Serialize};
use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::{Offset, PartitionId};

use crate::kafka::{
    KafkaClientSpec, Purpose, SILENCE, TopicPartition, Visible, log_range, partition_count, read_to_end,
    reading_consumer,
};

/// A note: records of a partition that one transaction has sent to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    from: String,
    partition: PartitionId,
    to: String,
    /// Offsets, first and last of each run of them.
    offsets: Vec<(Offset, Offset)>,
}

/// Records by the topic and partition that they came from.
#[derive(Debug, Default)]
pub struct Sent(BTreeMap<(String, PartitionId), BTreeSet<Offset>>);

impl Sent {
    /// Adds a record; false where it is there already.
    pub fn insert(&mut self, topic: &str, partition: PartitionId, offset: Offset) -> bool {
        self.0.entry((topic.to_owned(), partition)).or_default().insert(offset)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them as notes, a partition each.
    pub fn notes(&self, to: &str) -> Vec<Note> {
        let note = |((from, partition), offsets): (&(String, PartitionId), &BTreeSet<Offset>)| Note {
            from: from.clone(),
            partition: *partition,
            to: to.to_owned(),
            offsets: runs(offsets),
        };
        self.0.iter().map(note).collect()
    }

    fn add(&mut self, note: Note) {
        let known = self.0.entry((note.from, note.partition)).or_default();
        for (first, last) in note.offsets {
            known.extend((first.0..=last.0).map(Offset));
        }
    }
}

fn runs(offsets: &BTreeSet<Offset>) -> Vec<(Offset, Offset)> {
    let mut runs: Vec<(Offset, Offset)> = Vec::new();
    for &offset in offsets {
        match runs.last_mut() {
            Some((_, last)) if last.next() == offset => *last = offset,
            _ => runs.push((offset, offset)),
        }
    }
    runs
}

/// All that was sent to one topic.
#[derive(Debug)]
pub struct Notes {
    /// The topic that they are in.
    pub topic: String,
    /// What they say, and what was sent since.
    pub sent: Sent,
}

impl Notes {
    /// Reads them; no topic yet says nothing. Errors: `Sink`, when no broker answers or a note
    /// cannot be read.
    pub fn read(client: &KafkaClientSpec, topic: &str, to: &str) -> Result<Self> {
        let mut notes = Notes { topic: topic.to_owned(), sent: Sent::default() };
        if partition_count(client, topic)?.is_none() {
            return Ok(notes);
        }
        let from = TopicPartition { topic, partition: PartitionId(0) };
        let fail = || format!("cannot read topic {topic}, which says what was sent before");
        let consumer = reading_consumer(client, Purpose::History, Visible::Committed)?;
        let range = log_range(&consumer, from).or_fail(Kind::Sink, fail)?;

        let mut broken = None;
        let read = read_to_end(&consumer, from, range, SILENCE, &mut |message| {
            match serde_json::from_slice::<Note>(message.payload().unwrap_or_default()) {
                Ok(note) if note.to == to => notes.sent.add(note),
                Ok(_) => {}
                Err(why) => broken = Some(format!("offset {}: {why}", message.offset())),
            }
            if broken.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        read.or_fail(Kind::Sink, fail)?;
        match broken {
            None => Ok(notes),
            Some(why) => Err(Error::new(Kind::Sink, fail()).because(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_say_runs_and_are_read_back() {
        let mut sent = Sent::default();
        let offsets = [7, 3, 4, 9, 5];
        assert!(offsets.iter().all(|at| sent.insert("in", PartitionId(2), Offset(*at))));
        assert!(!sent.insert("in", PartitionId(2), Offset(4)));
        assert!(sent.insert("in", PartitionId(0), Offset(4)));

        let notes = sent.notes("there");
        let json = serde_json::to_string(&notes[1]).unwrap();
        assert_eq!(json, r#"{"from":"in","partition":2,"to":"there","offsets":[[3,5],[7,7],[9,9]]}"#);
        let mut again = Sent::default();
        notes.into_iter().for_each(|note| again.add(note));
        assert_eq!(again.0, sent.0);
    }
}
