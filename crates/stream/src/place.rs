//! Where a record is: which partition it is in, and where in that.
//! It must not know what a partition is of: a topic and a file count the same way.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a partition of the input; the results of a partition carry it too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub i32);

/// Where a record is in its partition: Kafka's offset, or the record's ordinal in a file from 0 on.
/// A position is the offset of the next record to read.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub i64);

impl Offset {
    /// The position after this record.
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The position so many consecutive records further on.
    pub fn plus(self, records: usize) -> Self {
        Offset(self.0 + records as i64)
    }

    /// How many consecutive records there are from `earlier` to here; negative when that is later.
    pub fn since(self, earlier: Offset) -> i64 {
        self.0 - earlier.0
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

// The log shows lists of both: there too they are the bare numbers that Kafka's tools take.

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
