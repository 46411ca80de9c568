//! Snapshots in a directory: one file each, whole or not there.
//! It must not trust a file: a snapshot whose checksum does not hold is passed over for the one
//! before it.
//!
//! A file is its chunks one after another, written beside its name, synced, and renamed. One of a
//! light snapshot needs that of its base, which stays for as long as any that stays needs it.
//! `warm-start.safetensors` is what partitions without a snapshot begin with, `lock` says who is
//! there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::chunk;
use tickcast_stream::ledger::{Assembly, Base, Chunk, Snapshot, SnapshotRef, SnapshotStore};
use tickcast_stream::{Offset, PartitionId};

use super::lock::{Hold, Lock};
use super::staged::Staged;
use crate::durable_dir::make_dir;
use crate::scarce::passing;
use crate::whole_file::read_whole;

/// Snapshots kept of a partition that need no common file: the newest, and one to fall back on.
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
        let files: BTreeMap<Offset, PathBuf> =
            self.files(partition)?.into_iter().filter(|(at, _)| *at <= position).collect();
        let (mut kept, mut wholes) = (Vec::new(), BTreeSet::new());
        for (at, path) in files.iter().rev() {
            let whole = base_of(path)?.map_or(*at, |base| base.of.position);
            if wholes.len() < KEEP && files.contains_key(&whole) && wholes.insert(whole) {
                kept.push(*at);
            }
        }
        self.keep_only(partition, &kept)
    }

    /// Drops every snapshot of a partition but those at these positions and what they need.
    pub(super) fn keep_only(&self, partition: PartitionId, positions: &[Offset]) -> Result<()> {
        let files = self.files(partition)?;
        let mut kept: BTreeSet<Offset> = positions.iter().copied().collect();
        for (_, path) in files.iter().filter(|(at, _)| positions.contains(at)) {
            kept.extend(base_of(path)?.map(|base| base.of.position));
        }
        for (_, path) in files.iter().filter(|(at, _)| !kept.contains(at)) {
            fs::remove_file(path).or_fail(Kind::State, || format!("cannot remove {}", path.display()))?;
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
            match self.whole(partition, &bytes)? {
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
        let whole = self.whole(partition, &bytes)?;
        whole.map_err(|why| Error::new(Kind::State, fail()).because(format!("it {why}")))
    }

    /// The snapshot in a file; a light one with what it shares with its base. Errors: `State`, when
    /// the base cannot be read; within, what is wrong with the bytes.
    fn whole(&self, partition: PartitionId, bytes: &[u8]) -> Result<std::result::Result<Snapshot, String>> {
        let mut assembly = Assembly::default();
        let (named, base) = match add(&mut assembly, partition, bytes) {
            Ok(found) => found,
            Err(why) => return Ok(Err(why.to_owned())),
        };
        if let Some(base) = base {
            let path = self.path(partition, base.of.position);
            let needs = |why: &str| format!("needs {}, which {why}", path.display());
            let bytes = match read_whole(&path, u64::MAX) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(needs("is not there"))),
                Err(error) => {
                    return Err(error).or_fail(Kind::State, || format!("cannot read {}", path.display()));
                }
            };
            match add(&mut assembly, partition, &bytes) {
                Ok((found, _)) if found == base.of => {}
                Ok(_) => return Ok(Err(needs("is another snapshot of that position"))),
                Err(why) => return Ok(Err(needs(why))),
            }
        }
        Ok(assembly.whole(partition, Some(named)).ok_or_else(|| "is cut short".to_owned()))
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
    let count = snapshot.name().chunks;
    (0..count).flat_map(|index| Chunk { snapshot: Arc::clone(&snapshot), index, count }.encode()).collect()
}

/// Takes the pieces in that a file holds: what snapshot they are of, and what that needs. Errors:
/// what is wrong with them.
fn add(
    assembly: &mut Assembly,
    partition: PartitionId,
    file: &[u8],
) -> std::result::Result<(SnapshotRef, Option<Base>), &'static str> {
    let mut of = None;
    for piece in chunk::pieces(file) {
        let piece = chunk::decode(piece)?;
        if piece.head.partition != partition {
            return Err("is of another partition");
        }
        of = Some(piece.head);
        assembly.add(piece);
    }
    of.map(|head| (head.name(), head.base)).ok_or("is cut short")
}

