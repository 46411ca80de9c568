//! One instance of a deployment: partitions at work, a queue to the sink, and the sink's committer.
//! It must not decide what happens next, nor look at what others do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use tickcast_stream::error::Result;
use tickcast_stream::ledger::{
    Checkpoint, Commit, Committed, Committer, Position, Recover, Snapshot, SnapshotRef,
};
use tickcast_stream::message::{Records, Stream};
use tickcast_stream::runtime::{LastWhole, Partition, PartitionOutput, RunContext, Ticket, open_partition};
use tickcast_stream::source::{Event, Source};
use tickcast_stream::testing::InstanceId;
use tickcast_stream::{Offset, PartitionId};

use super::clock::Clock;
use super::input::Input;

/// Where an instance stands in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    InstanceId,
    /// The group has begun a new generation, and it has not joined that yet; its partitions wait
    /// for it.
    Late,
    /// The group has given its partitions away, and it does not know.
    Zombie,
    /// As a zombie, and another one has its name.
    Replaced,
}

impl Place {
    pub fn is_in_group(self) -> bool {
        matches!(self, Place::InstanceId | Place::Late)
    }
}

/// A ledger that is opened.
pub type Halves = (Box<dyn Recover>, Box<dyn Commit>);

pub struct Instance {
    /// Unlike its name, nobody else's ever.
    pub id: usize,
    pub member: InstanceId,
    pub place: Place,
    recover: Box<dyn Recover>,
    committer: Committer,
    works: BTreeMap<PartitionId, Work>,
    /// What workers have handed over and the sink has not taken yet.
    queue: VecDeque<ToSink>,
    /// States handed over so far, and one that is still being written out.
    saves: u32,
    late: Option<(u64, Snapshot, Ticket)>,
    /// Of the states that the committer has.
    tickets: BTreeMap<PartitionId, (SnapshotRef, Ticket)>,
    /// Partitions begun so far, and the newest beginning of each that the sink has heard of.
    lives: u64,
    heard: BTreeMap<PartitionId, u64>,
    /// None within what is done under it.
    clock: Option<Clock>,
}

struct Work {
    partition: Partition,
    next: usize,
    ended: bool,
    life: u64,
    last_whole: LastWhole,
}

/// What comes of a wish to save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    Nothing,
    Whole,
    /// What has not changed is not in it.
    Light,
}

enum ToSink {
    Begin(PartitionId, Option<Checkpoint>, u64),
    Results { partition: PartitionId, results: Vec<(Stream, RecordBatch)>, reached: Option<Position> },
    Save(Snapshot, Ticket),
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (member {}, {:?})", self.id, self.member, self.place)
    }
}

fn to_sink(queue: &mut VecDeque<ToSink>, partition: PartitionId, made: PartitionOutput) -> Result<()> {
    let PartitionOutput { results, reached, .. } = made;
    queue.push_back(ToSink::Results { partition, results, reached });
    Ok(())
}

/// A source that only says which records there are.
struct Log {
    first: Option<Offset>,
    end: Offset,
}

impl Source for Log {
    fn poll(&mut self, _: Duration) -> Result<Event> {
        Ok(Event::Idle { problem: None })
    }

    fn start(&mut self, _: PartitionId, _: Option<Offset>) -> Result<()> {
        Ok(())
    }

    fn set_paused(&mut self, _: PartitionId, _: bool) -> Result<()> {
        Ok(())
    }

    fn offset_range(&mut self, _: PartitionId) -> Result<Option<Range<Offset>>> {
        Ok(self.first.map(|first| first..self.end))
    }
}

impl Instance {
    pub fn start((recover, commit): Halves, id: usize, member: InstanceId, clock: Clock) -> Self {
        let (works, queue) = (BTreeMap::new(), VecDeque::new());
        Instance {
            id,
            member,
            place: Place::InstanceId,
            recover,
            committer: Committer::new(commit),
            works,
            queue,
            saves: 0,
            late: None,
            tickets: BTreeMap::new(),
            lives: 0,
            heard: BTreeMap::new(),
            clock: Some(clock),
        }
    }

    pub fn partitions(&self) -> Vec<PartitionId> {
        self.works.keys().copied().collect()
    }

    pub fn has(&self, id: PartitionId) -> bool {
        self.works.contains_key(&id)
    }

