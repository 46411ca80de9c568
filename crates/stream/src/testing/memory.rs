//! A ledger in memory, with a broker's rules and a broker's faults: what simulations commit to.
//! It must not be kinder than the real ones: one conformance suite holds all of them to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, Kind, OrFail, Result};
use crate::ledger::chunk::{Head, decode};
use crate::ledger::{
    Assembly, Checkpoint, Chunk, Claim, Commit, CommitBatch, CommitOutcome, Recover, SnapshotRef,
};
use crate::lock::lock;
use crate::message::Stream;
use crate::place::{Offset, PartitionId};
use crate::record::json_lines;
use crate::runtime::image::clock_of;

/// An instance, as its transactions are named.
pub type InstanceId = u64;

/// What happens at a step of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Go,
    /// The process dies here.
    Crash,
    /// The broker aborts the transaction.
    Abort,
    /// The broker does what it is told, but its reply is lost.
    LoseReply,
    /// The broker does not do what it is told, and its reply is lost.
    LoseRequest,
    /// The first chunk of this transaction is damaged where it is kept.
    Tear,
}

/// Where in an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The transaction begins.
    Begin,
    /// Results and chunks are produced.
    Produced,
    /// The offsets are part of it.
    Offsets,
    /// It is committed.
    Committed,
}

/// Asked at every step.
pub type Fates = Box<dyn FnMut(Step) -> Fate + Send>;

/// The message of the error that stands for a process's death.
pub const CRASHED: &str = "the process died";

/// What is kept, whoever dies: topics, offsets, the group.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    entries: BTreeMap<PartitionId, (InstanceId, Checkpoint)>,
    /// All closes by a clock that entries and snapshots have named.
    closes: BTreeMap<PartitionId, BTreeSet<Offset>>,
    results: BTreeMap<(PartitionId, Stream), Vec<String>>,
    /// The state topic, by partition.
    chunks: BTreeMap<PartitionId, Vec<Vec<u8>>>,
    /// The group's generation; the one that each member knows, and which of its lives knows it.
    generation: u64,
    known: BTreeMap<InstanceId, (u64, u64)>,
    /// How many lives each member has had. A new one takes its former one's place in the group at
    /// once.
    lives: BTreeMap<InstanceId, u64>,
    /// How often a producer of this name was opened: only the newest may write.
    opened: BTreeMap<InstanceId, u64>,
    /// Members whose network is down: nothing that they send arrives.
    away: BTreeSet<InstanceId>,
}

impl World {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.0)
    }

    /// A rebalance: these members know the group's new generation, all others are of the past.
    pub fn rebalance(&self, members: &[InstanceId]) {
        let mut kept = self.kept();
        kept.generation += 1;
        let generation = kept.generation;
        let life = |member| kept.lives.get(member).copied().unwrap_or_default();
        kept.known = members.iter().map(|member| (*member, (generation, life(member)))).collect();
    }

    /// From now on nothing that a member sends arrives; the group may not have noticed.
    pub fn part(&self, member: InstanceId) {
        self.kept().away.insert(member);
    }

    /// A member's network is whole again.
    pub fn mend(&self, member: InstanceId) {
        self.kept().away.remove(&member);
    }

    /// Whether a member's network is down.
    pub fn is_away(&self, member: InstanceId) -> bool {
        self.kept().away.contains(&member)
    }

    /// Errors: `Retry::Later` while a member's network is down.
    fn reach(&self, member: InstanceId) -> Result<()> {
        if self.is_away(member) {
            return Err(Error::transient(Kind::State, "no broker answers"));
        }
        Ok(())
    }

    /// The committed records of a partition's stream, as JSON.
    pub fn results(&self, partition: PartitionId, stream: Stream) -> Vec<String> {
        self.kept().results.get(&(partition, stream)).cloned().unwrap_or_default()
    }

    /// What is committed of a partition.
    pub fn entry(&self, partition: PartitionId) -> Option<Checkpoint> {
        self.kept().entries.get(&partition).map(|(_, entry)| entry.clone())
    }

    /// Where a clock has closed the windows of a partition, by all that was ever committed of it.
    pub fn closes(&self, partition: PartitionId) -> Vec<Offset> {
        self.kept().closes.get(&partition).into_iter().flatten().copied().collect()
    }

    /// What the snapshot that is committed of a partition refers to, where it is a light one.
    pub fn base(&self, partition: PartitionId) -> Option<SnapshotRef> {
        let kept = self.kept();
        let named = kept.entries.get(&partition)?.1.snapshot?;
        let heads =
            kept.chunks.get(&partition)?.iter().rev().filter_map(|chunk| Some(decode(chunk).ok()?.head));
        heads.filter(|head| named.is_of(head)).find_map(|head| head.base).map(|base| base.of)
    }

    /// Forgets the group's offsets, as a broker does after long silence.
    pub fn expire_offsets(&self) {
        self.kept().entries.clear();
    }

    /// Damages the newest chunk of a partition where it is kept, as a disk may.
    pub fn tear(&self, partition: PartitionId) {
        if let Some(byte) =
            self.kept().chunks.get_mut(&partition).and_then(|kept| kept.last_mut()?.last_mut())
        {
            *byte ^= 1;
        }
    }

    /// As `tear`, the oldest chunk.
    pub fn tear_oldest(&self, partition: PartitionId) {
        if let Some(byte) =
            self.kept().chunks.get_mut(&partition).and_then(|kept| kept.first_mut()?.last_mut())
        {
            *byte ^= 1;
        }
    }

    /// Both halves of the ledger, for a new life of a member.
    pub fn open(&self, member: InstanceId, fates: Fates) -> (Box<dyn Recover>, Box<dyn Commit>) {
        let life = self.join(member);
        let mut writer = MemoryLedger { world: self.clone(), member, life, opened: 0, fates };
        writer.open_producer();
        (Box::new(Reader { world: self.clone(), member }), Box::new(writer))
    }

    fn join(&self, member: InstanceId) -> u64 {
        let mut kept = self.kept();
        let life = kept.lives.entry(member).or_default();
        *life += 1;
        let life = *life;
        if let Some((_, known)) = kept.known.get_mut(&member) {
            *known = life;
        }
        life
    }
}

