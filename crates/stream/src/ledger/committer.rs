//! The writing side of exactly once: gathers an epoch and sees it through, whatever the ledger
//! answers.
//! It must not know which ledger it is, read a clock or wait: who calls it does.
//!
//! An epoch is kept until it is known to be committed, so an abort costs only the sending again.
//! Snapshots are written chunk by chunk beside the results of several epochs; the entry names one
//! from the epoch of its last chunk on.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::checkpoint::{Checkpoint, Position, SnapshotRef};
use super::chunk::Chunk;
use super::contract::{Commit, CommitBatch, CommitOutcome};
use super::snapshot::{CHUNK_BYTES, Snapshot};
use crate::error::{Result, Retry};
use crate::message::Stream;
use crate::place::{Offset, PartitionId};

/// Bytes of results after which an epoch is full, and bytes of chunks that one epoch takes at most.
const EPOCH_BYTES: usize = 16 << 20;
const EPOCH_CHUNKS: usize = (8 << 20) / CHUNK_BYTES;

/// How a call to [`Committer::commit`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// All that was gathered is committed, or there was nothing; true when anything was.
    Done(bool),
    /// Try again: nothing is visible.
    Later {
        /// Why, for a person.
        why: String,
        /// Whether trying again helps only after the source has said what is still ours.
        refused: bool,
    },
}

fn later(why: String) -> Committed {
    Committed::Later { why, refused: false }
}

/// Gathers what partitions put out, and commits it.
pub struct Committer {
    ledger: Box<dyn Commit>,
    owned: BTreeMap<PartitionId, Owned>,
    epoch: CommitBatch,
    bytes: usize,
    /// The epoch of the last attempt, while its outcome is not known. What comes meanwhile is of
    /// the next one: were it mixed in, the ledger could not say whether the attempt was made.
    doubtful: Option<CommitBatch>,
}

#[derive(Default)]
struct Owned {
    /// With all that came of it.
    entry: Option<Checkpoint>,
    committed: Option<Checkpoint>,
    /// The newest whole snapshot that was taken, and the newest that is committed.
    whole: Option<SnapshotRef>,
    kept: Option<SnapshotRef>,
    writing: Option<Writing>,
    /// A newer one, to be written when that is finished.
    next: Option<Snapshot>,
    /// Results that no entry tells of yet.
    held: Vec<(Stream, RecordBatch)>,
}

impl Owned {
    /// Whether there is, or will be, a snapshot at this position or after it.
    fn is_there(&self, position: Offset) -> bool {
        let named = self.entry.as_ref().and_then(|entry| entry.snapshot);
        let begun = self.writing.as_ref().filter(|writing| writing.next > 0);
        let coming = begun.map(|writing| writing.snapshot.position);
        named.map(|named| named.position).max(coming) >= Some(position)
    }
}

/// A snapshot whose chunks are not all in an epoch yet.
struct Writing {
    snapshot: Arc<Snapshot>,
    next: u32,
    count: u32,
}

impl Writing {
    fn of(snapshot: Snapshot) -> Self {
        let count = snapshot.name().chunks;
        Writing { snapshot: Arc::new(snapshot), next: 0, count }
    }
}

impl Committer {
    /// Commits to this ledger; no partition has begun yet.
    pub fn new(ledger: Box<dyn Commit>) -> Self {
        Committer { ledger, owned: BTreeMap::new(), epoch: CommitBatch::default(), bytes: 0, doubtful: None }
    }

    /// A partition begins with what its claim said; saying it again names us as the last who wrote.
    pub fn begin(&mut self, partition: PartitionId, entry: Option<Checkpoint>) -> Result<()> {
        self.ledger.begin(partition, entry.as_ref())?;
        let known = Owned { entry: entry.clone(), committed: entry.clone(), ..Owned::default() };
        self.owned.insert(partition, known);
        self.epoch.entries.extend(entry.map(|entry| (partition, entry)));
        Ok(())
    }

    /// Takes results of a partition, and how far it has come with them; none while it replays.
    pub fn results(
        &mut self,
        partition: PartitionId,
        results: Vec<(Stream, RecordBatch)>,
        reached: Option<Position>,
    ) {
        // One that was taken away may still have been at work.
        let Some(owned) = self.owned.get_mut(&partition) else { return };
        owned.held.extend(results);

        if let Some(progress) = reached {
            for (stream, rows) in owned.held.drain(..) {
                self.bytes += rows.get_array_memory_size();
                self.epoch.results.push((partition, stream, rows));
            }
            let is_news = owned.entry.as_ref().is_none_or(|entry| entry.progress != progress);
            let entry = owned.entry.get_or_insert_with(|| Checkpoint::of(progress));
            entry.reach(progress);
            if is_news {
                self.epoch.entries.insert(partition, entry.clone());
            }
        }
    }

