//! A bounded input read to its end through decoding and windows, for whoever wants its past at once.
//! It must not forecast, write results or keep state: a pipeline that runs beside it notices nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::record_batch::RecordBatch;

use super::blueprint::Blueprint;
use super::partition::{Outcome, Partition};
use super::watch::Watch;
use crate::error::Result;
use crate::ingest::{Event, Source};

const POLL: Duration = Duration::from_millis(50);

/// Reads until every partition has ended, and hands its closed windows on. The number of records read; none, when the
/// watch's stop flag ended it before the input did. Errors: the source's, those of decoding and windows, and `take`'s.
pub fn read_history(
    blueprint: &Blueprint,
    source: &mut dyn Source,
    watch: &Watch,
    take: &mut dyn FnMut(i32, &RecordBatch) -> Result<()>,
) -> Result<Option<u64>> {
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
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
                    partitions.insert(id, blueprint.windows(id)?);
                    source.start(id, None)?;
                }
            }
            Event::Records { partition: id, records } => {
                let Some(partition) = partitions.get_mut(&id) else { continue };
                let count = records.len() as u64;
                partition.take(records, &mut |outcome| hand_on(id, &outcome, watch, take))?;
                read += count;
                (watch.progress)(count);
            }
            Event::End { partition: id } => {
                let Some(mut partition) = partitions.remove(&id) else { continue };
                partition.finish(&mut |outcome| hand_on(id, &outcome, watch, take))?;
                ended += 1;
            }
            Event::Revoked(_) | Event::Idle { .. } => {}
        }
    }
    source.close()?;
    Ok(Some(read))
}

fn hand_on(
    id: i32,
    outcome: &Outcome,
    watch: &Watch,
    take: &mut dyn FnMut(i32, &RecordBatch) -> Result<()>,
) -> Result<()> {
    watch.rejected(outcome);
    outcome.rows.iter().try_for_each(|rows| take(id, rows))
}
