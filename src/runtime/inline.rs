//! The plain runner: one loop, one thread. Tests, backtests and replays use it.
//! It must give what the threaded runner gives, byte for byte.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::outputs::open_partition;
use super::partition::{Outcome, Partition};
use super::{Job, Summary};
use crate::error::Result;
use crate::ingest::Event;
use crate::serve::Part;

const POLL: Duration = Duration::from_millis(50);

/// Runs until the input ends or `stop` is set.
pub fn run_inline(mut job: Job) -> Result<Summary> {
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut open = 0usize;
    let mut assigned = false;
    let mut summary = Summary::default();
    let mut saved_at = Instant::now();
    while !job.watch.is_stopped() {
        let polled = job.source.poll(POLL);
        match job.watch.polled(polled, assigned)? {
            Event::Assigned(ids) => {
                assigned = true;
                open += ids.len();
                for id in ids {
                    partitions.insert(id, begin(&mut job, id)?);
                }
                job.watch.health.set_ready(Part::Source);
            }
            Event::Revoked(ids) => {
                ids.iter().for_each(|id| open -= usize::from(partitions.remove(id).is_some()))
            }
            Event::Records { partition: id, records } => {
                let Some(partition) = partitions.get_mut(&id) else { continue };
                let count = records.len() as u64;
                summary.records += count;
                job.watch.metrics.records_received(&job.blueprint.topic, id, count);
                partition.take(records, &mut |outcome| write(&mut job, id, &outcome, &mut summary))?;
                job.watch.worked(partition, count);
            }
            Event::End { partition: id } => {
                let Some(partition) = partitions.get_mut(&id) else { continue };
                partition.finish(&mut |outcome| write(&mut job, id, &outcome, &mut summary))?;
                job.watch.worked(partition, 0);
                open -= 1;
                if open == 0 {
                    break;
                }
            }
            Event::Idle { .. } => {}
        }
        if saved_at.elapsed() >= job.pace.snapshot_every {
            save(&mut job, &partitions)?;
            saved_at = Instant::now();
        }
    }
    save(&mut job, &partitions)?;
    job.outputs.sync()?;
    job.source.close()?;
    summary.windows = partitions.values().map(|partition| partition.stats().windows_closed).sum();
    Ok(summary)
}

fn begin(job: &mut Job, id: i32) -> Result<Partition> {
    let ledger = job.outputs.ledger().cloned();
    let opened = open_partition(&job.blueprint, ledger.as_ref(), id, &job.watch.metrics)?;
    job.watch.metrics.begin(id, &opened.partition.stats());
    job.outputs.begin(id, opened.resume)?;
    job.source.start(id, opened.position)?;
    Ok(opened.partition)
}

fn write(job: &mut Job, id: i32, outcome: &Outcome, summary: &mut Summary) -> Result<()> {
    job.outputs.write(id, &outcome.results)?;
    job.watch.rejected(outcome);
    job.watch.wrote(&outcome.results);
    summary.count(outcome);
    Ok(())
}

fn save(job: &mut Job, partitions: &BTreeMap<i32, Partition>) -> Result<()> {
    for partition in partitions.values() {
        if let Some(snapshot) = partition.snapshot()? {
            job.outputs.save(&snapshot)?;
            job.source.commit(snapshot.partition, snapshot.position)?;
        }
    }
    Ok(())
}
