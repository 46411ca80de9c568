//! The threaded runner: ingest here, N partition workers, one sink, joined by bounded channels.
//! It must not change what comes out: a partition is always with one worker, and its results keep their order.
//!
//! ```text
//! ingest ──ToWorker──▶ worker (partition % workers) ──ToSink──▶ sink ──durable positions──▶ ingest
//!                         └──frozen states──▶ snapshots ──ToSink──┘
//! ```
//! A worker only freezes its partitions' states; writing them out, which can take seconds, is another thread's work.
//! Back-pressure: a worker's full channel pauses its partitions; the source is still polled, so a consumer keeps
//! its place in the group.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::context::RunContext;
use super::endpoints::Endpoints;
use super::exactly_once::LostPartitions;
use super::factory::PipelineFactory;
use super::job::{Job, RunOptions, Summary};
use super::outputs::{DurablePositions, Outputs, Ticket};
use super::partition::Partition;
use super::recovery::{Opened, open_partition};
use super::worker::{Downstream, snapshot_loop, worker_loop};
use crate::error::{Error, Kind, OrFail, Result, Retry};
use crate::ledger::{Checkpoint, Position, Recover, Snapshot};
use crate::message::{Records, Stream};
use crate::source::{Event, Source};
use crate::telemetry::HealthPart;

/// Batches that may wait before a worker, and before the sink.
const WORKER_DEPTH: usize = 8;
const SINK_DEPTH: usize = 32;
/// States that may wait to be written out.
const SNAPSHOT_DEPTH: usize = 1024;
/// No single call takes longer than this unless it never returns.
const HANGS: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(50);
const CLAIM_AGAIN: Duration = Duration::from_millis(200);
const POLL_WHILE_FULL: Duration = Duration::from_millis(2);

pub(super) enum ToWorker {
    Begin(Box<Partition>, PartitionStart),
    Records {
        partition: i32,
        records: Records,
        at: Instant,
    },
    End(i32),
    Drop {
        partition: i32,
        lost: bool,
    },
    /// `last`: nothing comes after it, so none is left out.
    Snapshot {
        last: bool,
    },
}

/// What the sink has to know of a partition that begins.
#[derive(Clone, Copy)]
pub(super) struct PartitionStart {
    pub entry: Option<Checkpoint>,
    /// Whether earlier results stay.
    pub resume: bool,
    /// Counts the times that a partition began: a state that is written out late may be of an earlier one.
    pub incarnation: u64,
}

pub(super) enum ToSink {
    Begin { partition: i32, start: PartitionStart },
    Results { partition: i32, results: Vec<(Stream, RecordBatch)>, reached: Option<Position>, at: Instant },
    Save { snapshot: Snapshot, incarnation: u64, took: Duration, ticket: Ticket },
    Release { partition: i32, lost: bool },
}

/// Runs until the input ends or `stop` is set. Errors: the first failure of any thread.
pub fn run_threads(job: Job) -> Result<Summary> {
    let Job { factory, source, ends, watch, pace } = job;
    let Endpoints { recover, outputs, durable, lost, guard: _guard } = ends;
    let (failed, released, replaying) = (AtomicBool::new(false), Mutex::default(), Mutex::default());
    thread::scope(|scope| {
        let (to_sink, from_workers) = bounded(SINK_DEPTH);
        let shared = Shared { watch: &watch, failed: &failed, released: &released, replaying: &replaying };
        let sink = spawn(scope, "sink", shared, move || sink_loop(outputs, &from_workers, pace, shared))?;
        let mut to_workers = Vec::new();
        let snapshotting: Vec<_> =
            (0..pace.workers.max(1)).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let (to_snapshots, frozen) = bounded(SNAPSHOT_DEPTH);
        let (flags, sink_of_snapshots) = (snapshotting.clone(), to_sink.clone());
        let snapshots =
            spawn(scope, "snapshots", shared, move || snapshot_loop(&frozen, &sink_of_snapshots, &flags))?;
        let mut workers = Vec::new();
        for index in 0..pace.workers.max(1) {
            let (to_worker, from_ingest) = bounded(WORKER_DEPTH);
            let to_sink = to_sink.clone();
            let name = format!("worker-{index}");
            let to_snapshots = to_snapshots.clone();
            workers.push(spawn(scope, &name, shared, move || {
                worker_loop(&from_ingest, &Downstream { worker: index, to_sink, to_snapshots }, shared)
            })?);
            to_workers.push(to_worker);
        }
        // The sink ends when the last worker and the snapshots do.
        drop((to_sink, to_snapshots));
        let backlog = to_workers.iter().map(|_| VecDeque::new()).collect();
        let mut ingest = Ingest {
            source,
            factory: &factory,
            recover,
            durable: durable.clone(),
            lost,
            to_workers,
            backlog,
            owned: BTreeSet::new(),
            ended: BTreeSet::new(),
            releasing: BTreeSet::new(),
            waiting: Vec::new(),
            claim_at: None,
            snapshotting,
            shared,
            records: 0,
            incarnations: 0,
        };
        let read = ingest.run(pace.snapshot_every);
        // A source that failed says no more what is ours: what cannot be committed soon, never will be.
        let has_failed = read.is_err() && !failed.load(Ordering::Relaxed);
        if has_failed {
            watch.stop.store(true, Ordering::Relaxed);
        }
        let (mut source, records) = ingest.leave();
        // The channels to the workers are closed now: they finish, and after them the sink.
        let mut summary = Summary { records, ..Summary::default() };
        let mut result = Ok(());
        for worker in workers {
            result = result.and(join(worker).map(|did| summary.add(did)));
        }
        result = result.and(join(snapshots));
        let sunk = join(sink);
        if has_failed {
            return read.map(|()| summary);
        }
        // The sink first: what a worker or the reader says of a closed channel is only its echo.
        sunk.and(result).and(read)?;
        commit_durable(source.as_mut(), &durable)?;
        source.close()?;
        Ok(summary)
    })
}

