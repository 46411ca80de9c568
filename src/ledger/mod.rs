//! The ledger: what is durable of a partition, and where to go on.
//! It must not know what a state means; it keeps bytes with their position.

mod dir;
mod lock;
mod staged;

pub use dir::DirLedger;
pub use lock::{Hold, Lock};
pub use staged::Staged;

/// A partition's state after all records before `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub partition: i32,
    /// The next record to read.
    pub position: i64,
    pub state: Vec<u8>,
}
