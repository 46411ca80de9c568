//! Hourly readings of two series a partition, and a pipeline on topics that forecasts them. The
//! number of results is known from the number of hours, so tests of other things can wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tickcast_stream::PartitionId;

use super::kafka::create_topic;
use super::pipeline::{self, Runner, TestPipeline};
use super::wait::{PATIENCE, wait_until};

pub const PARTITIONS: i32 = 3;
/// Two series at two horizons: the forecasts and the scores of a partition's window.
pub const A_WINDOW: usize = 4;
/// Two readings an hour of two series.
pub const AN_HOUR: usize = 4;

fn yaml(addr: &str, id: &str) -> String {
    format!(
        "
name: {id}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {id}.in, start: earliest }}, schema: in.avsc }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ x: avg(v), n: count(*) }} }}
forecast: {{ target: x, horizons: [1, 2], model: {{ cell: gru, hidden: 6, bptt: 10, replay: 1 }} }}
recover_within: 5ms
state: {{ dir: state }}
sinks:
  forecasts: {{ kafka: {{ topic: {id}.forecasts }} }}
  scores: {{ kafka: {{ topic: {id}.scores }} }}
  rejects: {{ kafka: {{ topic: {id}.rejects }} }}
"
    )
}

const STATE: &str = "state: { dir: state }";

const SCHEMA: &str = r#"{"type": "record", "name": "In", "fields": [
  {"name": "k", "type": ["null", "string"]},
  {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
  {"name": "v", "type": ["null", "double"]}
]}"#;

pub fn bench(addr: &str, id: &str) -> TestPipeline {
    bench_with(addr, id, STATE)
}

/// With another state.
pub fn bench_with(addr: &str, id: &str, state: &str) -> TestPipeline {
    let bench = TestPipeline::new(&yaml(addr, id).replace(STATE, state));
    bench.write("in.avsc", SCHEMA);
    bench
}

pub fn make_topics(addr: &str, id: &str, partitions: i32) {
    for stream in ["in", "forecasts", "scores", "rejects"] {
        create_topic(addr, &format!("{id}.{stream}"), partitions);
    }
}

/// Two readings an hour of two series a partition.
pub fn readings(partition: PartitionId, hours: i64) -> Vec<String> {
    let mut readings = Vec::new();
    for half in 0..hours * 2 {
        for series in 0..2 {
            let seconds = 1_704_067_200 + half * 1800 + series * 60;
            let value = f64::from((half * 37 % 101) as i32) / 3.0 + series as f64 * 40.0;
            let us = seconds * 1_000_000;
            readings.push(format!(r#"{{"k":"p{partition}s{series}","t":{us},"v":{value}}}"#));
        }
    }
    readings
}

/// Forecasts (and scores) of a partition that has got so many hours: a topic has no end, so its
/// newest window is open.
pub fn closed(hours: usize) -> usize {
    (hours - 1) * A_WINDOW
}

/// What the same records from a file give, by stream: the lines but those of the last window, which
/// a topic keeps open.
pub fn from_file(partition: PartitionId, hours: i64) -> BTreeMap<String, Vec<String>> {
    from_records(&readings(partition, hours))
}

/// As [`from_file`], of these records.
pub fn from_records(records: &[String]) -> BTreeMap<String, Vec<String>> {
    let yaml = yaml("x", "x");
    let (before, _) = yaml.split_once("recover_within").unwrap();
    let (name, rest) = before.split_once("source:").unwrap();
    let rest = rest.split_once('\n').unwrap().1;
    let bench = TestPipeline::new(&format!(
        "{name}source: {{ file: {{ path: in.ndjson }}, schema: in.avsc }}\n{rest}sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, \
         scores: {{ file: {{ path: out/ }} }} }}\n"
    ));
    bench.write("in.avsc", SCHEMA);
    bench.write("in.ndjson", records.join("\n"));
    bench.run(Runner::Inline, 7);

    let out = bench.out();
    let lines = |stream: &str| {
        let mut lines: Vec<String> = out[&format!("{stream}-0.ndjson")].lines().map(str::to_owned).collect();
        lines.truncate(lines.len() - A_WINDOW);
        (stream.to_owned(), lines)
    };
    ["forecasts", "scores"].map(lines).into()
}

/// Runs the pipeline until `done`, then asks for an orderly end.
pub fn run_until(bench: &TestPipeline, done: impl Fn() -> bool) {
    let running =
        pipeline::start(&bench.load(), Runner::Threads(2), 50, Arc::default(), Arc::new(|_| ())).unwrap();
    wait_until(PATIENCE, || (done() || running.is_finished()).then_some(()));
    running.stop();
    running.wait().unwrap();
    assert!(done(), "the results did not come in time");
}
