//! One owner: a directory, a state and a topic belong to one pipeline, and another is told so when
//! it starts. The file must not know how that is written down; it sees runs and what they say.

use std::fs;
use std::path::Path;
use std::process::Output;

use tickcast_stream::PartitionId;

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{count, create_topic, produce};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{Instance, StartFrom, text, tickcast};
use crate::support::readings::{closed, readings};
use crate::support::wait::{wait_for, wait_till};

fn files(name: &str, out: &Path, state: &Path, delivery: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: {name}
source: {{ generate: {{ series: 4, ticks: 4000, seed: 5, process: market, partitions: 2 }} }}
window: {{ tumbling: 30s, select: {{ price: avg(price) }} }}
forecast: {{ target: price, horizons: [1, 2], model: {{ hidden: 4, bptt: 10, replay: 1 }} }}
state: {{ dir: {state} }}
delivery: {delivery}
recover_within: 1ms
sinks:
  forecasts: {{ file: {{ path: {out} }} }}
  scores: {{ file: {{ path: {out} }}, format: parquet }}
",
        out = out.display(),
        state = state.display()
    ))
}

fn run(bench: &TestPipeline, more: &[&str]) -> Output {
    tickcast("run", &bench.file(), more)
}

#[track_caller]
fn goes(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[track_caller]
fn refused(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    text(&output.stderr)
}

/// Found by: hostile testing. The second pipeline truncated and wrote the files that the first had
/// open, and both ended well.
#[test]
fn a_second_pipeline_in_an_output_directory_is_refused_by_name() {
    let shared = tempfile::tempdir().unwrap();
    let at = |name: &str| shared.path().join(name);
    for delivery in ["exactly_once", "at_least_once"] {
        let out = at(delivery);
        let weather = files("weather", &out, &at(&format!("{delivery}-w")), delivery);
        goes(&run(&weather, &[]));
        let lines = fs::read(out.join("forecasts-0.ndjson")).unwrap();

        // Another name, and the same name with its state elsewhere.
        for (name, state) in [("prices", "p"), ("weather", "p")] {
            let other = files(name, &out, &at(&format!("{delivery}-{state}-{name}")), delivery);
            let other = run(&other, &[]);
            let said = refused(&other);
            assert!(
                said.contains("belongs to pipeline weather") && said.contains(".tickcast-owner"),
                "{said}"
            );
        }
        assert!(fs::read(out.join("forecasts-0.ndjson")).unwrap() == lines, "what was there is changed");

        // The same pipeline goes on, and is not in the way of a query.
        goes(&run(&weather, &[]));
        let count = tickcast("sql", &weather.file(), &["SELECT count(*) FROM scores", "--format", "csv"]);
        goes(&count);

        fs::remove_file(out.join(".tickcast-owner")).unwrap();
        goes(&run(&files("prices", &out, &at(&format!("{delivery}-other")), "at_least_once"), &[]));
    }
}

/// Found by: hostile testing. Two pipelines with one state directory deleted each other's
/// snapshots.
#[test]
fn a_second_pipeline_in_a_state_directory_is_refused_by_name() {
    let shared = tempfile::tempdir().unwrap();
    let at = |name: &str| shared.path().join(name);
    for delivery in ["exactly_once", "at_least_once"] {
        let state = at(&format!("{delivery}-state"));
        goes(&run(&files("weather", &at(&format!("{delivery}-w")), &state, delivery), &[]));
        let prices = files("prices", &at(&format!("{delivery}-p")), &state, delivery);
        let other = run(&prices, &[]);
        let said = refused(&other);
        assert!(said.contains("belongs to pipeline weather"), "{said}");
        // What it would have written to is nobody's still.
        assert!(!at(&format!("{delivery}-p")).join(".tickcast-owner").exists());
        let rebuilt = run(&prices, &["--rebuild"]);
        assert_eq!(rebuilt.status.code(), Some(1), "{}", text(&rebuilt.stderr));
    }
}

/// Found by: hostile testing. The manifests were removed after a kill, and the next run wrote some
/// of the results a second time.
#[test]
fn a_missing_manifest_beside_results_stops_the_run() {
    let shared = tempfile::tempdir().unwrap();
    let (out, state) = (shared.path().join("out"), shared.path().join("state"));
    let bench = files("weather", &out, &state, "exactly_once");
    bench.run_until(Runner::Threads(2), 100, Some(2000));
    let lines = fs::read(out.join("forecasts-0.ndjson")).unwrap();
    for partition in [0, 1] {
        fs::remove_file(state.join(format!("partition-{partition}.manifest"))).unwrap();
    }
    let stopped = run(&bench, &[]);
    let said = refused(&stopped);
    assert!(said.contains("has no manifest of it") && said.contains("the newest snapshot, at"), "{said}");
    assert!(fs::read(out.join("forecasts-0.ndjson")).unwrap() == lines, "what was there is changed");
    goes(&run(&bench, &["--bootstrap"]));
    // Without a snapshot too, an input that is read from its beginning is written anew.
    fs::remove_dir_all(&state).unwrap();
    goes(&run(&bench, &[]));
}

/// What came at least once has no manifest: how far its results go is for a person to say, as with
/// topics.
#[test]
fn results_that_came_at_least_once_go_on_exactly_once_when_a_person_says_so() {
    let shared = tempfile::tempdir().unwrap();
    let (out, state) = (shared.path().join("out"), shared.path().join("state"));
    files("weather", &out, &state, "at_least_once").run_until(Runner::Threads(2), 100, Some(2000));
    let exactly = files("weather", &out, &state, "exactly_once");
    assert!(refused(&run(&exactly, &[])).contains("--bootstrap"));
    goes(&run(&exactly, &["--bootstrap"]));
    goes(&run(&exactly, &[]));
}

/// Reads a topic that others read too, with its state in a topic that is to be its own.
fn topics(addr: &str, id: &str, name: &str, delivery: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: {name}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {id}.in, start: earliest }} }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ x: avg(v) }} }}
forecast: {{ target: x, horizons: [1, 2], model: {{ cell: gru, hidden: 6, bptt: 10, replay: 1 }} }}
delivery: {delivery}
recover_within: 2ms
state: {{ kafka: {{ topic: {id}.state }} }}
sinks:
  forecasts: {{ kafka: {{ topic: {name}.forecasts }} }}
