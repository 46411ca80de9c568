//! A partition's state, written out: whole, or light, without a beginning that it shares with a
//! whole one.
//! It must not know what the bytes mean.

use crc32fast::Hasher;

use super::checkpoint::SnapshotRef;
use crate::place::{Offset, PartitionId};

/// Bytes of state in one chunk: Kafka takes a record of 1 MB. The name of a base takes some of
/// them.
pub const CHUNK_BYTES: usize = 900_000;
pub(super) const BASE_BYTES: usize = 28;

/// The beginning of a whole snapshot: light ones share it, and refer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The whole snapshot.
    pub of: SnapshotRef,
    /// How many of its bytes are shared.
    pub bytes: u64,
    /// CRC-32 of these bytes.
    pub digest: u32,
}

impl Base {
    /// The first bytes of a whole snapshot.
    pub fn of(whole: &Snapshot, bytes: usize) -> Self {
        let digest = crc32fast::hash(&whole.state[..bytes]);
        Base { of: whole.name(), bytes: bytes as u64, digest }
    }
}

/// A partition's state after all records before `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose state it is.
    pub partition: PartitionId,
    /// The next record to read.
    pub position: Offset,
    /// The state's bytes; of a light one those that follow what it shares.
    pub state: Vec<u8>,
    /// CRC-32 of the whole state: two states may be of one position.
    pub digest: u32,
    /// What the state begins with, where it is a light one.
    pub base: Option<Base>,
}

impl Snapshot {
    /// A whole state with its digest.
    pub fn new(partition: PartitionId, position: Offset, state: Vec<u8>) -> Self {
        let digest = crc32fast::hash(&state);
        Snapshot { partition, position, state, digest, base: None }
    }

    /// A state that begins as `base` does, and goes on with `rest`.
    pub fn light(partition: PartitionId, position: Offset, base: Base, rest: Vec<u8>) -> Self {
        let mut hasher = Hasher::new_with_initial(base.digest);
        hasher.update(&rest);
        Snapshot { partition, position, state: rest, digest: hasher.finalize(), base: Some(base) }
    }

    /// How many of its bytes go into one chunk.
    pub(super) fn chunk_bytes(&self) -> usize {
        CHUNK_BYTES - self.base.map_or(0, |_| BASE_BYTES)
    }

    /// What a checkpoint calls it.
    pub fn name(&self) -> SnapshotRef {
        let chunks = self.state.len().div_ceil(self.chunk_bytes()).max(1) as u32;
        SnapshotRef { position: self.position, chunks, digest: self.digest }
    }

    /// Bytes of the whole state.
    pub fn size(&self) -> u64 {
        self.state.len() as u64 + self.base.map_or(0, |base| base.bytes)
    }

    /// A light one made whole again by the whole one that it refers to. None: that is another one,
    /// or one of the two digests does not hold.
    pub(super) fn made_whole(self, whole: Snapshot) -> Option<Snapshot> {
        let base = self.base?;
        let mut state = whole.state;
        let shared = state.get(..usize::try_from(base.bytes).ok()?)?;
        let mut hasher = Hasher::new();
        hasher.update(shared);
        let is_shared = hasher.clone().finalize() == base.digest;
        hasher.update(&self.state);
        if !is_shared || hasher.finalize() != self.digest {
            return None;
        }

        // What is shared is by far the most: it stays where it is.
        state.truncate(shared.len());
        state.extend(&self.state);
        Some(Snapshot { state, base: None, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(3);

    #[test]
    fn a_light_one_and_its_base_are_the_whole_one() {
        let first = Snapshot::new(P, Offset(10), b"the last part, then little".to_vec());
        let base = Base::of(&first, 13);
        let second = Snapshot::new(P, Offset(20), b"the last part, then something else".to_vec());
        let light = Snapshot::light(P, Offset(20), base, b", then something else".to_vec());
        assert_eq!((light.digest, light.size()), (second.digest, second.size()));
        assert_eq!(light.made_whole(first), Some(second));
    }

    #[test]
    fn a_base_that_is_another_one_makes_nothing_whole() {
        let first = Snapshot::new(P, Offset(10), b"the last part, then little".to_vec());
        let light = Snapshot::light(P, Offset(20), Base::of(&first, 13), b"more".to_vec());
        for other in [&b"the lost part, then little"[..], b"the last", b""] {
            assert_eq!(light.clone().made_whole(Snapshot::new(P, Offset(10), other.to_vec())), None);
        }
        let damaged = Snapshot { state: b"mare".to_vec(), ..light };
        assert_eq!(damaged.made_whole(first), None);
    }
}
