//! The end of the dataflow: sinks and the ledger, written in the order that loses nothing.
//! It must not know partitions' insides: results and snapshots come in as they are.

use std::time::Instant;

use arrow::record_batch::RecordBatch;

use super::blueprint::Blueprint;
use super::partition::Partition;
use crate::config::plan::{Plan, SourcePlan, StatePlan};
use crate::error::Result;
use crate::ledger::{DirLedger, Hold, Lock, Snapshot};
use crate::message::Stream;
use crate::serve::Metrics;
use crate::sink::{self, Patience, Sink};

/// Where a pipeline's results and states go.
pub struct Outputs {
    sinks: Vec<(Stream, Box<dyn Sink>)>,
    ledger: Option<DirLedger>,
    /// Others may run on the same state, none may change it from outside.
    _lock: Option<Lock>,
}

impl Outputs {
    /// The sinks and the ledger that the plan names.
    pub fn open(plan: &Plan, patience: &Patience) -> Result<Self> {
        let ledger = match &plan.state {
            Some(StatePlan::Dir(dir)) => Some(DirLedger::open(dir)?),
            None => None,
        };
        let lock = ledger.as_ref().map(|ledger| ledger.lock(Hold::Shared)).transpose()?;
        Ok(Outputs { sinks: sink::open_all(plan, patience)?, ledger, _lock: lock })
    }

    pub fn ledger(&self) -> Option<&DirLedger> {
        self.ledger.as_ref()
    }

    /// Gets every sink ready for a partition.
    pub fn begin(&mut self, partition: i32, resume: bool) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.begin(partition, resume))
    }

    /// Writes results to the sinks of their streams; a stream without a sink is dropped.
    pub fn write(&mut self, partition: i32, results: &[(Stream, RecordBatch)]) -> Result<()> {
        for (stream, rows) in results {
            if let Some((_, sink)) = self.sinks.iter_mut().find(|(of, _)| of == stream) {
                sink.write(partition, rows)?;
            }
        }
        Ok(())
    }

    pub fn flush(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.flush())
    }

    pub fn sync(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.sync())
    }

    /// Makes a state durable, and before it every result that it has seen: a restart from it loses none.
    pub fn save(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.sync()?;
        self.ledger.as_ref().map_or(Ok(()), |ledger| ledger.save(snapshot))
    }
}

/// A partition as it goes on: restored from its newest snapshot, or new.
pub struct Opened {
    pub partition: Partition,
    /// Where to read from; none: where the source remembers.
    pub position: Option<i64>,
    /// Whether earlier results stay.
    pub resume: bool,
}

/// Builds a partition and restores what the ledger has of it.
pub fn open_partition(
    blueprint: &Blueprint,
    ledger: Option<&DirLedger>,
    id: i32,
    metrics: &Metrics,
) -> Result<Opened> {
    let from = Instant::now();
    let mut partition = match ledger.map(DirLedger::warm_start).transpose()?.flatten() {
        // Once there is a state, series that are still to come begin with these weights.
        Some(weights) => blueprint.warm_partition(id, &weights)?,
        None => blueprint.partition(id)?,
    };
    let snapshot = ledger.map(|ledger| ledger.load(id)).transpose()?.flatten();
    if let Some(snapshot) = &snapshot {
        partition.restore(snapshot)?;
        metrics.restored(from.elapsed());
        tracing::info!(partition = id, position = snapshot.position, "restored");
    }
    // A file read from its beginning writes its results anew; a topic may have been read before by this group.
    let resume = snapshot.is_some() || matches!(blueprint.plan.source, SourcePlan::Kafka(_));
    Ok(Opened { position: snapshot.map(|snapshot| snapshot.position), partition, resume })
}
