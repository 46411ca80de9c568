//! Exactly once, seen from the runners: commits an epoch for as long as it takes.
//! It must not know which ledger it is, nor what is in an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;

use super::outputs::{Outputs, Ticket};
use super::retry_policy::RetryPolicy;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Checkpoint, Committed, Committer, Position, Snapshot};
use crate::message::Stream;
use crate::telemetry::{HealthPart, Metrics};

const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// A shorter wait is nothing to tell.
const SILENT: Duration = Duration::from_secs(2);
/// What is left to do after a first signal.
const GRACE: Duration = Duration::from_secs(20);
/// How long a partition that is to be given back waits for its last commit.
const RELEASE: Duration = Duration::from_secs(20);

/// Partitions that the group has taken away without asking: what is not committed of them never will be.
#[derive(Clone, Default)]
pub struct LostPartitions(Arc<Mutex<BTreeSet<i32>>>);

impl LostPartitions {
    pub fn add(&self, partition: i32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition);
    }

    fn take(&self) -> BTreeSet<i32> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Commits results, states and positions together.
pub struct ExactlyOnce {
    committer: Committer,
    patience: RetryPolicy,
    metrics: Arc<Metrics>,
    lost: LostPartitions,
    /// Of the states that are not committed to their ends.
    tickets: BTreeMap<i32, Ticket>,
}

/// Whether a wait has to end.
enum Wait {
    /// As soon as the ledger says that the source has to speak first.
    ForSource,
    Until(Instant),
    Forever,
}

impl ExactlyOnce {
    pub fn new(
        committer: Committer,
        patience: RetryPolicy,
        metrics: Arc<Metrics>,
        lost: LostPartitions,
    ) -> Self {
        ExactlyOnce { committer, patience, metrics, lost, tickets: BTreeMap::new() }
    }

    /// Commits what was gathered; false, when the wait ended before.
    fn commit_for(&mut self, wait: &Wait) -> Result<bool> {
        let began = Instant::now();
        let mut pause = FIRST_WAIT;
        // The first reason may be but the echo of the one that lasts.
        let mut told: Option<String> = None;
        let mut stopped: Option<Instant> = None;
        loop {
            self.patience.pulse.beat();
            for partition in self.lost.take() {
                self.committer.discard(partition);
            }
            let from = Instant::now();
            let (why, refused) = match self.committer.commit()? {
                Committed::Done(any) => {
                    self.tickets.retain(|partition, _| self.committer.is_writing(*partition));
                    if any {
                        self.metrics.commit("committed", from.elapsed());
                    }
                    if told.is_some() {
                        self.patience.health.set_ready(HealthPart::Sink);
                    }
                    return Ok(true);
                }
                Committed::Later { why, refused } => (why, refused),
            };
            self.metrics.commit(if refused { "refused" } else { "aborted" }, from.elapsed());
            tracing::debug!(why, "a commit was not made; trying again");
            if told.as_ref() != Some(&why) && began.elapsed() > SILENT {
                tracing::warn!(why, "commits are not made; trying again");
                self.patience.health.set_waiting(HealthPart::Sink, format!("commits are not made: {why}"));
                told = Some(why.clone());
            }
            match wait {
                Wait::ForSource if refused && !self.committer.is_full() => return Ok(false),
                Wait::Until(end) if Instant::now() > *end => return Ok(false),
                _ => {}
            }
            let stop = self.patience.stop.load(Ordering::Relaxed);
            if stop && stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
                return Err(Error::transient(Kind::Sink, "the last commit was not made").because(why));
            }
            sleep(pause);
            pause = (pause * 2).min(LONGEST_WAIT);
        }
    }
}

impl Outputs for ExactlyOnce {
    fn begin(&mut self, partition: i32, entry: Option<Checkpoint>, _: bool) -> Result<()> {
        self.committer.begin(partition, entry)
    }

    fn results(
        &mut self,
        partition: i32,
        results: Vec<(Stream, RecordBatch)>,
        reached: Option<Position>,
    ) -> Result<()> {
        self.committer.results(partition, results, reached);
        if self.committer.is_full() {
            self.commit_for(&Wait::ForSource)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: Snapshot, ticket: Ticket) -> Result<()> {
        self.tickets.insert(snapshot.partition, ticket);
        self.committer.snapshot(snapshot);
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.commit_for(&Wait::ForSource).map(drop)
    }

    fn release(&mut self, partition: i32, lost: bool) -> Result<()> {
        if !lost && !self.commit_for(&Wait::Until(Instant::now() + RELEASE))? {
            tracing::warn!(
                partition,
                "given back before its last results were committed: they are made again"
            );
        }
        self.lost.take().into_iter().for_each(|lost| self.committer.discard(lost));
        self.committer.release(partition)
    }

    fn finish(&mut self) -> Result<()> {
        while !self.committer.is_clean() {
            self.commit_for(&Wait::Forever)?;
        }
        Ok(())
    }
}