"
    ))
}

fn make_topics(addr: &str, id: &str, names: [&str; 2]) {
    let sinks = names.map(|name| format!("{name}.forecasts"));
    for topic in [format!("{id}.in"), format!("{id}.state")].iter().chain(&sinks) {
        create_topic(addr, topic, 2);
    }
    for partition in [0, 1].map(PartitionId) {
        let records = readings(partition, 30);
        produce(addr, &format!("{id}.in"), partition, records.iter().map(String::as_bytes));
    }
}

fn start(bench: &TestPipeline) -> Instance {
    Instance::start(&bench.file(), &bench.path("log"), &StartFrom::default())
}

/// Found by: hostile testing. Each of two pipelines dropped the other's snapshots from their one
/// state topic, and neither could be restarted.
#[test]
fn a_second_pipeline_on_a_state_topic_is_refused_by_name() {
    let Some(addr) = brokers_or_skip() else { return };
    for delivery in ["exactly_once", "at_least_once"] {
        let id = format!("one-owner-{}", delivery.replace('_', "-"));
        let (ours, theirs) = (format!("{id}-weather"), format!("{id}-prices"));
        make_topics(addr, &id, [&ours, &theirs]);
        let [weather, prices] = [&ours, &theirs].map(|name| topics(addr, &id, name, delivery));
        for life in 0..2 {
            let mut running = start(&weather);
            wait_till("its results", || {
                running.lives();
                count(addr, &format!("{ours}.forecasts"), 2) >= 2 * closed(30)
            });
            let said = start(&prices).fails();
            assert!(said.contains(&format!("belongs to pipeline {ours}")), "{life}: {said}");
            running.stop();
        }
        // Nobody runs, and it is weather's still.
        let said = start(&prices).fails();
        assert!(said.contains(&format!("belongs to pipeline {ours}")), "{said}");
        assert_eq!(count(addr, &format!("{theirs}.forecasts"), 2), 0);
    }
}

#[test]
fn of_two_pipelines_that_begin_on_a_state_topic_at_once_one_goes_on() {
    let Some(addr) = brokers_or_skip() else { return };
    for round in 0..3 {
        let id = format!("race-{round}");
        let names = [format!("{id}-a"), format!("{id}-b")];
        make_topics(addr, &id, [&names[0], &names[1]]);
        let benches = [0, 1].map(|n| topics(addr, &id, &names[n], "exactly_once"));
        let mut both = [start(&benches[0]), start(&benches[1])];
        let loser = wait_for("one that is refused", || (0..2).find(|&n| both[n].ended().is_some()));
        let winner = 1 - loser;
        let said = both[loser].fails();
        assert!(said.contains(&format!("belongs to pipeline {}", names[winner])), "{said}");
        wait_till("the other's results", || {
            both[winner].lives();
            count(addr, &format!("{}.forecasts", names[winner]), 2) >= 2 * closed(30)
        });
        both[winner].stop();
        let mut again = start(&benches[winner]);
        again.await_share();
        again.stop();
    }
}

/// Found by: hostile testing. A state of another name with equal settings was taken over.
#[test]
fn a_state_of_another_name_is_refused_though_its_settings_are_equal() {
    let shared = tempfile::tempdir().unwrap();
    let (out, state) = (shared.path().join("out"), shared.path().join("state"));
    files("weather", &out, &state, "at_least_once").run_until(Runner::Threads(2), 100, Some(2000));
    for dir in [&out, &state] {
        fs::remove_file(dir.join(".tickcast-owner")).unwrap();
    }
    let stopped = run(&files("prices", &out, &state, "at_least_once"), &[]);
    let said = refused(&stopped);
    assert!(said.contains("belongs to pipeline weather, and this is pipeline prices"), "{said}");
}
