//! Partitions that make again what is committed: until they have caught up, the pipeline is not
//! ready.
//! It must not know how a partition finds out that it has caught up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::place::PartitionId;
use crate::telemetry::{Health, HealthPart, Metrics};

/// Which partitions replay, and since when.
pub(super) struct Replays {
    since: BTreeMap<PartitionId, Instant>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Replays {
    /// Nobody replays yet.
    pub fn new(health: &Arc<Health>, metrics: &Arc<Metrics>) -> Self {
        Replays { since: BTreeMap::new(), health: Arc::clone(health), metrics: Arc::clone(metrics) }
    }

    /// A partition begins to replay.
    pub fn begin(&mut self, partition: PartitionId) {
        self.since.insert(partition, Instant::now());
        self.health.set_waiting(HealthPart::Replay, "replaying to where the last commit was");
    }

    /// A partition has caught up with what is committed of it.
    pub fn caught_up(&mut self, partition: PartitionId, at: Instant) {
        let Some(since) = self.since.remove(&partition) else { return };
        let took = at.saturating_duration_since(since);
        self.metrics.restored(took);
        tracing::info!(partition = partition.0, ?took, "caught up with what was committed");
        self.tell();
    }

    /// A partition is gone; whether it replayed matters no more.
    pub fn forget(&mut self, partition: PartitionId) {
        if self.since.remove(&partition).is_some() {
            self.tell();
        }
    }

    fn tell(&self) {
        if self.since.is_empty() {
            self.health.set_ready(HealthPart::Replay);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Readiness;

    #[test]
    fn the_pipeline_is_ready_when_the_last_that_replays_has_caught_up_or_is_gone() {
        let health = Arc::new(Health::default());
        health.set_ready(HealthPart::Source);
        let metrics = Arc::new(Metrics::new("replays").unwrap());
        let mut replays = Replays::new(&health, &metrics);
        replays.begin(PartitionId(0));
        replays.begin(PartitionId(1));
        replays.caught_up(PartitionId(0), Instant::now());
        assert!(matches!(health.status(), Readiness::Waiting(why) if why.contains("replaying")));
        replays.caught_up(PartitionId(7), Instant::now());
        replays.forget(PartitionId(7));
        assert!(matches!(health.status(), Readiness::Waiting(_)));
        replays.forget(PartitionId(1));
        assert_eq!(health.status(), Readiness::Ready);
    }
}
