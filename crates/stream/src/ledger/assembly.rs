//! Pieces of snapshots on their way to whole ones; a light snapshot is as whole as its base.
//! It must not know what a state means, nor where its pieces lie.

use std::collections::BTreeMap;

use super::checkpoint::SnapshotRef;
use super::chunk::{Head, Piece};
use super::snapshot::{Base, Snapshot};
use crate::place::PartitionId;

/// Pieces on their way to whole snapshots.
#[derive(Debug, Default)]
pub struct Assembly {
    /// In the order in which they were begun. Two states of one position have different digests.
    parts: Vec<Parts>,
}

#[derive(Debug)]
struct Parts {
    of: Head,
    pieces: BTreeMap<u32, Vec<u8>>,
}

impl Parts {
    fn is_complete(&self) -> bool {
        self.pieces.len() == self.of.count as usize
    }

    fn into_snapshot(self, partition: PartitionId) -> Snapshot {
        let Parts { of: Head { position, digest, base, .. }, pieces } = self;
        let mut state = Vec::with_capacity(pieces.values().map(Vec::len).sum());
        pieces.into_values().for_each(|piece| state.extend(piece));
        Snapshot { partition, position, state, digest, base }
    }
}

impl Assembly {
    /// Takes a piece in, in any order.
    pub fn add(&mut self, piece: Piece) {
        let Piece { head, state } = piece;
        let at = self.parts.iter().position(|parts| parts.of.is_with(&head)).unwrap_or_else(|| {
            self.parts.push(Parts { of: head, pieces: BTreeMap::new() });
            self.parts.len() - 1
        });
        self.parts[at].pieces.insert(head.index, state);
    }

    /// Where the whole snapshot is that a base is of, if all of that is here.
    fn place_of(&self, base: Base) -> Option<usize> {
        let is_it = |parts: &Parts| parts.of.base.is_none() && base.of.is_of(&parts.of);
        self.parts.iter().position(|parts| is_it(parts) && parts.is_complete())
    }

    /// Whether all is here that a state needs.
    fn is_whole(&self, parts: &Parts) -> bool {
        parts.is_complete() && parts.of.base.is_none_or(|base| self.place_of(base).is_some())
    }

    /// The base of a light snapshot that is here, where that is not.
    pub fn lacks(&self) -> Option<SnapshotRef> {
        let mut bases = self.parts.iter().filter_map(|parts| parts.of.base);
        bases.find(|&base| self.place_of(base).is_none()).map(|base| base.of)
    }

    /// Drops what is whole and older than the newest whole one, and no base of it: a log may hold
    /// many.
    pub fn forget_older(&mut self) {
        let whole: Vec<bool> = self.parts.iter().map(|parts| self.is_whole(parts)).collect();
        let wholes = self.parts.iter().zip(&whole).filter(|(_, is_whole)| **is_whole);
        let Some(newest) = wholes.map(|(parts, _)| parts.of.position).max() else { return };

        let newer = self.parts.iter().filter(|parts| parts.of.position >= newest);
        let bases: Vec<Base> = newer.filter_map(|parts| parts.of.base).collect();
        let mut whole = whole.into_iter();
        self.parts.retain(|parts| {
            let is_base = bases.iter().any(|base| base.of.is_of(&parts.of));
            whole.next() == Some(false) || parts.of.position >= newest || is_base
        });
    }

