//! How far what is committed of each partition is behind the end of its log.
//! It must not ask anybody: it is told.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::place::{Offset, PartitionId};

/// The lags of the partitions that are ours.
#[derive(Debug, Default)]
pub(super) struct Lags(BTreeMap<PartitionId, Place>);

/// What is known of one partition.
#[derive(Debug, Default)]
struct Place {
    /// The committed position; before the first commit, where it began.
    committed: Option<Offset>,
    /// What the source has still to hand on.
    unread: Option<Range<Offset>>,
}

impl Lags {
    /// A partition is ours; none: nothing is committed of it.
    pub fn assign(&mut self, partition: PartitionId, committed: Option<Offset>) {
        self.0.insert(partition, Place { committed, unread: None });
    }

    /// A partition is ours no more.
    pub fn revoke(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }

    /// A record was read. The first one is where the partition begins, if nothing is committed.
    pub fn read(&mut self, partition: PartitionId, offset: Offset) {
        if let Some(place) = self.0.get_mut(&partition) {
            place.committed.get_or_insert(offset);
        }
    }

    /// All before this position is committed.
    pub fn commit(&mut self, partition: PartitionId, position: Offset) {
        if let Some(place) = self.0.get_mut(&partition) {
            place.committed = Some(position);
        }
    }

    /// What the source has still to hand on: from the next record to the end of the log, or
    /// nothing, at the position after the last record.
    pub fn unread(&mut self, partition: PartitionId, unread: Range<Offset>) {
        if let Some(place) = self.0.get_mut(&partition) {
            place.unread = Some(unread);
        }
    }

    /// The sum of all partitions; none while the end of one is not known, or there is none.
    pub fn total(&self) -> Option<i64> {
        if self.0.is_empty() {
            return None;
        }
        self.0.values().map(Place::lag).sum()
    }
}

impl Place {
    fn lag(&self) -> Option<i64> {
        let unread = self.unread.as_ref()?;
        let committed = self.committed.unwrap_or(unread.start);
        // What is known of the end may be older than the commit.
        Some(unread.end.since(committed).max(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: PartitionId = PartitionId(0);

    fn range(start: i64, end: i64) -> Range<Offset> {
        Offset(start)..Offset(end)
    }

    #[test]
    fn what_is_read_counts_until_it_is_committed() {
        let mut lags = Lags::default();
        lags.assign(ID, Some(Offset(100)));
        assert_eq!(lags.total(), None, "where the log ends is not known");
        lags.unread(ID, range(100, 150));
        assert_eq!(lags.total(), Some(50));
        lags.read(ID, Offset(100));
        lags.unread(ID, range(150, 150));
        assert_eq!(lags.total(), Some(50), "read, not committed");
        lags.commit(ID, Offset(140));
        assert_eq!(lags.total(), Some(10));
        lags.commit(ID, Offset(155));
        assert_eq!(lags.total(), Some(0), "the log has grown since its end was told");
    }

    #[test]
    fn before_the_first_commit_it_counts_from_where_it_began() {
        let mut lags = Lags::default();
        lags.assign(ID, None);
        lags.unread(ID, range(7, 30));
        assert_eq!(lags.total(), Some(23));
        lags.read(ID, Offset(7));
        lags.read(ID, Offset(20));
        lags.unread(ID, range(30, 30));
        assert_eq!(lags.total(), Some(23));
    }

    #[test]
    fn the_sum_is_of_all_that_is_ours_and_of_nothing_else() {
        let mut lags = Lags::default();
        lags.assign(ID, Some(Offset(0)));
        lags.assign(PartitionId(1), Some(Offset(0)));
        lags.unread(ID, range(0, 5));
        assert_eq!(lags.total(), None, "a part of the sum would be too little");
        lags.unread(PartitionId(1), range(0, 6));
        assert_eq!(lags.total(), Some(11));
        lags.revoke(ID);
        // The writer may still commit what was revoked.
        lags.commit(ID, Offset(3));
        lags.unread(ID, range(3, 9));
        assert_eq!(lags.total(), Some(6));
        lags.revoke(PartitionId(1));
        assert_eq!(lags.total(), None);
    }
}
