//! Pipelines as library calls: several in one process, each with a handle of its own, stopped in
//! order or dropped. The oracle is an undisturbed run, byte for byte.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tickcast::{LaunchOptions, Running, launch};
use tickcast_connect::ledger::{Hold, SnapshotDir};
use tickcast_stream::telemetry::Readiness;

use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::wait::wait_till;

const TICKS: u64 = 16_000;

fn bench(name: &str, rate: u32) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: {name}
source: {{ generate: {{ series: 8, ticks: {TICKS}, rate: {rate}, seed: 5, process: market, partitions: 2 }} }}
window: {{ tumbling: 30s, select: {{ price: avg(price) }} }}
forecast: {{ target: price, horizons: [1, 2], model: {{ cell: lstm, hidden: 6, bptt: 10, replay: 1 }} }}
delivery: exactly_once
state: {{ dir: state }}
commit_every: 20ms
recover_within: 5ms
workers: 2
sinks:
  forecasts: {{ file: {{ path: out/ }} }}
  scores: {{ file: {{ path: out/ }} }}
"
    ))
}

/// A launch, and the number of records that it has worked on so far.
fn start(bench: &TestPipeline) -> (Running, Arc<AtomicU64>) {
    let worked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&worked);
    let options = LaunchOptions {
        batch_records: Some(64),
        progress: Arc::new(move |new| _ = count.fetch_add(new, Ordering::Relaxed)),
        ..LaunchOptions::default()
    };
    (launch(bench.load(), options).unwrap(), worked)
}

/// Waits until a launch has worked on `records`, and is not at its end.
fn await_records(running: &Running, worked: &AtomicU64, records: u64) {
    wait_till(&format!("{records} records of {}", running.name()), || {
        assert!(!running.is_finished(), "{} is at its end", running.name());
        worked.load(Ordering::Relaxed) >= records
    });
}

fn assert_undisturbed(bench: &TestPipeline) {
    let undisturbed = self::bench("undisturbed", 1_000_000);
    undisturbed.run(Runner::Inline, 512);
    let (expected, found) = (undisturbed.out(), bench.out());
    assert_eq!(found.len(), expected.len());
    for (name, text) in &expected {
        let lines = (found[name].lines().count(), text.lines().count());
        assert!(found[name] == *text, "{name}: {} lines, undisturbed {}", lines.0, lines.1);
    }
}

#[test]
fn of_two_pipelines_in_one_process_one_fails_and_the_other_goes_on() {
    let (good, bad) = (bench("steady", 2000), bench("doomed", 2000));
    // A directory where the file should be.
    fs::create_dir_all(bad.path("out/forecasts-0.ndjson")).unwrap();
    let (steady, worked) = start(&good);
    let (doomed, _) = start(&bad);
    assert_eq!((steady.name(), doomed.name()), ("steady", "doomed"));

    wait_till("the end of the one that fails", || doomed.is_finished());
    let metrics = Arc::clone(doomed.metrics());
    let error = doomed.wait().unwrap_err();
    assert!(error.to_string().contains("forecasts-0.ndjson"), "{error}");

    // The other one has noticed nothing: it works on, and is ready.
    await_records(&steady, &worked, worked.load(Ordering::Relaxed) + 1000);
    assert!(matches!(steady.status(), Readiness::Ready), "{:?}", steady.status());
    for (metrics, own, other) in [(steady.metrics(), "steady", "doomed"), (&metrics, "doomed", "steady")] {
        let text = metrics.text();
        assert!(text.contains(&format!("pipeline=\"{own}\"")), "{text}");
        assert!(!text.contains(other), "{text}");
    }
    let summary = steady.wait().unwrap().unwrap();
    assert_eq!(summary.records, TICKS);
    assert_undisturbed(&good);
}

#[test]
fn a_launch_that_is_stopped_ends_in_order_and_the_next_one_goes_on_from_its_state() {
    let bench = bench("stopped", 4000);
    let (first, worked) = start(&bench);
    await_records(&first, &worked, 2000);
    first.stop();
    first.wait().unwrap();
    // Records that were read and not worked on are read again.
    let done = worked.load(Ordering::Relaxed);
    assert!((2000..TICKS).contains(&done), "{done} records");
    assert!(bench.has_snapshot(), "no state was saved");

    let (second, worked) = start(&bench);
    second.wait().unwrap();
    let rest = worked.load(Ordering::Relaxed);
    assert_eq!(done + rest, TICKS, "records are worked on twice, or not at all");
    assert_undisturbed(&bench);
}

#[test]
fn the_state_of_a_launch_that_is_dropped_is_whole() {
    let bench = bench("dropped", 4000);
    let (dropped, worked) = start(&bench);
    await_records(&dropped, &worked, 2000);
    // It is asked to end, and nobody waits for it.
    drop(dropped);

    let state = SnapshotDir::open(&bench.path("state")).unwrap();
    wait_till("the end of the one that was dropped", || state.lock(Hold::Alone).is_ok());
    assert!(bench.has_snapshot(), "no state was saved");
    let done = worked.load(Ordering::Relaxed);
    assert!(done < TICKS, "it went on to its end");

    let (second, worked) = start(&bench);
    second.wait().unwrap();
    let rest = worked.load(Ordering::Relaxed);
    assert_eq!(done + rest, TICKS, "records are worked on twice, or not at all");
    assert_undisturbed(&bench);
}
