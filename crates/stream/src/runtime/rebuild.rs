//! Rebuilds the state from the input, in silence, up to the last commit: the way out when a state
//! is damaged, or when the pipeline file has changed in a way that no state goes with.
//! It must not change what is committed but for the state: results go on where they had come to.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use super::backoff::Backoff;
use super::context::RunContext;
use super::factory::PipelineFactory;
use super::history::{Reader, read_to_end};
use super::image::clock_of;
use super::partition::Partition;
use crate::error::{Error, Kind, Result, Retry};
use crate::ledger::{Checkpoint, Commit, Committed, Committer, Recover};
use crate::log_id::{LogId, LogKind};
use crate::message::Records;
use crate::place::{Offset, PartitionId};
use crate::source::Source;

/// Between two attempts to claim or to commit: half a minute together.
const PAUSES: Backoff = Backoff::steady(Duration::from_millis(200)).at_most(150);

/// Reads the input and puts what it learns in place of every partition's state. The number of
/// partitions; none, when it was told to stop, and then every partition has its old state or its
/// new one. Nobody else may run. Errors: the source's and the ledger's.
pub fn rebuild(
    factory: &PipelineFactory,
    source: &mut dyn Source,
    (recover, commit): (Box<dyn Recover>, Box<dyn Commit>),
    watch: &RunContext,
) -> Result<Option<usize>> {
    let committer = Committer::new(commit);
    let mut learner =
        Learner { factory, recover, committer, log: None, partitions: BTreeMap::new(), done: 0 };
    learner.log = source.log_id(learner.known_file(source.log_kind())?)?;
    let read = read_to_end(source, watch, &mut learner)?;
    Ok(read.map(|_| learner.done))
}

struct Learner<'a> {
    factory: &'a PipelineFactory,
    recover: Box<dyn Recover>,
    committer: Committer,
    /// The log that is read.
    log: Option<LogId>,
    partitions: BTreeMap<PartitionId, Learning>,
    done: usize,
}

struct Learning {
    partition: Partition,
    entry: Checkpoint,
}

impl Learner<'_> {
    /// What is known of a file: that tells whether it is the same one, though it may have grown.
    fn known_file(&mut self, kind: LogKind) -> Result<Option<LogId>> {
        match kind {
            LogKind::File | LogKind::SortedFile | LogKind::Files => {
                Ok(self.take_over(PartitionId(0))?.and_then(|entry| entry.progress.log))
            }
            LogKind::Topic | LogKind::Journal => Ok(None),
        }
    }

    /// Takes a partition over: what is committed of it.
    fn take_over(&mut self, id: PartitionId) -> Result<Option<Checkpoint>> {
        let mut pauses = PAUSES;
        loop {
            match self.recover.take_over(id) {
                Err(error) if error.retry == Retry::Later => sleep(pauses.next().ok_or(error)?),
                taken => return taken,
            }
        }
    }

    /// What is committed, as it is of the log that was read. One that was made anew may end before
    /// the old one's position: then results go on from where it ends now.
    fn of_this_log(&self, entry: Checkpoint, end: Option<Offset>) -> Checkpoint {
        let mut progress = entry.progress;
        if self.is_of_another_log(&entry) {
            progress.closed = None;
            progress.position = progress.position.min(end.unwrap_or(Offset(0)));
            progress.begun = progress.begun.min(progress.position);
        }
        progress.log = self.log.or(progress.log);
        let closes = entry.closes.into_iter().filter(|_| progress.closed.is_some()).collect();
        Checkpoint { progress, closes, ..entry }
    }

    /// Whether the entry is of another log than the one that is read.
    fn is_of_another_log(&self, entry: &Checkpoint) -> bool {
        let was = entry.progress.log;
        was.is_some() && self.log.is_some() && was != self.log
    }

    /// Where a clock has closed the windows of a partition: its last state and the entry tell.
    fn closes(&mut self, id: PartitionId, entry: &Checkpoint) -> Vec<Offset> {
        let state = self.recover.claim(id).map(|claim| claim.snapshot);
        match state.map(|state| state.as_ref().and_then(clock_of).unwrap_or_default()) {
            Ok(mut clock) => {
                clock.extend(&entry.closes);
                clock.after(None).to_vec()
            }
            Err(error) => {
                if entry.progress.closed.is_some() {
                    tracing::warn!(
                        partition = id.0,
                        %error,
                        "where a clock has closed windows before its last state is lost with that: they stay open until a \
                         record closes them"
                    );
                }
                entry.closes.clone()
            }
        }
    }

    /// Commits the new state under the old progress.
    fn save(&mut self, partition: &mut Partition, entry: Checkpoint) -> Result<()> {
        let id = partition.id();
        self.committer.begin(id, Some(entry))?;
        if let Some(snapshot) = partition.snapshot()? {
            self.committer.replace(snapshot);
        }

        let mut pauses = PAUSES;
        while !self.committer.is_clean() {
            if let Committed::Later { why, .. } = self.committer.commit()? {
                let Some(pause) = pauses.next() else {
                    let what = format!("cannot commit the new state of partition {id}");
                    return Err(Error::new(Kind::State, what).because(why));
                };
                sleep(pause);
            }
        }
        self.committer.release(id)
    }
}

impl Reader for Learner<'_> {
    fn begin(&mut self, id: PartitionId) -> Result<Option<Offset>> {
        if let Some(entry) = self.take_over(id)? {
            let mut partition = self.factory.partition(id)?;
            partition.go_live_at(entry.progress.live);
            if !self.is_of_another_log(&entry) {
                partition.will_close_at(&self.closes(id, &entry));
            }
            self.partitions.insert(id, Learning { partition, entry });
        }
        Ok(None)
    }

    fn records(&mut self, id: PartitionId, records: Records) -> Result<()> {
        let Some(Learning { partition, entry }) = self.partitions.get_mut(&id) else { return Ok(()) };
        let (records, _) = records.split(entry.progress.position);
        if records.is_empty() {
            return Ok(());
        }
        partition.take(records, &mut |_| Ok(()))
    }

    fn log(&mut self, id: PartitionId, log: LogId) {
        let Some(Learning { partition, entry }) = self.partitions.get(&id) else { return };
        // What is read beyond the last commit says nothing of the records before it.
        let is_beyond = partition.position().is_some_and(|at| at >= entry.progress.position);
        if !is_beyond && self.is_of_another_log(entry) {
            self.log = Some(log);
        }
    }

    fn end(&mut self, id: PartitionId) -> Result<()> {
        let Some(Learning { mut partition, entry }) = self.partitions.remove(&id) else { return Ok(()) };
        partition.catch_up(&mut |_| Ok(()))?;
        let entry = self.of_this_log(entry, partition.position());
        let position = entry.progress.position;
        partition.continue_from(entry.progress);
        self.save(&mut partition, entry)?;
        tracing::info!(partition = id.0, position = position.0, "rebuilt");
        self.done += 1;
        Ok(())
    }
}
