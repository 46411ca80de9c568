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
use super::partition::Partition;
use crate::error::{Error, Kind, Result, Retry};
use crate::ledger::{Checkpoint, Commit, Committed, Committer, Recover};
use crate::log_id::LogId;
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
    let log = source.log_id(None)?;
    let mut learner = Learner { factory, recover, committer, log, partitions: BTreeMap::new(), done: 0 };
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
    /// Whether the input goes on after what is committed.
    goes_on: bool,
}

impl Learner<'_> {
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
        if progress.log.is_some() && self.log.is_some() && progress.log != self.log {
            progress.position = progress.position.min(end.unwrap_or(Offset(0)));
            progress.begun = progress.begun.min(progress.position);
        }
        progress.log = self.log.or(progress.log);
        Checkpoint { progress, ..entry }
    }

    /// Commits the new state under the old progress.
    fn save(&mut self, partition: &Partition, entry: Checkpoint) -> Result<()> {
        let id = partition.id();
        self.committer.begin(id, Some(entry))?;
        if let Some(snapshot) = partition.snapshot()? {
            self.committer.snapshot(snapshot);
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
            self.partitions.insert(id, Learning { partition, entry, goes_on: false });
        }
        Ok(None)
    }

    fn records(&mut self, id: PartitionId, records: Records) -> Result<()> {
        let Some(Learning { partition, entry, goes_on }) = self.partitions.get_mut(&id) else {
            return Ok(());
        };
        let count = records.len();
        let (records, _) = records.split(entry.progress.position);
        *goes_on |= records.len() < count;
        if records.is_empty() {
            return Ok(());
        }
        partition.take(records, &mut |_| Ok(()))
    }

    fn end(&mut self, id: PartitionId) -> Result<()> {
        let Some(Learning { mut partition, entry, goes_on }) = self.partitions.remove(&id) else {
            return Ok(());
        };
        let is_bounded = self.factory.is_bounded();
        if is_bounded && !goes_on {
            // All of it was read, so its last windows were closed too.
            partition.finish(&mut |_| Ok(()))?;
        }

        let entry = self.of_this_log(entry, partition.position());
        partition.continue_from(entry.progress);
        self.save(&partition, entry)?;
        tracing::info!(partition = id.0, position = entry.progress.position.0, "rebuilt");
        self.done += 1;
        Ok(())
    }
}
