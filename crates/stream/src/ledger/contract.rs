//! What a ledger is: what is durable of a partition, how it becomes so at once, and how it is found
//! again.
//! It must not know what a state or a result means; a ledger keeps them with their position.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;

use super::checkpoint::Checkpoint;
use super::chunk::Chunk;
use super::snapshot::Snapshot;
use crate::error::Result;
use crate::message::Stream;
use crate::place::{Offset, PartitionId};

/// What a partition goes on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// What is committed; none: nothing, or nobody remembers.
    pub entry: Option<Checkpoint>,
    /// The snapshot that `entry` names, or else the newest.
    pub snapshot: Option<Snapshot>,
}

/// The reading half of a ledger.
pub trait Recover: Send {
    /// As `claim`, without looking at what was learned.
    fn take_over(&mut self, partition: PartitionId) -> Result<Option<Checkpoint>>;

    /// Takes a partition over: whoever had it can commit nothing of it any more. Errors: `State`,
    /// when what the ledger names is not there or damaged, or when results are there and nothing
    /// says how far they go; never a silent reset.
    fn claim(&mut self, partition: PartitionId) -> Result<Claim>;

    /// Whether a partition whose input is another one than its state was learned from begins anew,
    /// as somebody has asked for.
    fn may_begin_anew(&self) -> bool {
        false
    }

    /// What trained weights partitions without a snapshot begin with, if any were imported.
    fn initial_weights(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// The committed records of a stream that are still there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptRecords {
    /// The place of each (an offset, a line) and the digest of its bytes.
    pub records: Vec<(i64, u64)>,
    /// Whether the first of them may be gone, as where a topic has a retention.
    pub is_cut: bool,
}

/// A ledger as its reader sees it: nothing is taken over, nothing changed.
pub trait Audit {
    /// What is committed of a partition.
    fn entry(&self, partition: PartitionId) -> Result<Option<Checkpoint>>;

    /// The positions of the snapshots that are kept: the one that an entry names, and those before
    /// it, in order.
    fn snapshots(&self, partition: PartitionId, entry: &Checkpoint) -> Result<Vec<Offset>>;

    /// The snapshot at one of these positions.
    fn snapshot(&self, partition: PartitionId, entry: &Checkpoint, at: Offset) -> Result<Option<Snapshot>>;

    /// Every committed record of a stream that is still there.
    fn kept(&self, partition: PartitionId, stream: Stream) -> Result<KeptRecords>;

    /// The digests that these rows have where they are written, and their text for a person.
    fn digests(&self, stream: Stream, rows: &RecordBatch) -> Result<Vec<(u64, String)>>;
}

/// What becomes visible together: results, pieces of snapshots, and what is then committed of each
/// partition.
#[derive(Debug, Default)]
pub struct CommitBatch {
    /// In the order in which they came.
    pub results: Vec<(PartitionId, Stream, RecordBatch)>,
    /// Pieces of snapshots.
    pub chunks: Vec<Chunk>,
    /// What is committed of each partition, once the rest is visible.
    pub entries: BTreeMap<PartitionId, Checkpoint>,
}

impl CommitBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty() && self.chunks.is_empty() && self.entries.is_empty()
    }

    /// With what came after it.
    pub(super) fn followed_by(mut self, later: CommitBatch) -> CommitBatch {
        self.results.extend(later.results);
        self.chunks.extend(later.chunks);
        self.entries.extend(later.entries);
        self
    }

    /// Without anything of a partition.
    pub(super) fn discard(&mut self, partition: PartitionId) {
        self.results.retain(|(of, ..)| *of != partition);
        self.chunks.retain(|chunk| chunk.snapshot.partition != partition);
        self.entries.remove(&partition);
    }
}

/// How one attempt to commit an epoch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// All of it is visible.
    Committed,
    /// Nothing of it is visible; the same epoch can be tried again.
    Aborted(String),
    /// The group is being rebalanced, or has moved partitions on: nothing is visible, and trying
    /// again helps only after the source has said what is still ours.
    Refused(String),
    /// Nobody knows: the reply was lost. Ask the ledger before anything else.
    Unknown(String),
}

/// The writing half of a ledger.
pub trait Commit: Send {
    /// A partition begins: `entry` is what its claim said.
    fn begin(&mut self, partition: PartitionId, entry: Option<&Checkpoint>) -> Result<()>;

    /// One attempt to make an epoch visible, whole or not at all. Errors: what no further attempt
    /// can mend.
    fn attempt(&mut self, epoch: &CommitBatch) -> Result<CommitOutcome>;

    /// After an unknown outcome: ends whatever is open, and says what we ourselves have committed
    /// last of these partitions.
    fn settle(&mut self, partitions: &[PartitionId]) -> Result<BTreeMap<PartitionId, Checkpoint>>;

    /// A partition is ours no more.
    fn release(&mut self, partition: PartitionId) -> Result<()>;

    /// How many rejects were cut, since this was asked last, because they were larger than their
    /// topic takes.
    fn take_cut(&mut self) -> u64 {
        0
    }
}

/// Where states go that are part of no commit.
pub trait SnapshotStore: Send + Sync {
    /// Makes a snapshot durable, then drops those it replaces.
    fn save(&self, snapshot: &Snapshot) -> Result<()>;

    /// The newest whole snapshot of a partition. Errors: `State`, when there are only damaged ones.
    fn newest(&self, partition: PartitionId) -> Result<Option<Snapshot>>;

    /// The weights that partitions without a snapshot begin with, if any were imported.
    fn initial_weights(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}
