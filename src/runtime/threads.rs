//! The threaded runner: ingest here, N partition workers, one sink, joined by bounded channels.
//! It must not change what comes out: a partition is always with one worker, and its results keep their order.
//!
//! ```text
//! ingest ──ToWorker──▶ worker (partition % workers) ──ToSink──▶ sink ──durable positions──▶ ingest
//! ```
//! Back-pressure: a worker's full channel pauses its partitions; the source is still polled, so a consumer keeps
//! its place in the group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::outputs::{Opened, Outputs, open_partition};
use super::partition::{Outcome, Partition};
use super::{Blueprint, Job, Pace, Summary, Watch};
use crate::error::{Error, Kind, OrFail, Result};
use crate::ingest::{Event, Source};
use crate::ledger::{DirLedger, Snapshot};
use crate::message::{Records, Stream};
use crate::serve::Part;

/// Batches that may wait before a worker, and before the sink.
const WORKER_DEPTH: usize = 8;
const SINK_DEPTH: usize = 32;
const POLL: Duration = Duration::from_millis(50);
const POLL_WHILE_FULL: Duration = Duration::from_millis(2);

enum ToWorker {
    Begin(Box<Partition>, Resume),
    Records { partition: i32, records: Records, at: Instant },
    End(i32),
    Drop(i32),
    Snapshot,
}

/// Whether a partition's earlier results stay.
type Resume = bool;

enum ToSink {
    Begin { partition: i32, resume: bool },
    Results { partition: i32, results: Vec<(Stream, RecordBatch)>, at: Instant },
    Save { snapshot: Snapshot, took: Duration },
}

/// What is durable of each partition and not yet told to the source.
type Durable = Mutex<BTreeMap<i32, i64>>;

/// Runs until the input ends or `stop` is set. Errors: the first failure of any thread.
pub fn run_threads(job: Job) -> Result<Summary> {
    let Job { blueprint, source, outputs, watch, pace } = job;
    let durable = Durable::default();
    let failed = AtomicBool::new(false);
    let ledger = outputs.ledger().cloned();
    thread::scope(|scope| {
        let (to_sink, from_workers) = bounded(SINK_DEPTH);
        let shared = Shared { watch: &watch, durable: &durable, failed: &failed };
        let sink = spawn(scope, "sink", shared, move || sink_loop(outputs, &from_workers, pace, shared))?;
        let mut to_workers = Vec::new();
        let mut snapshotting = Vec::new();
        let mut workers = Vec::new();
        for index in 0..pace.workers.max(1) {
            let (to_worker, from_ingest) = bounded(WORKER_DEPTH);
            let to_sink = to_sink.clone();
            let name = format!("worker-{index}");
            let asked = Arc::new(AtomicBool::new(false));
            let taken = Arc::clone(&asked);
            workers.push(spawn(scope, &name, shared, move || {
                worker_loop(&from_ingest, &to_sink, &taken, shared)
            })?);
            to_workers.push(to_worker);
            snapshotting.push(asked);
        }
        // The sink ends when the last worker does.
        drop(to_sink);
        let backlog = to_workers.iter().map(|_| VecDeque::new()).collect();
        let mut ingest = Ingest {
            source,
            blueprint: &blueprint,
            ledger,
            to_workers,
            backlog,
            owned: BTreeSet::new(),
            ended: BTreeSet::new(),
            snapshotting,
            shared,
            records: 0,
        };
        let read = ingest.run(pace.snapshot_every);
        let (mut source, records) = ingest.leave();
        // The channels to the workers are closed now: they finish, and after them the sink.
        let mut summary = Summary { records, ..Summary::default() };
        let mut result = Ok(());
        for worker in workers {
            result = result.and(join(worker).map(|did| summary.add(did)));
        }
        // The sink first: what a worker or the reader says of a closed channel is only its echo.
        join(sink).and(result).and(read)?;
        commit_durable(source.as_mut(), &durable)?;
        source.close()?;
        Ok(summary)
    })
}