/// What a snapshot's file needs; none where it is whole, or damaged.
fn base_of(path: &Path) -> Result<Option<Base>> {
    let fail = || format!("cannot read {}", path.display());
    let mut start = Vec::new();
    let file = File::open(path).or_fail(Kind::State, fail)?;
    file.take(chunk::HEAD_BYTES).read_to_end(&mut start).or_fail(Kind::State, fail)?;
    Ok(chunk::base_in_head(&start))
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

    /// A state of a few bytes that begins as `whole` does.
    fn light(whole: &Snapshot, position: i64) -> Snapshot {
        let base = Base::of(whole, 2);
        Snapshot::light(PartitionId(1), Offset(position), base, position.to_string().into_bytes())
    }

    fn positions(ledger: &SnapshotDir) -> Vec<i64> {
        ledger.positions(PartitionId(1), Offset(i64::MAX)).unwrap().into_iter().map(|at| at.0).collect()
    }

    #[test]
    fn a_base_stays_for_as_long_as_a_snapshot_that_stays_needs_it() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = SnapshotDir::open(dir.path()).unwrap();
        let [first, second, third] = [4000, 5000, 6000].map(|at| snapshot(Offset(at)));
        ledger.save(&first).unwrap();
        [4100, 4200].iter().for_each(|&at| ledger.save(&light(&first, at)).unwrap());
        assert_eq!(positions(&ledger), [4000, 4200]);
        let whole = Snapshot::new(PartitionId(1), Offset(4200), b"404200".to_vec());
        assert_eq!(ledger.load(PartitionId(1)).unwrap(), Some(whole));
        // What there is to fall back on needs none of the newest one's files.
        ledger.save(&second).unwrap();
        assert_eq!(positions(&ledger), [4000, 4200, 5000]);
        [5100, 5200].iter().for_each(|&at| ledger.save(&light(&second, at)).unwrap());
        assert_eq!(positions(&ledger), [4000, 4200, 5000, 5200]);
        ledger.save(&third).unwrap();
        assert_eq!(positions(&ledger), [5000, 5200, 6000]);
        // Exactly once says itself which stay.
        ledger.keep_only(PartitionId(1), &[Offset(5200)]).unwrap();
        assert_eq!(positions(&ledger), [5000, 5200]);
        ledger.replace(&[snapshot(Offset(5200))], b"weights").unwrap();
        assert_eq!(positions(&ledger), [5200]);
    }

    #[test]
    fn a_base_that_is_torn_or_gone_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = SnapshotDir::open(dir.path()).unwrap();
        let first = snapshot(Offset(40));
        let newest = light(&first, 50);
        [&first, &newest].into_iter().for_each(|of| ledger.save(of).unwrap());
        let path = dir.path().join(file_name(PartitionId(1), Offset(40)));
        let good = fs::read(&path).unwrap();
        let told = || {
            let both =
                [ledger.load(PartitionId(1)).map(drop), ledger.load_at(PartitionId(1), Offset(50)).map(drop)];
            both.map(|result| result.map_err(|error| (error.kind, error.to_string())))
        };

        let mut torn = good.clone();
        *torn.last_mut().unwrap() ^= 1;
        fs::write(&path, torn).unwrap();
        for told in told() {
            let (kind, text) = told.unwrap_err();
            assert!(kind == Kind::State && text.contains("checksum") && text.contains("needs"), "{text}");
        }
        // Its position may be another snapshot's by now.
        ledger.save(&Snapshot::new(PartitionId(1), Offset(40), b"45".to_vec())).unwrap();
        fs::write(dir.path().join(file_name(PartitionId(1), Offset(50))), encode(&newest)).unwrap();
        let [newest_whole, at] = told();
        assert_eq!(newest_whole, Ok(()), "it falls back on that");
        assert!(at.unwrap_err().1.contains("is another snapshot"));
        fs::remove_file(&path).unwrap();
        for told in told() {
            let (kind, text) = told.unwrap_err();
            assert!(kind == Kind::State && text.contains("is not there"), "{text}");
        }
        fs::write(&path, good).unwrap();
        assert_eq!(told(), [Ok(()), Ok(())]);
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
