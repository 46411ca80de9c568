//! Exactly once, seen from the runners: commits an epoch for as long as it takes.
//! It must not know which ledger it is, nor what is in an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;

use super::backoff::Backoff;
use super::outputs::{Outputs, Ticket, tell_cut};
use super::retry_policy::RetryPolicy;
use crate::error::Result;
use crate::ledger::{Checkpoint, Committed, Committer, Position, Snapshot, SnapshotRef};
use crate::lock::lock;
use crate::message::{EventTime, Stream};
use crate::place::{Offset, PartitionId};
use crate::sink::Begin;
use crate::source::Departure;
use crate::telemetry::Metrics;

/// Between two attempts to commit.
const COMMIT_PAUSES: Backoff = Backoff::growing(Duration::from_millis(10), Duration::from_secs(1));
/// How long a partition that is to be given back waits for its last commit.
const RELEASE: Duration = Duration::from_secs(20);

/// Partitions that the group has taken away without asking: what is not committed of them never
/// will be. They are told beside the channels: the writer may be in the middle of a commit that is
/// refused for as long as they are part of it, and would come to a message that waits behind it too
/// late.
#[derive(Clone, Default)]
pub struct LostPartitions(Arc<Mutex<BTreeSet<PartitionId>>>);

impl LostPartitions {
    /// A partition is lost.
    pub fn add(&self, partition: PartitionId) {
        lock(&self.0).insert(partition);
    }

    fn take(&self) -> BTreeSet<PartitionId> {
        std::mem::take(&mut *lock(&self.0))
    }
}

/// Commits results, states and positions together.
pub struct ExactlyOnce {
    committer: Committer,
    patience: RetryPolicy,
    metrics: Arc<Metrics>,
    lost: LostPartitions,
    /// Of the states that are not committed to their ends.
    tickets: BTreeMap<PartitionId, (SnapshotRef, Ticket)>,
    /// The times of the records of which the forecasts come that are not committed.
    recorded: Vec<(PartitionId, EventTime)>,
}

/// Whether a wait has to end.
enum Wait {
    /// As soon as the ledger says that the source has to speak first.
    ForSource,
    /// At this time.
    Until(Instant),
    /// Never.
    Forever,
}

impl ExactlyOnce {
    /// Commits with this committer; `lost` is shared with whoever reads the source.
    pub fn new(
        committer: Committer,
        patience: RetryPolicy,
        metrics: Arc<Metrics>,
        lost: LostPartitions,
    ) -> Self {
        ExactlyOnce { committer, patience, metrics, lost, tickets: BTreeMap::new(), recorded: Vec::new() }
    }

    /// Commits what was gathered; false, when the wait ended before.
    fn commit_for(&mut self, wait: &Wait) -> Result<bool> {
        let patience = self.patience.clone();
        let mut waiting = patience.waiting();
        let mut pauses = COMMIT_PAUSES;
        loop {
            patience.pulse.beat();
            self.discard_lost();
            let from = Instant::now();
            let (why, refused) = match self.committer.commit()? {
                Committed::Done(any) => {
                    tell_cut(&self.metrics, self.committer.take_cut());
                    if any {
                        self.metrics.commit("committed", from.elapsed());
                    }
                    self.all_is_committed();
                    waiting.is_over();
                    return Ok(true);
                }
                Committed::Later { why, refused } => (why, refused),
            };

            self.metrics.commit(if refused { "refused" } else { "aborted" }, from.elapsed());
            tracing::debug!(why, "a commit was not made; trying again");
            waiting.say(|| format!("commits are not made: {why}"));
            match wait {
                Wait::ForSource if refused && !self.committer.is_full() => return Ok(false),
                Wait::Until(end) if Instant::now() > *end => return Ok(false),
                _ => {}
            }
            waiting.check_grace(|| format!("the last commit was not made: {why}"))?;
            pauses.next().into_iter().for_each(sleep);
        }
    }

    fn all_is_committed(&mut self) {
        self.tickets.retain(|partition, (of, ticket)| {
            if self.committer.kept(*partition) == Some(*of) {
                ticket.keep();
            }
            self.committer.is_writing(*partition)
        });
        let positions = self.committer.committed();
        positions.for_each(|(partition, position)| self.metrics.committed(partition, position));
        self.recorded.drain(..).for_each(|(_, at)| self.metrics.visible(at));
    }

    fn discard_lost(&mut self) {
        for partition in self.lost.take() {
            self.committer.discard(partition);
            self.recorded.retain(|(of, _)| *of != partition);
        }
    }
}

impl Outputs for ExactlyOnce {
    fn begin(&mut self, partition: PartitionId, entry: Option<Checkpoint>, _: Begin) -> Result<()> {
        self.committer.begin(partition, entry)
    }

    fn recorded(&mut self, partition: PartitionId, at: EventTime) {
        if self.committer.owns(partition) {
            self.recorded.push((partition, at));
        }
    }

    fn results(
        &mut self,
        partition: PartitionId,
        results: Vec<(Stream, RecordBatch)>,
        reached: Option<Position>,
    ) -> Result<()> {
        self.committer.results(partition, results, reached);
        if self.committer.is_full() {
            self.commit_for(&Wait::ForSource)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: Snapshot, ticket: Ticket) -> Result<Option<Offset>> {
        self.tickets.insert(snapshot.partition, (snapshot.name(), ticket));
        self.committer.snapshot(snapshot);
        Ok(None)
    }

    fn commit(&mut self) -> Result<()> {
        self.commit_for(&Wait::ForSource).map(drop)
    }

    fn release(&mut self, partition: PartitionId, departure: Departure) -> Result<()> {
        let waits = departure == Departure::Returned;
        if waits && !self.commit_for(&Wait::Until(Instant::now() + RELEASE))? {
            tracing::warn!(
                partition = partition.0,
                "given back before its last results were committed: they are made again"
            );
        }
        self.discard_lost();
        self.recorded.retain(|(of, _)| *of != partition);
        self.committer.release(partition)
    }

    fn finish(&mut self) -> Result<()> {
        while !self.committer.is_clean() {
            self.commit_for(&Wait::Forever)?;
        }
        Ok(())
    }
}
