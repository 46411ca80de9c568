//! A directory as the ledger: a manifest a partition names how much of its output is committed, how
//! far it has come, and its snapshot. It is renamed into place when all that it names is on the
//! disk.
//! It must not decide what is in an epoch. What lies beyond the lengths in a manifest is
//! removed.
//!
//! `partition-3.lock` is held by the instance that has the partition.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tickcast_stream::error::{Error, Kind, OrFail, Result};
use tickcast_stream::ledger::chunk::place;
use tickcast_stream::ledger::{
    Checkpoint, Chunk, Claim, Commit, CommitBatch, CommitOutcome, Recover, SnapshotRef, SnapshotStore,
};
use tickcast_stream::message::Stream;
use tickcast_stream::sink::{Begin, Sink};
use tickcast_stream::{Offset, PartitionId};

use super::dir::SnapshotDir;
use super::keep;
use super::lock::Lock;
use super::manifest::{Manifest, read_manifest};
use super::staged::Staged;
use crate::kafka::Group;
use crate::retry::retry;
use crate::scarce::{is_scarce, passing};
use crate::sink::{CommittedLen, FileSink, SinkFileFormat};
use tickcast_stream::lock::lock;

/// How long the instance that had a partition before may take to let go of it.
const HANDOVER: Duration = Duration::from_secs(20);

/// Where a pipeline's results and states are.
pub struct FilesLedger {
    /// The states, and the manifests that say what is committed.
    pub state: SnapshotDir,
    /// Every stream that is written, its directory and format.
    pub outputs: Vec<(Stream, PathBuf, SinkFileFormat)>,
    /// Whether the input is a topic. Then partitions come and go, and results without a state
    /// belong to another instance.
    pub shared: bool,
    /// Whether to begin anew where there are results and no state says how far they go.
    pub bootstrap: bool,
    /// The topic that is read, and our place in its group, where the source is one.
    pub source: Option<(Arc<dyn Group>, String)>,
}

type Locks = Arc<Mutex<BTreeMap<PartitionId, Lock>>>;

/// The snapshots that may stay, by their positions in order: what a claim has found and what was
/// committed since.
type Kept = Arc<Mutex<BTreeMap<PartitionId, Vec<Offset>>>>;

impl FilesLedger {
    /// Opens both halves. Errors: `Sink`, when a directory cannot be made.
    pub fn open(self) -> Result<(Box<dyn Recover>, Box<dyn Commit>)> {
        let sinks = self
            .outputs
            .iter()
            .map(|(stream, dir, format)| Ok((*stream, FileSink::open(dir, *format, *stream)?)));
        let (locks, kept) = (Locks::default(), Kept::default());
        let writer = FilesCommit {
            sinks: sinks.collect::<Result<_>>()?,
            state: self.state.clone(),
            shared: self.shared,
            state_dir: File::open(self.state.dir())
                .or_fail(Kind::State, || format!("cannot open {}", self.state.dir().display()))?,
            committed: BTreeMap::new(),
            spoiled: BTreeSet::new(),
            locks: Arc::clone(&locks),
            kept: Arc::clone(&kept),
            source: self.source.clone(),
        };
        Ok((Box::new(FilesRecover { ledger: self, locks, kept }), Box::new(writer)))
    }
}

struct FilesRecover {
    ledger: FilesLedger,
    locks: Locks,
    kept: Kept,
}

impl FilesRecover {
    /// Waits until the instance that had the partition before has let go of it. Errors: `State`,
    /// when it does not.
    fn lock(&self, partition: PartitionId) -> Result<()> {
        let dir = self.ledger.state.dir();
        let limit = if self.ledger.shared { HANDOVER } else { Duration::ZERO };
        let mut locks = lock(&self.locks);

        // Ours already, where a partition comes back.
        locks.remove(&partition);
        let held = retry(limit, Duration::from_millis(50), || Lock::partition(dir, partition), |_| true)?;
        locks.insert(partition, held);
        Ok(())
    }

