//! The end of the dataflow, seen from the runners: where results go, and how they become durable.
//! It must not know partitions' insides: results and snapshots come in as they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arrow::record_batch::RecordBatch;

use crate::error::Result;
use crate::ledger::{Checkpoint, Position, Snapshot, SnapshotStore};
use crate::message::Stream;
use crate::sink::Sink;
use crate::telemetry::Metrics;

/// Held for a state that is on its way; its worker, which keeps a weak one, makes no other of that partition meanwhile.
pub type Ticket = Arc<()>;

/// How results become visible. Both kinds of delivery are one.
pub trait Outputs: Send {
    /// A partition begins where its claim said. `resume`: what is there of earlier results stays.
    fn begin(&mut self, partition: i32, entry: Option<Checkpoint>, resume: bool) -> Result<()>;

    /// Takes results, and how far the partition has come with them; none while it replays.
    fn results(
        &mut self,
        partition: i32,
        results: Vec<(Stream, RecordBatch)>,
        reached: Option<Position>,
    ) -> Result<()>;

    /// Takes a state to keep, and holds its ticket until it is kept.
    fn snapshot(&mut self, snapshot: Snapshot, ticket: Ticket) -> Result<()>;

    /// Makes visible what was taken. It returns with some of it left only where the source has to speak first.
    fn commit(&mut self) -> Result<()>;

    /// A partition is to be given back: all of it is durable when this returns, unless it is `lost`; then what is not yet
    /// committed is dropped.
    fn release(&mut self, partition: i32, lost: bool) -> Result<()>;

    /// Makes all that was taken durable.
    fn finish(&mut self) -> Result<()>;
}

/// What is durable of each partition and not yet told to the source.
#[derive(Clone, Default)]
pub struct DurablePositions(Arc<Mutex<BTreeMap<i32, i64>>>);

impl DurablePositions {
    pub fn set(&self, partition: i32, position: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, position);
    }

    pub fn take(&self) -> BTreeMap<i32, i64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Results go out at once; a state is saved after every result that it has seen. A restart says again what came after it.
pub struct AtLeastOnce {
    pub sinks: Vec<(Stream, Box<dyn Sink>)>,
    pub store: Option<Box<dyn SnapshotStore>>,
    pub durable: DurablePositions,
    pub metrics: Arc<Metrics>,
}

impl AtLeastOnce {
    fn sync(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.sync())
    }
}

impl Outputs for AtLeastOnce {
    fn begin(&mut self, partition: i32, _: Option<Checkpoint>, resume: bool) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.begin(partition, resume))
    }

    fn results(
        &mut self,
        partition: i32,
        results: Vec<(Stream, RecordBatch)>,
        _: Option<Position>,
    ) -> Result<()> {
        for (stream, rows) in &results {
            if let Some((_, sink)) = self.sinks.iter_mut().find(|(of, _)| of == stream) {
                sink.write(partition, rows)?;
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: Snapshot, _: Ticket) -> Result<()> {
        let from = Instant::now();
        let saved = self.sync().and_then(|()| match &self.store {
            Some(store) => store.save(&snapshot),
            None => Ok(()),
        });
        self.metrics.commit(if saved.is_ok() { "committed" } else { "failed" }, from.elapsed());
        saved?;
        self.durable.set(snapshot.partition, snapshot.position);
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.flush())
    }

    fn release(&mut self, _: i32, _: bool) -> Result<()> {
        self.sync()
    }

    fn finish(&mut self) -> Result<()> {
        self.sync()
    }
}
