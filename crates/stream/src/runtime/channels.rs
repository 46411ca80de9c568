//! What the threads of a run tell each other, and how much of it may wait.
//! It must not decide anything: it only says what there is to say.
//!
//! Forward, the channels are bounded: a full one holds up whoever fills it. Back to the reader
//! leads one channel without a bound, so that nobody who works for the reader ever waits for it.
//! What goes back is little: a message for each commit, snapshot and release. Two things are told
//! beside the channels, because they have to overtake what is queued: the
//! [`stop`](super::RunContext::stop) flag, on which workers skip what they were given before, and
//! [`LostPartitions`](super::LostPartitions), which end a commit that can never be made while the
//! writer is in it.

use std::ops::Range;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;

use super::image::PendingSnapshot;
use super::outputs::Ticket;
use super::partition::Partition;
use crate::error::{Error, Kind};
use crate::ledger::{Checkpoint, Position, Snapshot};
use crate::log_id::LogId;
use crate::message::{EventTime, Records, Stream};
use crate::place::{Offset, PartitionId};
use crate::sink::Begin;
use crate::source::Departure;

/// Messages that may wait before a worker.
pub(super) const WORKER_DEPTH: usize = 8;
/// Messages that may wait before the writer.
pub(super) const SINK_DEPTH: usize = 32;
/// States that may wait to be written out.
pub(super) const SNAPSHOT_DEPTH: usize = 1024;

/// From the reader to a worker.
pub(super) enum ToWorker {
    /// A partition begins.
    Begin(Box<Partition>, PartitionStart),
    /// Its next records.
    Records {
        partition: PartitionId,
        records: Records,
        /// When they were read.
        at: Instant,
    },
    /// Its next records are of this log.
    Log { partition: PartitionId, log: LogId },
    /// Records of it were gone before they were read.
    Lost { partition: PartitionId, offsets: Range<Offset> },
    /// Nothing comes of it for now.
    Quiet(PartitionId),
    /// It has no more.
    End(PartitionId),
    /// It is ours no more.
    Drop { partition: PartitionId, departure: Departure },
    /// Nothing more comes: the states of all of the worker's partitions are to be saved.
    SaveAll,
}

/// What the sink has to know of a partition that begins.
#[derive(Clone)]
pub(super) struct PartitionStart {
    /// What is committed of it.
    pub entry: Option<Checkpoint>,
    /// What becomes of earlier results.
    pub begin: Begin,
    /// Counts the times that a partition began: a state that is written out late may be of an
    /// earlier one.
    pub incarnation: u64,
}

/// From a worker to the thread that writes states out: a state.
pub(super) struct ToSnapshots {
    pub frozen: PendingSnapshot,
    pub incarnation: u64,
    /// What freezing it took.
    pub took: Duration,
    pub ticket: Ticket,
}

/// The times of the records that results come of.
#[derive(Clone, Copy)]
pub(super) struct RecordTimes {
    /// When they were read.
    pub read: Instant,
    /// The source's own time of the oldest of them; none where it has none, or where they were read
    /// to learn the past or to restore a state.
    pub recorded: Option<EventTime>,
}

impl RecordTimes {
    /// Of results that come of no record.
    pub fn none() -> Self {
        RecordTimes { read: Instant::now(), recorded: None }
    }
}

/// From a worker, or from the thread that writes states out, to the writer.
pub(super) enum ToSink {
    /// A partition begins; what the worker still did for an earlier time of it is already here.
    Begin { partition: PartitionId, start: PartitionStart },
    /// Some of what it made, and how far it has come with that.
    Results {
        partition: PartitionId,
        results: Vec<(Stream, RecordBatch)>,
        reached: Option<Position>,
        times: RecordTimes,
    },
    /// A state that was written out.
    Save { snapshot: Snapshot, incarnation: u64, took: Duration, ticket: Ticket },
    /// The partition is ours no more; all that was made of it is already here.
    Release { partition: PartitionId, departure: Departure },
}

/// Back to the reader, from whoever works for it.
pub(super) enum ToReader {
    /// The writer has let go of a revoked partition.
    Released(PartitionId),
    /// All before this position of a partition is durable, and the source is to remember that.
    Durable { partition: PartitionId, position: Offset },
    /// A partition has made again all that is committed of it.
    CaughtUp { partition: PartitionId, at: Instant },
    /// A thread has failed: all others are to end too.
    Failed,
}

/// The error of a thread whose partner has ended: only an echo of the error that ended that one.
pub(super) fn closed(who: &str) -> Error {
    Error::new(Kind::Io, format!("{who} ended early"))
}
