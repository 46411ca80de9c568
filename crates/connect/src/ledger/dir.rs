//! Snapshots in a directory: one file each, whole or not there.
//! It must not trust a file: a snapshot whose checksum does not hold is passed over for the one
//! before it.
//!
//! A file is its chunks one after another, written beside its name, synced, and renamed.
//! `warm-start.safetensors` is what partitions without a snapshot begin with, `lock` says who is
//! there.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::chunk::{self, Assembly, Chunk, chunks_of};
use tickcast_stream::ledger::{Snapshot, SnapshotStore};
use tickcast_stream::{Offset, PartitionId};

use super::lock::{Hold, Lock};
use super::staged::Staged;
use crate::durable_dir::make_dir;
use crate::scarce::passing;
use crate::whole_file::read_whole;

/// Whole snapshots kept of a partition: the newest, and one to fall back on.
const KEEP: usize = 2;
const WARM_START: &str = "warm-start.safetensors";

/// A state directory.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    dir: PathBuf,
}

impl SnapshotStore for SnapshotDir {
    fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let path = self.dir.join(file_name(snapshot.partition, snapshot.position));
        let fail = || format!("cannot write {}", path.display());
        let saved = Staged::write(&path, &encode(snapshot)).and_then(Staged::publish);
        let saved = saved.or_fail(Kind::State, fail);
        let done = saved.and_then(|()| self.forget_replaced(snapshot.partition, snapshot.position));
        done.map_err(passing)
    }

    fn newest(&self, partition: PartitionId) -> Result<Option<Snapshot>> {
        self.load(partition).map_err(passing)
    }

    fn initial_weights(&self) -> Result<Option<Vec<u8>>> {
        let path = self.dir.join(WARM_START);
        match read_whole(&path, u64::MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let failed = Err(error).or_fail(Kind::State, || format!("cannot read {}", path.display()));
                failed.map_err(passing)
            }
        }
    }
}

