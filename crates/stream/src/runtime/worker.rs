//! A worker: its partitions' records in, their results to the sink, their frozen states to be written out.
//! It must not know which source or sink there is, nor wait for anything but a full channel.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::image::PendingSnapshot;
use super::job::Summary;
use super::outputs::Ticket;
use super::partition::{Partition, PartitionOutput};
use super::threads::{PartitionStart, Shared, ToSink, ToWorker, closed};
use crate::error::{Error, Kind, Result};
use crate::message::Records;

/// A state of more series is too large to be committed while the group waits for its partition.
const HANDOVER_SERIES: u64 = 1000;

/// A state to write out, or that a worker has frozen all of its own.
pub(super) enum ToSnapshots {
    Write { frozen: PendingSnapshot, incarnation: u64, took: Duration, ticket: Ticket },
    Done(usize),
}

/// The state of a partition that was made last.
struct Saved {
    position: i64,
    ticket: Weak<()>,
}

impl Saved {
    /// Whether no other is needed: the partition has not moved, or this one is still on its way and not the last.
    fn serves(&self, position: i64, last: bool) -> bool {
        self.position == position || (!last && self.ticket.strong_count() > 0)
    }
}

/// Where a worker sends what it makes.
pub(super) struct Downstream {
    pub worker: usize,
    pub to_sink: Sender<ToSink>,
    pub to_snapshots: Sender<ToSnapshots>,
}

pub(super) fn snapshot_loop(
    from_workers: &Receiver<ToSnapshots>,
    to_sink: &Sender<ToSink>,
    snapshotting: &[Arc<AtomicBool>],
) -> Result<()> {
    for command in from_workers {
        match command {
            ToSnapshots::Write { frozen, incarnation, took, ticket } => {
                let from = Instant::now();
                let snapshot = frozen.write()?;
                let took = took + from.elapsed();
                to_sink
                    .send(ToSink::Save { snapshot, incarnation, took, ticket })
                    .map_err(|_| closed("the sink"))?;
            }
            ToSnapshots::Done(worker) => snapshotting[worker].store(false, Ordering::Relaxed),
        }
    }
    Ok(())
}

pub(super) fn worker_loop(
    from_ingest: &Receiver<ToWorker>,
    downstream: &Downstream,
    shared: Shared<'_>,
) -> Result<Summary> {
    let (works, summary) = (BTreeMap::new(), Summary::default());
    let mut worker = Worker { downstream, shared, works, summary };
    for command in from_ingest {
        match command {
            // What is not worked on is not in the snapshot either: the next run reads it again.
            ToWorker::Records { .. } | ToWorker::End(_) if shared.watch.is_stopped() => {}
            ToWorker::Begin(partition, start) => worker.begin(*partition, start)?,
            ToWorker::Records { partition, records, at } => worker.take(partition, records, at)?,
            ToWorker::End(partition) => worker.finish(partition)?,
            ToWorker::Drop { partition, lost } => worker.drop_partition(partition, lost)?,
            ToWorker::Snapshot { last } => worker.snapshot(last)?,
        }
    }
    let windows = worker.works.values().map(|work| work.partition.stats().windows_closed).sum();
    Ok(Summary { windows, ..worker.summary })
}

struct Worker<'a> {
    downstream: &'a Downstream,
    shared: Shared<'a>,
    works: BTreeMap<i32, ActivePartition>,
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

fn unknown(id: i32) -> Error {
    Error::new(Kind::Io, format!("records of partition {id} before its beginning"))
}