#[derive(Clone, Copy)]
struct Shared<'a> {
    watch: &'a Watch,
    durable: &'a Durable,
    /// Set when any thread fails, so that the others end too.
    failed: &'a AtomicBool,
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    shared: Shared<'scope>,
    work: impl FnOnce() -> Result<T> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T>>> {
    let guarded = move || {
        let alarm = Alarm(shared.failed);
        let result = work();
        if result.is_ok() {
            std::mem::forget(alarm);
        }
        result
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, guarded)
        .or_fail(Kind::Io, || format!("cannot start thread {name}"))
}

/// Rings when it is dropped, by an error or a panic.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn join<T>(handle: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    let name = handle.thread().name().unwrap_or("thread").to_owned();
    handle
        .join()
        .unwrap_or_else(|_| Err(Error::new(Kind::Io, format!("{name} panicked; this is a bug in tickcast"))))
}

fn closed(who: &str) -> Error {
    Error::new(Kind::Io, format!("{who} ended early"))
}

/// The reading thread's state.
struct Ingest<'a> {
    source: Box<dyn Source>,
    blueprint: &'a Blueprint,
    ledger: Option<DirLedger>,
    to_workers: Vec<Sender<ToWorker>>,
    /// What a full worker could not take; its partitions are paused while there is any.
    backlog: Vec<VecDeque<ToWorker>>,
    owned: BTreeSet<i32>,
    ended: BTreeSet<i32>,
    /// A worker's snapshot is asked for and not taken yet.
    snapshotting: Vec<Arc<AtomicBool>>,
    shared: Shared<'a>,
    records: u64,
}