impl SnapshotDir {
    /// Errors: `State`, when the directory cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        make_dir(dir)
            .or_fail(Kind::State, || format!("cannot make the state directory {}", dir.display()))?;
        Ok(SnapshotDir { dir: dir.to_owned() })
    }

    /// Drops what the snapshot at `position` replaces.
    fn forget_replaced(&self, partition: PartitionId, position: Offset) -> Result<()> {
        // One further on than this is of a time before the partition went back: it is not the
        // newest.
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (at, path) in self.files(partition)? {
            if at <= position { kept.push(path) } else { gone.push(path) }
        }

        kept.truncate(kept.len().saturating_sub(KEEP));
        for path in kept.into_iter().chain(gone) {
            fs::remove_file(&path).or_fail(Kind::State, || format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Drops every snapshot of a partition but those at these positions.
    pub(super) fn keep_only(&self, partition: PartitionId, positions: &[Offset]) -> Result<()> {
        for (at, path) in self.files(partition)? {
            if !positions.contains(&at) {
                fs::remove_file(&path)
                    .or_fail(Kind::State, || format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The positions of a partition's snapshots up to one, in order.
    pub(super) fn positions(&self, partition: PartitionId, up_to: Offset) -> Result<Vec<Offset>> {
        let positions = self.files(partition)?.into_iter().map(|(at, _)| at);
        Ok(positions.filter(|at| *at <= up_to).collect())
    }

    /// Holds the directory until the lock is dropped. Errors: `State`, when another process holds
    /// it otherwise.
    pub fn lock(&self, hold: Hold) -> Result<Lock> {
        Lock::take(&self.dir, hold)
    }

    /// Puts these in place of the snapshots of the same positions, and `initial_weights` as what
    /// other partitions begin with: all are on the disk before the first takes its place. Hold the
    /// directory alone. Errors: `State`.
    pub fn replace(&self, snapshots: &[Snapshot], initial_weights: &[u8]) -> Result<()> {
        let fail = || format!("cannot write into the state directory {}", self.dir.display());
        let staged = snapshots.iter().map(|snapshot| {
            let path = self.dir.join(file_name(snapshot.partition, snapshot.position));
            Staged::write(&path, &encode(snapshot))
        });
        let staged = staged.chain([Staged::write(&self.dir.join(WARM_START), initial_weights)]);
        let staged = staged.collect::<std::io::Result<Vec<_>>>().or_fail(Kind::State, fail)?;
        staged.into_iter().try_for_each(Staged::publish).or_fail(Kind::State, fail)?;
        // From older ones the partition would not come to these.
        snapshots.iter().try_for_each(|of| self.keep_only(of.partition, &[of.position]))
    }

    /// The partitions that have snapshots.
    pub fn partitions(&self) -> Result<BTreeSet<PartitionId>> {
        let partition = |name: &str| {
            name.strip_prefix("partition-")?.strip_suffix(".snapshot")?.rsplit_once('-')?.0.parse().ok()
        };
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| partition(name).map(PartitionId)).collect())
    }

    /// The newest whole snapshot of a partition. Errors: `State`, when there are only broken ones.
    pub fn load(&self, partition: PartitionId) -> Result<Option<Snapshot>> {
        let mut broken = None;
        for (_, path) in self.files(partition)?.into_iter().rev() {
            let bytes = read_whole(&path, u64::MAX)
                .or_fail(Kind::State, || format!("cannot read {}", path.display()))?;
            match decode(partition, &bytes) {
                Ok(snapshot) => return Ok(Some(snapshot)),
                Err(why) => {
                    tracing::warn!(path = %path.display(), why, "passing over a broken snapshot");
                    broken.get_or_insert(format!("{} {why}", path.display()));
                }
            }
        }

        match broken {
            None => Ok(None),
            Some(which) => Err(Error::new(
                Kind::State,
                format!(
                    "{which}, and no older snapshot of partition {partition} is whole; remove it to begin anew"
                ),
            )),
        }
    }

    /// The snapshot at a position. Errors: `State`, when it is not there or not whole.
    pub(super) fn load_at(&self, partition: PartitionId, position: Offset) -> Result<Snapshot> {
        let path = self.path(partition, position);
        let fail = || format!("cannot read {}, which the last commit names", path.display());
        let bytes = read_whole(&path, u64::MAX).or_fail(Kind::State, fail)?;
        decode(partition, &bytes).map_err(|why| Error::new(Kind::State, fail()).because(format!("it {why}")))
    }

    /// Where the snapshot at a position is.
    pub(super) fn path(&self, partition: PartitionId, position: Offset) -> PathBuf {
        self.dir.join(file_name(partition, position))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is any snapshot of a partition.
    pub(super) fn has(&self, partition: PartitionId) -> Result<bool> {
        Ok(!self.files(partition)?.is_empty())
    }

    /// Snapshot files of a partition, oldest first.
    fn files(&self, partition: PartitionId) -> Result<Vec<(Offset, PathBuf)>> {
        let prefix = format!("partition-{partition}-");
        let position =
            |name: &str| name.strip_prefix(&prefix)?.strip_suffix(".snapshot")?.parse().ok().map(Offset);
        let names = self.names()?;
        let files = names.iter().filter_map(|name| Some((position(name)?, self.dir.join(name))));
        let mut files: Vec<(Offset, PathBuf)> = files.collect();
        files.sort();
        Ok(files)
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries =
            fs::read_dir(&self.dir).or_fail(Kind::State, || format!("cannot read {}", self.dir.display()))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

fn file_name(partition: PartitionId, position: Offset) -> String {
    format!("partition-{partition}-{position:020}.snapshot")
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let snapshot = Arc::new(snapshot.clone());
    let count = chunks_of(&snapshot.state);
    (0..count).flat_map(|index| Chunk { snapshot: Arc::clone(&snapshot), index, count }.encode()).collect()
}

fn decode(partition: PartitionId, bytes: &[u8]) -> std::result::Result<Snapshot, &'static str> {
    let mut assembly = Assembly::default();
    for piece in chunk::pieces(bytes) {
        let piece = chunk::decode(piece)?;
        if piece.head.partition != partition {
            return Err("is of another partition");
        }
        assembly.add(piece);
    }
    assembly.whole(partition, None).ok_or("is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(position: Offset) -> Snapshot {
        Snapshot::new(PartitionId(1), position, position.to_string().into_bytes())
    }

    #[test]
    fn a_damaged_newest_snapshot_falls_back_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = SnapshotDir::open(dir.path()).unwrap();
        assert_eq!(ledger.load(PartitionId(1)).unwrap(), None);
        for position in [5, 40, 300] {
            ledger.save(&snapshot(Offset(position))).unwrap();
        }
        assert_eq!(ledger.load(PartitionId(1)).unwrap(), Some(snapshot(Offset(300))));
        assert_eq!(ledger.load(PartitionId(11)).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), KEEP);
        let newest = dir.path().join(file_name(PartitionId(1), Offset(300)));
        let mut bytes = fs::read(&newest).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&newest, bytes).unwrap();
        assert_eq!(ledger.load(PartitionId(1)).unwrap(), Some(snapshot(Offset(40))));
        fs::write(dir.path().join(file_name(PartitionId(1), Offset(40))), b"TICK").unwrap();
        assert!(ledger.load(PartitionId(1)).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn a_partition_that_went_back_keeps_its_newest_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = SnapshotDir::open(dir.path()).unwrap();
        for position in [4000, 5000, 50] {
            ledger.save(&snapshot(Offset(position))).unwrap();
        }
        assert_eq!(ledger.load(PartitionId(1)).unwrap(), Some(snapshot(Offset(50))));
    }

    #[test]
    fn what_is_replaced_keeps_its_position() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = SnapshotDir::open(dir.path()).unwrap();
        assert!(ledger.partitions().unwrap().is_empty() && ledger.initial_weights().unwrap().is_none());
        [3, 7].iter().for_each(|at| ledger.save(&snapshot(Offset(*at))).unwrap());
        ledger.save(&Snapshot { partition: PartitionId(12), ..snapshot(Offset(9)) }).unwrap();
        let other = Snapshot::new(PartitionId(1), Offset(7), b"other".to_vec());
        ledger.replace(std::slice::from_ref(&other), b"weights").unwrap();
        assert_eq!(ledger.load(PartitionId(1)).unwrap(), Some(other));
        assert_eq!(ledger.partitions().unwrap(), BTreeSet::from([1, 12].map(PartitionId)));
        assert_eq!(ledger.initial_weights().unwrap().as_deref(), Some(&b"weights"[..]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
