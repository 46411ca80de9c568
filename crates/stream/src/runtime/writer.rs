//! The writing thread: hands results and states to the outputs, in the order in which workers sent
//! them, and commits.
//! It must not know partitions' insides, nor how results become durable.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::channels::{PartitionStart, ToReader, ToSink};
use super::commit_pace::CommitPace;
use super::context::RunContext;
use super::heartbeat::Heartbeat;
use super::outputs::{Outputs, Ticket};
use crate::error::{Error, Result};
use crate::ledger::Snapshot;
use crate::message::Stream;
use crate::place::PartitionId;

/// Between two attempts to begin a partition.
const BEGIN_AGAIN: Duration = Duration::from_millis(200);

/// The writer's side of a run.
pub(super) struct Writer {
    outputs: Box<dyn Outputs>,
    watch: RunContext,
    to_reader: Sender<ToReader>,
    /// The newest beginning of each partition that is ours.
    incarnations: BTreeMap<PartitionId, u64>,
    pace: CommitPace,
}

impl Writer {
    /// One that has nothing to write yet.
    pub fn new(
        outputs: Box<dyn Outputs>,
        watch: RunContext,
        to_reader: Sender<ToReader>,
        commit_every: Duration,
    ) -> Self {
        let pace = CommitPace::new(commit_every);
        Writer { outputs, watch, to_reader, incarnations: BTreeMap::new(), pace }
    }

    /// Writes until the last worker has ended. Errors: the outputs'.
    pub fn run(&mut self, from_workers: &Receiver<ToSink>) -> Result<()> {
        let pulse = self.watch.pulse.clone();
        let _at_rest = AtRest(&pulse);
        loop {
            pulse.rest();
            let wait = self.pace.at().saturating_duration_since(Instant::now());
            let received = from_workers.recv_timeout(wait);
            pulse.beat();

            self.watch.metrics.depth("sink", from_workers.len());
            let from = Instant::now();
            match received {
                Ok(message) => self.take(message, from)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.outputs.finish(),
            }

            if self.pace.is_due(!from_workers.is_empty()) {
                let from = Instant::now();
                self.outputs.commit()?;
                self.pace.committed(from);
            }
            self.watch.metrics.busy("sink", from.elapsed());
        }
    }

    fn take(&mut self, message: ToSink, from: Instant) -> Result<()> {
        match message {
            ToSink::Begin { partition, start } => {
                self.incarnations.insert(partition, start.incarnation);
                self.begin(partition, &start)?;
            }
            ToSink::Results { partition, results, reached, times } => {
                self.watch.wrote(&results);
                if results.iter().any(|(stream, _)| *stream == Stream::Forecasts) {
                    self.watch.metrics.latency(times.read.elapsed());
                    self.pace.forecasts_of(times.recorded);
                    times.recorded.into_iter().for_each(|at| self.outputs.recorded(partition, at));
                }
                self.outputs.results(partition, results, reached)?;
            }

            // Of another incarnation it may know of results that were dropped with that.
            ToSink::Save { snapshot, incarnation, .. }
                if self.incarnations.get(&snapshot.partition) != Some(&incarnation) => {}
            ToSink::Save { snapshot, took, ticket, .. } => {
                let (size, written) = (snapshot.size(), snapshot.state.len() as u64);
                self.save(snapshot, ticket)?;
                self.watch.metrics.snapshot(size, written, took + from.elapsed());
            }
            ToSink::Release { partition, departure } => {
                self.incarnations.remove(&partition);
                self.outputs.release(partition, departure)?;
                self.tell(ToReader::Released(partition));
            }
        }
        Ok(())
    }

    /// Begins a partition, when there is what that needs.
    fn begin(&mut self, partition: PartitionId, start: &PartitionStart) -> Result<()> {
        let why = |error: &Error| format!("partition {partition} does not begin: {error}");
        let mut begin = || self.outputs.begin(partition, start.entry.clone(), start.begin);
        self.watch.patience().while_it_passes(BEGIN_AGAIN, &why, &mut begin)
    }

    fn save(&mut self, snapshot: Snapshot, ticket: Ticket) -> Result<()> {
        let partition = snapshot.partition;
        if let Some(position) = self.outputs.snapshot(snapshot, ticket)? {
            self.tell(ToReader::Durable { partition, position });
        }
        Ok(())
    }

    /// A reader that has ended needs to hear nothing.
    fn tell(&self, what: ToReader) {
        _ = self.to_reader.send(what);
    }
}

/// A writer that has ended, by whatever way, is not one that hangs.
struct AtRest<'a>(&'a Heartbeat);

impl Drop for AtRest<'_> {
    fn drop(&mut self) {
        self.0.rest();
    }
}
