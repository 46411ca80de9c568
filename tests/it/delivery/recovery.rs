//! A process that is killed and started again writes, before and after together, what an
//! undisturbed process writes, byte for byte. The delivery is at least once, with files.

use std::fs;
use std::sync::Arc;

use tickcast_stream::ledger::chunk::base_in_head;

use crate::support::pipeline::{self, Runner, TestPipeline};
use crate::support::process::{Instance, StartFrom};
use crate::support::wait::wait_till;

const PIPELINE: &str = "
name: killed
source: { generate: { series: 8, ticks: 24000, rate: RATE, seed: 5, process: market, partitions: 2 } }
window: { tumbling: 30s, select: { price: avg(price) } }
forecast: { target: price, horizons: [1, 2], model: { cell: lstm, hidden: 6, bptt: 10, replay: 1 } }
state: { dir: state }
recover_within: 5ms
workers: 2
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
";

fn bench(rate: &str) -> TestPipeline {
    TestPipeline::new(&PIPELINE.replace("RATE", rate))
}

#[test]
fn a_killed_run_writes_the_bytes_of_an_undisturbed_one() {
    let undisturbed = bench("1000000");
    undisturbed.run(Runner::Inline, 512);
    let expected = undisturbed.out();

    let killed = bench("12000");
    for _ in 0..3 {
        let before = newest_snapshot(&killed);
        let mut instance = Instance::start(&killed.file(), &killed.path("log"), &StartFrom::default());
        wait_till("a new snapshot", || newest_snapshot(&killed) != before);
        // Results after the snapshot are written again by the next life.
        let written = bytes_written(&killed);
        wait_till("results after the snapshot", || {
            instance.lives();
            bytes_written(&killed) > written
        });
        instance.kill();
    }
    killed.run(Runner::Threads(2), 512);

    for (name, text) in &killed.out() {
        let (ours, theirs) = (text.lines().count(), expected[name].lines().count());
        assert!(text == &expected[name], "{name}: {ours} lines, undisturbed {theirs}");
    }
    assert_eq!(killed.out().len(), expected.len());
}

/// Windows that close seldom: most states are light ones, which a restart reads with their base.
const SELDOM: &str = "
name: seldom
source: { generate: { series: 40, ticks: 60000, rate: RATE, seed: 5, process: market, partitions: 2 } }
window: { tumbling: 5m, select: { price: avg(price) } }
forecast: { target: price, horizons: [1, 2], model: { hidden: 8, bptt: 10, replay: 1 } }
state: { dir: state }
recover_within: 1ms
commit_every: 5ms
workers: 2
delivery: DELIVERY
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
";

#[test]
fn a_run_that_is_killed_after_a_light_snapshot_goes_on_from_it() {
    for delivery in ["exactly_once", "at_least_once"] {
        let bench = |rate| TestPipeline::new(&SELDOM.replace("RATE", rate).replace("DELIVERY", delivery));
        let undisturbed = bench("1000000");
        undisturbed.run(Runner::Inline, 512);
        let expected = undisturbed.out();

        let killed = bench("20000");
        for _ in 0..3 {
            let before = newest_snapshot(&killed);
            let mut instance = Instance::start(&killed.file(), &killed.path("log"), &StartFrom::default());
            wait_till("a new snapshot that is light", || {
                instance.lives();
                let newest = newest_snapshot(&killed).filter(|_| newest_snapshot(&killed) != before);
                newest.is_some_and(|name| is_light(&killed, &name))
            });
            instance.kill();
        }
        killed.run(Runner::Threads(2), 512);

        for (name, text) in &killed.out() {
            let (ours, theirs) = (text.lines().count(), expected[name].lines().count());
            assert!(text == &expected[name], "{delivery}, {name}: {ours} lines, undisturbed {theirs}");
        }
        assert_eq!(killed.out().len(), expected.len());
    }
}

/// It may be gone already: then it is none.
fn is_light(bench: &TestPipeline, name: &str) -> bool {
    let file = fs::read(bench.path("state").join(name)).unwrap_or_default();
    base_in_head(&file).is_some()
}

fn newest_snapshot(bench: &TestPipeline) -> Option<String> {
    let files = fs::read_dir(bench.path("state")).into_iter().flatten().flatten();
    let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".snapshot")).max()
}

fn bytes_written(bench: &TestPipeline) -> u64 {
    let files = fs::read_dir(bench.path("out")).into_iter().flatten().flatten();
    files.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn a_state_of_another_pipeline_is_refused_by_name() {
    let bench = bench("1000000");
    bench.run(Runner::Inline, 512);
    let other =
        TestPipeline::new(&PIPELINE.replace("RATE", "1000000").replace("tumbling: 30s", "tumbling: 20s"));
    fs::rename(bench.path("state"), other.path("state")).unwrap();
    let loaded = other.load();
    let (stop, progress) = (Arc::default(), Arc::new(|_| ()));
    let error = pipeline::run(&loaded, Runner::Threads(2), 512, stop, progress).unwrap_err();
    assert!(error.to_string().contains("belongs to another pipeline file"), "{error}");
}
