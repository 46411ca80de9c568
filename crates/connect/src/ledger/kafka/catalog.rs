//! The snapshots in a partition of a state topic: which are whole, and where each begins.
//! It must not keep their bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tickcast_stream::ledger::chunk::{Head, Piece};
use tickcast_stream::ledger::{Base, SnapshotRef};
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

impl Seen {
    fn is_complete(&self) -> bool {
        self.indices.len() == self.of.count as usize
    }
}

impl Catalog {
    /// Takes note of a chunk at an offset of the log.
    pub fn note(&mut self, offset: Offset, piece: &Piece) {
        let at = self.0.iter().position(|seen| seen.of.is_with(&piece.head)).unwrap_or_else(|| {
            let in_log = InLog { position: Some(piece.head.position), first: offset, bytes: 0 };
            self.0.push(Seen { of: piece.head, indices: BTreeSet::new(), in_log });
            self.0.len() - 1
        });
        let seen = &mut self.0[at];
        seen.indices.insert(piece.head.index);
        seen.in_log.bytes += piece.state.len() as u64;
    }

    fn has(&self, base: Base) -> bool {
        let is_it = |seen: &Seen| seen.of.base.is_none() && base.of.is_of(&seen.of);
        self.0.iter().any(|seen| is_it(seen) && seen.is_complete())
    }

    /// Those of which all is there, with what they share, up to the one that is named.
    fn whole_up_to(&self, named: SnapshotRef) -> impl Iterator<Item = &Seen> {
        let is_whole = |seen: &Seen| seen.is_complete() && seen.of.base.is_none_or(|base| self.has(base));
        self.0.iter().filter(move |seen| seen.of.position <= named.position && is_whole(seen))
    }

    /// The whole ones before and with the one that is named, in their order, each with the light
    /// ones that refer to it.
    pub fn up_to(&self, named: SnapshotRef) -> Vec<InLog> {
        let mut all: Vec<(SnapshotRef, InLog)> = Vec::new();
        for Seen { of, in_log, .. } in self.whole_up_to(named) {
            match of.base {
                None => all.push((of.name(), *in_log)),
                Some(base) => {
                    let mut whole = all.iter_mut().filter(|(name, _)| *name == base.of);
                    whole
                        .next_back()
                        .into_iter()
                        .for_each(|(_, whole)| whole.join(of.position, in_log.bytes));
                }
            }
        }
        all.into_iter().map(|(_, in_log)| in_log).collect()
    }

    /// The positions of those up to the one that is named, in their order.
    pub fn positions(&self, named: SnapshotRef) -> Vec<Offset> {
        self.whole_up_to(named).map(|seen| seen.of.position).collect()
    }

    /// The name of the newest whole one of a position, up to the one that is named.
    pub fn named_at(&self, position: Offset, named: SnapshotRef) -> Option<SnapshotRef> {
        self.whole_up_to(named).filter(|seen| seen.of.position == position).last().map(|seen| seen.of.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(position: i64, index: u32, count: u32) -> Head {
        let (partition, position) = (PartitionId(1), Offset(position));
        Head { partition, position, index, count, digest: position.0 as u32, base: None }
    }

    fn note(catalog: &mut Catalog, offset: i64, head: Head) {
        catalog.note(Offset(offset), &Piece { head, state: vec![0; 10] });
    }

    fn up_to(catalog: &Catalog, named: SnapshotRef) -> Vec<(Option<i64>, i64, u64)> {
        let found = catalog.up_to(named);
        found.iter().map(|of| (of.position.map(|at| at.0), of.first.0, of.bytes)).collect()
    }

    #[test]
    fn whole_snapshots_up_to_the_named_one_are_listed_with_their_places() {
        let mut catalog = Catalog::default();
        (0..3).for_each(|n| note(&mut catalog, 5 + i64::from(n), head(100, n, 3)));
        note(&mut catalog, 9, head(200, 0, 2)); // Never finished.
        note(&mut catalog, 11, head(300, 0, 1));
        note(&mut catalog, 13, head(400, 0, 1));

        let named = head(300, 0, 1).name();
        assert_eq!(up_to(&catalog, named), [(Some(100), 5, 30), (Some(300), 11, 10)]);
        assert_eq!(catalog.named_at(Offset(300), named), Some(named));
        assert_eq!(catalog.named_at(Offset(200), named), None);
    }

    #[test]
    fn light_snapshots_are_listed_with_their_base_and_not_without_it() {
        let light = |position, of: Head| Head {
            base: Some(Base { of: of.name(), bytes: 4, digest: 0 }),
            ..head(position, 0, 1)
        };
        let mut catalog = Catalog::default();
        note(&mut catalog, 3, light(90, head(50, 0, 1))); // Its base is trimmed away.
        note(&mut catalog, 5, head(100, 0, 1));
        note(&mut catalog, 7, light(110, head(100, 0, 1)));
        note(&mut catalog, 9, light(120, head(100, 0, 1)));
        note(&mut catalog, 11, head(200, 0, 1));
        note(&mut catalog, 13, light(210, head(200, 0, 1)));

        let named = head(210, 0, 1).name();
        assert_eq!(up_to(&catalog, named), [(Some(120), 5, 30), (Some(210), 11, 20)]);
        assert_eq!(catalog.positions(named), [100, 110, 120, 200, 210].map(Offset));
        assert_eq!(catalog.named_at(Offset(120), named), Some(head(120, 0, 1).name()));
        assert_eq!(catalog.named_at(Offset(90), named), None);
    }
}
