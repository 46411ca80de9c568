//! The snapshots in a partition of a state topic: which are whole, and where each begins.
//! It must not keep their bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tickcast_stream::ledger::SnapshotRef;
use tickcast_stream::ledger::chunk::{Head, Piece};
use tickcast_stream::{Offset, PartitionId};

use crate::ledger::keep::InLog;

/// The snapshots that may stay in the log of each partition, oldest first: what a claim has found
/// and what was committed since. One that no claim has found goes.
pub(super) type KeptInLog = Arc<Mutex<BTreeMap<PartitionId, Vec<InLog>>>>;

/// What was seen of the chunks of a partition.
#[derive(Debug, Default)]
pub(super) struct Catalog(Vec<Seen>);

#[derive(Debug)]
struct Seen {
    of: Head,
    indices: BTreeSet<u32>,
    in_log: InLog,
}

fn is_one(a: &Head, b: &Head) -> bool {
    (a.position, a.digest, a.count) == (b.position, b.digest, b.count)
}

impl Catalog {
    /// Takes note of a chunk at an offset of the log.
    pub fn note(&mut self, offset: Offset, piece: &Piece) {
        let at = self.0.iter().position(|seen| is_one(&seen.of, &piece.head)).unwrap_or_else(|| {
            let in_log = InLog { position: Some(piece.head.position), first: offset, bytes: 0 };
            self.0.push(Seen { of: piece.head, indices: BTreeSet::new(), in_log });
            self.0.len() - 1
        });
        let seen = &mut self.0[at];
        seen.indices.insert(piece.head.index);
        seen.in_log.bytes += piece.state.len() as u64;
    }

    fn whole(&self) -> impl Iterator<Item = &Seen> {
        self.0.iter().filter(|seen| seen.indices.len() == seen.of.count as usize)
    }

    /// The whole ones before and with the one that is named, in their order.
    pub fn up_to(&self, named: SnapshotRef) -> Vec<InLog> {
        let all = self.whole().filter(|seen| seen.of.position <= named.position);
        all.map(|seen| seen.in_log).collect()
    }

    /// The name of the newest whole one of a position.
    pub fn named_at(&self, position: Offset) -> Option<SnapshotRef> {
        let Head { position, count, digest, .. } =
            self.whole().filter(|seen| seen.of.position == position).last()?.of;
        Some(SnapshotRef { position, chunks: count, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_snapshots_up_to_the_named_one_are_listed_with_their_places() {
        let mut catalog = Catalog::default();
        let mut note = |offset: i64, position: i64, index: u32, count: u32| {
            let (partition, position) = (PartitionId(1), Offset(position));
            let head = Head { partition, position, index, count, digest: position.0 as u32 };
            catalog.note(Offset(offset), &Piece { head, state: vec![0; 10] });
        };
        (0..3).for_each(|n| note(5 + i64::from(n), 100, n, 3));
        note(9, 200, 0, 2); // Never finished.
        note(11, 300, 0, 1);
        note(13, 400, 0, 1);

        let named = SnapshotRef { position: Offset(300), chunks: 1, digest: 300 };
        let found = catalog.up_to(named);
        let found: Vec<_> =
            found.iter().map(|of| (of.position.map(|at| at.0), of.first.0, of.bytes)).collect();
        assert_eq!(found, [(Some(100), 5, 30), (Some(300), 11, 10)]);
        assert_eq!(catalog.named_at(Offset(300)), Some(named));
        assert_eq!(catalog.named_at(Offset(200)), None);
    }
}