struct Reader {
    world: World,
    member: InstanceId,
}

impl Recover for Reader {
    fn take_over(&mut self, partition: PartitionId) -> Result<Option<Checkpoint>> {
        self.world.reach(self.member)?;
        Ok(self.world.entry(partition))
    }

    fn claim(&mut self, partition: PartitionId) -> Result<Claim> {
        self.world.reach(self.member)?;
        let kept = self.world.kept();
        let mut assembly = Assembly::default();
        let mut damage = None;
        for chunk in kept.chunks.get(&partition).into_iter().flatten() {
            match decode(chunk) {
                Ok(piece) => assembly.add(piece),
                Err(why) => damage = Some(why),
            }
        }

        let entry = kept.entries.get(&partition).map(|(_, entry)| entry.clone());
        let named = entry.as_ref().and_then(|entry| entry.snapshot);
        let has_results = Stream::ALL.iter().any(|&stream| kept.results.contains_key(&(partition, stream)));
        let snapshot = match (&entry, named) {
            (Some(_), None) => None,
            _ => assembly.whole(partition, named),
        };
        if let (Some(pointer), None) = (named, &snapshot) {
            let why = damage.unwrap_or("records are missing");
            let what = format!("the snapshot at position {} is not whole: {why}", pointer.position);
            return Err(Error::new(Kind::State, what));
        }
        if entry.is_none() && has_results {
            return Err(Error::new(Kind::State, "there are results, but nothing says how far they go"));
        }
        Ok(Claim { entry, snapshot })
    }
}

/// Drops all before the snapshot that is named, as early as a ledger may: what it shares with its
/// base stays.
fn trim(chunks: &mut Vec<Vec<u8>>, named: SnapshotRef) {
    let heads: Vec<Option<Head>> =
        chunks.iter().map(|chunk| decode(chunk).ok().map(|piece| piece.head)).collect();
    let of_named = |head: &&Head| named.is_of(head);
    let base = heads.iter().flatten().find(of_named).and_then(|head| head.base);
    let is_needed = |head: &Head| named.is_of(head) || base.is_some_and(|base| base.of.is_of(head));
    let first = heads.iter().position(|head| head.as_ref().is_none_or(is_needed));
    chunks.drain(..first.unwrap_or_default());
}

/// The writing half.
struct MemoryLedger {
    world: World,
    member: InstanceId,
    life: u64,
    opened: u64,
    fates: Fates,
}

impl MemoryLedger {
    fn open_producer(&mut self) {
        let mut kept = self.world.kept();
        let opened = kept.opened.entry(self.member).or_default();
        *opened += 1;
        self.opened = *opened;
    }

