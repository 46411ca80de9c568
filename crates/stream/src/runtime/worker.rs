//! A worker: its partitions' records in, their results to the sink, their frozen states to be
//! written out.
//! It must not know which source or sink there is, nor wait for anything but a full channel.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Weak;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};

use super::channels::{PartitionStart, RecordTimes, ToReader, ToSink, ToSnapshots, ToWorker, closed};
use super::context::{RunContext, Worked};
use super::job::Summary;
use super::outputs::Ticket;
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use super::replay_debt::{ReplayDebt, share};
use crate::error::{Error, Kind, Result};
use crate::message::Records;
use crate::place::{Offset, PartitionId};
use crate::source::Departure;

/// A state of more series is too large to be committed while the group waits for its partition.
const HANDOVER_SERIES: u64 = 1000;
/// So many closes by a clock wait at most for the state that they are part of: until then every
/// commit names them.
const UNSAVED_CLOSES: u64 = 64;
/// Between two looks for states that have not been saved for long.
const LOOK: Duration = Duration::from_secs(1);

/// The state of a partition that was made last.
struct Saved {
    position: Offset,
    at: Instant,
    /// How often a clock had closed the windows.
    closes: u64,
    /// None, once the state is written.
    ticket: Option<Weak<()>>,
}

impl Saved {
    /// Whether it is still to be written or committed.
    fn is_on_its_way(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.strong_count() > 0)
    }

    /// What writing it took, told once when it is written.
    fn has_taken(&mut self) -> Option<Duration> {
        (!self.is_on_its_way()).then(|| self.ticket.take()).flatten().map(|_| self.at.elapsed())
    }
}

/// Where a worker sends what it makes, and who looks on.
pub(super) struct Downstream {
    /// How long making the states of its partitions again may take, one after the other.
    pub recover_within: Duration,
    /// Results, and small states.
    pub to_sink: Sender<ToSink>,
    /// Frozen states.
    pub to_snapshots: Sender<ToSnapshots>,
    /// What the reader has to know.
    pub to_reader: Sender<ToReader>,
    /// The onlookers.
    pub watch: RunContext,
}

/// Works until the reader has no more to tell. Errors: an operator's, or the thread that takes its
/// results has ended.
pub(super) fn worker_loop(from_reader: &Receiver<ToWorker>, downstream: &Downstream) -> Result<Summary> {
    let mut worker = Worker { downstream, works: BTreeMap::new(), summary: Summary::default() };
    let mut look_at = Instant::now() + LOOK;
    loop {
        let received = match from_reader.try_recv() {
            Err(TryRecvError::Empty) if worker.work_off() => continue,
            Err(_) => from_reader.recv_timeout(look_at.saturating_duration_since(Instant::now())),
            Ok(command) => Ok(command),
        };
        if Instant::now() >= look_at {
            look_at = Instant::now() + LOOK;
            worker.save_old()?;
            worker.close_waiting()?;
        }
        let command = match received {
            Ok(command) => command,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };

        match command {
            // What is not worked on is not in the snapshot either: the next run reads it again.
            ToWorker::Records { .. } | ToWorker::Log { .. } | ToWorker::Quiet(_) | ToWorker::End(_)
                if downstream.watch.is_stopped() => {}
            ToWorker::Begin(partition, start) => worker.begin(*partition, start)?,
            ToWorker::Records { partition, records, at } => worker.take(partition, records, at)?,
            ToWorker::Log { partition, log } => {
                let work = worker.works.get_mut(&partition).ok_or_else(|| unknown(partition))?;
                work.partition.read_from(Some(log));
            }
            ToWorker::Lost { partition, offsets } => worker.lose(partition, &offsets)?,
            ToWorker::Quiet(partition) => worker.close_open(partition)?,
            ToWorker::End(partition) => worker.finish(partition)?,
            ToWorker::Drop { partition, departure } => worker.drop_partition(partition, departure)?,
            ToWorker::SaveAll => worker.save_all()?,
        }
    }

    Ok(worker.summary.with_totals(worker.works.values().map(|work| &work.partition)))
}

struct Worker<'a> {
    downstream: &'a Downstream,
    works: BTreeMap<PartitionId, ActivePartition>,
    summary: Summary,
}

/// A partition at work.
struct ActivePartition {
    partition: Partition,
    /// Which of its beginnings this is.
    incarnation: u64,
    /// The state of it that was made last.
    saved: Option<Saved>,
    /// What it has done since.
    debt: ReplayDebt,
    /// How many of the closes by a clock are part of a state that is saved.
    saved_closes: u64,
    /// Nothing comes, and its windows will close once there are fewer of these.
    waits_to_close: bool,
}

