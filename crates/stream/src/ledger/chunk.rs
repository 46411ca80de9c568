//! A snapshot in pieces that each say what they are, and are checked when they are read.
//! It must not know what a state means, nor where its pieces lie.
//!
//! A chunk: `TICKCAST`, format version (u16), CRC-32 of the rest (u32), partition (i32), position
//! (i64), index (u32), count (u32), CRC-32 of the whole state (u32), then its share of the state;
//! integers little-endian. The highest bit of the version says that the state is a light one. Then
//! the name of its base stands before the share: position (i64), chunks (u32), CRC-32 (u32), how
//! many of its bytes are shared (u64), CRC-32 of these (u32).

use std::sync::Arc;

use super::checkpoint::SnapshotRef;
use super::snapshot::{BASE_BYTES, Base, CHUNK_BYTES, Snapshot};
use crate::place::{Offset, PartitionId};

const MAGIC: &[u8; 8] = b"TICKCAST";
/// Of the chunk and of the state within.
const VERSION: u16 = 8;
/// The bit of the version that says that the state is a light one.
const LIGHT: u16 = 1 << 15;
const CHECKED_FROM: usize = 14;
const STATE_FROM: usize = 38;
/// As many bytes of a chunk say what it is, at most.
pub const HEAD_BYTES: u64 = (STATE_FROM + BASE_BYTES) as u64;
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

impl Chunk {
    /// Its share of the state.
    pub fn state(&self) -> &[u8] {
        let share = self.snapshot.chunk_bytes();
        let from = self.index as usize * share;
        let to = (from + share).min(self.snapshot.state.len());
        &self.snapshot.state[from.min(to)..to]
    }

    /// Whether no piece follows it.
    pub fn is_last(&self) -> bool {
        self.index + 1 == self.count
    }

    /// Its bytes: what it is, and its share of the state.
    pub fn encode(&self) -> Vec<u8> {
        let Snapshot { partition, position, digest, base, .. } = *self.snapshot;
        let head = Head { partition, position, index: self.index, count: self.count, digest, base };
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
    /// What the state begins with, where it is a light one.
    pub base: Option<Base>,
}

impl Head {
    /// What a checkpoint calls the snapshot.
    pub fn name(&self) -> SnapshotRef {
        SnapshotRef { position: self.position, chunks: self.count, digest: self.digest }
    }

    /// Whether both are of one snapshot. A whole one and a light one of the same state are two.
    pub fn is_with(&self, other: &Head) -> bool {
        let key = |head: &Head| (head.position, head.digest, head.count, head.base);
        key(self) == key(other)
    }
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
    let mut bytes = Vec::with_capacity(STATE_FROM + BASE_BYTES + state.len());
    bytes.extend(MAGIC);
    bytes.extend((VERSION | head.base.map_or(0, |_| LIGHT)).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(head.partition.0.to_le_bytes());
    bytes.extend(head.position.0.to_le_bytes());
    bytes.extend(head.index.to_le_bytes());
    bytes.extend(head.count.to_le_bytes());
    bytes.extend(head.digest.to_le_bytes());
    if let Some(Base { of, bytes: shared, digest }) = head.base {
        bytes.extend(of.position.0.to_le_bytes());
        bytes.extend(of.chunks.to_le_bytes());
        bytes.extend(of.digest.to_le_bytes());
        bytes.extend(shared.to_le_bytes());
        bytes.extend(digest.to_le_bytes());
    }
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
    let version = u16::from_le_bytes([head[8], head[9]]);
    if version & !LIGHT != VERSION {
        return Err("has a format version that this tickcast does not read");
    }
    if number(head, 10) != crc32fast::hash(&bytes[CHECKED_FROM..]) {
        return Err("is damaged: its checksum does not hold");
    }
    let (index, count) = (number(head, 26), number(head, 30));
    if index >= count || count > MAX_CHUNKS {
        return Err("has chunk numbers that no snapshot has");
    }

    let (base, state) = match version & LIGHT {
        0 => (None, state),
        _ => {
            let Some((base, state)) = state.split_at_checked(BASE_BYTES) else { return Err("is cut short") };
            (Some(base_in(base)), state)
        }
    };
    let (partition, position) = (PartitionId(number(head, 14) as i32), Offset(long(head, 18)));
    let head = Head { partition, position, index, count, digest: number(head, 34), base };
    Ok(Piece { head, state: state.to_vec() })
}

/// What the snapshot needs whose chunk begins so, unchecked. None: it is whole, or this is no
/// chunk.
pub fn base_in_head(bytes: &[u8]) -> Option<Base> {
    let is_light = |head: &&[u8]| u16::from_le_bytes([head[8], head[9]]) == VERSION | LIGHT;
    let head =
        bytes.get(..STATE_FROM + BASE_BYTES).filter(|head| head.starts_with(MAGIC)).filter(is_light)?;
    Some(base_in(&head[STATE_FROM..]))
}

fn base_in(bytes: &[u8]) -> Base {
    let (position, chunks, digest) = (Offset(long(bytes, 0)), number(bytes, 8), number(bytes, 12));
    let of = SnapshotRef { position, chunks, digest };
    Base { of, bytes: long(bytes, 16) as u64, digest: number(bytes, 24) }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> i64 {
    i64::from(number(bytes, at)) | (i64::from(number(bytes, at + 4) as i32) << 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_nothing_panics(
            partition: i32, position: i64, digest: u32, state: Vec<u8>, cut in 0usize..64, flip in 0usize..92,
            base: Option<(i64, u32, u32, u64)>,
        ) {
            let (partition, position) = (PartitionId(partition), Offset(position));
            let base = base.map(|(position, chunks, digest, bytes)| {
                Base { of: SnapshotRef { position: Offset(position), chunks, digest }, bytes, digest: !digest }
            });
            let head = Head { partition, position, index: 2, count: 5, digest, base };
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
}
