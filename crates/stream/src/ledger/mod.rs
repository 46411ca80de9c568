//! The ledger: what is durable of a partition, how it becomes so at once, and how it is found
//! again.
//! It must not know what a state or a result means; it keeps them with their position.

mod assembly;
mod checkpoint;
pub mod chunk;
mod clock_log;
mod committer;
mod contract;
mod snapshot;

pub use assembly::Assembly;
pub use checkpoint::{Checkpoint, OutputPosition, Position, SnapshotRef};
pub use chunk::Chunk;
pub use clock_log::ClockLog;
pub use committer::{Committed, Committer};
pub use contract::{Audit, Claim, Commit, CommitBatch, CommitOutcome, KeptRecords, Recover, SnapshotStore};
pub use snapshot::{Base, CHUNK_BYTES, Snapshot};