/// The reader sends nothing of a partition before its beginning.
fn unknown(id: PartitionId) -> Error {
    Error::new(Kind::Io, format!("records of partition {id} before its beginning"))
}

impl Worker<'_> {
    fn begin(&mut self, mut partition: Partition, start: PartitionStart) -> Result<()> {
        let (id, incarnation) = (partition.id(), start.incarnation);
        let (stats, saved_closes) = (partition.stats(), partition.clock().count());
        self.downstream.watch.metrics.begin(id, &stats);
        self.downstream.tell_sink(ToSink::Begin { partition: id, start })?;
        let Worker { downstream, summary, .. } = self;
        let (mut debt, was_replaying) = (ReplayDebt::none(stats.windows_closed), partition.is_replaying());
        let times = RecordTimes::none();
        if partition.catch_up(&mut |outcome| downstream.hand_on(id, times, outcome, summary))? {
            // No record may come that would tell of it.
            debt.add(downstream.watch.worked(&mut partition, 0));
            downstream.tell_if_caught_up(&partition, was_replaying);
        }
        if partition.is_fresh() {
            // Where its past ends is kept before anything of it is told.
            self.save_small(&mut partition, incarnation)?;
        }

        let work = ActivePartition {
            partition,
            incarnation,
            saved: None,
            debt,
            saved_closes,
            waits_to_close: false,
        };
        self.works.insert(id, work);
        Ok(())
    }

    fn take(&mut self, id: PartitionId, records: Records, at: Instant) -> Result<()> {
        let Worker { downstream, works, summary } = self;
        let may_take = share(downstream.recover_within, works.len());
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        work.waits_to_close = false;
        let partition = &mut work.partition;
        let count = records.len() as u64;
        let had_past = partition.past_end().is_some();
        let was_replaying = partition.is_replaying();
        downstream.watch.metrics.replayed(partition.replayed(&records) as u64);
        let recorded = if had_past || was_replaying { None } else { records.oldest() };
        let times = RecordTimes { read: at, recorded };
        partition.take(records, &mut |outcome| downstream.hand_on(id, times, outcome, summary))?;

        downstream.tell_if_caught_up(partition, was_replaying);
        let worked @ Worked { windows, .. } = downstream.watch.worked(partition, count);
        if had_past && partition.past_end().is_none() {
            tracing::info!(partition = id.0, windows, "live: the past is learned");
        }
        work.debt.add(worked);
        if work.debt.is_too_long(may_take) { work.save_next(downstream) } else { Ok(()) }
    }

    /// Does what a partition has put off, while nothing waits to be read. False: none has.
    fn work_off(&mut self) -> bool {
        let Worker { downstream, works, .. } = self;
        let worked = works.values_mut().find_map(|work| work.partition.work_off().then_some(work));
        worked.map(|work| work.debt.add(downstream.watch.worked(&mut work.partition, 0))).is_some()
    }

    /// Records were gone before they were read. The state is saved at once: it can never be made
    /// again from one that lies before them.
    fn lose(&mut self, id: PartitionId, offsets: &Range<Offset>) -> Result<()> {
        let Worker { downstream, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        let times = RecordTimes::none();
        work.partition.lose(offsets, &mut |outcome| downstream.hand_on(id, times, outcome, summary))?;
        work.save_next(downstream)
    }

    /// Nothing comes of a partition for now.
    fn close_open(&mut self, id: PartitionId) -> Result<()> {
        let Worker { downstream, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        work.waits_to_close = work.partition.clock().count() >= work.saved_closes + UNSAVED_CLOSES;
        if work.waits_to_close {
            return work.save_next(downstream);
        }

        let times = RecordTimes::none();
        if work.partition.close_open(&mut |outcome| downstream.hand_on(id, times, outcome, summary))? {
            work.debt.add(downstream.watch.closed_by_clock(&mut work.partition));
            // At least once, it is the state that remembers the clock's decision.
            work.save_next(downstream)?;
        }
        Ok(())
    }

    /// Closes what has waited for a state to be saved.
    fn close_waiting(&mut self) -> Result<()> {
        let waiting = self.works.iter().filter(|(_, work)| work.waits_to_close);
        let waiting: Vec<PartitionId> = waiting.map(|(&id, _)| id).collect();
        waiting.into_iter().try_for_each(|id| self.close_open(id))
    }

    /// The input has ended.
    fn finish(&mut self, id: PartitionId) -> Result<()> {
        let Worker { downstream, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        let times = RecordTimes::none();
        work.saved = None;
        work.partition.finish(&mut |outcome| downstream.hand_on(id, times, outcome, summary))?;
        work.debt.add(downstream.watch.worked(&mut work.partition, 0));
        Ok(())
    }

    fn drop_partition(&mut self, id: PartitionId, departure: Departure) -> Result<()> {
        self.downstream.watch.metrics.forget(id);
        if let Some(ActivePartition { mut partition, incarnation, .. }) = self.works.remove(&id)
            && departure == Departure::Returned
        {
            self.save_small(&mut partition, incarnation)?;
        }
        self.downstream.tell_sink(ToSink::Release { partition: id, departure })
    }

    /// Saves the states that have not been saved for long.
    fn save_old(&mut self) -> Result<()> {
        for work in self.works.values_mut() {
            work.look_at_saved();
            if work.debt.is_too_old() {
                work.save_next(self.downstream)?;
            }
        }
        Ok(())
    }

    /// Nothing comes after it, so no partition is left out.
    fn save_all(&mut self) -> Result<()> {
        self.works.values_mut().try_for_each(|work| work.save(self.downstream))
    }

    /// Writes a small state out at once: it has to be in the last commit before its partition is
    /// given back.
    fn save_small(&self, partition: &mut Partition, incarnation: u64) -> Result<()> {
        if partition.is_replaying() || partition.stats().series_active > HANDOVER_SERIES {
            return Ok(());
        }
        let from = Instant::now();
        let Some(snapshot) = partition.snapshot()? else { return Ok(()) };
        let (took, ticket) = (from.elapsed(), Ticket::default());
        self.downstream.tell_sink(ToSink::Save { snapshot, incarnation, took, ticket })
    }
}

impl Downstream {
    fn tell_sink(&self, what: ToSink) -> Result<()> {
        self.to_sink.send(what).map_err(|_| closed("the sink"))
    }

    /// A reader that has ended needs to hear nothing.
    fn tell_reader(&self, what: ToReader) {
        _ = self.to_reader.send(what);
    }

    /// The reader counts who is still making again what is committed.
    fn tell_if_caught_up(&self, partition: &Partition, was_replaying: bool) {
        if was_replaying && !partition.is_replaying() {
            self.tell_reader(ToReader::CaughtUp { partition: partition.id(), at: Instant::now() });
        }
    }

    /// Results to the sink; while its channel is full, the partition waits.
    fn hand_on(
        &self,
        partition: PartitionId,
        times: RecordTimes,
        outcome: PartitionOutput,
        summary: &mut Summary,
    ) -> Result<()> {
        summary.count(&outcome);
        self.watch.rejected(&outcome);
        let PartitionOutput { results, reached, .. } = outcome;
        if results.is_empty() && reached.is_none() {
            return Ok(());
        }
        self.tell_sink(ToSink::Results { partition, results, reached, times })
    }
}

impl ActivePartition {
    /// Has the state as of now written out, unless one is still on its way: where that takes longer
    /// than the time between two, records still get their turn.
    fn save_next(&mut self, downstream: &Downstream) -> Result<()> {
        if self.saved.as_ref().is_some_and(Saved::is_on_its_way) {
            return Ok(());
        }
        self.save(downstream)
    }

    /// Notes whether the state that was made last is saved by now.
    fn look_at_saved(&mut self) {
        let Some(saved) = &mut self.saved else { return };
        if let Some(took) = saved.has_taken() {
            self.debt.has_written(took);
            self.saved_closes = self.saved_closes.max(saved.closes);
        }
    }

    /// Has the state as of now written out, where that is of use.
    fn save(&mut self, downstream: &Downstream) -> Result<()> {
        self.look_at_saved();
        let ActivePartition { partition, incarnation, saved, debt, .. } = self;
        let Some(position) = partition.position() else { return Ok(()) };
        // What makes again what is committed has nothing new to keep.
        if partition.is_replaying() || saved.as_ref().is_some_and(|saved| saved.position == position) {
            return Ok(());
        }

        debt.settle();
        let ticket = Ticket::default();
        let at = Instant::now();
        *saved =
            Some(Saved { position, at, closes: partition.clock().count(), ticket: Some(ticket.watch()) });
        let Some(frozen) = partition.freeze() else { return Ok(()) };
        let (incarnation, took) = (*incarnation, at.elapsed());
        let write = ToSnapshots { frozen, incarnation, took, ticket };
        downstream.to_snapshots.send(write).map_err(|_| closed("the snapshots"))
    }
}
