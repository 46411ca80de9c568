//! A worker: its partitions' records in, their results to the sink, their frozen states to be written out.
//! It must not know which source or sink there is, nor wait for anything but a full channel.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::Summary;
use super::image::FrozenSnapshot;
use super::outputs::Ticket;
use super::partition::{Outcome, Partition};
use super::threads::{Shared, ToSink, ToWorker, closed};
use crate::error::{Error, Kind, Result};

/// A state of more series is too large to be committed while the group waits for its partition.
const HANDOVER_SERIES: u64 = 1000;

/// A state to write out, or that a worker has frozen all of its own.
pub(super) enum ToSnapshots {
    Write { frozen: FrozenSnapshot, life: u64, took: Duration, ticket: Ticket },
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
            ToSnapshots::Write { frozen, life, took, ticket } => {
                let from = Instant::now();
                let snapshot = frozen.write()?;
                let took = took + from.elapsed();
                to_sink
                    .send(ToSink::Save { snapshot, life, took, ticket })
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
    let Downstream { worker, to_sink, to_snapshots } = downstream;
    let mut saved: BTreeMap<i32, Saved> = BTreeMap::new();
    // Partitions whose state is to be frozen when they have closed a window.
    let mut due: BTreeSet<i32> = BTreeSet::new();
    // How many each has closed.
    let mut windows: BTreeMap<i32, u64> = BTreeMap::new();
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut lives: BTreeMap<i32, u64> = BTreeMap::new();
    let mut summary = Summary::default();
    let missing = |id: i32| Error::new(Kind::Io, format!("records of partition {id} before its beginning"));
    for command in from_ingest {
        match command {
            // What is not worked on is not in the snapshot either: the next run reads it again.
            ToWorker::Records { .. } | ToWorker::End(_) if shared.watch.is_stopped() => {}
            ToWorker::Begin(partition, start) => {
                let id = partition.id();
                shared.watch.metrics.begin(id, &partition.stats());
                to_sink.send(ToSink::Begin { partition: id, start }).map_err(|_| closed("the sink"))?;
                saved.remove(&id);
                lives.insert(id, start.life);
                partitions.insert(id, *partition);
            }
            ToWorker::Records { partition: id, records, at } => {
                let partition = partitions.get_mut(&id).ok_or_else(|| missing(id))?;
                let count = records.len() as u64;
                if partition.is_replaying() {
                    shared.watch.metrics.replayed(count);
                }
                partition
                    .take(records, &mut |outcome| hand_on(id, at, outcome, &mut summary, to_sink, shared))?;
                if !partition.is_replaying() {
                    shared.has_replayed(id, false);
                }
                let closed = shared.watch.worked(partition, count);
                let has_closed = windows.insert(id, closed) != Some(closed);
                if has_closed && due.remove(&id) {
                    save(partition, life_of(&lives, id), false, &mut saved, to_snapshots)?;
                }
            }
            ToWorker::End(id) => {
                let partition = partitions.get_mut(&id).ok_or_else(|| missing(id))?;
                let at = Instant::now();
                saved.remove(&id);
                partition.finish(&mut |outcome| hand_on(id, at, outcome, &mut summary, to_sink, shared))?;
                shared.watch.worked(partition, 0);
            }
            ToWorker::Drop { partition: id, lost } => {
                due.remove(&id);
                shared.watch.metrics.forget(id);
                shared.has_replayed(id, true);
                if let (Some(partition), false) = (partitions.remove(&id), lost) {
                    save_small(&partition, life_of(&lives, id), to_sink)?;
                }
                to_sink.send(ToSink::Release { partition: id, lost }).map_err(|_| closed("the sink"))?;
            }
            ToWorker::Snapshot { last } => {
                for (id, partition) in &partitions {
                    // All series change when a window closes, and what changes while its state is written out is copied:
                    // so the next close is waited for, but not longer than to the next time.
                    if !last && due.insert(*id) {
                        continue;
                    }
                    due.remove(id);
                    save(partition, life_of(&lives, *id), last, &mut saved, to_snapshots)?;
                }
                to_snapshots.send(ToSnapshots::Done(*worker)).map_err(|_| closed("the snapshots"))?;
            }
        }
    }
    summary.windows = partitions.values().map(|partition| partition.stats().windows_closed).sum();
    Ok(summary)
}

/// Results to the sink; while its channel is full, the partition waits.
fn hand_on(
    partition: i32,
    at: Instant,
    outcome: Outcome,
    summary: &mut Summary,
    to_sink: &Sender<ToSink>,
    shared: Shared<'_>,
) -> Result<()> {
    summary.count(&outcome);
    shared.watch.rejected(&outcome);
    let Outcome { results, reached, .. } = outcome;
    if results.is_empty() && reached.is_none() {
        return Ok(());
    }
    to_sink.send(ToSink::Results { partition, results, reached, at }).map_err(|_| closed("the sink"))
}

fn life_of(lives: &BTreeMap<i32, u64>, partition: i32) -> u64 {
    lives.get(&partition).copied().unwrap_or_default()
}

/// Has the state as of now written out, where that is of use.
fn save(
    partition: &Partition,
    life: u64,
    last: bool,
    saved: &mut BTreeMap<i32, Saved>,
    to_snapshots: &Sender<ToSnapshots>,
) -> Result<()> {
    let (id, Some(position)) = (partition.id(), partition.position()) else { return Ok(()) };
    // What makes again what is committed has nothing new to keep.
    if partition.is_replaying() || saved.get(&id).is_some_and(|saved| saved.serves(position, last)) {
        return Ok(());
    }
    let ticket = Ticket::default();
    saved.insert(id, Saved { position, ticket: Arc::downgrade(&ticket) });
    let from = Instant::now();
    let Some(frozen) = partition.freeze() else { return Ok(()) };
    let took = from.elapsed();
    to_snapshots.send(ToSnapshots::Write { frozen, life, took, ticket }).map_err(|_| closed("the snapshots"))
}

/// Writes a small state out at once: it has to be in the last commit before its partition is given back.
fn save_small(partition: &Partition, life: u64, to_sink: &Sender<ToSink>) -> Result<()> {
    if partition.is_replaying() || partition.stats().series_active > HANDOVER_SERIES {
        return Ok(());
    }
    let from = Instant::now();
    let Some(snapshot) = partition.snapshot()? else { return Ok(()) };
    let (took, ticket) = (from.elapsed(), Ticket::default());
    to_sink.send(ToSink::Save { snapshot, life, took, ticket }).map_err(|_| closed("the sink"))
}