#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub watch: &'a RunContext,
    /// Set when any thread fails, so that the others end too.
    failed: &'a AtomicBool,
    /// Revoked partitions that the sink has let go of.
    released: &'a Mutex<BTreeSet<i32>>,
    /// Partitions that make again what is committed, and since when.
    replaying: &'a Mutex<BTreeMap<i32, Instant>>,
}

impl Shared<'_> {
    /// A partition has caught up with what is committed of it, or is gone.
    pub fn has_replayed(&self, partition: i32, is_gone: bool) {
        let mut replaying = self.replaying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = replaying.remove(&partition) {
            if !is_gone {
                self.watch.metrics.restored(since.elapsed());
                tracing::info!(partition, took = ?since.elapsed(), "caught up with what was committed");
            }
            if replaying.is_empty() {
                self.watch.health.set_ready(HealthPart::Replay);
            }
        }
    }

    fn replays(&self, partition: i32) {
        let mut replaying = self.replaying.lock().unwrap_or_else(PoisonError::into_inner);
        replaying.insert(partition, Instant::now());
        self.watch.health.set_waiting(HealthPart::Replay, "replaying to where the last commit was");
    }
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

pub(super) fn closed(who: &str) -> Error {
    Error::new(Kind::Io, format!("{who} ended early"))
}