    /// Does it under the instance's own wall clock.
    fn by_its_clock<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let Some(mut clock) = self.clock.take() else { return act(self) };
        let done = clock.run(|| act(self));
        self.clock = Some(clock);
        done
    }

    /// Takes a partition over, which ends at `end` now; true when it has to make again what is
    /// committed.
    pub fn claim(
        &mut self,
        input: &Input,
        (id, end): (PartitionId, Offset),
        watch: &RunContext,
    ) -> Result<bool> {
        self.by_its_clock(|it| {
            let mut log = Log { first: input.records(id).first().map(|record| record.offset), end };
            let opened = open_partition(&input.factory, it.recover.as_mut(), id, &mut log, watch)?;
            let replays = opened.partition.is_replaying();
            let next = opened.position.map_or(0, |position| input.index(id, position));
            it.lives += 1;
            it.queue.push_back(ToSink::Begin(id, opened.entry, it.lives));
            let (mut partition, life) = (opened.partition, it.lives);
            partition.catch_up(&mut |made| to_sink(&mut it.queue, id, made))?;
            it.works
                .insert(id, Work { partition, next, ended: false, life, last_whole: LastWhole::default() });
            Ok(replays)
        })
    }

    /// Works on the next records of a partition, or closes it at their end; how many they were.
    pub fn work(&mut self, input: &Input, id: PartitionId, count: usize) -> Result<usize> {
        self.by_its_clock(|it| {
            let Some(Work { partition, next, ended, .. }) = it.works.get_mut(&id) else { return Ok(0) };
            let records = input.records(id);
            let to = (*next + count).min(records.len());
            let queue = &mut it.queue;
            let mut deliver = |made| to_sink(queue, id, made);
            let batch = records[*next..to].to_vec();
            let worked = batch.len();
            if worked > 0 {
                partition.take(Records::Raw(batch), &mut deliver)?;
                *next = to;
            } else if !*ended {
                partition.finish(&mut deliver)?;
                *ended = true;
            }
            Ok(worked)
        })
    }

    /// A clock finds that nothing comes of a partition: whether that closes any window.
    pub fn close_open(&mut self, id: PartitionId) -> Result<bool> {
        self.by_its_clock(|it| {
            let Some(Work { partition, .. }) = it.works.get_mut(&id) else { return Ok(false) };
            partition.close_open(&mut |made| to_sink(&mut it.queue, id, made))
        })
    }

    /// Whether a partition has come to the end of its records.
    pub fn is_done(&self, id: PartitionId) -> bool {
        self.works.get(&id).is_some_and(|work| work.ended)
    }

    /// A partition's state; none while it replays.
    pub fn state(&mut self, id: PartitionId) -> Result<Option<Snapshot>> {
        match self.works.get_mut(&id) {
            Some(work) if !work.partition.is_replaying() => work.partition.snapshot(),
            _ => Ok(None),
        }
    }

    /// Hands the state of a partition to the sink, with `padding` in it that nobody reads. Every
    /// other one is written out late: the sink gets it when it has heard other things, perhaps that
    /// the partition has gone and come back.
    pub fn save(&mut self, id: PartitionId, padding: usize) -> Result<Saved> {
        self.by_its_clock(|it| {
            let Some(work) = it.works.get_mut(&id).filter(|work| !work.partition.is_replaying()) else {
                return Ok(Saved::Nothing);
            };
            let Some(frozen) = work.partition.freeze() else { return Ok(Saved::Nothing) };
            let (changes, ticket) = (frozen.changes, Ticket::default());
            let mut snapshot = work.last_whole.write(frozen, &ticket)?;
            let saved = if snapshot.base.is_some() { Saved::Light } else { Saved::Whole };
            if saved == Saved::Whole {
                let mut last = work.partition.last_state(&snapshot)?.to_vec();
                last.resize(last.len() + padding, 0xa5);
                snapshot = work.partition.with_last_state(&snapshot, last)?;
                work.last_whole.remember(&snapshot, changes, &ticket);
            }

            it.saves += 1;
            match it.saves % 2 {
                0 => it.late = Some((work.life, snapshot, ticket)),
                _ => it.queue.push_back(ToSink::Save(snapshot, ticket)),
            }
            Ok(saved)
        })
    }

    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The sink takes so much of what was handed over.
    pub fn hear(&mut self, count: usize) -> Result<()> {
        self.by_its_clock(|it| {
            for said in it.queue.drain(..count.min(it.queue.len())).collect::<Vec<_>>() {
                match said {
                    ToSink::Begin(id, entry, life) => {
                        it.heard.insert(id, life);
                        it.committer.begin(id, entry)?;
                    }
                    ToSink::Results { partition, results, reached } => {
                        it.committer.results(partition, results, reached);
                    }
                    ToSink::Save(snapshot, ticket) => it.take(snapshot, ticket),
                }
            }
            // It comes late, but never before the results that it has seen.
            let heard_all = it.queue.is_empty();
            if let Some((life, snapshot, ticket)) = it.late.take_if(|_| heard_all && count.is_multiple_of(2))
                && it.heard.get(&snapshot.partition) == Some(&life)
            {
                it.take(snapshot, ticket);
            }
            Ok(())
        })
    }

    fn take(&mut self, snapshot: Snapshot, ticket: Ticket) {
        self.tickets.insert(snapshot.partition, (snapshot.name(), ticket));
        self.committer.snapshot(snapshot);
    }

    pub fn commit(&mut self) -> Result<Committed> {
        self.by_its_clock(|it| {
            let committed = it.committer.commit()?;
            for (&partition, (of, ticket)) in &it.tickets {
                if it.committer.kept(partition) == Some(*of) {
                    ticket.keep();
                }
            }
            Ok(committed)
        })
    }

    /// The partitions of which anything is committed, and how far.
    #[cfg(target_os = "linux")]
    pub fn committed(&self) -> BTreeMap<PartitionId, Offset> {
        self.committer.committed().collect()
    }

    pub fn is_clean(&self) -> bool {
        self.queue.is_empty() && self.committer.is_clean()
    }

    /// Lets go of a partition; what is not committed of it is dropped.
    pub fn release(&mut self, id: PartitionId) -> Result<()> {
        self.by_its_clock(|it| {
            it.works.remove(&id);
            it.committer.release(id)
        })
    }

    /// Hears that all its partitions are gone. The sink still takes what workers had handed over,
    /// as it comes.
    pub fn lose_all(&mut self) -> Result<()> {
        self.by_its_clock(|it| {
            let lost = it.partitions();
            it.works.clear();
            lost.iter().for_each(|&id| it.committer.discard(id));
            it.hear(it.queue.len())?;
            lost.into_iter().try_for_each(|id| it.committer.release(id))
        })
    }
}