    /// Takes a snapshot to write. One that is half written is finished first: it is nearer to being
    /// of use. A snapshot of which not all that it has seen is here is dropped: it may be of a time
    /// before the partition went back, and written out late. So is a light one that does not refer
    /// to the newest whole one, or before that is committed: all before it may be cleared away. And
    /// so is one that is not further on than the one before, as it was written out late: the entry
    /// names only what a clock has closed since that, and a store may name states by their
    /// positions.
    pub fn snapshot(&mut self, snapshot: Snapshot) {
        let is_there = |owned: &Owned| owned.is_there(snapshot.position);
        if !self.owned.get(&snapshot.partition).is_some_and(is_there) {
            self.replace(snapshot);
        }
    }

    /// As `snapshot`, also in place of one at the same position.
    pub fn replace(&mut self, snapshot: Snapshot) {
        let Some(owned) = self.owned.get_mut(&snapshot.partition) else { return };
        let reached = owned.entry.as_ref().map(|entry| entry.progress.position);
        let is_behind = reached.is_some_and(|reached| reached >= snapshot.position);
        let is_of_use = match snapshot.base {
            Some(base) => owned.whole == Some(base.of) && owned.kept == Some(base.of),
            None => true,
        };
        if is_behind && snapshot.base.is_none() {
            owned.whole = Some(snapshot.name());
        }

        match &owned.writing {
            _ if !is_behind || !is_of_use => {}
            Some(writing) if writing.next > 0 => owned.next = Some(snapshot),
            _ => owned.writing = Some(Writing::of(snapshot)),
        }
    }

    /// Whether it is time to commit, whatever the clock says.
    pub fn is_full(&self) -> bool {
        self.bytes >= EPOCH_BYTES
    }

    /// Whether anything, chunks of snapshots too, is not committed yet.
    pub fn is_clean(&self) -> bool {
        self.doubtful.is_none()
            && self.epoch.is_empty()
            && self.owned.values().all(|owned| owned.writing.is_none())
    }

    /// Whether a partition is ours: what comes of another is dropped.
    pub fn owns(&self, partition: PartitionId) -> bool {
        self.owned.contains_key(&partition)
    }

    /// The partitions of which anything is committed, and how far.
    pub fn committed(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        let committed = |owned: &Owned| Some(owned.committed.as_ref()?.progress.position);
        self.owned.iter().filter_map(move |(&partition, owned)| Some((partition, committed(owned)?)))
    }

    /// The newest whole snapshot of a partition that was committed here: light ones may refer to
    /// it.
    pub fn kept(&self, partition: PartitionId) -> Option<SnapshotRef> {
        self.owned.get(&partition)?.kept
    }

    /// Whether a snapshot of a partition is not written to its end.
    pub fn is_writing(&self, partition: PartitionId) -> bool {
        self.owned.get(&partition).is_some_and(|owned| owned.writing.is_some())
    }

    /// As the ledger's [`Commit::take_cut`].
    pub fn take_cut(&mut self) -> u64 {
        self.ledger.take_cut()
    }

    /// Tries once to commit what was gathered. Errors: what no further attempt can mend.
    pub fn commit(&mut self) -> Result<Committed> {
        let any = match self.settle() {
            Ok(any) => any,
            Err(error) if error.retry == Retry::Later => return Ok(later(error.to_string())),
            Err(error) => return Err(error),
        };

        self.take_chunks();
        if self.epoch.is_empty() {
            return Ok(Committed::Done(any));
        }

        match self.ledger.attempt(&self.epoch)? {
            CommitOutcome::Committed => {
                let epoch = std::mem::take(&mut self.epoch);
                self.done(&epoch);
                Ok(Committed::Done(true))
            }
            CommitOutcome::Aborted(why) => Ok(later(why)),
            CommitOutcome::Refused(why) => Ok(Committed::Later { why, refused: true }),
            CommitOutcome::Unknown(why) => {
                self.doubtful = Some(std::mem::take(&mut self.epoch));
                Ok(later(why))
            }
        }
    }

