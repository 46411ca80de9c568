//! The threaded runner with a source that follows a script: its output beside the script's records,
//! and how it ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use crossbeam_channel::bounded;
use tickcast_forecast::ForecastSpec;

use super::context::RunContext;
use super::endpoints::Endpoints;
use super::exactly_once::LostPartitions;
use super::factory::{PipelineFactory, PipelineParts};
use super::heartbeat::Heartbeat;
use super::inline::run_inline;
use super::job::{Job, RunOptions, Summary};
use super::outputs::{Outputs, Ticket};
use super::threads::{run_threads, run_watched};
use crate::decode::{Decode, Decoded};
use crate::error::{Error, Kind, Result};
use crate::ledger::{Checkpoint, Claim, Position, Recover, Snapshot};
use crate::message::{EventTime, RawRecord, Reason, Records, Reject, Stream, reject_schema};
use crate::operator::{Operator, OperatorStats, Output, SnapshotWriter};
use crate::place::{Offset, PartitionId};
use crate::sink::Begin;
use crate::source::{Departure, Event, Source};
use crate::telemetry::{Health, Metrics, Readiness};
use crate::testing::{Fate, World};

/// What happens to partition 0, and after that the end.
#[derive(Clone, Copy)]
enum Step {
    Assign,
    Revoke,
    /// Revokes it without asking: it may come back before it is given back.
    Lose,
    /// As many records, from where the partition is.
    Read(usize),
    Fail,
}

struct Scripted {
    steps: VecDeque<Step>,
    position: Offset,
    is_releasing: bool,
    is_owned: bool,
    is_paused: bool,
}

impl Scripted {
    fn of(steps: &[Step]) -> Self {
        let steps = steps.iter().copied().collect();
        Scripted { steps, position: Offset(0), is_releasing: false, is_owned: false, is_paused: false }
    }
}

impl Source for Scripted {
    fn poll(&mut self, timeout: Duration) -> Result<Event> {
        let reads = matches!(self.steps.front(), Some(Step::Read(_)) | None);
        if self.is_releasing || (reads && (self.is_paused || !self.is_owned)) {
            std::thread::sleep(timeout.min(Duration::from_millis(1)));
            return Ok(Event::Idle { problem: None });
        }
        Ok(match self.steps.pop_front() {
            Some(Step::Assign) => Event::Assigned(vec![PartitionId(0)]),
            Some(Step::Revoke) => {
                (self.is_owned, self.is_paused, self.is_releasing) = (false, false, true);
                Event::Revoked { partitions: vec![PartitionId(0)], departure: Departure::Returned }
            }
            Some(Step::Lose) => {
                (self.is_owned, self.is_paused) = (false, false);
                Event::Revoked { partitions: vec![PartitionId(0)], departure: Departure::Lost }
            }
            Some(Step::Fail) => return Err(Error::new(Kind::Source, "the script says so")),
            Some(Step::Read(count)) => {
                let record = |n| RawRecord { offset: self.position.plus(n), ..RawRecord::default() };
                let records = Records::Raw((0..count).map(record).collect());
                self.position = self.position.plus(count);
                Event::Records { partition: PartitionId(0), records }
            }
            None => Event::End { partition: PartitionId(0) },
        })
    }

    fn start(&mut self, _: PartitionId, position: Option<Offset>) -> Result<()> {
        (self.is_owned, self.position) = (true, position.unwrap_or(Offset(0)));
        Ok(())
    }

    fn release(&mut self, _: PartitionId) -> Result<()> {
        self.is_releasing = false;
        Ok(())
    }

    fn set_paused(&mut self, _: PartitionId, paused: bool) -> Result<()> {
        self.is_paused = paused;
        Ok(())
    }
}

/// Takes no record in.
struct RejectAll;

impl Decode for RejectAll {
    fn schema(&self) -> SchemaRef {
        reject_schema()
    }

    fn fields_beside(&self, _: &str, _: &RawRecord) -> Option<String> {
        None
    }

    fn decode(&self, records: &Records) -> Result<Decoded> {
        let first = records.first_offset().unwrap_or(Offset(0));
        let reject = |n| Reject { offset: first.plus(n), reason: Reason::Late, detail: String::new() };
        let rejects = (0..records.len()).map(reject).collect();
        Ok(Decoded {
            rows: RecordBatch::new_empty(reject_schema()),
            rejects,
            blank: Vec::new(),
            passed: Vec::new(),
        })
    }
}