    /// The newest snapshot of which all is here, or the one that is named, whole: a light one with
    /// what it shares with its base.
    pub fn whole(mut self, partition: PartitionId, named: Option<SnapshotRef>) -> Option<Snapshot> {
        let is_wanted = |of: &Head| named.is_none_or(|named| named.is_of(of));
        let parts = self.parts.iter().enumerate();
        let wanted = parts.filter(|(_, parts)| is_wanted(&parts.of) && self.is_whole(parts));
        // The last one of those that are equally far.
        let (at, _) = wanted.max_by_key(|(_, parts)| parts.of.position)?;
        let snapshot = self.parts.remove(at).into_snapshot(partition);
        let Some(base) = snapshot.base else { return Some(snapshot) };

        let at = self.place_of(base)?;
        snapshot.made_whole(self.parts.swap_remove(at).into_snapshot(partition))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::CHUNK_BYTES;
    use crate::ledger::chunk::{Chunk, decode};
    use crate::place::Offset;

    #[test]
    fn pieces_make_the_newest_whole_snapshot() {
        let state: Vec<u8> = (0..CHUNK_BYTES * 2 + 5).map(|i| (i % 251) as u8).collect();
        let snapshot = |position| Arc::new(Snapshot::new(PartitionId(3), position, state.clone()));
        let count = snapshot(Offset(10)).name().chunks;
        assert_eq!((count, Snapshot::new(PartitionId(3), Offset(0), vec![]).name().chunks), (3, 1));
        let pieces = |position| {
            let snapshot = snapshot(position);
            (0..count).map(move |index| Chunk { snapshot: Arc::clone(&snapshot), index, count }.encode())
        };
        let mut assembly = Assembly::default();
        pieces(Offset(10)).for_each(|bytes| assembly.add(decode(&bytes).unwrap()));
        // The newer one was not finished.
        pieces(Offset(20)).take(2).for_each(|bytes| assembly.add(decode(&bytes).unwrap()));
        // A state learned anew is another one of its position, though some of its pieces are there
        // twice or not at all.
        let anew = Arc::new(Snapshot::new(PartitionId(3), Offset(20), vec![7; state.len()]));
        let of_anew = |index| Chunk { snapshot: Arc::clone(&anew), index, count }.encode();
        let mut again = Assembly::default();
        [of_anew(0), of_anew(1)].iter().for_each(|bytes| again.add(decode(bytes).unwrap()));
        pieces(Offset(20)).for_each(|bytes| again.add(decode(&bytes).unwrap()));
        let named = |snapshot: &Snapshot| Some(snapshot.name());
        assert_eq!(again.whole(PartitionId(3), None), Some((*snapshot(Offset(20))).clone()));
        let mut again = Assembly::default();
        pieces(Offset(20)).for_each(|bytes| again.add(decode(&bytes).unwrap()));
        (0..count).for_each(|index| again.add(decode(&of_anew(index)).unwrap()));
        assert_eq!(again.whole(PartitionId(3), named(&anew)).as_ref(), Some(&*anew));
        assert_eq!(assembly.whole(PartitionId(3), None), Some((*snapshot(Offset(10))).clone()));
        assert_eq!(Assembly::default().whole(PartitionId(3), None), None);
    }

    /// Snapshots of partition 3 in pieces, one after the other.
    fn assembly(of: &[&Snapshot]) -> Assembly {
        let mut assembly = Assembly::default();
        for snapshot in of {
            let (snapshot, count) = (Arc::new((*snapshot).clone()), snapshot.name().chunks);
            for index in 0..count {
                let chunk = Chunk { snapshot: Arc::clone(&snapshot), index, count };
                assembly.add(decode(&chunk.encode()).unwrap());
                assembly.forget_older();
            }
        }
        assembly
    }

    #[test]
    fn a_light_snapshot_is_as_whole_as_its_base() {
        let p = PartitionId(3);
        let state = |n: u8| [&vec![7; CHUNK_BYTES * 2][..], &vec![n; CHUNK_BYTES][..]].concat();
        let first = Snapshot::new(p, Offset(10), state(1));
        let base = Base::of(&first, CHUNK_BYTES * 2);
        // The name of its base takes some of a chunk: there is one more.
        let light = |at, n| Snapshot::light(p, Offset(at), base, vec![n; CHUNK_BYTES]);
        assert_eq!(light(20, 2).name().chunks, 2);
        let second = Snapshot::new(p, Offset(20), state(2));
        let third = Snapshot::new(p, Offset(30), state(3));

        // The base stays for as long as it is one.
        let all = assembly(&[&first, &light(20, 2), &light(30, 3)]);
        assert_eq!((all.parts.len(), all.lacks()), (2, None));
        assert!(all.whole(p, None) == Some(third.clone()));
        assert!(assembly(&[&first, &light(20, 2)]).whole(p, Some(light(20, 2).name())) == Some(second));
        // Without it a light one is nothing.
        let alone = assembly(&[&light(20, 2)]);
        assert_eq!((alone.lacks(), alone.whole(p, None)), (Some(first.name()), None));
        let other = Snapshot::new(p, Offset(10), state(9));
        assert!(assembly(&[&other, &light(20, 2)]).whole(p, None) == Some(other));
        // Nor does it hide a newer whole one that came before it.
        assert!(assembly(&[&first, &third, &light(20, 2)]).whole(p, None) == Some(third.clone()));
        let late = assembly(&[&first, &third, &light(40, 4)]);
        assert!(late.whole(p, None) == Some(third));
    }
}
