//! A snapshot in pieces that each say what they are, and are checked when they are read.
//! It must not know what a state means, nor where its pieces lie.
//!
//! A chunk: `TICKCAST`, format version (u16), CRC-32 of the rest (u32), partition (i32), position
//! (i64), index (u32), count (u32), CRC-32 of the whole state (u32), then its share of the state;
//! integers little-endian.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Snapshot, SnapshotRef};
use crate::place::{Offset, PartitionId};

const MAGIC: &[u8; 8] = b"TICKCAST";
/// Of the chunk and of the state within.
const VERSION: u16 = 6;
const CHECKED_FROM: usize = 14;
const STATE_FROM: usize = 38;
/// Bytes of state in one chunk: Kafka takes a record of 1 MB.
pub const CHUNK_BYTES: usize = 900_000;
/// More chunks than this are no snapshot: 8 GB.
const MAX_CHUNKS: u32 = 9_000;

/// One piece of a snapshot.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The whole that it is a piece of.
    pub snapshot: Arc<Snapshot>,
    /// Its number among the pieces, from 0 on.
    pub index: u32,
    /// The number of all pieces.
    pub count: u32,
}

/// How many chunks a state takes.
pub fn chunks_of(state: &[u8]) -> u32 {
    state.len().div_ceil(CHUNK_BYTES).max(1) as u32
}

impl Chunk {
    /// Its share of the state.
    pub fn state(&self) -> &[u8] {
        let from = self.index as usize * CHUNK_BYTES;
        let to = (from + CHUNK_BYTES).min(self.snapshot.state.len());
        &self.snapshot.state[from.min(to)..to]
    }

    /// Whether no piece follows it.
    pub fn is_last(&self) -> bool {
        self.index + 1 == self.count
    }

    /// Its bytes: what it is, and its share of the state.
    pub fn encode(&self) -> Vec<u8> {
        let Snapshot { partition, position, digest, .. } = *self.snapshot;
        let head = Head { partition, position, index: self.index, count: self.count, digest };
        encode(&head, self.state())
    }
}

/// What a chunk says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whose state it is of.
    pub partition: PartitionId,
    /// The next record to read after the state.
    pub position: Offset,
    /// Its number among the pieces, from 0 on.
    pub index: u32,
    /// The number of all pieces.
    pub count: u32,
    /// Of the whole state.
    pub digest: u32,
}

impl SnapshotRef {
    /// Whether it names the snapshot that a chunk is of.
    pub fn is_of(&self, head: &Head) -> bool {
        (self.position, self.digest, self.chunks) == (head.position, head.digest, head.count)
    }
}

/// A chunk as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it says of itself.
    pub head: Head,
    /// Its share of the state.
    pub state: Vec<u8>,
}

/// A file of chunks, one after another, cut into them.
pub fn pieces(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    file.chunks(place(1) as usize)
}

/// Where a chunk begins in a file of chunks: all before it are full.
pub fn place(index: u32) -> u64 {
    u64::from(index) * (STATE_FROM + CHUNK_BYTES) as u64
}

fn encode(head: &Head, state: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STATE_FROM + state.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(head.partition.0.to_le_bytes());
    bytes.extend(head.position.0.to_le_bytes());
    bytes.extend(head.index.to_le_bytes());
    bytes.extend(head.count.to_le_bytes());
    bytes.extend(head.digest.to_le_bytes());
    bytes.extend(state);
    let crc = crc32fast::hash(&bytes[CHECKED_FROM..]);
    bytes[10..CHECKED_FROM].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Errors: what is wrong with the bytes, to follow the name of where they were.
pub fn decode(bytes: &[u8]) -> Result<Piece, &'static str> {
    if !bytes.starts_with(MAGIC) {
        return Err("is no snapshot");
    }
    let Some((head, state)) = bytes.split_at_checked(STATE_FROM) else { return Err("is cut short") };
    if head[8..10] != VERSION.to_le_bytes() {
        return Err("has a format version that this tickcast does not read");
    }
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if number(10) != crc32fast::hash(&bytes[CHECKED_FROM..]) {
        return Err("is damaged: its checksum does not hold");
    }
    let (index, count) = (number(26), number(30));
    if index >= count || count > MAX_CHUNKS {
        return Err("has chunk numbers that no snapshot has");
    }
    let position = i64::from(number(18)) | (i64::from(number(22) as i32) << 32);
    let (partition, position) = (PartitionId(number(14) as i32), Offset(position));
    let head = Head { partition, position, index, count, digest: number(34) };
    Ok(Piece { head, state: state.to_vec() })
}

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
    fn is_of(&self, head: &Head) -> bool {
        let key = |head: &Head| (head.position, head.digest, head.count);
        key(&self.of) == key(head)
    }

    fn is_whole(&self) -> bool {
        self.pieces.len() == self.of.count as usize
    }
}

