//! The plain runner: one loop, one thread. Tests, backtests and replays use it.
//! It must give what the threaded runner gives, byte for byte.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::outputs::{Opened, open_partition};
use super::partition::{Outcome, Partition};
use super::{Job, Summary};
use crate::error::{Result, Retry};
use crate::ingest::Event;

const POLL: Duration = Duration::from_millis(50);

/// Runs until the input ends or `stop` is set.
pub fn run_inline(mut job: Job) -> Result<Summary> {
    let mut partitions: BTreeMap<i32, Partition> = BTreeMap::new();
    let mut open = 0usize;
    let mut summary = Summary::default();
    let mut saved_at = Instant::now();
    while !job.watch.stop.load(Ordering::Relaxed) {
        match job.source.poll(POLL) {
            Ok(Event::Assigned(ids)) => {
                for id in ids {
                    let ledger = job.outputs.ledger().cloned();
                    let Opened { partition, position, resume } =
                        open_partition(&job.blueprint, ledger.as_ref(), id)?;
                    job.outputs.begin(id, resume)?;
                    partitions.insert(id, partition);
                    job.source.start(id, position)?;
                    open += 1;
                }
                job.watch.health.set_ready();
            }
            Ok(Event::Revoked(ids)) => {
                ids.iter().for_each(|id| open -= usize::from(partitions.remove(id).is_some()))
            }
            Ok(Event::Records { partition: id, records }) => {
                let Some(partition) = partitions.get_mut(&id) else { continue };
                let count = records.len() as u64;
                summary.records += count;
                let outcome = partition.take(records)?;
                write(&mut job, id, &outcome, &mut summary)?;
                (job.watch.progress)(count);
            }
            Ok(Event::End { partition: id }) => {
                let Some(partition) = partitions.get_mut(&id) else { continue };
                let outcome = partition.finish()?;
                write(&mut job, id, &outcome, &mut summary)?;
                open -= 1;
                if open == 0 {
                    break;
                }
            }
            Ok(Event::Idle { problem }) => {
                problem.into_iter().for_each(|why| job.watch.health.set_waiting(why))
            }
            Err(error) if error.retry == Retry::Later => job.watch.health.set_waiting(error.to_string()),
            Err(error) => return Err(error),
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

fn write(job: &mut Job, id: i32, outcome: &Outcome, summary: &mut Summary) -> Result<()> {
    job.outputs.write(id, &outcome.results)?;
    summary.count(outcome);
    outcome.results.iter().for_each(|(stream, rows)| job.watch.metrics.results(*stream, rows));
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