    /// Makes the epoch visible, all of it.
    fn apply(&self, epoch: &CommitBatch, torn: bool) -> Result<()> {
        let mut lines = Vec::new();
        for (partition, stream, rows) in &epoch.results {
            let text = String::from_utf8(json_lines(rows)?).or_fail(Kind::Sink, || "JSON is not UTF-8")?;
            lines.push(((*partition, *stream), text));
        }

        let mut kept = self.world.kept();
        for (place, text) in lines {
            kept.results.entry(place).or_default().extend(text.lines().map(str::to_owned));
        }
        for (nth, chunk) in epoch.chunks.iter().enumerate() {
            let mut bytes = chunk.encode();
            if torn
                && nth == 0
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 1;
            }
            kept.chunks.entry(chunk.snapshot.partition).or_default().push(bytes);
        }
        for Chunk { snapshot, .. } in epoch.chunks.iter().filter(|chunk| chunk.is_last()) {
            let clock = clock_of(snapshot).unwrap_or_default();
            kept.closes.entry(snapshot.partition).or_default().extend(clock.after(None));
        }
        for (&partition, entry) in &epoch.entries {
            kept.entries.insert(partition, (self.member, entry.clone()));
            kept.closes.entry(partition).or_default().extend(&entry.closes);
            let is_done =
                epoch.chunks.iter().any(|chunk| chunk.is_last() && chunk.snapshot.partition == partition);
            let named = entry.snapshot.filter(|_| is_done);
            named.into_iter().for_each(|named| trim(kept.chunks.entry(partition).or_default(), named));
        }
        Ok(())
    }

    /// Why the broker refuses this member's epoch now. The group is asked only where there are
    /// offsets to commit.
    fn refused(&self, epoch: &CommitBatch) -> Option<CommitOutcome> {
        let kept = self.world.kept();
        if kept.opened.get(&self.member) != Some(&self.opened) {
            return Some(CommitOutcome::Unknown("another producer has our name".into()));
        }
        let is_current = kept.known.get(&self.member) == Some(&(kept.generation, self.life));
        (!is_current && !epoch.entries.is_empty())
            .then(|| CommitOutcome::Refused("the group has moved on".into()))
    }
}

impl Commit for MemoryLedger {
    fn begin(&mut self, _: PartitionId, _: Option<&Checkpoint>) -> Result<()> {
        Ok(())
    }

    fn attempt(&mut self, epoch: &CommitBatch) -> Result<CommitOutcome> {
        if let Err(error) = self.world.reach(self.member) {
            return Ok(CommitOutcome::Aborted(error.to_string()));
        }
        if let Some(verdict) = self.refused(epoch) {
            return Ok(verdict);
        }

        let mut torn = false;
        let mut applies = true;
        let mut replies = true;
        for step in [Step::Begin, Step::Produced, Step::Offsets] {
            match (self.fates)(step) {
                Fate::Go => {}
                Fate::Crash => return Err(Error::new(Kind::Io, CRASHED)),
                Fate::Abort => return Ok(CommitOutcome::Aborted("the broker aborts it".into())),
                Fate::LoseReply => replies = false,
                Fate::LoseRequest => (applies, replies) = (false, false),
                Fate::Tear => torn = true,
            }
        }
        if let Err(error) = self.world.reach(self.member) {
            return Ok(CommitOutcome::Unknown(error.to_string()));
        }
        if let Some(verdict) = self.refused(epoch) {
            return Ok(verdict);
        }
        if applies {
            self.apply(epoch, torn)?;
        }

        match (self.fates)(Step::Committed) {
            Fate::Crash => Err(Error::new(Kind::Io, CRASHED)),
            Fate::LoseReply => Ok(CommitOutcome::Unknown("the reply was lost".into())),
            _ if !replies => Ok(CommitOutcome::Unknown("the reply was lost".into())),
            _ => Ok(CommitOutcome::Committed),
        }
    }

    fn settle(&mut self, partitions: &[PartitionId]) -> Result<BTreeMap<PartitionId, Checkpoint>> {
        self.world.reach(self.member)?;
        self.open_producer();
        let kept = self.world.kept();
        let ours = partitions.iter().filter_map(|partition| {
            let (writer, entry) = kept.entries.get(partition)?;
            (*writer == self.member).then(|| (*partition, entry.clone()))
        });
        Ok(ours.collect())
    }

    fn release(&mut self, _: PartitionId) -> Result<()> {
        Ok(())
    }
}
