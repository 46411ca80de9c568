//! The end of the dataflow, seen from the runners: where results go, and how they become durable.
//! It must not know partitions' insides: results and snapshots come in as they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arrow::record_batch::RecordBatch;

use crate::error::{Result, Retry};
use crate::ledger::{Checkpoint, Position, Snapshot, SnapshotStore};
use crate::message::{EventTime, Stream};
use crate::place::{Offset, PartitionId};
use crate::sink::{Begin, Sink};
use crate::source::Departure;
use crate::telemetry::Metrics;

/// Held for a state that is on its way: its worker makes no other of that partition meanwhile. It
/// also tells whether the state was kept.
#[derive(Debug, Clone, Default)]
pub struct Ticket {
    held: Arc<()>,
    kept: Arc<AtomicBool>,
}

impl Ticket {
    /// What is gone when nobody holds the ticket any more.
    pub(super) fn watch(&self) -> Weak<()> {
        Arc::downgrade(&self.held)
    }

    /// All of the state is kept, so that others may refer to it.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Release);
    }

    /// Outlives the ticket.
    pub(super) fn kept(&self) -> Kept {
        Kept(Arc::clone(&self.kept))
    }
}

/// Whether a state was kept.
pub(super) struct Kept(Arc<AtomicBool>);

impl Kept {
    /// Whether it was.
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// How results become visible. Both kinds of delivery are one.
pub trait Outputs: Send {
    /// A partition begins where its claim said.
    fn begin(&mut self, partition: PartitionId, entry: Option<Checkpoint>, begin: Begin) -> Result<()>;

    /// The forecasts that are given next come of records of this time and later, by the source's
    /// own clock: how long it takes until they are visible is measured, where a commit tells.
    fn recorded(&mut self, _partition: PartitionId, _at: EventTime) {}

    /// Takes results, and how far the partition has come with them; none while it replays.
    fn results(
        &mut self,
        partition: PartitionId,
        results: Vec<(Stream, RecordBatch)>,
        reached: Option<Position>,
    ) -> Result<()>;

    /// Takes a state to keep, and holds its ticket until it is kept, and says so on it. The
    /// position before which the source need remember nothing from now on; none where a commit
    /// tells that the ledger.
    fn snapshot(&mut self, snapshot: Snapshot, ticket: Ticket) -> Result<Option<Offset>>;

    /// Makes visible what was taken. It returns with some of it left only where the source has to
    /// speak first.
    fn commit(&mut self) -> Result<()>;

    /// A partition leaves: all of it is durable when this returns, unless it is lost; then what is
    /// not yet committed is dropped.
    fn release(&mut self, partition: PartitionId, departure: Departure) -> Result<()>;

    /// Makes all that was taken durable.
    fn finish(&mut self) -> Result<()>;
}

/// Counts rejects that were cut; the first is told too.
pub(super) fn tell_cut(metrics: &Metrics, cut: u64) {
    if cut > 0 && metrics.cut_rejects(cut) == 0 {
        let why = "larger than max.message.bytes of the rejects topic";
        tracing::warn!(why, "a reject was cut; its header `cut` has its length, and more are only counted");
    }
}

/// Results go out at once; a state is saved after every result that it has seen. A restart says
/// again what came after it.
pub struct AtLeastOnce {
    /// The streams that are written, and where.
    pub sinks: Vec<(Stream, Box<dyn Sink>)>,
    /// Where states are kept; none: nowhere.
    pub store: Option<Arc<dyn SnapshotStore>>,
    /// Told of every state that is kept, and how long that took.
    pub metrics: Arc<Metrics>,
}

impl AtLeastOnce {
    fn sync(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.sync())
    }
}

impl Outputs for AtLeastOnce {
    fn begin(&mut self, partition: PartitionId, _: Option<Checkpoint>, begin: Begin) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.begin(partition, begin))
    }

    fn results(
        &mut self,
        partition: PartitionId,
        results: Vec<(Stream, RecordBatch)>,
        _: Option<Position>,
    ) -> Result<()> {
        for (stream, rows) in &results {
            if let Some((_, sink)) = self.sinks.iter_mut().find(|(of, _)| of == stream) {
                sink.write(partition, rows)?;
                tell_cut(&self.metrics, sink.take_cut());
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: Snapshot, ticket: Ticket) -> Result<Option<Offset>> {
        let from = Instant::now();
        self.sync()?;
        let saved = self.store.as_ref().map_or(Ok(()), |store| store.save(&snapshot));
        self.metrics.commit(if saved.is_ok() { "committed" } else { "failed" }, from.elapsed());
        match saved {
            Ok(()) => {
                ticket.keep();
                self.metrics.committed(snapshot.partition, snapshot.position);
                Ok(Some(snapshot.position))
            }
            // The next one may be kept; until then a restart says more again.
            Err(error) if error.retry == Retry::Later => {
                tracing::warn!(%error, "a state was not kept; the one before still is");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn commit(&mut self) -> Result<()> {
        self.sinks.iter_mut().try_for_each(|(_, sink)| sink.flush())
    }

    fn release(&mut self, _: PartitionId, _: Departure) -> Result<()> {
        self.sync()
    }

    fn finish(&mut self) -> Result<()> {
        self.sync()
    }
}
