//! Records that are no readings and no faults either: deletions and marks among the changes of a
//! table.
//! It must not know how they are told from others.

use std::fmt;

use crate::place::Offset;

/// Why a record makes no row and is no reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassReason {
    /// It has no value: its key is deleted.
    Tombstone,
    /// A change event of a row that was deleted.
    Delete,
    /// A change event of a table that was emptied.
    Truncate,
    /// A message in the database's log, which is of no table.
    Message,
}

impl PassReason {
    /// All of them.
    pub const ALL: [PassReason; 4] =
        [PassReason::Tombstone, PassReason::Delete, PassReason::Truncate, PassReason::Message];

    /// As metrics name it.
    pub fn word(self) -> &'static str {
        match self {
            PassReason::Tombstone => "tombstone",
            PassReason::Delete => "delete",
            PassReason::Truncate => "truncate",
            PassReason::Message => "message",
        }
    }
}

impl fmt::Display for PassReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A record that was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedOver {
    /// Its position.
    pub offset: Offset,
    /// Why.
    pub reason: PassReason,
}
