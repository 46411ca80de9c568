//! A partition that is taken away and comes back, as a consumer group does it. The source follows a
//! script, so that every order of events can be tried without a broker. The oracle is a run that
//! keeps its partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tickcast::factory::factory;
use tickcast_connect::SourceSchema;
use tickcast_stream::error::{Error, Kind, Result};
use tickcast_stream::message::{RawRecord, Records};
use tickcast_stream::runtime::{Job, RunOptions, run_threads};
use tickcast_stream::source::{Departure, Event, Source};
use tickcast_stream::{Offset, PartitionId};

use crate::support::pipeline::{TestPipeline, watch};

const PIPELINE: &str = "
name: handover
source: { kafka: { brokers: 127.0.0.1:1, topic: t } }
key: k
time: t
window: { tumbling: 1m, select: { x: avg(v) } }
forecast: { target: x, model: { hidden: 4, bptt: 9, replay: 1 } }
state: { dir: state }
sinks:
  forecasts: { file: { path: out/ } }
";

/// What happens to partition 0, and after that the end.
#[derive(Clone, Copy)]
enum Step {
    Assign,
    Revoke,
    /// Reads so many records on from where the partition is.
    Read(usize),
    /// The source breaks.
    Fail,
}

struct Scripted {
    steps: VecDeque<Step>,
    records: Vec<String>,
    position: usize,
    owned: bool,
    /// Revoked and not given back: the group waits for it.
    releasing: bool,
    paused: bool,
}

impl Source for Scripted {
    fn poll(&mut self, _: Duration) -> Result<Event> {
        if self.paused && matches!(self.steps.front(), Some(Step::Read(_)) | None) {
            return Ok(Event::Idle { problem: None });
        }
        let waits = matches!(self.steps.front(), Some(Step::Read(_))) && !self.owned;
        if self.releasing || waits {
            return Ok(Event::Idle { problem: None });
        }
        Ok(match self.steps.pop_front() {
            Some(Step::Assign) => Event::Assigned(vec![PartitionId(0)]),
            Some(Step::Revoke) => {
                (self.owned, self.paused, self.releasing) = (false, false, true);
                Event::Revoked { partitions: vec![PartitionId(0)], departure: Departure::Returned }
            }
            Some(Step::Fail) => return Err(Error::new(Kind::Source, "the script says so")),
            Some(Step::Read(count)) => {
                let from = self.position;
                self.position = (from + count).min(self.records.len());
                let raw = |at: usize| RawRecord {
                    offset: Offset(at as i64),
                    payload: Some(self.records[at].clone().into()),
                    ..RawRecord::default()
                };
                Event::Records {
                    partition: PartitionId(0),
                    records: Records::Raw((from..self.position).map(raw).collect()),
                }
            }
            None => Event::End { partition: PartitionId(0) },
        })
    }

    fn start(&mut self, _: PartitionId, position: Option<Offset>) -> Result<()> {
        self.owned = true;
        self.position = position.map_or(0, |position| position.0 as usize);
        Ok(())
    }

    fn release(&mut self, _: PartitionId) -> Result<()> {
        self.releasing = false;
        Ok(())
    }

    fn set_paused(&mut self, _: PartitionId, paused: bool) -> Result<()> {
        self.paused = paused;
        Ok(())
    }
}

fn records() -> Vec<String> {
    let record = |i: i64| {
        let (series, us) = (i % 3, 1_704_067_200_000_000 + i * 7_000_000);
        format!(r#"{{"k":"s{series}","t":{us},"v":{}}}"#, i * i % 17)
    };
    (0..4000).map(record).collect()
}

fn run(bench: &TestPipeline, steps: Vec<Step>) -> Result<String> {
    let plan = bench.load().plan;
    let watch = watch(Default::default(), Arc::new(|_| ()));
    let source = Scripted {
        steps: steps.into(),
        records: records(),
        position: 0,
        owned: false,
        releasing: false,
        paused: false,
    };
    run_threads(Job {
        ends: plan.ends().exactly_once(None, false, &watch)?,
        factory: Arc::new(factory(&plan, SourceSchema::default())?),
        source: Box::new(source),
        watch,
        pace: RunOptions {
            workers: 2,
            commit_every: Duration::from_millis(1),
            recover_within: Duration::from_millis(1),
        },
    })?;
    Ok(bench.out()["forecasts-0.ndjson"].clone())
}

/// Found by: a night of operation. A partition that was given back while paused stayed paused.
#[test]
fn taken_away_and_given_back_a_partition_writes_the_same_bytes() {
    let undisturbed = TestPipeline::new(PIPELINE);
    let reads = |count: usize, size: usize| std::iter::repeat_n(Step::Read(size), count);
    let expected = run(&undisturbed, [Step::Assign].into_iter().chain(reads(80, 50)).collect()).unwrap();
    assert!(expected.lines().count() > 1000);
    let bench = TestPipeline::new(PIPELINE);
    // More is read at once than a worker's channel holds, so that the partition is paused when it
    // is taken away.
    let mut steps = vec![Step::Assign];
    for _ in 0..3 {
        steps.extend(reads(30, 40));
        steps.extend([Step::Revoke, Step::Assign]);
    }
    steps.extend(reads(400, 50));
    assert!(run(&bench, steps).unwrap() == expected);
}

#[test]
fn a_broken_source_ends_the_run_with_its_error_and_saves_what_was_done() {
    let bench = TestPipeline::new(PIPELINE);
    let steps = [Step::Assign, Step::Read(500), Step::Fail].to_vec();
    let error = run(&bench, steps).unwrap_err();
    assert!(error.to_string().contains("the script says so"), "{error}");
}

#[test]
fn a_sink_that_cannot_be_written_ends_the_run_with_its_error() {
    let bench = TestPipeline::new(PIPELINE);
    // A directory where the file should be.
    std::fs::create_dir_all(bench.path("out/forecasts-0.ndjson")).unwrap();
    let steps = std::iter::once(Step::Assign).chain(std::iter::repeat_n(Step::Read(50), 80)).collect();
    let error = run(&bench, steps).unwrap_err();
    assert!(error.to_string().contains("forecasts-0.ndjson"), "{error}");
}