    fn has_results(&self, partition: PartitionId) -> bool {
        self.ledger.outputs.iter().any(|(stream, dir, _)| {
            let ndjson = dir.join(format!("{}-{partition}.ndjson", stream.name()));
            let part = dir.join(format!("{}-{partition}-00000.parquet", stream.name()));
            fs::metadata(ndjson).is_ok_and(|file| file.is_file() && file.len() > 0) || part.exists()
        })
    }
}

impl FilesRecover {
    fn read(&mut self, partition: PartitionId) -> Result<Claim> {
        let state = &self.ledger.state;
        lock(&self.kept).remove(&partition);
        match read_manifest(state.dir(), partition)? {
            Some(Manifest { entry: Some(entry), .. }) => {
                let load = |named: SnapshotRef| {
                    lock(&self.kept).insert(partition, state.positions(partition, named.position)?);
                    state.load_at(partition, named.position)
                };
                let snapshot = entry.snapshot.map(load).transpose()?;
                return Ok(Claim { entry: Some(entry), snapshot });
            }
            // None of its first epochs was committed, so it begins where it began then.
            Some(Manifest { from, .. }) => {
                let load = |position| state.load_at(partition, position);
                return Ok(Claim { entry: None, snapshot: from.map(load).transpose()? });
            }
            None => {}
        }

        let snapshot = state.load(partition)?;
        // Every run puts a manifest before its first result, so one has been there. Only a file
        // without any state is read anew, and writes its results anew.
        let begins_anew = snapshot.is_none() && !self.ledger.shared;
        if !begins_anew && !self.ledger.bootstrap && self.has_results(partition) {
            let from = snapshot.map_or("the source's start".to_owned(), |snapshot| {
                format!("the newest snapshot, at position {},", snapshot.position)
            });
            let what = format!(
                "there are results of partition {partition}, but the state directory {} does not say how far they go (it \
                 has no manifest of it): `run --bootstrap` goes on from {from} and may write some of them again",
                state.dir().display()
            );
            return Err(Error::new(Kind::State, what));
        }
        Ok(Claim { entry: None, snapshot })
    }
}

impl Recover for FilesRecover {
    fn take_over(&mut self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        let taken = self.lock(partition).and_then(|()| read_manifest(self.ledger.state.dir(), partition));
        Ok(taken.map_err(passing)?.and_then(|manifest| manifest.entry))
    }

    fn claim(&mut self, partition: PartitionId) -> Result<Claim> {
        self.lock(partition).and_then(|()| self.read(partition)).map_err(passing)
    }

    fn may_begin_anew(&self) -> bool {
        self.ledger.bootstrap
    }

    fn initial_weights(&self) -> Result<Option<Vec<u8>>> {
        self.ledger.state.initial_weights()
    }
}

struct FilesCommit {
    sinks: Vec<(Stream, FileSink)>,
    state: SnapshotDir,
    shared: bool,
    /// Open from the beginning: its entries are made durable also when no descriptor is left.
    state_dir: File,
    /// What the manifests say is there.
    committed: BTreeMap<PartitionId, BTreeMap<String, CommittedLen>>,
    /// Partitions with output of an attempt that failed, still to be taken back.
    spoiled: BTreeSet<PartitionId>,
    locks: Locks,
    kept: Kept,
    source: Option<(Arc<dyn Group>, String)>,
}

/// The snapshots that are whole with an epoch, in order. One that is tried again may have several
/// of a partition, or one of them twice.
fn completed(epoch: &CommitBatch) -> BTreeSet<(PartitionId, Offset)> {
    let last = epoch.chunks.iter().filter(|chunk| chunk.is_last());
    last.map(|chunk| (chunk.snapshot.partition, chunk.snapshot.position)).collect()
}

/// A manifest that is on the disk, not yet under its name, and what it says of the outputs.
type StagedManifest = (PartitionId, BTreeMap<String, CommittedLen>, Staged);

