//! The plain runner: one loop, one thread. Tests, backtests and replays use it.
//! It must give what the threaded runner gives, byte for byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::job::{Job, Summary};
use super::outputs::Ticket;
use super::partition::{Partition, PartitionOutput};
use super::recovery::open_partition;
use crate::error::Result;
use crate::source::Event;
use crate::telemetry::HealthPart;

const POLL: Duration = Duration::from_millis(50);

/// Runs until the input ends or `stop` is set.
pub fn run_inline(mut job: Job) -> Result<Summary> {
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut open = 0usize;
    let mut assigned = false;
    let mut summary = Summary::default();
    let (mut saved_at, mut committed_at) = (Instant::now(), Instant::now());
    while !job.watch.is_stopped() {
        let polled = job.source.poll(POLL);
        match job.watch.polled(polled, assigned)? {
            Event::Assigned(ids) => {
                assigned = true;
                open += ids.len();
                for id in ids {
                    partitions.insert(id, begin(&mut job, id)?);
                }
                job.watch.health.set_ready(HealthPart::Source);
            }
            Event::Revoked { partitions: ids, lost } => {
                for id in ids {
                    open -= usize::from(partitions.remove(&id).is_some());
                    job.ends.outputs.release(id, lost)?;
                    job.source.release(id)?;
                }
            }
            Event::Records { partition: id, records } => {
                let Some(partition) = partitions.get_mut(&id) else { continue };
                let count = records.len() as u64;
                summary.records += count;
                job.watch.metrics.records_received(job.factory.topic(), id, count);
                partition.take(records, &mut |outcome| write(&mut job, id, outcome, &mut summary))?;
                job.watch.worked(partition, count);
            }
            Event::End { partition: id } => {
                let Some(partition) = partitions.get_mut(&id) else { continue };
                partition.finish(&mut |outcome| write(&mut job, id, outcome, &mut summary))?;
                job.watch.worked(partition, 0);
                open -= 1;
                if open == 0 {
                    break;
                }
            }
            Event::Idle { .. } => {}
        }
        if committed_at.elapsed() >= job.pace.commit_every {
            commit(&mut job)?;
            committed_at = Instant::now();
        }
        if saved_at.elapsed() >= job.pace.snapshot_every {
            save(&mut job, &partitions)?;
            saved_at = Instant::now();
        }
    }
    save(&mut job, &partitions)?;
    job.ends.outputs.finish()?;
    commit(&mut job)?;
    job.source.close()?;
    summary.windows = partitions.values().map(|partition| partition.stats().windows_closed).sum();
    Ok(summary)
}

fn begin(job: &mut Job, id: i32) -> Result<Partition> {
    let Job { factory, source, ends, watch, .. } = job;
    let opened = open_partition(factory, ends.recover.as_mut(), id, || source.offset_range(id), watch)?;
    watch.metrics.begin(id, &opened.partition.stats());
    ends.outputs.begin(id, opened.entry, opened.resume)?;
    if opened.partition.is_fresh()
        && let Some(snapshot) = opened.partition.snapshot()?
    {
        ends.outputs.snapshot(snapshot, Ticket::default())?;
    }
    source.start(id, opened.position)?;
    Ok(opened.partition)
}

fn write(job: &mut Job, id: i32, outcome: PartitionOutput, summary: &mut Summary) -> Result<()> {
    job.watch.rejected(&outcome);
    job.watch.wrote(&outcome.results);
    summary.count(&outcome);
    job.ends.outputs.results(id, outcome.results, outcome.reached)
}

fn save(job: &mut Job, partitions: &BTreeMap<i32, Partition>) -> Result<()> {
    for partition in partitions.values().filter(|partition| !partition.is_replaying()) {
        if let Some(snapshot) = partition.snapshot()? {
            job.ends.outputs.snapshot(snapshot, Ticket::default())?;
        }
    }
    Ok(())
}

/// Makes visible what was written, and tells the source what is durable.
fn commit(job: &mut Job) -> Result<()> {
    job.ends.outputs.commit()?;
    job.ends.durable.take().into_iter().try_for_each(|(id, position)| job.source.commit(id, position))
}
