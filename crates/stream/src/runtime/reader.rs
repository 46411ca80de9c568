//! The reading thread: polls the source, gives its partitions to workers, and gives back what is
//! revoked.
//! It must not decode, compute or write, and it waits for nothing but its source: a group takes its
//! partitions away from whoever does not poll.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::channels::{PartitionStart, ToReader, ToWorker};
use super::context::RunContext;
use super::exactly_once::LostPartitions;
use super::factory::PipelineFactory;
use super::phases::{OnRevoke, Phases};
use super::queue::WorkerQueue;
use super::recovery::{Opened, open_partition};
use super::replays::Replays;
use super::sink_watch::SinkWatch;
use crate::error::{Error, Result, Retry};
use crate::ledger::Recover;
use crate::message::Records;
use crate::place::{Offset, PartitionId};
use crate::source::{Departure, Event, Source};
use crate::telemetry::HealthPart;

/// How long a poll waits for records.
const POLL: Duration = Duration::from_millis(50);
/// The same while a worker is behind, and wants what waits for it soon.
const POLL_WHILE_FULL: Duration = Duration::from_millis(2);
/// Between two attempts to claim a partition.
const CLAIM_AGAIN: Duration = Duration::from_millis(200);

/// What the reader works with.
pub(super) struct ReaderParts {
    /// What is read.
    pub source: Box<dyn Source>,
    /// Builds partitions.
    pub factory: Arc<PipelineFactory>,
    /// What partitions go on from.
    pub recover: Box<dyn Recover>,
    /// Tells the outputs what is lost.
    pub lost: LostPartitions,
    /// The ways to the workers.
    pub queues: Vec<WorkerQueue>,
    /// What the other threads have to say.
    pub from_threads: Receiver<ToReader>,
    /// The onlookers.
    pub watch: RunContext,
    /// Tells when the sink is not to be waited for any longer.
    pub sink: SinkWatch,
}

/// The reading thread's state.
pub(super) struct SourceReader {
    parts: ReaderParts,
    phases: Phases,
    replays: Replays,
    /// Whether the source has assigned anything yet.
    assigned: bool,
    /// When a claim that could not be made is tried again.
    claim_at: Option<Instant>,
    /// Partitions that the sink has let go of, not given back yet.
    released: BTreeSet<PartitionId>,
    /// What is durable, and not told to the source yet.
    durable: BTreeMap<PartitionId, Offset>,
    /// Whether another thread has failed.
    failed: bool,
    /// Records read so far.
    records: u64,
}

impl SourceReader {
    /// A reader of these parts that has read nothing.
    pub fn new(parts: ReaderParts) -> Self {
        let replays = Replays::new(&parts.watch.health, &parts.watch.metrics);
        SourceReader {
            parts,
            phases: Phases::default(),
            replays,
            assigned: false,
            claim_at: None,
            released: BTreeSet::new(),
            durable: BTreeMap::new(),
            failed: false,
            records: 0,
        }
    }

    /// Reads until the input ends, the run is stopped or another thread fails; then hands the
    /// workers all that still waits for them. Errors: the source's and the ledger's, the end of a
    /// worker, and `Sink`, when a call of the sink hangs.
    pub fn run(&mut self) -> Result<()> {
        loop {
            self.hear();
            if self.is_over() {
                return self.finish();
            }

            self.drain_queues()?;
            self.commit_durable()?;
            self.give_back_released()?;
            self.begin_waiting()?;
            self.parts.watch.tell_unread(self.parts.source.as_mut());
            self.parts.sink.check(&self.parts.watch)?;

            let is_full = self.parts.queues.iter().any(WorkerQueue::is_full);
            let polled = self.parts.source.poll(if is_full { POLL_WHILE_FULL } else { POLL });
            let event = self.parts.watch.polled(polled, self.assigned)?;
            self.on_event(event)?;
        }
    }

    /// Whether another thread has failed: its error is the cause of what the reader sees.
    pub fn has_failed(&mut self) -> bool {
        self.hear();
        self.failed
    }

