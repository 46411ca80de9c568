//! The end of the dataflow, opened: where a pipeline's results and states go, and come back from.
//! It must not know which sinks and ledgers there are.

use std::any::Any;
use std::sync::Arc;

use super::context::RunContext;
use super::exactly_once::{ExactlyOnce, LostPartitions};
use super::outputs::{AtLeastOnce, Outputs};
use crate::error::Result;
use crate::ledger::{Checkpoint, Claim, Commit, Committer, Recover, Snapshot, SnapshotStore};
use crate::message::Stream;
use crate::place::PartitionId;
use crate::sink::Sink;

/// Where a pipeline's results and states go, and come back from.
pub struct Endpoints {
    /// What partitions go on from.
    pub recover: Box<dyn Recover>,
    /// What takes their results and states.
    pub outputs: Box<dyn Outputs>,
    /// What the group has taken away without asking.
    pub lost: LostPartitions,
    /// Held for as long as the run lasts: a lock on the state.
    pub guard: Option<Box<dyn Any + Send>>,
}

impl Endpoints {
    /// Results, states and positions become visible together.
    pub fn exactly_once(recover: Box<dyn Recover>, commit: Box<dyn Commit>, watch: &RunContext) -> Endpoints {
        let lost = LostPartitions::default();
        let (committer, metrics) = (Committer::new(commit), Arc::clone(&watch.metrics));
        let outputs = ExactlyOnce::new(committer, watch.patience(), metrics, lost.clone());
        Endpoints { recover, outputs: Box::new(outputs), lost, guard: None }
    }

    /// Results go out at once; a state is saved after every result that it has seen.
    pub fn at_least_once(
        sinks: Vec<(Stream, Box<dyn Sink>)>,
        store: Option<Arc<dyn SnapshotStore>>,
        watch: &RunContext,
    ) -> Endpoints {
        let recover = Newest(store.clone());
        let outputs = AtLeastOnce { sinks, store, metrics: Arc::clone(&watch.metrics) };
        Endpoints {
            recover: Box::new(recover),
            outputs: Box::new(outputs),
            lost: LostPartitions::default(),
            guard: None,
        }
    }
}

/// What delivery at least once goes on from: the newest state there is.
struct Newest(Option<Arc<dyn SnapshotStore>>);

impl Recover for Newest {
    fn take_over(&mut self, _: PartitionId) -> Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn claim(&mut self, partition: PartitionId) -> Result<Claim> {
        let snapshot: Option<Snapshot> = match &self.0 {
            Some(store) => store.newest(partition)?,
            None => None,
        };
        Ok(Claim { entry: None, snapshot })
    }

    fn initial_weights(&self) -> Result<Option<Vec<u8>>> {
        self.0.as_ref().map_or(Ok(None), |store| store.initial_weights())
    }
}