/// Has no windows.
struct NoWindows;

impl Operator for NoWindows {
    fn name(&self) -> &'static str {
        "window"
    }

    fn on_batch(&mut self, _: &RecordBatch, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn on_watermark(&mut self, _: EventTime, _: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self) -> SnapshotWriter {
        Box::new(|| Ok(Vec::new()))
    }

    fn restore(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn report(&self, _: &mut OperatorStats) {}
}

fn factory() -> PipelineFactory {
    PipelineFactory::new(PipelineParts {
        topic: "t".into(),
        pipeline: "threads".into(),
        fingerprint: "{}".into(),
        streams: vec![Stream::Rejects],
        leaves_open: false,
        is_shared: false,
        has_past: false,
        ahead_rule: None,
        targets: ForecastSpec::new("x").into(),
        order: 60_000_000.into(),
        new_decoder: Box::new(|_| Ok(Box::new(RejectAll))),
        new_prepare: None,
        new_deduplicate: None,
        new_window: Box::new(|| Box::new(NoWindows)),
    })
}

fn watch() -> RunContext {
    RunContext {
        metrics: Arc::new(Metrics::new("threads").unwrap()),
        health: Arc::new(Health::default()),
        stop: Arc::default(),
        progress: Arc::new(|_| ()),
        pulse: Heartbeat::default(),
    }
}

fn job(steps: &[Step], ends: Endpoints, watch: RunContext) -> Job {
    let ms = Duration::from_millis;
    let pace = RunOptions { workers: 2, commit_every: ms(1), recover_within: ms(1) };
    Job { factory: Arc::new(factory()), source: Box::new(Scripted::of(steps)), ends, watch, pace }
}

/// The ends of a run that commits to a world in memory.
fn ends(world: &World, watch: &RunContext) -> Endpoints {
    let (recover, commit) = world.open(1, Box::new(|_| Fate::Go));
    world.rebalance(&[1]);
    Endpoints::exactly_once(recover, commit, watch)
}

/// The offsets of the committed rejects.
fn offsets(world: &World) -> Vec<i64> {
    let offset = |line: String| {
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        value["offset"].as_i64().unwrap()
    };
    world.results(PartitionId(0), Stream::Rejects).into_iter().map(offset).collect()
}

fn reads(count: usize) -> Vec<Step> {
    std::iter::once(Step::Assign).chain(std::iter::repeat_n(Step::Read(50), count)).collect()
}

#[test]
fn both_runners_commit_every_record_once_and_in_order() {
    for run in [run_inline, run_threads] {
        let (world, watch) = (World::default(), watch());
        let summary = run(job(&reads(40), ends(&world, &watch), watch)).unwrap();
        assert_eq!(summary, Summary { records: 2000, rejects: 2000, ..Summary::default() });
        assert_eq!(offsets(&world), (0..2000).collect::<Vec<_>>());
        assert_eq!(world.entry(PartitionId(0)).unwrap().progress.position, Offset(2000));
    }
}

#[test]
fn a_partition_that_goes_and_comes_back_goes_on_where_its_last_commit_was() {
    let (world, watch) = (World::default(), watch());
    let mut steps = reads(30);
    for _ in 0..5 {
        // More than a worker's channel holds, so that the partition may be paused when it is taken
        // away.
        steps.push(Step::Revoke);
        steps.extend(reads(30));
    }
    run_threads(job(&steps, ends(&world, &watch), watch)).unwrap();
    assert_eq!(offsets(&world), (0..9000).collect::<Vec<_>>());
}

#[test]
fn a_lost_partition_that_comes_back_at_once_leaves_no_gap_and_tells_nothing_twice() {
    for _ in 0..10 {
        let (world, watch) = (World::default(), watch());
        let mut steps = reads(20);
        for _ in 0..5 {
            // The second time it is lost before the sink has let go of the first.
            steps.extend([Step::Lose, Step::Assign, Step::Lose]);
            steps.extend(reads(20));
        }
        run_threads(job(&steps, ends(&world, &watch), watch)).unwrap();
        let committed = offsets(&world);
        assert!(committed.len() >= 1000);
        assert_eq!(committed, (0..committed.len() as i64).collect::<Vec<_>>());
        assert_eq!(world.entry(PartitionId(0)).unwrap().progress.position, Offset(committed.len() as i64));
    }
}

#[test]
fn a_run_that_replays_is_ready_when_it_has_caught_up_and_tells_nothing_twice() {
    let (world, first) = (World::default(), watch());
    run_threads(job(&reads(10), ends(&world, &first), first)).unwrap();
    let second = watch();
    // Without its snapshot, everything is made again.
    let mut ends = ends(&world, &second);
    let progress = world.entry(PartitionId(0)).unwrap().progress;
    ends.recover = Box::new(Forgetful(Checkpoint::of(progress)));
    let health = Arc::clone(&second.health);
    run_threads(job(&reads(20), ends, second)).unwrap();
    assert_eq!(offsets(&world), (0..1000).collect::<Vec<_>>());
    assert_eq!(health.status(), Readiness::Ready);
}

/// Knows what is committed, and no snapshot.
struct Forgetful(Checkpoint);

impl Recover for Forgetful {
    fn take_over(&mut self, _: PartitionId) -> Result<Option<Checkpoint>> {
        Ok(Some(self.0.clone()))
    }

    fn claim(&mut self, _: PartitionId) -> Result<Claim> {
        Ok(Claim { entry: Some(self.0.clone()), snapshot: None })
    }
}

#[test]
fn a_broken_source_ends_the_run_with_its_error_and_what_was_read_is_committed() {
    let (world, watch) = (World::default(), watch());
    // As many as the worker has taken for sure: the end of the run skips what is still queued.
    let steps = [Step::Assign, Step::Read(500), Step::Fail];
    let error = run_threads(job(&steps, ends(&world, &watch), watch)).unwrap_err();
    assert!(error.to_string().contains("the script says so"), "{error}");
    let committed = offsets(&world);
    assert!(committed.is_empty() || committed.len() == 500);
}

/// Outputs that do with results what a test wants.
struct Broken(Box<dyn FnMut() -> Result<()> + Send>);

impl Outputs for Broken {
    fn begin(&mut self, _: PartitionId, _: Option<Checkpoint>, _: Begin) -> Result<()> {
        Ok(())
    }

    fn results(&mut self, _: PartitionId, _: Vec<(Stream, RecordBatch)>, _: Option<Position>) -> Result<()> {
        (self.0)()
    }

    fn snapshot(&mut self, _: Snapshot, _: Ticket) -> Result<Option<Offset>> {
        Ok(None)
    }

    fn commit(&mut self) -> Result<()> {
        Ok(())
    }

    fn release(&mut self, _: PartitionId, _: Departure) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

fn broken(world: &World, watch: &RunContext, results: Box<dyn FnMut() -> Result<()> + Send>) -> Endpoints {
    let lost = LostPartitions::default();
    Endpoints { outputs: Box::new(Broken(results)), lost, ..ends(world, watch) }
}

#[test]
fn a_sink_that_fails_ends_the_run_with_its_error_and_not_with_an_echo() {
    for _ in 0..20 {
        let (world, watch) = (World::default(), watch());
        let fails = Box::new(|| Err(Error::new(Kind::Sink, "the disk is full")));
        let ends = broken(&world, &watch, fails);
        let error = run_threads(job(&reads(400), ends, watch)).unwrap_err();
        assert!(error.to_string().contains("the disk is full"), "{error}");
    }
}

#[test]
fn a_sink_that_hangs_ends_the_run_with_an_error_and_without_its_thread() {
    // The reader sees it while it reads, and while it waits for the other threads.
    for steps in [reads(400), reads(1)] {
        let (world, watch) = (World::default(), watch());
        // The call returns when the test drops its end.
        let (release, held) = bounded::<()>(0);
        let guard = Arc::new(());
        let watched = Arc::downgrade(&guard);
        let hangs = Box::new(move || {
            _ = held.recv();
            Ok(())
        });
        let ends = Endpoints { guard: Some(Box::new(guard)), ..broken(&world, &watch, hangs) };

        let from = Instant::now();
        let error = run_watched(job(&steps, ends, watch), Duration::from_millis(200)).unwrap_err();
        assert_eq!(error.kind, Kind::Sink);
        assert!(error.to_string().contains("has not returned"), "{error}");
        assert!(from.elapsed() >= Duration::from_millis(200));
        assert!(watched.upgrade().is_some(), "whoever hangs may still write, so the lock is held");

        drop(release);
        while watched.upgrade().is_some() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