    /// Finds out whether the epoch of the last attempt is committed, where that is not known; true
    /// when it is. One that is not is sent again with what came after it. Errors: the ledger's;
    /// then it is still not known.
    fn settle(&mut self) -> Result<bool> {
        let Some(epoch) = self.doubtful.take() else { return Ok(false) };
        match self.is_committed(&epoch) {
            Ok(true) => self.done(&epoch),
            Ok(false) => {
                self.epoch = epoch.followed_by(std::mem::take(&mut self.epoch));
                return Ok(false);
            }
            Err(error) => {
                self.doubtful = Some(epoch);
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Drops all of a partition that is not committed. Whoever has it next makes it again.
    pub fn discard(&mut self, partition: PartitionId) {
        self.owned.remove(&partition);
        self.doubtful.iter_mut().chain([&mut self.epoch]).for_each(|epoch| epoch.discard(partition));
        self.weigh();
    }

    /// A partition is ours no more; what is not committed of it is dropped.
    pub fn release(&mut self, partition: PartitionId) -> Result<()> {
        self.discard(partition);
        self.ledger.release(partition)
    }

    /// Whether an epoch whose reply was lost is committed: its entries became visible together, so
    /// one tells of all.
    fn is_committed(&mut self, epoch: &CommitBatch) -> Result<bool> {
        let committed = |partition: &PartitionId| self.owned.get(partition)?.committed.as_ref();
        let news = epoch.entries.iter().filter(|&(partition, entry)| committed(partition) != Some(entry));
        let news: BTreeMap<PartitionId, &Checkpoint> =
            news.map(|(&partition, entry)| (partition, entry)).collect();
        let partitions: Vec<PartitionId> = news.keys().copied().collect();
        let found = self.ledger.settle(&partitions)?;
        Ok(news.iter().any(|(partition, entry)| found.get(partition) == Some(*entry)))
    }

    /// An epoch is committed.
    fn done(&mut self, epoch: &CommitBatch) {
        for (partition, entry) in &epoch.entries {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.committed = Some(entry.clone());
            }
        }
        for Chunk { snapshot, .. } in epoch.chunks.iter().filter(|chunk| chunk.is_last()) {
            if let (Some(owned), None) = (self.owned.get_mut(&snapshot.partition), snapshot.base) {
                owned.kept = Some(snapshot.name());
            }
        }
        self.weigh();
    }

    fn weigh(&mut self) {
        let results = self.doubtful.iter().chain([&self.epoch]).flat_map(|epoch| &epoch.results);
        self.bytes = results.map(|(.., rows)| rows.get_array_memory_size()).sum();
    }

    /// Moves chunks into the epoch, and lets the entries of finished snapshots name them.
    fn take_chunks(&mut self) {
        for (&partition, owned) in &mut self.owned {
            let Some(writing) = &mut owned.writing else { continue };
            while writing.next < writing.count && self.epoch.chunks.len() < EPOCH_CHUNKS {
                let snapshot = Arc::clone(&writing.snapshot);
                self.epoch.chunks.push(Chunk { snapshot, index: writing.next, count: writing.count });
                writing.next += 1;
            }

            let pointer = writing.snapshot.name();
            // A snapshot comes after the results before it, so an entry is there, at its position
            // or further on.
            if writing.next == writing.count
                && let Some(entry) = &mut owned.entry
            {
                entry.name(pointer);
                self.epoch.entries.insert(partition, entry.clone());
                owned.writing = owned.next.take().map(Writing::of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Base;
    use crate::testing::{Fate, World};

    /// A committer whose partition 0 has come to `position`, and the world it commits to.
    fn at(position: Offset) -> (Committer, World) {
        let world = World::default();
        let (_, commit) = world.open(1, Box::new(|_| Fate::Go));
        world.rebalance(&[1]);
        let mut committer = Committer::new(commit);
        let progress = Position { position, ..Position::begin(Offset(0)) };
        committer.begin(PartitionId(0), Some(Checkpoint::of(progress))).unwrap();
        (committer, world)
    }

    /// The position and the length of the snapshot that is named.
    fn named(world: &World) -> Option<(Offset, u32)> {
        world.entry(PartitionId(0)).unwrap().snapshot.map(|pointer| (pointer.position, pointer.chunks))
    }

    #[test]
    fn a_snapshot_of_what_is_not_here_is_not_named() {
        let (mut committer, world) = at(Offset(400));
        committer.snapshot(Snapshot::new(PartitionId(0), Offset(500), vec![1]));
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        assert_eq!(named(&world), None);
        committer.snapshot(Snapshot::new(PartitionId(0), Offset(400), vec![1]));
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        assert_eq!(named(&world), Some((Offset(400), 1)));
    }

    #[test]
    fn a_light_snapshot_is_named_only_where_the_newest_whole_one_is_committed_and_its_base() {
        let (mut committer, world) = at(Offset(400));
        let whole = |at: i64| Snapshot::new(PartitionId(0), Offset(at), vec![at as u8; 8]);
        let light = |at, of: &Snapshot| Snapshot::light(PartitionId(0), Offset(at), Base::of(of, 4), vec![1]);
        for (snapshots, newest, kept) in [
            (vec![light(50, &whole(40))], None, None),
            (vec![whole(100), light(150, &whole(100))], Some(100), Some(100)),
            (vec![light(200, &whole(100))], Some(200), Some(100)),
            (vec![whole(300)], Some(300), Some(300)),
            (vec![light(320, &whole(100))], Some(300), Some(300)),
            (vec![light(350, &whole(300))], Some(350), Some(300)),
        ] {
            snapshots.into_iter().for_each(|snapshot| committer.snapshot(snapshot));
            committer.commit().unwrap();
            assert_eq!(named(&world).map(|(at, _)| at.0), newest);
            assert_eq!(committer.kept(PartitionId(0)).map(|kept| kept.position.0), kept);
        }
    }

    #[test]
    fn the_newest_of_the_snapshots_that_come_between_two_commits_is_named() {
        let (mut committer, world) = at(Offset(400));
        // A sink that waits for its broker finds several at once.
        (1..4)
            .for_each(|n| committer.snapshot(Snapshot::new(PartitionId(0), Offset(n * 100), vec![n as u8])));
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        assert_eq!((named(&world), committer.is_clean()), (Some((Offset(300), 1)), true));
    }

    /// Found by: the simulation. An older state, written out late, was named after a newer one, and
    /// what a clock had closed between the two was forgotten.
    #[test]
    fn an_entry_names_the_closes_since_its_snapshot_and_no_older_one_takes_its_place() {
        let (mut committer, world) = at(Offset(0));
        let mut reach = |at: i64, closed: i64, saved: Option<i64>| {
            let progress =
                Position { position: Offset(at), closed: Some(Offset(closed)), ..Position::begin(Offset(0)) };
            committer.results(PartitionId(0), Vec::new(), Some(progress));
            let snapshot = |saved| Snapshot::new(PartitionId(0), Offset(saved), vec![saved as u8]);
            saved.into_iter().for_each(|saved| committer.snapshot(snapshot(saved)));
            committer.commit().unwrap();
            let entry = world.entry(PartitionId(0)).unwrap();
            let closes: Vec<i64> = entry.closes.iter().map(|close| close.0).collect();
            (entry.snapshot.map(|named| named.position.0), closes)
        };
        assert_eq!(reach(100, 100, None), (None, vec![100]));
        assert_eq!(reach(200, 150, Some(150)), (Some(150), vec![150]), "it may have come after the state");
        assert_eq!(reach(300, 250, None), (Some(150), vec![150, 250]));
        assert_eq!(reach(300, 250, Some(280)), (Some(280), vec![]));
        assert_eq!(reach(310, 250, Some(200)), (Some(280), vec![]), "written out late");
        assert_eq!(reach(320, 320, Some(280)), (Some(280), vec![320]));
    }

    #[test]
    fn one_that_comes_while_another_is_half_written_follows_it() {
        let (mut committer, world) = at(Offset(400));
        committer.snapshot(Snapshot::new(
            PartitionId(0),
            Offset(100),
            vec![1; CHUNK_BYTES * (EPOCH_CHUNKS + 1)],
        ));
        assert_eq!(committer.commit().unwrap(), Committed::Done(true));
        committer.snapshot(Snapshot::new(PartitionId(0), Offset(300), vec![2]));
        committer.snapshot(Snapshot::new(PartitionId(0), Offset(400), vec![3]));
        let mut seen = Vec::new();
        while !committer.is_clean() {
            committer.commit().unwrap();
            seen.push(named(&world));
        }
        assert_eq!(seen, [Some((Offset(100), EPOCH_CHUNKS as u32 + 1)), Some((Offset(400), 1))]);
    }
}
