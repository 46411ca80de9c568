//! What a clock has decided of a partition, read from what is kept of it.
//! It must not change what is kept.

use super::image::clock_of;
use crate::error::Result;
use crate::ledger::{Audit, Checkpoint, ClockLog, SnapshotStore};
use crate::place::PartitionId;

/// What a clock has decided of a partition, by what is committed of it. A state that cannot be read
/// is warned of: its share is then not known. Errors: the ledger's.
pub fn committed_clock(audit: &dyn Audit, id: PartitionId) -> Result<ClockLog> {
    Ok(audit.entry(id)?.map(|entry| clock_up_to(audit, id, &entry)).unwrap_or_default())
}

/// The same, by the state that was saved last. Errors: the store's.
pub fn saved_clock(store: &dyn SnapshotStore, id: PartitionId) -> Result<ClockLog> {
    Ok(store.newest(id)?.as_ref().and_then(clock_of).unwrap_or_default())
}

/// The closes that the named state knows, and those of the entry since.
pub(super) fn clock_up_to(audit: &dyn Audit, id: PartitionId, entry: &Checkpoint) -> ClockLog {
    let state = entry.snapshot.map(|named| audit.snapshot(id, entry, named.position)).transpose();
    let mut clock = match state {
        Ok(state) => state.flatten().as_ref().and_then(clock_of).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(partition = id.0, %error, "cannot read where a clock has closed windows");
            ClockLog::default()
        }
    };
    clock.extend(&entry.closes);
    clock
}
