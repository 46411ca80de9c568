//! What one commit says of a partition: how far it has come, and which snapshot goes with it.
//! It must not know where it is written.

use serde::{Deserialize, Serialize};

use crate::log_id::LogId;
use crate::message::Stream;
use crate::place::Offset;

/// How many records of each stream a partition has put out since its first record. A partition's
/// output is a pure function of its input, so these counts are a position in the output, whatever
/// the batches were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPosition {
    /// Records of the forecasts.
    pub forecasts: u64,
    /// Records of the scores.
    pub scores: u64,
    /// Records of the rejects.
    pub rejects: u64,
}

impl OutputPosition {
    /// Records of one stream.
    pub fn of(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Forecasts => self.forecasts,
            Stream::Scores => self.scores,
            Stream::Rejects => self.rejects,
        }
    }

    /// So many more records of a stream.
    pub fn add(&mut self, stream: Stream, records: u64) {
        match stream {
            Stream::Forecasts => self.forecasts += records,
            Stream::Scores => self.scores += records,
            Stream::Rejects => self.rejects += records,
        }
    }

    /// Whether no stream is behind `other`.
    pub fn reach(&self, other: &OutputPosition) -> bool {
        Stream::ALL.iter().all(|&stream| self.of(stream) >= other.of(stream))
    }
}

/// How far a partition has come, in its input and in its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its first record: from there it is made again where there is no snapshot.
    pub begun: Offset,
    /// All that records before it put out is among `counts`.
    pub position: Offset,
    /// What it has put out.
    pub counts: OutputPosition,
    /// Where the past ended when the partition was first looked at, with `start: warm`: forecasts
    /// and scores that records before it cause are put out nowhere. A clock has decided it, so it
    /// is part of every commit.
    pub live: Option<Offset>,
    /// The log that its records are of, where the source can tell: a topic that is made anew is
    /// another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogId>,
    /// How many records the source had dropped before they were read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
    /// Where a clock has closed all windows last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Offset>,
}

impl Position {
    /// Before the first record, which is at `begun`.
    pub fn begin(begun: Offset) -> Self {
        let counts = OutputPosition::default();
        Position { begun, position: begun, counts, live: None, log: None, lost: 0, closed: None }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Names a whole snapshot: the one after all records before `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// The next record to read after it.
    pub position: Offset,
    /// The pieces it is written in.
    pub chunks: u32,
    /// CRC-32 of the state.
    pub digest: u32,
}

/// What is committed of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How far it has come.
    pub progress: Position,
    /// The newest whole snapshot, at or before the progress; none: replay from the first record.
    pub snapshot: Option<SnapshotRef>,
    /// Where a clock has closed all windows since that snapshot, in order. That one has the earlier
    /// ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closes: Vec<Offset>,
}

impl Checkpoint {
    /// Nothing is committed but how far it has come.
    pub fn of(progress: Position) -> Self {
        Checkpoint { progress, snapshot: None, closes: progress.closed.into_iter().collect() }
    }

    /// It has come so far.
    pub fn reach(&mut self, progress: Position) {
        let news = progress.closed.filter(|_| progress.closed > self.progress.closed);
        self.closes.extend(news);
        self.progress = progress;
    }

    /// This snapshot is committed. A close at its position may have come after it: that is kept.
    pub fn name(&mut self, snapshot: SnapshotRef) {
        self.closes.retain(|close| *close >= snapshot.position);
        self.snapshot = Some(snapshot);
    }
}
