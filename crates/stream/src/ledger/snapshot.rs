//! A partition's state, written out.
//! It must not know what the bytes mean.

use crate::place::{Offset, PartitionId};

/// A partition's state after all records before `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose state it is.
    pub partition: PartitionId,
    /// The next record to read.
    pub position: Offset,
    /// The state's bytes.
    pub state: Vec<u8>,
    /// CRC-32 of the state: two states may be of one position.
    pub digest: u32,
}

impl Snapshot {
    /// A state with its digest.
    pub fn new(partition: PartitionId, position: Offset, state: Vec<u8>) -> Self {
        let digest = crc32fast::hash(&state);
        Snapshot { partition, position, state, digest }
    }
}