/// The reading thread's state.
struct Ingest<'a> {
    source: Box<dyn Source>,
    factory: &'a PipelineFactory,
    recover: Box<dyn Recover>,
    durable: DurablePositions,
    lost: LostPartitions,
    to_workers: Vec<Sender<ToWorker>>,
    /// What a full worker could not take; its partitions are paused while there is any.
    backlog: Vec<VecDeque<ToWorker>>,
    owned: BTreeSet<i32>,
    ended: BTreeSet<i32>,
    /// Revoked, and not yet let go of by the sink.
    releasing: BTreeSet<i32>,
    /// Assigned while some were still to be released.
    waiting: Vec<i32>,
    /// When a claim that could not be made is tried again.
    claim_at: Option<Instant>,
    /// A worker's snapshot is asked for and not taken yet.
    snapshotting: Vec<Arc<AtomicBool>>,
    shared: Shared<'a>,
    records: u64,
    /// Partitions begun so far.
    incarnations: u64,
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
            commit_durable(self.source.as_mut(), &self.durable)?;
            self.release_done()?;
            self.watch_the_sink();
            let full = self.backlog.iter().any(|backlog| !backlog.is_empty());
            let polled = self.source.poll(if full { POLL_WHILE_FULL } else { POLL });
            match self.shared.watch.polled(polled, assigned)? {
                Event::Assigned(ids) => {
                    assigned = true;
                    self.waiting.extend(ids);
                    self.begin_waiting()?;
                }
                Event::Revoked { partitions, lost } => {
                    partitions.into_iter().try_for_each(|id| self.drop_partition(id, lost))?;
                }
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
            for command in backlog.drain(..).chain([ToWorker::Snapshot { last: true }]) {
                worker.send(command).map_err(|_| closed("a worker"))?;
            }
        }
        Ok(())
    }

    fn worker_of(&self, partition: i32) -> usize {
        partition.rem_euclid(self.to_workers.len() as i32) as usize
    }

    /// A thread that hangs in a client library cannot be ended, and would be waited for without end. What it has not
    /// committed is made again by the next run.
    fn watch_the_sink(&self) {
        let silence = self.shared.watch.pulse.silence();
        if silence > HANGS {
            tracing::error!(?silence, "a call of the sink hangs; ending the process without it");
            std::process::exit(1);
        }
    }

    /// Partitions that the sink has let go of are given back.
    fn release_done(&mut self) -> Result<()> {
        let done = std::mem::take(&mut *self.shared.released.lock().unwrap_or_else(PoisonError::into_inner));
        for id in done {
            self.releasing.remove(&id);
            self.source.release(id)?;
        }
        self.begin_waiting()
    }

    /// Begins the assigned partitions. One that comes back has to be let go of first: until then nobody knows what is
    /// committed of it. Where what is known cannot be read now, the next call tries again.
    fn begin_waiting(&mut self) -> Result<()> {
        if !self.releasing.is_empty() || self.waiting.is_empty() {
            return Ok(());
        }
        if self.claim_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let health = &self.shared.watch.health;
        while let Some(&id) = self.waiting.first() {
            if self.shared.watch.is_stopped() {
                return Ok(());
            }
            match self.begin(id) {
                Ok(()) => _ = self.waiting.remove(0),
                Err(error) if error.retry == Retry::Later => {
                    if self.claim_at.replace(Instant::now() + CLAIM_AGAIN).is_none() {
                        tracing::warn!(%error, partition = id, "waiting");
                    }
                    health.set_waiting(HealthPart::Claim, error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        self.claim_at = None;
        health.set_ready(HealthPart::Claim);
        health.set_ready(HealthPart::Source);
        Ok(())
    }

    fn begin(&mut self, id: i32) -> Result<()> {
        let (factory, recover, source) = (self.factory, self.recover.as_mut(), &mut self.source);
        let Opened { partition, position, entry, resume } =
            open_partition(factory, recover, id, || source.offset_range(id), self.shared.watch)?;
        self.owned.insert(id);
        self.incarnations += 1;
        if partition.is_replaying() {
            self.shared.replays(id);
        }
        // The sink hears of it from the worker, after what the worker still does for an earlier time of the partition.
        self.send(
            id,
            ToWorker::Begin(
                Box::new(partition),
                PartitionStart { entry, resume, incarnation: self.incarnations },
            ),
        )?;
        self.source.start(id, position)
    }

    fn drop_partition(&mut self, id: i32, lost: bool) -> Result<()> {
        self.waiting.retain(|waiting| *waiting != id);
        if self.waiting.is_empty() {
            self.shared.watch.health.set_ready(HealthPart::Claim);
        }
        if !self.owned.remove(&id) {
            return self.source.release(id);
        }
        self.ended.remove(&id);
        self.releasing.insert(id);
        if lost {
            // The sink may be in the middle of commits that will never be made.
            self.lost.add(id);
        }
        self.send(id, ToWorker::Drop { partition: id, lost })
    }

    fn forward(&mut self, partition: i32, records: Records) -> Result<()> {
        let count = records.len() as u64;
        self.records += count;
        let (metrics, topic) = (&self.shared.watch.metrics, self.factory.topic());
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
                self.send_to(worker, ToWorker::Snapshot { last: false })?;
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

fn commit_durable(source: &mut dyn Source, durable: &DurablePositions) -> Result<()> {
    durable.take().into_iter().try_for_each(|(partition, position)| source.commit(partition, position))
}

fn sink_loop(
    mut outputs: Box<dyn Outputs>,
    from_workers: &Receiver<ToSink>,
    pace: RunOptions,
    shared: Shared<'_>,
) -> Result<()> {
    let metrics = &shared.watch.metrics;
    let mut incarnations: BTreeMap<i32, u64> = BTreeMap::new();
    let mut commit_at = Instant::now() + pace.commit_every;
    loop {
        shared.watch.pulse.rest();
        let received = from_workers.recv_timeout(commit_at.saturating_duration_since(Instant::now()));
        shared.watch.pulse.beat();
        metrics.depth("sink", from_workers.len());
        let from = Instant::now();
        match received {
            Ok(ToSink::Begin { partition, start }) => {
                incarnations.insert(partition, start.incarnation);
                outputs.begin(partition, start.entry, start.resume)?;
            }
            Ok(ToSink::Results { partition, results, reached, at }) => {
                shared.watch.wrote(&results);
                if results.iter().any(|(stream, _)| *stream == Stream::Forecasts) {
                    metrics.latency(at.elapsed());
                }
                outputs.results(partition, results, reached)?;
            }
            // Of another incarnation it may know of results that were dropped with that.
            Ok(ToSink::Save { snapshot, incarnation, .. })
                if incarnations.get(&snapshot.partition) != Some(&incarnation) => {}
            Ok(ToSink::Save { snapshot, took, ticket, .. }) => {
                let bytes = snapshot.state.len();
                outputs.snapshot(snapshot, ticket)?;
                metrics.snapshot(bytes, took + from.elapsed());
            }
            Ok(ToSink::Release { partition, lost }) => {
                incarnations.remove(&partition);
                outputs.release(partition, lost)?;
                shared.released.lock().unwrap_or_else(PoisonError::into_inner).insert(partition);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return outputs.finish(),
        }
        if Instant::now() >= commit_at {
            outputs.commit()?;
            commit_at = Instant::now() + pace.commit_every;
        }
        metrics.busy("sink", from.elapsed());
    }
}