    /// Closes the channels to the workers: they finish, and after them the writer. Returns when all
    /// have ended. Errors: `Sink`, when a call of the sink hangs.
    pub fn wait_for_threads(&mut self) -> Result<()> {
        self.parts.queues.clear();
        loop {
            self.parts.sink.check(&self.parts.watch)?;
            match self.parts.from_threads.recv_timeout(POLL) {
                Ok(message) => self.note(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Records read so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Tells the source what is durable, and leaves it.
    pub fn close(mut self) -> Result<()> {
        self.commit_durable()?;
        self.parts.source.close()
    }

    fn on_event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Assigned(ids) => {
                self.assigned = true;
                ids.into_iter().for_each(|id| self.phases.assign(id));
                self.begin_waiting()
            }
            Event::Revoked { partitions, departure } => {
                partitions.into_iter().try_for_each(|id| self.revoke(id, departure))
            }

            Event::Records { partition, records } => self.forward(partition, records),
            Event::Lost { partition, offsets } => {
                let ReaderParts { factory, watch, .. } = &self.parts;
                watch.lost(factory.topic(), partition, &offsets);
                self.send(partition, ToWorker::Lost { partition, offsets })
            }
            Event::Log { partition, log } => self.send(partition, ToWorker::Log { partition, log }),
            Event::Quiet { partition } => {
                // Of one that is just taken away nobody has to know.
                let is_ours = self.phases.reading().any(|id| id == partition);
                if is_ours { self.send(partition, ToWorker::Quiet(partition)) } else { Ok(()) }
            }
            Event::End { partition } => {
                self.phases.end(partition);
                self.send(partition, ToWorker::End(partition))
            }
            Event::Idle { .. } => Ok(()),
        }
    }

    /// Takes in what the other threads have said since.
    fn hear(&mut self) {
        while let Ok(message) = self.parts.from_threads.try_recv() {
            self.note(message);
        }
    }

    fn note(&mut self, message: ToReader) {
        match message {
            ToReader::Released(id) => _ = self.released.insert(id),
            ToReader::Durable { partition, position } => _ = self.durable.insert(partition, position),
            ToReader::CaughtUp { partition, at } => self.replays.caught_up(partition, at),
            ToReader::Failed => self.failed = true,
        }
    }

    fn is_over(&self) -> bool {
        self.parts.watch.is_stopped() || self.failed || self.phases.are_over()
    }

    /// Everything that was read is worked on, and its state is saved.
    fn finish(&mut self) -> Result<()> {
        let mut queues = std::mem::take(&mut self.parts.queues);
        let done = queues
            .iter_mut()
            .try_for_each(|queue| queue.finish(POLL, &mut || self.parts.sink.check(&self.parts.watch)));
        self.parts.queues = queues;
        done
    }

    fn commit_durable(&mut self) -> Result<()> {
        let source = &mut self.parts.source;
        std::mem::take(&mut self.durable)
            .into_iter()
            .try_for_each(|(partition, position)| source.commit(partition, position))
    }

    /// Gives back the partitions that the sink has let go of; what is durable of them is told
    /// before.
    fn give_back_released(&mut self) -> Result<()> {
        for id in std::mem::take(&mut self.released) {
            self.phases.released(id);
            self.parts.source.release(id)?;
        }
        Ok(())
    }

    /// Begins the assigned partitions. Where what is known of one cannot be read now, the next call
    /// tries again.
    fn begin_waiting(&mut self) -> Result<()> {
        if self.phases.next_to_begin().is_none() || self.claim_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }

        while let Some(id) = self.phases.next_to_begin() {
            if self.parts.watch.is_stopped() {
                return Ok(());
            }
            match self.begin(id) {
                Ok(()) => {}
                Err(error) if error.retry == Retry::Later => {
                    // It may have failed after its beginning, on its start.
                    self.phases.assign(id);
                    self.claim_later(id, &error);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }

        self.claim_at = None;
        let health = &self.parts.watch.health;
        health.set_ready(HealthPart::Claim);
        health.set_ready(HealthPart::Source);
        Ok(())
    }

    fn claim_later(&mut self, id: PartitionId, error: &Error) {
        if self.claim_at.replace(Instant::now() + CLAIM_AGAIN).is_none() {
            tracing::warn!(%error, partition = id.0, "waiting");
        }
        self.parts.watch.health.set_waiting(HealthPart::Claim, error.to_string());
    }

    fn begin(&mut self, id: PartitionId) -> Result<()> {
        let ReaderParts { factory, recover, source, watch, .. } = &mut self.parts;
        let opened = open_partition(factory, recover.as_mut(), id, source.as_mut(), watch)?;
        watch.metrics.assigned(id, opened.committed());
        let Opened { partition, position, entry, begin } = opened;

        let incarnation = self.phases.begin(id);
        if partition.is_replaying() {
            self.replays.begin(id);
        }
        // The sink hears of it from the worker, after what the worker still does for an earlier
        // time of the partition.
        let start = PartitionStart { entry, begin, incarnation };
        self.send(id, ToWorker::Begin(Box::new(partition), start))?;
        self.parts.source.start(id, position)
    }

    fn revoke(&mut self, id: PartitionId, departure: Departure) -> Result<()> {
        self.parts.watch.metrics.revoked(id);
        let todo = self.phases.revoke(id);
        if !self.phases.has_waiting() {
            self.parts.watch.health.set_ready(HealthPart::Claim);
        }

        match todo {
            OnRevoke::GiveBack => self.parts.source.release(id),
            OnRevoke::Nothing => Ok(()),
            OnRevoke::Drop => {
                self.replays.forget(id);
                if departure == Departure::Lost {
                    // The sink may be in the middle of commits that will never be made.
                    self.parts.lost.add(id);
                }
                self.send(id, ToWorker::Drop { partition: id, departure })
            }
        }
    }

    fn forward(&mut self, partition: PartitionId, records: Records) -> Result<()> {
        self.records += records.len() as u64;
        let ReaderParts { factory, watch, .. } = &self.parts;
        watch.metrics.records_received(factory.topic(), partition, &records);
        self.send(partition, ToWorker::Records { partition, records, at: Instant::now() })
    }

    fn worker_of(&self, partition: PartitionId) -> usize {
        partition.0.rem_euclid(self.parts.queues.len() as i32) as usize
    }

    fn send(&mut self, partition: PartitionId, command: ToWorker) -> Result<()> {
        self.send_to(self.worker_of(partition), command)
    }

    /// Tells a worker something; when it falls behind with it, its partitions are paused.
    fn send_to(&mut self, worker: usize, command: ToWorker) -> Result<()> {
        let was_full = self.parts.queues[worker].is_full();
        if was_full && let ToWorker::Records { partition, .. } = &command {
            // It came while others of its worker were paused already.
            self.parts.source.set_paused(*partition, true)?;
        }

        self.parts.queues[worker].push(command)?;
        if !was_full && self.parts.queues[worker].is_full() {
            self.set_paused(worker, true)?;
        }
        Ok(())
    }

    fn drain_queues(&mut self) -> Result<()> {
        let depth = self.parts.queues.iter().map(WorkerQueue::depth).sum();
        self.parts.watch.metrics.depth("worker", depth);

        for worker in 0..self.parts.queues.len() {
            let queue = &mut self.parts.queues[worker];
            if queue.is_full() {
                queue.drain()?;
                if !queue.is_full() {
                    self.set_paused(worker, false)?;
                }
            }
        }
        Ok(())
    }

    fn set_paused(&mut self, worker: usize, paused: bool) -> Result<()> {
        let of_worker: Vec<PartitionId> =
            self.phases.reading().filter(|&id| self.worker_of(id) == worker).collect();
        of_worker.into_iter().try_for_each(|id| self.parts.source.set_paused(id, paused))
    }
}
