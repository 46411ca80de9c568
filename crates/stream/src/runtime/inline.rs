//! The plain runner: one loop, one thread. Tests, backtests and replays use it.
//! It must give what the threaded runner gives, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::job::{Job, Summary};
use super::last_whole::LastWhole;
use super::outputs::Ticket;
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use super::recovery::open_partition;
use super::replay_debt::{ReplayDebt, share};
use crate::error::Result;
use crate::message::{EventTime, Records, Stream};
use crate::place::{Offset, PartitionId};
use crate::source::Event;
use crate::telemetry::HealthPart;

const POLL: Duration = Duration::from_millis(50);

/// Runs until the input ends or `stop` is set. Errors: the source's, the operators' and the
/// outputs'.
pub fn run_inline(job: Job) -> Result<Summary> {
    let pace = job.pace;
    let mut run = InlineRun {
        writing: Writing::of(job),
        partitions: BTreeMap::new(),
        ended: BTreeSet::new(),
        assigned: false,
    };
    let mut committed_at = Instant::now();
    while !run.writing.job.watch.is_stopped() && !run.is_over() {
        let polled = run.writing.job.source.poll(POLL);
        let event = run.writing.job.watch.polled(polled, run.assigned)?;
        run.on_event(event)?;
        run.writing.job.watch.tell_unread(run.writing.job.source.as_mut());

        if committed_at.elapsed() >= pace.commit_every {
            run.writing.commit()?;
            committed_at = Instant::now();
        }
        run.save(|debt, may_take| debt.is_too_long(may_take) || debt.is_too_old())?;
    }
    run.finish()
}

/// A run in one loop.
struct InlineRun {
    writing: Writing,
    partitions: BTreeMap<PartitionId, InlinePartition>,
    /// Those of them that have no more records.
    ended: BTreeSet<PartitionId>,
    assigned: bool,
}

/// A partition, and what it has done since its state was saved.
struct InlinePartition {
    partition: Partition,
    debt: ReplayDebt,
    last_whole: LastWhole,
}

/// What a run writes with, apart from the partitions that it takes results from.
struct Writing {
    job: Job,
    /// What is durable, and not told to the source yet.
    durable: BTreeMap<PartitionId, Offset>,
    summary: Summary,
}

impl InlineRun {
    fn is_over(&self) -> bool {
        !self.partitions.is_empty() && self.ended.len() == self.partitions.len()
    }

    fn on_event(&mut self, event: Event) -> Result<()> {
        let InlineRun { writing, partitions, .. } = self;

        match event {
            Event::Assigned(ids) => {
                self.assigned = true;
                for id in ids {
                    partitions.insert(id, writing.begin(id)?);
                }
                writing.job.watch.health.set_ready(HealthPart::Source);
            }
            Event::Revoked { partitions: ids, departure } => {
                for id in ids {
                    partitions.remove(&id);
                    self.ended.remove(&id);
                    writing.job.watch.metrics.revoked(id);
                    writing.job.ends.outputs.release(id, departure)?;
                    writing.job.source.release(id)?;
                }
            }
            Event::Records { partition: id, records } => {
                let Some(work) = partitions.get_mut(&id) else { return Ok(()) };
                writing.take(work, records)?;
            }
            Event::Lost { partition: id, offsets } => {
                let Some(work) = partitions.get_mut(&id) else { return Ok(()) };
                writing.job.watch.lost(writing.job.factory.topic(), id, &offsets);
                work.partition.lose(&offsets, &mut |outcome| writing.write(id, None, outcome))?;
                writing.save(work)?;
            }
            Event::Log { partition: id, log } => {
                if let Some(work) = partitions.get_mut(&id) {
                    work.partition.read_from(Some(log));
                }
            }
            Event::Quiet { partition: id } => {
                let Some(work) = partitions.get_mut(&id) else { return Ok(()) };
                writing.close_open(work)?;
            }
            Event::End { partition: id } => {
                let Some(work) = partitions.get_mut(&id) else { return Ok(()) };
                work.partition.finish(&mut |outcome| writing.write(id, None, outcome))?;
                work.debt.add(writing.job.watch.worked(&mut work.partition, 0));
                self.ended.insert(id);
            }
            Event::Idle { .. } => {}
        }
        Ok(())
    }