impl Assembly {
    /// Takes a piece in, in any order.
    pub fn add(&mut self, piece: Piece) {
        let Piece { head, state } = piece;
        let at = self.parts.iter().position(|parts| parts.is_of(&head)).unwrap_or_else(|| {
            self.parts.push(Parts { of: head, pieces: BTreeMap::new() });
            self.parts.len() - 1
        });
        self.parts[at].pieces.insert(head.index, state);
    }

    /// Drops what is whole and older than the newest whole one: a log may hold many.
    pub fn forget_older(&mut self) {
        let whole = self.parts.iter().filter(|parts| parts.is_whole());
        let Some(newest) = whole.map(|parts| parts.of.position).max() else { return };
        self.parts.retain(|parts| !parts.is_whole() || parts.of.position >= newest);
    }

    /// The newest whole snapshot, or the one that is named.
    pub fn whole(self, partition: PartitionId, named: Option<SnapshotRef>) -> Option<Snapshot> {
        let is_wanted = |of: &Head| named.is_none_or(|named| named.is_of(of));
        let whole = self.parts.into_iter().filter(|parts| parts.is_whole() && is_wanted(&parts.of));
        // The last one of those that are equally far.
        let Parts { of, pieces } = whole.max_by_key(|parts| parts.of.position)?;
        let mut state = Vec::with_capacity(pieces.values().map(Vec::len).sum());
        pieces.into_values().for_each(|piece| state.extend(piece));
        Some(Snapshot { partition, position: of.position, state, digest: of.digest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_nothing_panics(
            partition: i32, position: i64, digest: u32, state: Vec<u8>, cut in 0usize..64, flip in 0usize..64,
        ) {
            let (partition, position) = (PartitionId(partition), Offset(position));
            let head = Head { partition, position, index: 2, count: 5, digest };
            let bytes = encode(&head, &state);
            prop_assert_eq!(decode(&bytes), Ok(Piece { head, state }));
            prop_assert!(decode(&bytes[..bytes.len().saturating_sub(cut + 1)]).is_err());
            let mut flipped = bytes.clone();
            let at = flip % bytes.len();
            flipped[at] ^= 0x10;
            prop_assert!(decode(&flipped).is_err());
        }

        #[test]
        fn any_bytes_are_an_error_or_a_piece(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn pieces_make_the_newest_whole_snapshot() {
        let state: Vec<u8> = (0..CHUNK_BYTES * 2 + 5).map(|i| (i % 251) as u8).collect();
        let snapshot = |position| Arc::new(Snapshot::new(PartitionId(3), position, state.clone()));
        let count = chunks_of(&state);
        assert_eq!((count, chunks_of(&[])), (3, 1));
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
        let named = |snapshot: &Snapshot| {
            Some(SnapshotRef { position: snapshot.position, chunks: count, digest: snapshot.digest })
        };
        assert_eq!(again.whole(PartitionId(3), None), Some((*snapshot(Offset(20))).clone()));
        let mut again = Assembly::default();
        pieces(Offset(20)).for_each(|bytes| again.add(decode(&bytes).unwrap()));
        (0..count).for_each(|index| again.add(decode(&of_anew(index)).unwrap()));
        assert_eq!(again.whole(PartitionId(3), named(&anew)).as_ref(), Some(&*anew));
        assert_eq!(assembly.whole(PartitionId(3), None), Some((*snapshot(Offset(10))).clone()));
        assert_eq!(Assembly::default().whole(PartitionId(3), None), None);
    }
}
