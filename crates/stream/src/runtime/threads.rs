//! The threaded runner: the reader here, N partition workers, one writer, joined by bounded
//! channels.
//! It must not change what comes out: a partition is always with one worker, and its results keep
//! their order.
//!
//! ```text
//! reader ──ToWorker──▶ worker (partition % workers) ──ToSink──▶ writer ──ToReader──▶ reader
//!                         └──ToSnapshots──▶ snapshots ──ToSink──┘
//! ```
//! A worker only freezes its partitions' states; writing them out, which can take seconds, is
//! another thread's work. Back-pressure: a worker's full channel pauses its partitions; the source
//! is still polled, so a consumer keeps its place in the group.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded, unbounded};

use super::channels::{SINK_DEPTH, SNAPSHOT_DEPTH, ToReader, WORKER_DEPTH};
use super::context::RunContext;
use super::endpoints::Endpoints;
use super::job::{Job, RunOptions, Summary};
use super::outputs::Outputs;
use super::queue::WorkerQueue;
use super::reader::{ReaderParts, SourceReader};
use super::sink_watch::SinkWatch;
use super::snapshots::snapshot_loop;
use super::worker::{Downstream, worker_loop};
use super::writer::Writer;
use crate::error::{Error, Kind, OrFail, Result};

/// No single call of the sink takes longer than this unless it never returns.
const HANGS: Duration = Duration::from_secs(180);

/// Runs until the input ends or `stop` is set. Errors: the first failure of any thread, and `Sink`,
/// when a call of the sink does not return: then its thread is left behind, since a thread cannot
/// be ended from outside.
pub fn run_threads(job: Job) -> Result<Summary> {
    run_watched(job, HANGS)
}

/// As [`run_threads`]; a call of the sink that takes longer than `hangs` never returns.
pub(super) fn run_watched(job: Job, hangs: Duration) -> Result<Summary> {
    let Job { factory, source, ends, watch, pace } = job;
    let Endpoints { recover, outputs, lost, guard } = ends;
    let (to_reader, from_threads) = unbounded();
    let crew = Crew { span: tracing::Span::current(), watch: watch.clone(), to_reader };
    let (queues, threads) = crew.spawn_all(outputs, guard, pace)?;
    drop(crew);

    let stop = Arc::clone(&watch.stop);
    let sink = SinkWatch::new(hangs);
    let parts = ReaderParts { source, factory, recover, lost, queues, from_threads, watch, sink };
    let mut reader = SourceReader::new(parts);
    let read = reader.run();
    let source_failed = read.is_err() && !reader.has_failed();
    if source_failed {
        // A source that failed says no more what is ours: what cannot be committed soon, never will
        // be.
        stop.store(true, Ordering::Relaxed);
    }
    if let Err(hung) = reader.wait_for_threads() {
        tracing::error!(%hung, "the writer is left behind");
        return read.and(Err(hung));
    }

    let done = threads.join();
    // Of two errors, the cause: what the reader says of a closed channel is only an echo of a
    // thread's failure.
    let mut summary = if source_failed { read.and(done)? } else { done.and_then(|did| read.map(|()| did))? };
    summary.records = reader.records();
    reader.close()?;
    Ok(summary)
}

/// Starts the threads of a run.
struct Crew {
    /// The caller's: the threads' log lines are of the same pipeline.
    span: tracing::Span,
    watch: RunContext,
    to_reader: Sender<ToReader>,
}

/// The threads of a run.
struct Threads {
    writer: JoinHandle<Result<()>>,
    snapshots: JoinHandle<Result<()>>,
    workers: Vec<JoinHandle<Result<Summary>>>,
}

impl Crew {
    /// Starts the writer, the workers and the snapshots; the ways to the workers. All end when
    /// these are gone.
    fn spawn_all(
        &self,
        outputs: Box<dyn Outputs>,
        guard: Option<Box<dyn Any + Send>>,
        pace: RunOptions,
    ) -> Result<(Vec<WorkerQueue>, Threads)> {
        let (to_sink, from_workers) = bounded(SINK_DEPTH);
        let mut writer = Writer::new(outputs, self.watch.clone(), self.to_reader.clone(), pace.commit_every);
        let writer = self.spawn("sink", move || {
            // The lock on the state is held for as long as anybody may write, a call that hangs
            // too.
            let _held = &guard;
            writer.run(&from_workers)
        })?;

        let (to_snapshots, frozen) = bounded(SNAPSHOT_DEPTH);
        let sink = to_sink.clone();
        let snapshots = self.spawn("snapshots", move || snapshot_loop(&frozen, &sink))?;

        let (mut queues, mut workers) = (Vec::new(), Vec::new());
        for worker in 0..pace.workers.max(1) {
            let name = format!("worker-{worker}");
            let to = Downstream {
                recover_within: pace.recover_within,
                to_sink: to_sink.clone(),
                to_snapshots: to_snapshots.clone(),
                to_reader: self.to_reader.clone(),
                watch: self.watch.clone(),
            };
            let (to_worker, from_reader) = bounded(WORKER_DEPTH);
            let thread = self.spawn(&name, move || worker_loop(&from_reader, &to))?;
            queues.push(WorkerQueue::new(to_worker));
            workers.push(thread);
        }
        Ok((queues, Threads { writer, snapshots, workers }))
    }

    /// Starts a thread. When it fails, the reader hears of that before its channels close: it
    /// outlives the call of `work`, which owns them.
    fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        mut work: impl FnMut() -> Result<T> + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let (span, to_reader) = (self.span.clone(), self.to_reader.clone());
        let guarded = move || {
            let _entered = span.enter();
            let alarm = Alarm(&to_reader);
            let result = work();
            if result.is_ok() {
                std::mem::forget(alarm);
            }
            result
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(guarded)
            .or_fail(Kind::Io, || format!("cannot start thread {name}"))
    }
}

/// Rings when it is dropped, by an error or a panic.
struct Alarm<'a>(&'a Sender<ToReader>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        _ = self.0.send(ToReader::Failed);
    }
}

impl Threads {
    /// What all of them did. Errors: the writer's first, then the workers': what a worker says of a
    /// closed channel is only an echo of that.
    fn join(self) -> Result<Summary> {
        let written = join(self.writer);
        let mut summary = Summary::default();
        let mut worked = Ok(());
        for worker in self.workers {
            worked = worked.and(join(worker).map(|did| summary.add(did)));
        }
        let saved = join(self.snapshots);
        written.and(worked).and(saved).map(|()| summary)
    }
}

fn join<T>(handle: JoinHandle<Result<T>>) -> Result<T> {
    let name = handle.thread().name().unwrap_or("thread").to_owned();
    handle
        .join()
        .unwrap_or_else(|_| Err(Error::new(Kind::Io, format!("{name} panicked; this is a bug in tickcast"))))
}
