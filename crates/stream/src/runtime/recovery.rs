//! How a partition goes on: claimed, restored from its snapshot, muted up to what is committed; or
//! begun anew.
//! It must not write: what it opens does.

use std::ops::Range;
use std::time::Instant;

use super::compat::RestorePoint;
use super::context::RunContext;
use super::factory::PipelineFactory;
use super::image::SnapshotImage;
use super::partition::Partition;
use crate::error::{Error, Kind, Result};
use crate::ledger::{Checkpoint, Claim, Position, Recover, Snapshot};
use crate::log_id::{LogChanged, LogId};
use crate::place::{Offset, PartitionId};
use crate::sink::Begin;
use crate::source::Source;

/// A partition as it goes on: restored from a snapshot, or new.
pub struct Opened {
    /// The partition, ready for records.
    pub partition: Partition,
    /// Where to read from; none: where the source remembers, or its start.
    pub position: Option<Offset>,
    /// What is committed of it.
    pub entry: Option<Checkpoint>,
    /// What becomes of earlier results.
    pub begin: Begin,
}

impl Opened {
    /// The position before which all is committed; none, when nothing is.
    pub fn committed(&self) -> Option<Offset> {
        self.entry.as_ref().map(|entry| entry.progress.position).or(self.position)
    }
}

/// Claims a partition of the source, and builds it as the ledger remembers it. Errors: those of the
/// ledger and the source, and `State`, when records that have to be read again are gone, or because
/// of [`LogChanged`].
pub fn open_partition(
    factory: &PipelineFactory,
    recover: &mut dyn Recover,
    id: PartitionId,
    source: &mut dyn Source,
    watch: &RunContext,
) -> Result<Opened> {
    let from = Instant::now();
    watch.metrics.records_lost(factory.topic(), id, 0);
    let claim = recover.claim(id)?;
    let was = learned_from(&claim);
    let log = source.log_id(was)?;
    let claim = match (was, log) {
        (Some(was), Some(is)) if was != is => {
            let name = source.log_change().unwrap_or_else(|| factory.topic().to_owned());
            let changed = LogChanged { kind: source.log_kind(), name, was, is };
            of_another_log(changed, recover.may_begin_anew())?
        }
        _ => claim,
    };
    let mut partition = match recover.initial_weights()? {
        // Once there is a state, series that are still to come begin with these weights.
        Some(weights) => factory.partition_with_weights(id, &weights)?,
        None => factory.partition(id)?,
    };
    let is_known = claim.entry.is_some() || claim.snapshot.is_some();
    let position = if is_known {
        go_on(&mut partition, &claim, source)?
    } else {
        begin(&mut partition, factory, source)?;
        None
    };
    partition.read_from(log);

    if let Some(position) = position {
        let to = claim.entry.as_ref().map(|entry| entry.progress.position.0);
        tracing::info!(partition = id.0, from = position.0, to, took = ?from.elapsed(), "restored");
        if !partition.is_replaying() {
            watch.metrics.restored(from.elapsed());
        }
    }
    // A file read from its beginning writes its results anew; a topic may have been read before by
    // this group.
    let begin = if is_known || factory.is_shared() { Begin::Resume } else { Begin::Fresh };
    Ok(Opened { partition, position, entry: claim.entry, begin })
}

/// The log that a claim was learned from, where that is known.
fn learned_from(claim: &Claim) -> Option<LogId> {
    let of_state = || SnapshotImage::read(&claim.snapshot.as_ref()?.state)?.log();
    claim.entry.as_ref().and_then(|entry| entry.progress.log).or_else(of_state)
}

/// What is claimed was learned from another log than the one that is there now: nothing of it
/// counts, if somebody has asked to begin anew. Errors: else `State`, because of [`LogChanged`].
fn of_another_log(changed: LogChanged, may_begin_anew: bool) -> Result<Claim> {
    if may_begin_anew {
        tracing::warn!(%changed, "beginning anew, as was asked for");
        return Ok(Claim::default());
    }
    Err(Error::new(Kind::State, "cannot go on").because(changed))
}

/// A partition of which nothing is known: it has a past, where the pipeline is to learn that first.
fn begin(partition: &mut Partition, factory: &PipelineFactory, source: &mut dyn Source) -> Result<()> {
    if !factory.has_past() {
        return Ok(());
    }
    let Some(Range { start, end }) = source.offset_range(partition.id())? else { return Ok(()) };

    partition.begin_with_past(start, end);
    if start < end {
        let (id, records) = (partition.id(), end.since(start));
        tracing::info!(
            partition = id.0,
            records,
            live = end.0,
            "learning the past; forecasts begin where it ends"
        );
    }
    Ok(())
}

/// Where a snapshot lies, seen from what is committed of its partition.
pub(super) fn restore_point(snapshot: &Snapshot, committed: Option<&Position>) -> RestorePoint {
    if committed.is_none_or(|committed| committed.position == snapshot.position) {
        RestorePoint::AtEnd
    } else {
        RestorePoint::BeforeEnd
    }
}

/// Brings a partition to where its claim says: where to read from.
fn go_on(partition: &mut Partition, claim: &Claim, source: &mut dyn Source) -> Result<Option<Offset>> {
    let id = partition.id();
    let progress = claim.entry.as_ref().map(|entry| entry.progress);
    if let Some(snapshot) = &claim.snapshot {
        partition.restore(snapshot, restore_point(snapshot, progress.as_ref()))?;
    }

    let at = claim.snapshot.as_ref().map(|snapshot| snapshot.position);
    let Some(entry) = &claim.entry else { return Ok(at) };
    let committed = entry.progress.position;
    let position = at.unwrap_or(entry.progress.begun);
    if at.is_some() && position > committed {
        let what =
            format!("partition {id}: its state is of position {position}, but only {committed} is committed");
        return Err(Error::new(Kind::State, what));
    }

    partition.go_on_from(entry);
    if position < committed
        && let Some(Range { start: first, .. }) = source.offset_range(id)?
        && first > position
    {
        return Err(gone(id, position..committed, first));
    }
    Ok(Some(position))
}

/// Why a partition cannot be restored whose records from `first` on only are still there.
fn gone(id: PartitionId, needed: Range<Offset>, first: Offset) -> Error {
    let (from, to) = (needed.start, needed.end.0 - 1);
    let what = format!(
        "partition {id}: records {from} to {to} have to be read again to restore its state, but the first that is still \
         there is {first}; `run --rebuild` rebuilds it from what is left"
    );
    Error::new(Kind::State, what)
}