impl Ingest<'_> {
    fn run(&mut self, snapshot_every: Duration) -> Result<()> {
        let mut snapshot_at = Instant::now() + snapshot_every;
        let mut assigned = false;
        while !self.is_over(assigned) {
            self.drain_backlog()?;
            if Instant::now() >= snapshot_at {
                snapshot_at = Instant::now() + snapshot_every;
                self.snapshot_all()?;
            }
            commit_durable(self.source.as_mut(), self.shared.durable)?;
            let full = self.backlog.iter().any(|backlog| !backlog.is_empty());
            let polled = self.source.poll(if full { POLL_WHILE_FULL } else { POLL });
            match self.shared.watch.polled(polled, assigned)? {
                Event::Assigned(ids) => {
                    assigned = true;
                    ids.into_iter().try_for_each(|id| self.begin(id))?;
                    self.shared.watch.health.set_ready(Part::Source);
                }
                Event::Revoked(ids) => ids.into_iter().try_for_each(|id| self.drop_partition(id))?,
                Event::Records { partition, records } => self.forward(partition, records)?,
                Event::End { partition } => {
                    self.ended.insert(partition);
                    self.send(partition, ToWorker::End(partition))?;
                }
                Event::Idle { .. } => {}
            }
        }
        self.finish()
    }

    /// Closes every channel of the reading thread.
    fn leave(self) -> (Box<dyn Source>, u64) {
        (self.source, self.records)
    }

    fn is_over(&self, assigned: bool) -> bool {
        self.shared.watch.is_stopped()
            || self.shared.failed.load(Ordering::Relaxed)
            || (assigned && !self.owned.is_empty() && self.ended == self.owned)
    }

    /// Everything read is worked on and its state saved, then the workers' channels close.
    fn finish(&mut self) -> Result<()> {
        for (worker, backlog) in self.to_workers.iter().zip(&mut self.backlog) {
            for command in backlog.drain(..).chain([ToWorker::Snapshot]) {
                worker.send(command).map_err(|_| closed("a worker"))?;
            }
        }
        Ok(())
    }

    fn worker_of(&self, partition: i32) -> usize {
        partition.rem_euclid(self.to_workers.len() as i32) as usize
    }

    fn begin(&mut self, id: i32) -> Result<()> {
        let metrics = &self.shared.watch.metrics;
        let Opened { partition, position, resume } =
            open_partition(self.blueprint, self.ledger.as_ref(), id, metrics)?;
        self.owned.insert(id);
        // The sink hears of it from the worker, after what the worker still does for an earlier time of the partition.
        self.send(id, ToWorker::Begin(Box::new(partition), resume))?;
        self.source.start(id, position)
    }

    fn drop_partition(&mut self, id: i32) -> Result<()> {
        self.owned.remove(&id);
        self.ended.remove(&id);
        self.send(id, ToWorker::Drop(id))
    }

    fn forward(&mut self, partition: i32, records: Records) -> Result<()> {
        let count = records.len() as u64;
        self.records += count;
        let (metrics, topic) = (&self.shared.watch.metrics, &self.blueprint.topic);
        metrics.records_received(topic, partition, count);
        if let Some(lag) = self.source.lag(partition) {
            metrics.lag(topic, partition, lag);
        }
        self.send(partition, ToWorker::Records { partition, records, at: Instant::now() })
    }

    fn snapshot_all(&mut self) -> Result<()> {
        for worker in 0..self.to_workers.len() {
            // One at a time: where a snapshot takes longer than its interval, records still get their turn.
            if !self.snapshotting[worker].swap(true, Ordering::Relaxed) {
                self.send_to(worker, ToWorker::Snapshot)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, partition: i32, command: ToWorker) -> Result<()> {
        self.send_to(self.worker_of(partition), command)
    }

    /// In order: what a worker cannot take now waits behind what it could not take before.
    fn send_to(&mut self, worker: usize, command: ToWorker) -> Result<()> {
        if let (ToWorker::Records { partition, .. }, false) = (&command, self.backlog[worker].is_empty()) {
            // It came while others of its worker were paused already.
            self.source.set_paused(*partition, true)?;
        }
        let command = if self.backlog[worker].is_empty() {
            match self.to_workers[worker].try_send(command) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Disconnected(_)) => return Err(closed("a worker")),
                Err(TrySendError::Full(command)) => command,
            }
        } else {
            command
        };
        if self.backlog[worker].is_empty() {
            self.set_paused(worker, true)?;
        }
        self.backlog[worker].push_back(command);
        Ok(())
    }

    fn drain_backlog(&mut self) -> Result<()> {
        let waiting = self.to_workers.iter().map(Sender::len).sum();
        self.shared.watch.metrics.depth("worker", waiting);
        for worker in 0..self.to_workers.len() {
            if self.backlog[worker].is_empty() {
                continue;
            }
            while let Some(command) = self.backlog[worker].pop_front() {
                match self.to_workers[worker].try_send(command) {
                    Ok(()) => {}
                    Err(TrySendError::Disconnected(_)) => return Err(closed("a worker")),
                    Err(TrySendError::Full(command)) => {
                        self.backlog[worker].push_front(command);
                        break;
                    }
                }
            }
            if self.backlog[worker].is_empty() {
                self.set_paused(worker, false)?;
            }
        }
        Ok(())
    }

    fn set_paused(&mut self, worker: usize, paused: bool) -> Result<()> {
        let of_worker: Vec<i32> =
            self.owned.difference(&self.ended).copied().filter(|&id| self.worker_of(id) == worker).collect();
        of_worker.into_iter().try_for_each(|id| self.source.set_paused(id, paused))
    }
}

fn commit_durable(source: &mut dyn Source, durable: &Durable) -> Result<()> {
    let done = std::mem::take(&mut *durable.lock().unwrap_or_else(PoisonError::into_inner));
    done.into_iter().try_for_each(|(partition, position)| source.commit(partition, position))
}