    /// Saves the states of the partitions that owe too much, and are not making again what is
    /// committed.
    fn save(&mut self, owes_too_much: impl Fn(&ReplayDebt, Duration) -> bool) -> Result<()> {
        let may_take = share(self.writing.job.pace.recover_within, self.partitions.len());
        let works = self.partitions.values_mut().filter(|work| !work.partition.is_replaying());
        for work in works.filter(|work| owes_too_much(&work.debt, may_take)) {
            self.writing.save(work)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Summary> {
        self.save(|_, _| true)?;
        self.writing.job.ends.outputs.finish()?;
        self.writing.commit()?;
        self.writing.job.source.close()?;
        Ok(self.writing.summary.with_totals(self.partitions.values().map(|work| &work.partition)))
    }
}

impl Writing {
    fn of(job: Job) -> Self {
        Writing { job, durable: BTreeMap::new(), summary: Summary::default() }
    }

    fn begin(&mut self, id: PartitionId) -> Result<InlinePartition> {
        let Job { factory, source, ends, watch, .. } = &mut self.job;
        let opened = open_partition(factory, ends.recover.as_mut(), id, source.as_mut(), watch)?;
        watch.metrics.assigned(id, opened.committed());
        let stats = opened.partition.stats();
        watch.metrics.begin(id, &stats);
        ends.outputs.begin(id, opened.entry, opened.begin)?;
        let partition = opened.partition;
        let debt = ReplayDebt::none(stats.windows_closed);
        let mut work = InlinePartition { partition, debt, last_whole: LastWhole::default() };
        if work.partition.catch_up(&mut |outcome| self.write(id, None, outcome))? {
            work.debt.add(self.job.watch.worked(&mut work.partition, 0));
        }
        if work.partition.is_fresh() {
            self.save(&mut work)?;
        }
        self.job.source.start(id, opened.position)?;
        Ok(work)
    }

    fn take(&mut self, work: &mut InlinePartition, records: Records) -> Result<()> {
        let partition = &mut work.partition;
        let (id, count) = (partition.id(), records.len() as u64);
        self.summary.records += count;
        self.job.watch.metrics.records_received(self.job.factory.topic(), id, &records);
        let is_past = partition.past_end().is_some() || partition.is_replaying();
        let recorded = if is_past { None } else { records.oldest() };
        partition.take(records, &mut |outcome| self.write(id, recorded, outcome))?;
        work.debt.add(self.job.watch.worked(partition, count));
        Ok(())
    }

    /// Nothing comes of a partition for now. Its state is saved with it, so that the closes that a
    /// commit has to name stay few.
    fn close_open(&mut self, work: &mut InlinePartition) -> Result<()> {
        let id = work.partition.id();
        if work.partition.close_open(&mut |outcome| self.write(id, None, outcome))? {
            work.debt.add(self.job.watch.closed_by_clock(&mut work.partition));
            self.save(work)?;
        }
        Ok(())
    }

    /// `recorded`: when the records were made, where that is to be measured.
    fn write(
        &mut self,
        id: PartitionId,
        recorded: Option<EventTime>,
        outcome: PartitionOutput,
    ) -> Result<()> {
        self.job.watch.rejected(&outcome);
        self.job.watch.wrote(&outcome.results);
        self.summary.count(&outcome);
        if outcome.results.iter().any(|(stream, _)| *stream == Stream::Forecasts) {
            recorded.into_iter().for_each(|at| self.job.ends.outputs.recorded(id, at));
        }
        self.job.ends.outputs.results(id, outcome.results, outcome.reached)
    }

    fn save(&mut self, work: &mut InlinePartition) -> Result<()> {
        work.debt.settle();
        let from = Instant::now();
        let Some(frozen) = work.partition.freeze() else { return Ok(()) };
        let ticket = Ticket::default();
        let snapshot = work.last_whole.write(frozen, &ticket)?;
        let durable = self.job.ends.outputs.snapshot(snapshot, ticket)?;
        work.debt.has_written(from.elapsed());
        self.durable.extend(durable.map(|position| (work.partition.id(), position)));
        Ok(())
    }

    /// Makes visible what was written, and tells the source what is durable.
    fn commit(&mut self) -> Result<()> {
        self.job.ends.outputs.commit()?;
        let source = &mut self.job.source;
        std::mem::take(&mut self.durable)
            .into_iter()
            .try_for_each(|(id, position)| source.commit(id, position))
    }
}
