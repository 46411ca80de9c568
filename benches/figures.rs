//! What exactly once costs, measured on a broker of its own. It prints figures for a person and
//! asserts nothing:
//!
//!     cargo bench --bench figures                  # the release build
//!     cargo bench --profile dev --bench figures    # the build of the tests: only one more link
//!
//! It needs what the tests that need Kafka need (CONTRIBUTING.md).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by a panic")]

// The tests' own broker and pipelines; the benchmark uses a part of them.
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use support::broker::private_or_skip;
use support::cluster::{TestCluster, record};
use support::kafka::{create_topic, produce, producer, send};
use support::pipeline::{Runner, TestPipeline, start};
use support::process::{StartFrom, get, is_ready};
use support::wait::{PATIENCE, wait_till};
use tickcast_stream::PartitionId;

const RECORDS: u64 = 60_000;
const PARTITIONS: i32 = 2;
const ROUNDS: usize = 3;

fn main() {
    exactly_once_beside_at_least_once();
    small_commits_and_a_restart();
}

fn bench(addr: &str, run: &str, delivery: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: {run}
source: {{ kafka: {{ brokers: \"{addr}\", topic: figures.in, group: {run}, start: earliest }} }}
key: k
time: t
window: {{ tumbling: 1m, select: {{ x: avg(v) }} }}
forecast: {{ target: x, horizons: [1], model: {{ cell: gru, hidden: 8, bptt: 9, replay: 0 }} }}
sinks: {{ forecasts: {{ kafka: {{ topic: {run}.forecasts }} }}, scores: {{ kafka: {{ topic: {run}.scores }} }} }}
state: {{ kafka: {{ topic: {run}.state }} }}
delivery: {delivery}
commit_every: 100ms
recover_within: 1s
"
    ))
}

/// Runs until every record was worked on and its results are durable. Seconds, and the metrics at
/// the end.
fn run(addr: &str, name: &str, delivery: &str) -> (f64, String) {
    for stream in ["forecasts", "scores", "state"] {
        create_topic(addr, &format!("{name}.{stream}"), PARTITIONS);
    }

    let stop = Arc::new(AtomicBool::new(false));
    let (seen, flag, began) = (AtomicU64::new(0), Arc::clone(&stop), Arc::new(AtomicU64::new(0)));
    let (from, first) = (Instant::now(), Arc::clone(&began));
    let progress = Arc::new(move |new| {
        if seen.fetch_add(new, Ordering::Relaxed) == 0 {
            first.store(from.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
        if seen.load(Ordering::Relaxed) >= RECORDS {
            flag.store(true, Ordering::Relaxed);
        }
    });

    let pipeline = bench(addr, name, delivery).load();
    let running = start(&pipeline, Runner::Threads(2), 1024, stop, progress).unwrap();
    let metrics = Arc::clone(running.metrics());
    running.wait().unwrap();
    let took = from.elapsed() - Duration::from_micros(began.load(Ordering::Relaxed));
    (took.as_secs_f64(), metrics.text())
}

/// A quantile of a histogram, in seconds: linear within its bucket.
fn quantile(metrics: &str, name: &str, q: f64) -> f64 {
    let number = |text: &str| text.parse::<f64>().ok();
    let (mut below, mut before) = (0.0, 0.0);
    let buckets: Vec<(f64, f64)> = metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{name}_bucket")))
        .filter_map(|line| {
            let bound = line.split("le=\"").nth(1)?.split('"').next()?;
            Some((number(bound).unwrap_or(f64::INFINITY), number(line.rsplit_once(' ')?.1)?))
        })
        .collect();

    let wanted = buckets.last().map_or(0.0, |(_, count)| count * q);
    for (bound, count) in buckets {
        if count >= wanted {
            return below + (bound - below) * (wanted - before) / (count - before);
        }
        (below, before) = (bound, count);
    }
    f64::NAN
}

fn print_commits(what: &str, metrics: &str) {
    let ms = |q| quantile(metrics, "tickcast_commit_seconds", q) * 1e3;
    println!("{what}: p50 {:.1} ms, p99 {:.1} ms", ms(0.5), ms(0.99));
}

fn exactly_once_beside_at_least_once() {
    let Some(broker) = private_or_skip() else { return };
    let addr = broker.addr();
    create_topic(addr, "figures.in", PARTITIONS);
    for partition in (0..PARTITIONS).map(PartitionId) {
        let per = RECORDS as i64 / i64::from(PARTITIONS);
        let record = |i: i64| {
            let us = 1_704_067_200_000_000 + i * 5_000_000;
            format!(r#"{{"k":"p{partition}s{}","t":{us},"v":{}}}"#, i % 4, i * i % 17)
        };
        let records: Vec<String> = (0..per).map(record).collect();
        produce(addr, "figures.in", partition, records.iter().map(String::as_bytes));
    }

    let mut seconds = [f64::INFINITY; 2];
    let mut metrics = String::new();
    for round in 0..ROUNDS {
        for (mode, best) in ["at_least_once", "exactly_once"].iter().zip(&mut seconds) {
            let (took, text) = run(addr, &format!("{}{round}", mode.replace('_', "")), mode);
            *best = best.min(took);
            metrics = text;
        }
    }
    let [at_least, exactly] = seconds.map(|seconds| RECORDS as f64 / seconds);
    println!(
        "{RECORDS} records, best of {ROUNDS}: at least once {at_least:.0}/s, exactly once {exactly:.0}/s, ratio {:.2}",
        exactly / at_least
    );
    print_commits("commits of the last exactly-once run", &metrics);
}

/// A record a partition every 20 ms, so that each commit is of little; then a restart.
fn small_commits_and_a_restart() {
    let Some(broker) = private_or_skip() else { return };
    let rig = TestCluster::new(broker.addr(), "quiet", PARTITIONS, "", "");
    let mut instance = rig.start("first", &StartFrom::serving());
    let writer = producer(broker.addr());
    for n in 0..500 {
        (0..PARTITIONS).map(PartitionId).for_each(|partition| {
            send(&writer, &rig.topic("in"), partition, record(partition, n).as_bytes())
        });
        sleep(Duration::from_millis(20));
    }
    writer.flush(PATIENCE).unwrap();
    rig.await_position(1000, &mut [&mut instance]);
    print_commits("commits of a record or two a partition", &get(&instance.http(), "/metrics"));

    instance.stop();
    let from = Instant::now();
    let mut instance = rig.start("second", &StartFrom::serving());
    let http = instance.http();
    wait_till("an instance that is ready again", || is_ready(&http));
    println!("ready {:.2} s after its start, {PARTITIONS} partitions restored", from.elapsed().as_secs_f64());
    instance.stop();
}