fn worker_loop(
    from_ingest: &Receiver<ToWorker>,
    to_sink: &Sender<ToSink>,
    snapshotting: &AtomicBool,
    shared: Shared<'_>,
) -> Result<Summary> {
    // Where each partition was saved last: one that has not moved is not saved again.
    let mut saved: BTreeMap<i32, Option<i64>> = BTreeMap::new();
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut summary = Summary::default();
    let missing = |id: i32| Error::new(Kind::Io, format!("records of partition {id} before its beginning"));
    for command in from_ingest {
        match command {
            // What is not worked on is not in the snapshot either: the next run reads it again.
            ToWorker::Records { .. } | ToWorker::End(_) if shared.watch.is_stopped() => {}
            ToWorker::Begin(partition, resume) => {
                let id = partition.id();
                shared.watch.metrics.begin(id, &partition.stats());
                to_sink.send(ToSink::Begin { partition: id, resume }).map_err(|_| closed("the sink"))?;
                saved.remove(&id);
                partitions.insert(id, *partition);
            }
            ToWorker::Records { partition: id, records, at } => {
                let partition = partitions.get_mut(&id).ok_or_else(|| missing(id))?;
                let count = records.len() as u64;
                partition
                    .take(records, &mut |outcome| hand_on(id, at, outcome, &mut summary, to_sink, shared))?;
                shared.watch.worked(partition, count);
            }
            ToWorker::End(id) => {
                let partition = partitions.get_mut(&id).ok_or_else(|| missing(id))?;
                let at = Instant::now();
                saved.remove(&id);
                partition.finish(&mut |outcome| hand_on(id, at, outcome, &mut summary, to_sink, shared))?;
                shared.watch.worked(partition, 0);
            }
            ToWorker::Drop(id) => {
                shared.watch.metrics.forget(id);
                if let Some(partition) = partitions.remove(&id) {
                    save(&partition, to_sink)?;
                }
            }
            ToWorker::Snapshot => {
                for (id, partition) in &partitions {
                    let position = partition.position();
                    if position.is_some() && saved.insert(*id, position) != Some(position) {
                        save(partition, to_sink)?;
                    }
                }
                snapshotting.store(false, Ordering::Relaxed);
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
    if outcome.results.is_empty() {
        return Ok(());
    }
    to_sink.send(ToSink::Results { partition, results: outcome.results, at }).map_err(|_| closed("the sink"))
}

fn save(partition: &Partition, to_sink: &Sender<ToSink>) -> Result<()> {
    let from = Instant::now();
    match partition.snapshot()? {
        Some(snapshot) => {
            to_sink.send(ToSink::Save { snapshot, took: from.elapsed() }).map_err(|_| closed("the sink"))
        }
        None => Ok(()),
    }
}

fn sink_loop(
    mut outputs: Outputs,
    from_workers: &Receiver<ToSink>,
    pace: Pace,
    shared: Shared<'_>,
) -> Result<()> {
    let metrics = &shared.watch.metrics;
    let mut flush_at = Instant::now() + pace.commit_every;
    loop {
        let received = from_workers.recv_timeout(flush_at.saturating_duration_since(Instant::now()));
        metrics.depth("sink", from_workers.len());
        let from = Instant::now();
        match received {
            Ok(ToSink::Begin { partition, resume }) => outputs.begin(partition, resume)?,
            Ok(ToSink::Results { partition, results, at }) => {
                outputs.write(partition, &results)?;
                shared.watch.wrote(&results);
                if results.iter().any(|(stream, _)| *stream == Stream::Forecasts) {
                    metrics.latency(at.elapsed());
                }
            }
            Ok(ToSink::Save { snapshot, took }) => {
                let saved = outputs.save(&snapshot);
                metrics.commit(if saved.is_ok() { "committed" } else { "failed" }, from.elapsed());
                saved?;
                metrics.snapshot(snapshot.state.len(), took + from.elapsed());
                let mut durable = shared.durable.lock().unwrap_or_else(PoisonError::into_inner);
                durable.insert(snapshot.partition, snapshot.position);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return outputs.sync(),
        }
        if Instant::now() >= flush_at {
            outputs.flush()?;
            flush_at = Instant::now() + pace.commit_every;
        }
        metrics.busy("sink", from.elapsed());
    }
}