impl FilesCommit {
    /// Brings all of an epoch to the disk. Nothing names it yet, so a failure can be taken back.
    fn write(&mut self, epoch: &CommitBatch) -> Result<Vec<StagedManifest>> {
        fail::fail_point!("ledger.begin", |_| std::process::abort());
        for (partition, stream, rows) in &epoch.results {
            if let Some((_, sink)) = self.sinks.iter_mut().find(|(of, _)| of == stream) {
                sink.write(*partition, rows)?;
            }
        }
        fail::fail_point!("ledger.produced", |_| std::process::abort());

        for (_, sink) in &mut self.sinks {
            sink.sync()?;
        }
        epoch.chunks.iter().try_for_each(|chunk| self.write_chunk(chunk))?;

        fail::fail_point!("ledger.offsets", |_| std::process::abort());

        let mut staged = Vec::new();
        for (&partition, entry) in &epoch.entries {
            let outputs = self.extents(partition)?;
            let manifest = Manifest::new(Some(entry.clone()), None, outputs);
            let file = manifest.stage(self.state.dir(), partition)?;
            staged.push((partition, manifest.outputs, file));
        }
        fail::fail_point!("ledger.commit", |_| std::process::abort());
        Ok(staged)
    }

    /// Gives all of an epoch its names. Once one has failed, only what is on the disk tells which
    /// of them are there: the next run reads it. Nothing may be taken back or written again.
    fn publish(&mut self, epoch: &CommitBatch, staged: Vec<StagedManifest>) -> Result<()> {
        completed(epoch).iter().try_for_each(|&(partition, at)| self.name_snapshot(partition, at))?;

        for (partition, outputs, manifest) in staged {
            let fail = || format!("cannot replace the manifest of partition {partition}");
            // Which one is there is not known if this fails.
            self.committed.remove(&partition);
            manifest.publish().or_fail(Kind::Io, fail)?;
            self.committed.insert(partition, outputs);
        }

        fail::fail_point!("ledger.committed", |_| std::process::abort());
        Ok(())
    }

    fn extents(&mut self, partition: PartitionId) -> Result<BTreeMap<String, CommittedLen>> {
        let extents = self.sinks.iter_mut();
        extents.map(|(stream, sink)| Ok((stream.name().to_owned(), sink.committed_len(partition)?))).collect()
    }

    /// Writes a chunk at its place beside the snapshot's name.
    fn write_chunk(&self, chunk: &Chunk) -> Result<()> {
        let path = self.state.path(chunk.snapshot.partition, chunk.snapshot.position);
        let beside = path.with_extension("snapshot.tmp");
        let fail = || format!("cannot write {}", path.display());
        let write = || -> std::io::Result<()> {
            let mut file =
                File::options().create(true).truncate(chunk.index == 0).write(true).open(&beside)?;
            file.seek(SeekFrom::Start(place(chunk.index)))?;
            file.write_all(&chunk.encode())?;
            // Each in its turn: the last one alone would take long to reach the disk.
            file.sync_data()
        };
        write().or_fail(Kind::State, fail)
    }

    /// Gives a snapshot that is whole its name.
    fn name_snapshot(&self, partition: PartitionId, position: Offset) -> Result<()> {
        let path = self.state.path(partition, position);
        let fail = || format!("cannot write {}", path.display());
        fs::rename(path.with_extension("snapshot.tmp"), &path).or_fail(Kind::State, fail)?;
        self.state_dir.sync_all().or_fail(Kind::State, fail)
    }

    /// Takes back what attempts that failed have left.
    fn clean_up(&mut self) -> Result<()> {
        while let Some(&partition) = self.spoiled.first() {
            self.roll_back(partition)?;
            self.spoiled.remove(&partition);
        }
        Ok(())
    }

    /// Drops the snapshots that a commit has replaced. Where the machine has run out of what that
    /// needs, the next commit does it.
    fn forget_replaced(&self, partition: PartitionId, newest: Offset) -> Result<()> {
        match self.keep_worthwhile(partition, newest) {
            Err(error) if is_scarce(&error) => Ok(()),
            done => done,
        }
    }

    /// Drops the snapshots that are not worth keeping beside a newer one.
    fn keep_worthwhile(&self, partition: PartitionId, newest: Offset) -> Result<()> {
        let source = self.source.as_ref();
        let readable = source.and_then(|(group, topic)| group.first_readable(topic, partition));
        let mut all = lock(&self.kept);
        let kept = all.entry(partition).or_default();
        *kept = keep::in_directory(kept, newest, readable);
        self.state.keep_only(partition, kept)
    }