impl Worker<'_> {
    fn tell(&self, what: ToSink) -> Result<()> {
        self.downstream.to_sink.send(what).map_err(|_| closed("the sink"))
    }

    fn begin(&mut self, partition: Partition, start: PartitionStart) -> Result<()> {
        let (id, incarnation) = (partition.id(), start.incarnation);
        let stats = partition.stats();
        self.shared.watch.metrics.begin(id, &stats);
        self.tell(ToSink::Begin { partition: id, start })?;
        if partition.is_fresh() {
            // Where its past ends is kept before anything of it is told.
            self.save_small(&partition, incarnation)?;
        }
        let windows = stats.windows_closed;
        self.works.insert(id, ActivePartition { partition, incarnation, saved: None, due: false, windows });
        Ok(())
    }

    fn take(&mut self, id: i32, records: Records, at: Instant) -> Result<()> {
        let Worker { downstream, shared, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        let partition = &mut work.partition;
        let count = records.len() as u64;
        let had_past = partition.past_end().is_some();
        if partition.is_replaying() {
            shared.watch.metrics.replayed(count);
        }
        partition.take(records, &mut |outcome| hand_on(id, at, outcome, summary, downstream, *shared))?;
        if !partition.is_replaying() {
            shared.has_replayed(id, false);
        }
        let windows = shared.watch.worked(partition, count);
        if had_past && partition.past_end().is_none() {
            tracing::info!(partition = id, windows, "live: the past is learned");
        }
        let has_closed = std::mem::replace(&mut work.windows, windows) != windows;
        if has_closed && std::mem::take(&mut work.due) {
            save(work, false, downstream)?;
        }
        Ok(())
    }

    /// The input has ended.
    fn finish(&mut self, id: i32) -> Result<()> {
        let Worker { downstream, shared, works, summary } = self;
        let work = works.get_mut(&id).ok_or_else(|| unknown(id))?;
        let at = Instant::now();
        work.saved = None;
        work.partition.finish(&mut |outcome| hand_on(id, at, outcome, summary, downstream, *shared))?;
        shared.watch.worked(&mut work.partition, 0);
        Ok(())
    }

    fn drop_partition(&mut self, id: i32, lost: bool) -> Result<()> {
        self.shared.watch.metrics.forget(id);
        self.shared.has_replayed(id, true);
        if let (Some(ActivePartition { partition, incarnation, .. }), false) = (self.works.remove(&id), lost)
        {
            self.save_small(&partition, incarnation)?;
        }
        self.tell(ToSink::Release { partition: id, lost })
    }

    fn snapshot(&mut self, last: bool) -> Result<()> {
        for work in self.works.values_mut() {
            // All series change when a window closes, and what changes while its state is written out is copied: so the
            // next close is waited for, but not longer than to the next time.
            if last || work.due {
                work.due = false;
                save(work, last, self.downstream)?;
            } else {
                work.due = true;
            }
        }
        let done = ToSnapshots::Done(self.downstream.worker);
        self.downstream.to_snapshots.send(done).map_err(|_| closed("the snapshots"))
    }

    /// Writes a small state out at once: it has to be in the last commit before its partition is given back.
    fn save_small(&self, partition: &Partition, incarnation: u64) -> Result<()> {
        if partition.is_replaying() || partition.stats().series_active > HANDOVER_SERIES {
            return Ok(());
        }
        let from = Instant::now();
        let Some(snapshot) = partition.snapshot()? else { return Ok(()) };
        self.tell(ToSink::Save { snapshot, incarnation, took: from.elapsed(), ticket: Ticket::default() })
    }
}

/// Results to the sink; while its channel is full, the partition waits.
fn hand_on(
    partition: i32,
    at: Instant,
    outcome: PartitionOutput,
    summary: &mut Summary,
    downstream: &Downstream,
    shared: Shared<'_>,
) -> Result<()> {
    summary.count(&outcome);
    shared.watch.rejected(&outcome);
    let PartitionOutput { results, reached, .. } = outcome;
    if results.is_empty() && reached.is_none() {
        return Ok(());
    }
    let results = ToSink::Results { partition, results, reached, at };
    downstream.to_sink.send(results).map_err(|_| closed("the sink"))
}

/// Has the state as of now written out, where that is of use.
fn save(work: &mut ActivePartition, last: bool, downstream: &Downstream) -> Result<()> {
    let ActivePartition { partition, incarnation, saved, .. } = work;
    let Some(position) = partition.position() else { return Ok(()) };
    // What makes again what is committed has nothing new to keep.
    if partition.is_replaying() || saved.as_ref().is_some_and(|saved| saved.serves(position, last)) {
        return Ok(());
    }
    let ticket = Ticket::default();
    *saved = Some(Saved { position, ticket: Arc::downgrade(&ticket) });
    let from = Instant::now();
    let Some(frozen) = partition.freeze() else { return Ok(()) };
    let write = ToSnapshots::Write { frozen, incarnation: *incarnation, took: from.elapsed(), ticket };
    downstream.to_snapshots.send(write).map_err(|_| closed("the snapshots"))
}
