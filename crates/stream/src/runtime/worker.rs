//! A worker: its partitions' records in, their results to the sink, their frozen states to be
//! written out.
//! It must not know which source or sink there is, nor wait for anything but a full channel.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use super::channels::{
    Occasion, PartitionStart, RecordTimes, ToReader, ToSink, ToSnapshots, ToWorker, closed,
};
use super::context::RunContext;
use super::job::Summary;
use super::outputs::Ticket;
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use crate::error::{Error, Kind, Result};
use crate::message::Records;
use crate::place::{Offset, PartitionId};
use crate::source::Departure;

/// A state of more series is too large to be committed while the group waits for its partition.
const HANDOVER_SERIES: u64 = 1000;

/// The state of a partition that was made last.
struct Saved {
    position: Offset,
    ticket: Weak<()>,
}

impl Saved {
    /// Whether no other is needed: the partition has not moved, or this one is still on its way and
    /// not the last.
    fn serves(&self, position: Offset, occasion: Occasion) -> bool {
        self.position == position || (occasion == Occasion::Regular && self.ticket.strong_count() > 0)
    }
}

/// Where a worker sends what it makes, and who looks on.
pub(super) struct Downstream {
    /// The worker's number.
    pub worker: usize,
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
    for command in from_reader {
        match command {
            // What is not worked on is not in the snapshot either: the next run reads it again.
            ToWorker::Records { .. } | ToWorker::End(_) if downstream.watch.is_stopped() => {}
            ToWorker::Begin(partition, start) => worker.begin(*partition, start)?,
            ToWorker::Records { partition, records, at } => worker.take(partition, records, at)?,
            ToWorker::Lost { partition, offsets } => worker.lose(partition, &offsets)?,
            ToWorker::End(partition) => worker.finish(partition)?,
            ToWorker::Drop { partition, departure } => worker.drop_partition(partition, departure)?,
            ToWorker::Snapshot(occasion) => worker.snapshot(occasion)?,
        }
    }

    let windows = worker.works.values().map(|work| work.partition.stats().windows_closed).sum();
    Ok(Summary { windows, ..worker.summary })
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
    /// Whether its state is to be frozen when it has closed a window.
    due: bool,
    /// Windows it has closed.
    windows: u64,
}

/// The reader sends nothing of a partition before its beginning.
fn unknown(id: PartitionId) -> Error {
    Error::new(Kind::Io, format!("records of partition {id} before its beginning"))
}

impl Worker<'_> {
    fn begin(&mut self, partition: Partition, start: PartitionStart) -> Result<()> {
        let (id, incarnation) = (partition.id(), start.incarnation);
        let stats = partition.stats();
        self.downstream.watch.metrics.begin(id, &stats);
        self.downstream.tell_sink(ToSink::Begin { partition: id, start })?;
        if partition.is_fresh() {
            // Where its past ends is kept before anything of it is told.
            self.save_small(&partition, incarnation)?;
        }

        let windows = stats.windows_closed;
        self.works.insert(id, ActivePartition { partition, incarnation, saved: None, due: false, windows });
        Ok(())
    }

    fn take(&mut self, id: PartitionId, records: Records, at: Instant) -> Result<()> {
        let Worker { downstream, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        let partition = &mut work.partition;
        let count = records.len() as u64;
        let had_past = partition.past_end().is_some();
        let was_replaying = partition.is_replaying();
        downstream.watch.metrics.replayed(partition.replayed(&records) as u64);
        let recorded = if had_past || was_replaying { None } else { records.oldest() };
        let times = RecordTimes { read: at, recorded };
        partition.take(records, &mut |outcome| downstream.hand_on(id, times, outcome, summary))?;

        if was_replaying && !partition.is_replaying() {
            downstream.tell_reader(ToReader::CaughtUp { partition: id, at: Instant::now() });
        }
        let windows = downstream.watch.worked(partition, count);
        if had_past && partition.past_end().is_none() {
            tracing::info!(partition = id.0, windows, "live: the past is learned");
        }
        let has_closed = std::mem::replace(&mut work.windows, windows) != windows;
        if has_closed && std::mem::take(&mut work.due) {
            save(work, Occasion::Regular, downstream)?;
        }
        Ok(())
    }

    /// Records were gone before they were read. The state is saved at once: it can never be made
    /// again from one that lies before them.
    fn lose(&mut self, id: PartitionId, offsets: &Range<Offset>) -> Result<()> {
        let Worker { downstream, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        let times = RecordTimes { read: Instant::now(), recorded: None };
        work.partition.lose(offsets, &mut |outcome| downstream.hand_on(id, times, outcome, summary))?;
        save(work, Occasion::Regular, downstream)
    }

    /// The input has ended.
    fn finish(&mut self, id: PartitionId) -> Result<()> {
        let Worker { downstream, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        let times = RecordTimes { read: Instant::now(), recorded: None };
        work.saved = None;
        work.partition.finish(&mut |outcome| downstream.hand_on(id, times, outcome, summary))?;
        downstream.watch.worked(&mut work.partition, 0);
        Ok(())
    }

    fn drop_partition(&mut self, id: PartitionId, departure: Departure) -> Result<()> {
        self.downstream.watch.metrics.forget(id);
        if let Some(ActivePartition { partition, incarnation, .. }) = self.works.remove(&id)
            && departure == Departure::Returned
        {
            self.save_small(&partition, incarnation)?;
        }
        self.downstream.tell_sink(ToSink::Release { partition: id, departure })
    }

    fn snapshot(&mut self, occasion: Occasion) -> Result<()> {
        for work in self.works.values_mut() {
            // All series change when a window closes, and what changes while its state is written
            // out is copied: so the next close is waited for, but not longer than to the next time.
            if occasion == Occasion::Last || work.due {
                work.due = false;
                save(work, occasion, self.downstream)?;
            } else {
                work.due = true;
            }
        }
        self.downstream.tell_snapshots(ToSnapshots::Done(self.downstream.worker))
    }

    /// Writes a small state out at once: it has to be in the last commit before its partition is
    /// given back.
    fn save_small(&self, partition: &Partition, incarnation: u64) -> Result<()> {
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

    fn tell_snapshots(&self, what: ToSnapshots) -> Result<()> {
        self.to_snapshots.send(what).map_err(|_| closed("the snapshots"))
    }

    /// A reader that has ended needs to hear nothing.
    fn tell_reader(&self, what: ToReader) {
        _ = self.to_reader.send(what);
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

/// Has the state as of now written out, where that is of use.
fn save(work: &mut ActivePartition, occasion: Occasion, downstream: &Downstream) -> Result<()> {
    let ActivePartition { partition, incarnation, saved, .. } = work;
    let Some(position) = partition.position() else { return Ok(()) };
    // What makes again what is committed has nothing new to keep.
    if partition.is_replaying() || saved.as_ref().is_some_and(|saved| saved.serves(position, occasion)) {
        return Ok(());
    }

    let ticket = Ticket::default();
    *saved = Some(Saved { position, ticket: Arc::downgrade(&ticket) });
    let from = Instant::now();
    let Some(frozen) = partition.freeze() else { return Ok(()) };
    let (incarnation, took) = (*incarnation, from.elapsed());
    downstream.tell_snapshots(ToSnapshots::Write { frozen, incarnation, took, ticket })
}
