//! Snapshots in a directory: one file each, whole or not there.
//! It must not trust a file: a snapshot whose checksum does not hold is passed over for the one before it.
//!
//! A file: `TICKCAST`, format version (u16), CRC-32 of the rest (u32), partition (i32), position (i64), state;
//! integers little-endian. It is written beside its name, synced, and renamed. `warm-start.safetensors` is what
//! partitions without a snapshot begin with, `lock` says who is there.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Hold, Lock, Snapshot, Staged};
use crate::error::{Error, Kind, OrFail, Result};

const MAGIC: &[u8; 8] = b"TICKCAST";
const VERSION: u16 = 1;
const CHECKED_FROM: usize = 14;
const STATE_FROM: usize = 26;
/// Whole snapshots kept of a partition: the newest, and one to fall back on.
const KEEP: usize = 2;
const WARM_START: &str = "warm-start.safetensors";

#[derive(Debug, Clone)]
pub struct DirLedger {
    dir: PathBuf,
}

impl DirLedger {
    /// Errors: `State`, when the directory cannot be made.
    pub fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)
            .or_fail(Kind::State, || format!("cannot make the state directory {}", dir.display()))?;
        Ok(DirLedger { dir: dir.to_owned() })
    }

    /// Makes a snapshot durable, then drops those it replaces.
    pub fn save(&self, snapshot: &Snapshot) -> Result<()> {
        let path = self.dir.join(file_name(snapshot.partition, snapshot.position));
        let fail = || format!("cannot write {}", path.display());
        Staged::write(&path, &encode(snapshot)).and_then(Staged::publish).or_fail(Kind::State, fail)?;
        // One further on than this is of a time before the partition went back: it is not the newest.
        let (mut kept, mut gone) = (Vec::new(), Vec::new());
        for (position, path) in self.files(snapshot.partition)? {
            if position <= snapshot.position { kept.push(path) } else { gone.push(path) }
        }
        kept.truncate(kept.len().saturating_sub(KEEP));
        for path in kept.into_iter().chain(gone) {
            fs::remove_file(&path).or_fail(Kind::State, || format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }

    /// Holds the directory until the lock is dropped. Errors: `State`, when another process holds it otherwise.
    pub fn lock(&self, hold: Hold) -> Result<Lock> {
        Lock::take(&self.dir, hold)
    }

    /// Puts these in place of the snapshots of the same positions, and `warm_start` as what other partitions begin with:
    /// all are on the disk before the first takes its place. Hold the directory alone. Errors: `State`.
    pub fn replace(&self, snapshots: &[Snapshot], warm_start: &[u8]) -> Result<()> {
        let fail = || format!("cannot write into the state directory {}", self.dir.display());
        let staged = snapshots.iter().map(|snapshot| {
            let path = self.dir.join(file_name(snapshot.partition, snapshot.position));
            Staged::write(&path, &encode(snapshot))
        });
        let staged = staged.chain([Staged::write(&self.dir.join(WARM_START), warm_start)]);
        let staged = staged.collect::<std::io::Result<Vec<_>>>().or_fail(Kind::State, fail)?;
        staged.into_iter().try_for_each(Staged::publish).or_fail(Kind::State, fail)
    }

    /// The weights that partitions without a snapshot begin with, if any were imported.
    pub fn warm_start(&self) -> Result<Option<Vec<u8>>> {
        let path = self.dir.join(WARM_START);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).or_fail(Kind::State, || format!("cannot read {}", path.display())),
        }
    }

    /// The partitions that have snapshots.
    pub fn partitions(&self) -> Result<BTreeSet<i32>> {
        let partition = |name: &str| {
            name.strip_prefix("partition-")?.strip_suffix(".snapshot")?.rsplit_once('-')?.0.parse().ok()
        };
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| partition(name)).collect())
    }

    /// The newest whole snapshot of a partition. Errors: `State`, when there are only broken ones.
    pub fn load(&self, partition: i32) -> Result<Option<Snapshot>> {
        let mut broken = None;
        for (_, path) in self.files(partition)?.into_iter().rev() {
            let bytes = fs::read(&path).or_fail(Kind::State, || format!("cannot read {}", path.display()))?;
            match decode(&bytes) {
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

    /// Snapshot files of a partition, oldest first.
    fn files(&self, partition: i32) -> Result<Vec<(i64, PathBuf)>> {
        let prefix = format!("partition-{partition}-");
        let position =
            |name: &str| name.strip_prefix(&prefix)?.strip_suffix(".snapshot")?.parse::<i64>().ok();
        let names = self.names()?;
        let files = names.iter().filter_map(|name| Some((position(name)?, self.dir.join(name))));
        let mut files: Vec<(i64, PathBuf)> = files.collect();
        files.sort();
        Ok(files)
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries =
            fs::read_dir(&self.dir).or_fail(Kind::State, || format!("cannot read {}", self.dir.display()))?;
        Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }
}

fn file_name(partition: i32, position: i64) -> String {
    format!("partition-{partition}-{position:020}.snapshot")
}

fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let mut checked = Vec::with_capacity(12 + snapshot.state.len());
    checked.extend(snapshot.partition.to_le_bytes());
    checked.extend(snapshot.position.to_le_bytes());
    checked.extend(&snapshot.state);
    let mut bytes = Vec::with_capacity(CHECKED_FROM + checked.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(crc32fast::hash(&checked).to_le_bytes());
    bytes.extend(checked);
    bytes
}

fn decode(bytes: &[u8]) -> std::result::Result<Snapshot, &'static str> {
    let version = bytes.get(8..10).and_then(|b| b.try_into().ok()).map(u16::from_le_bytes);
    if !bytes.starts_with(MAGIC) {
        return Err("is no snapshot");
    }
    if version != Some(VERSION) {
        return Err("has a format version that this tickcast does not read");
    }
    let crc = bytes.get(10..CHECKED_FROM).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let checked = bytes.get(CHECKED_FROM..).unwrap_or_default();
    if crc != Some(crc32fast::hash(checked)) {
        return Err("is damaged: its checksum does not hold");
    }
    let partition = bytes.get(14..18).and_then(|b| b.try_into().ok()).map(i32::from_le_bytes);
    let position = bytes.get(18..STATE_FROM).and_then(|b| b.try_into().ok()).map(i64::from_le_bytes);
    match (partition, position) {
        (Some(partition), Some(position)) => {
            Ok(Snapshot { partition, position, state: bytes[STATE_FROM..].to_vec() })
        }
        _ => Err("is cut short"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(position: i64) -> Snapshot {
        Snapshot { partition: 1, position, state: position.to_string().into_bytes() }
    }

    #[test]
    fn a_damaged_newest_snapshot_falls_back_to_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = DirLedger::open(dir.path()).unwrap();
        assert_eq!(ledger.load(1).unwrap(), None);
        for position in [5, 40, 300] {
            ledger.save(&snapshot(position)).unwrap();
        }
        assert_eq!(ledger.load(1).unwrap(), Some(snapshot(300)));
        assert_eq!(ledger.load(11).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), KEEP);
        let newest = dir.path().join(file_name(1, 300));
        let mut bytes = fs::read(&newest).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&newest, bytes).unwrap();
        assert_eq!(ledger.load(1).unwrap(), Some(snapshot(40)));
        fs::write(dir.path().join(file_name(1, 40)), b"TICK").unwrap();
        assert!(ledger.load(1).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn a_partition_that_went_back_keeps_its_newest_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = DirLedger::open(dir.path()).unwrap();
        for position in [4000, 5000, 50] {
            ledger.save(&snapshot(position)).unwrap();
        }
        assert_eq!(ledger.load(1).unwrap(), Some(snapshot(50)));
    }

    #[test]
    fn what_is_replaced_keeps_its_position() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = DirLedger::open(dir.path()).unwrap();
        assert!(ledger.partitions().unwrap().is_empty() && ledger.warm_start().unwrap().is_none());
        ledger.save(&snapshot(7)).unwrap();
        ledger.save(&Snapshot { partition: 12, ..snapshot(9) }).unwrap();
        let other = Snapshot { state: b"other".to_vec(), ..snapshot(7) };
        ledger.replace(std::slice::from_ref(&other), b"weights").unwrap();
        assert_eq!(ledger.load(1).unwrap(), Some(other));
        assert_eq!(ledger.partitions().unwrap(), BTreeSet::from([1, 12]));
        assert_eq!(ledger.warm_start().unwrap().as_deref(), Some(&b"weights"[..]));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_nothing_panics(
            partition: i32, position: i64, state: Vec<u8>, cut in 0usize..64, flip in 0usize..64,
        ) {
            let snapshot = Snapshot { partition, position, state };
            let bytes = encode(&snapshot);
            prop_assert_eq!(decode(&bytes), Ok(snapshot));
            prop_assert!(decode(&bytes[..bytes.len().saturating_sub(cut + 1)]).is_err());
            let mut flipped = bytes.clone();
            let at = flip % bytes.len();
            flipped[at] ^= 0x10;
            prop_assert!(decode(&flipped).is_err());
        }
    }
}