    /// Takes the outputs of a partition back to what is committed.
    fn roll_back(&mut self, partition: PartitionId) -> Result<()> {
        let committed = self.committed.get(&partition);
        for (stream, sink) in &mut self.sinks {
            let to = committed.and_then(|committed| committed.get(stream.name()).copied());
            let to = to.ok_or_else(|| Error::new(Kind::Sink, format!("partition {partition} has not begun")));
            sink.rewind(partition, to?)?;
        }
        Ok(())
    }
}

impl FilesCommit {
    fn open(&mut self, partition: PartitionId, entry: Option<&Checkpoint>) -> Result<()> {
        // A file that is read from its beginning writes its results anew. A topic may have been
        // read before, so its results are kept.
        let is_kept = entry.is_some() || self.shared || self.state.has(partition)?;
        let begin = if is_kept { Begin::Resume } else { Begin::Fresh };
        for (_, sink) in &mut self.sinks {
            sink.begin(partition, begin)?;
        }

        let manifest = read_manifest(self.state.dir(), partition)?;
        if let (Some(manifest), Begin::Resume) = (&manifest, begin) {
            for (stream, sink) in &mut self.sinks {
                // A stream that was not written before begins with what is there.
                if let Some(&committed) = manifest.outputs.get(stream.name()) {
                    sink.rewind(partition, committed)?;
                }
            }
        }

        let outputs = self.extents(partition)?;
        if entry.is_none() {
            // The manifest records what is there now. What a first epoch adds without a commit can
            // then be told from it, and removed.
            let from = match manifest {
                Some(manifest) => manifest.from,
                None => self.state.load(partition)?.map(|snapshot| snapshot.position),
            };

            let manifest = Manifest::new(None, from, outputs.clone());
            let staged = manifest.stage(self.state.dir(), partition)?;
            staged.publish().or_fail(Kind::State, || format!("cannot begin partition {partition}"))?;
        }

        self.committed.insert(partition, outputs);
        Ok(())
    }
}

impl Commit for FilesCommit {
    fn begin(&mut self, partition: PartitionId, entry: Option<&Checkpoint>) -> Result<()> {
        self.open(partition, entry).map_err(passing)
    }

    fn attempt(&mut self, epoch: &CommitBatch) -> Result<CommitOutcome> {
        match self.clean_up().and_then(|()| self.write(epoch)) {
            Ok(staged) => {
                self.publish(epoch, staged)?;
                // Of several of a partition, the last one is named.
                let newest: BTreeMap<PartitionId, Offset> = completed(epoch).into_iter().collect();
                newest.into_iter().try_for_each(|(partition, at)| self.forget_replaced(partition, at))?;
                Ok(CommitOutcome::Committed)
            }
            Err(error) if is_scarce(&error) => {
                self.spoiled.extend(epoch.results.iter().map(|(partition, ..)| *partition));
                match self.clean_up() {
                    Err(worse) if !is_scarce(&worse) => Err(worse),
                    _ => Ok(CommitOutcome::Aborted(error.to_string())),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn settle(&mut self, partitions: &[PartitionId]) -> Result<BTreeMap<PartitionId, Checkpoint>> {
        let mut entries = BTreeMap::new();
        for &partition in partitions {
            let manifest = read_manifest(self.state.dir(), partition)?;
            entries.extend(manifest.and_then(|manifest| manifest.entry).map(|entry| (partition, entry)));
        }
        Ok(entries)
    }

    fn release(&mut self, partition: PartitionId) -> Result<()> {
        // What is beyond the last commit is removed before another instance has the partition.
        if self.committed.contains_key(&partition) {
            self.roll_back(partition)?;
        }
        self.committed.remove(&partition);
        self.spoiled.remove(&partition);
        self.sinks.iter_mut().for_each(|(_, sink)| sink.release(partition));
        lock(&self.locks).remove(&partition);
        Ok(())
    }
}
