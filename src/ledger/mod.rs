//! The ledger: what is durable of a partition, how it becomes so at once, and how it is found again.
//! It must not know what a state or a result means; it keeps them with their position.

mod audit;
mod chunk;
mod committer;
mod dir;
mod entry;
mod files;
mod kafka;
mod kafka_audit;
mod kafka_claim;
mod kafka_commit;
mod kafka_state;
mod lock;
mod memory;
mod staged;

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;

pub use audit::FilesAudit;
pub use chunk::{CHUNK_BYTES, Chunk, chunks_of};
pub use committer::{Committed, Committer};
pub use dir::DirLedger;
pub use entry::{Counts, Entry, Pointer, Progress};
pub use files::FilesLedger;
pub use kafka::KafkaLedger;
pub use kafka_audit::KafkaAudit;
pub use kafka_state::{StateTopic, StateWriter, TOPIC_SETTINGS};
pub use lock::{Hold, Lock};
pub use memory::{CRASHED, Fate, Fates, Member, Step, World};
pub use staged::Staged;

use crate::error::Result;
use crate::message::Stream;

/// A partition's state after all records before `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub partition: i32,
    /// The next record to read.
    pub position: i64,
    pub state: Vec<u8>,
    /// CRC-32 of the state: two states may be of one position.
    pub digest: u32,
}

impl Snapshot {
    pub fn new(partition: i32, position: i64, state: Vec<u8>) -> Self {
        let digest = crc32fast::hash(&state);
        Snapshot { partition, position, state, digest }
    }
}

/// What a partition goes on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// What is committed; none: nothing, or nobody remembers.
    pub entry: Option<Entry>,
    /// The snapshot that `entry` names, or else the newest.
    pub snapshot: Option<Snapshot>,
}

/// The reading half of a ledger.
pub trait Recover: Send {
    /// As `claim`, without looking at what was learned.
    fn take_over(&mut self, partition: i32) -> Result<Option<Entry>>;

    /// Takes a partition over: whoever had it can commit nothing of it any more. Errors: `State`, when what the ledger
    /// names is not there or damaged, or when results are there and nothing says how far they go; never a silent reset.
    fn claim(&mut self, partition: i32) -> Result<Claim>;

    /// What trained weights partitions without a snapshot begin with, if any were imported.
    fn warm_start(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

/// A ledger as its reader sees it: nothing is taken over, nothing changed.
pub trait Audit {
    /// What is committed of a partition.
    fn entry(&self, partition: i32) -> Result<Option<Entry>>;

    /// The snapshot that an entry names.
    fn snapshot(&self, partition: i32, entry: &Entry) -> Result<Option<Snapshot>>;

    /// Every committed record of a stream: its place (an offset, a line) and the digest of its bytes.
    fn kept(&self, partition: i32, stream: Stream) -> Result<Vec<(i64, u64)>>;

    /// The digests that these rows have where they are written, and their text for a person.
    fn digests(&self, stream: Stream, rows: &RecordBatch) -> Result<Vec<(u64, String)>>;
}

/// What becomes visible together: results, pieces of snapshots, and what is then committed of each partition.
#[derive(Debug, Default)]
pub struct Epoch {
    /// In the order in which they came.
    pub results: Vec<(i32, Stream, RecordBatch)>,
    pub chunks: Vec<Chunk>,
    pub entries: BTreeMap<i32, Entry>,
}

impl Epoch {
    fn is_empty(&self) -> bool {
        self.results.is_empty() && self.chunks.is_empty() && self.entries.is_empty()
    }

    /// With what came after it.
    fn followed_by(mut self, later: Epoch) -> Epoch {
        self.results.extend(later.results);
        self.chunks.extend(later.chunks);
        self.entries.extend(later.entries);
        self
    }

    /// Without anything of a partition.
    fn discard(&mut self, partition: i32) {
        self.results.retain(|(of, ..)| *of != partition);
        self.chunks.retain(|chunk| chunk.snapshot.partition != partition);
        self.entries.remove(&partition);
    }
}

/// How one attempt to commit an epoch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Committed,
    /// Nothing of it is visible; the same epoch can be tried again.
    Aborted(String),
    /// The group is being rebalanced, or has moved partitions on: nothing is visible, and trying again helps only after
    /// the source has said what is still ours.
    Refused(String),
    /// Nobody knows: the reply was lost. Ask the ledger before anything else.
    Unknown(String),
}

/// The writing half of a ledger.
pub trait Commit: Send {
    /// A partition begins: `entry` is what its claim said.
    fn begin(&mut self, partition: i32, entry: Option<&Entry>) -> Result<()>;

    /// One attempt to make an epoch visible, whole or not at all. Errors: what no further attempt can mend.
    fn attempt(&mut self, epoch: &Epoch) -> Result<Verdict>;

    /// After an unknown outcome: ends whatever is open, and says what we ourselves have committed last of these partitions.
    fn settle(&mut self, partitions: &[i32]) -> Result<BTreeMap<i32, Entry>>;

    /// A partition is ours no more.
    fn release(&mut self, partition: i32) -> Result<()>;
}
