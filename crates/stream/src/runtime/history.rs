//! A bounded input read to its end through decoding and windows, for whoever wants its past at
//! once.
//! It must not forecast, write results or keep state: a pipeline that runs beside it notices
//! nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::context::RunContext;
use super::factory::PipelineFactory;
use super::partition::Partition;
use super::partition_output::PartitionOutput;
use crate::error::{Error, Kind, Result};
use crate::log_id::LogId;
use crate::message::Records;
use crate::place::{Offset, PartitionId};
use crate::source::{Event, Source};

const POLL: Duration = Duration::from_millis(50);

/// What is done with a bounded input.
pub trait Reader {
    /// A partition comes: from where it is read; none: from its beginning.
    fn begin(&mut self, partition: PartitionId) -> Result<Option<Offset>>;

    /// Its next records.
    fn records(&mut self, partition: PartitionId, records: Records) -> Result<()>;

    /// The records that follow are of the log with this id.
    fn log(&mut self, _partition: PartitionId, _log: LogId) {}

    /// It has no more.
    fn end(&mut self, partition: PartitionId) -> Result<()>;
}

/// Reads until every partition has ended. The number of records read; none, when the watch's stop
/// flag ended it before the input did. Errors: the source's and the reader's.
pub fn read_to_end(
    source: &mut dyn Source,
    watch: &RunContext,
    reader: &mut dyn Reader,
) -> Result<Option<u64>> {
    let (mut assigned, mut ended, mut read) = (0, 0, 0);
    while assigned == 0 || ended < assigned {
        if watch.is_stopped() {
            source.close()?;
            return Ok(None);
        }

        match source.poll(POLL)? {
            Event::Assigned(ids) => {
                assigned += ids.len();
                for id in ids {
                    let from = reader.begin(id)?;
                    source.start(id, from)?;
                }
            }
            Event::Records { partition, records } => {
                let count = records.len() as u64;
                reader.records(partition, records)?;
                read += count;
                (watch.progress)(count);
            }
            Event::Lost { partition, offsets } => {
                let (from, to) = (offsets.start, offsets.end.0 - 1);
                let what =
                    format!("records {from} to {to} of partition {partition} were dropped while it was read");
                return Err(Error::new(Kind::Source, what));
            }
            Event::Log { partition, log } => reader.log(partition, log),
            Event::End { partition } => {
                reader.end(partition)?;
                ended += 1;
            }
            Event::Revoked { .. } | Event::Quiet { .. } | Event::Idle { .. } => {}
        }
    }

    source.close()?;
    Ok(Some(read))
}

/// Takes a partition's closed windows.
type Take<'a> = dyn FnMut(PartitionId, &RecordBatch) -> Result<()> + 'a;

/// Hands the closed windows of every partition on. Otherwise as [`read_to_end`].
pub fn read_history(
    factory: &PipelineFactory,
    source: &mut dyn Source,
    watch: &RunContext,
    take: &mut Take<'_>,
) -> Result<Option<u64>> {
    read_to_end(source, watch, &mut Windows { factory, watch, take, partitions: BTreeMap::new() })
}

struct Windows<'a, 'b> {
    factory: &'a PipelineFactory,
    watch: &'a RunContext,
    take: &'a mut Take<'b>,
    partitions: BTreeMap<PartitionId, Partition>,
}

impl Reader for Windows<'_, '_> {
    fn begin(&mut self, id: PartitionId) -> Result<Option<Offset>> {
        self.partitions.insert(id, self.factory.windows(id)?);
        Ok(None)
    }

    fn records(&mut self, id: PartitionId, records: Records) -> Result<()> {
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        partition.take(records, &mut |outcome| hand_on(id, &outcome, self.watch, self.take))
    }

    fn end(&mut self, id: PartitionId) -> Result<()> {
        let Some(mut partition) = self.partitions.remove(&id) else { return Ok(()) };
        partition.finish(&mut |outcome| hand_on(id, &outcome, self.watch, self.take))
    }
}

fn hand_on(
    id: PartitionId,
    outcome: &PartitionOutput,
    watch: &RunContext,
    take: &mut Take<'_>,
) -> Result<()> {
    watch.rejected(outcome);
    outcome.rows.iter().try_for_each(|rows| take(id, rows))
}
