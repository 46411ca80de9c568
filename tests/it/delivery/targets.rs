//! Several targets in a pipeline: the records of each are those of a pipeline with it alone, also
//! through restores, kills and any batches.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;
use tickcast_stream::PartitionId;

use crate::support::broker::brokers_or_skip;
use crate::support::cluster::{SHORT_SESSION, TestCluster};
use crate::support::kafka::committed;
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{Instance, StartFrom, text, tickcast};
use crate::support::wait::wait_till;

const GENERATED: &str = "
name: ticks
source: { generate: { series: 10, ticks: 30000, rate: RATE, seed: 3, process: market, partitions: 2 } }
window:
  tumbling: 1m
  lateness: 2s
  select: { price: last_value(price ORDER BY time), spread: max(price) - min(price), n: count(*) }
forecast: { target: TARGET, horizons: [1, 3], levels: [0.5, 0.9], model: { hidden: 4, bptt: 11, replay: 1 } }
state: { dir: state }
delivery: exactly_once
recover_within: 5ms
commit_every: 5ms
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

/// Sums are true in silence, means are carried.
const JUMBLED: &str = "
name: jumbled
source: { file: { path: in.ndjson } }
key: k
time: t
window: { tumbling: 10s, lateness: 3s, gaps: GAPS, select: { sold: sum(v), price: avg(v), n: count(*) } }
forecast: { target: TARGET, horizons: [1, 2], season: 4, model: { cell: gru, hidden: 2, bptt: 10, replay: 1 } }
state: { dir: state }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
";

/// The lines of one target, by file.
fn of_target(out: &BTreeMap<String, String>, target: &str) -> BTreeMap<String, String> {
    let is_meant = |line: &&str| serde_json::from_str::<Value>(line).unwrap()["target"] == target;
    let lines = |text: &String| text.lines().filter(is_meant).map(|line| format!("{line}\n")).collect();
    let results = out.iter().filter(|(name, _)| !name.starts_with("rejects"));
    results.map(|(name, text)| (name.clone(), lines(text))).collect()
}

fn generated(target: &str, rate: &str) -> TestPipeline {
    TestPipeline::new(&GENERATED.replace("TARGET", target).replace("RATE", rate))
}

#[test]
fn the_records_of_a_target_are_those_of_a_pipeline_with_it_alone() {
    let both = generated("[price, n, spread]", "1000000");
    both.run(Runner::Inline, 100_000);
    let expected = both.out();
    for target in ["price", "n", "spread"] {
        let alone = generated(target, "1000000");
        alone.run(Runner::Threads(2), 700);
        let (ours, theirs) = (of_target(&expected, target), of_target(&alone.out(), target));
        assert!(ours["scores-1.ndjson"].lines().count() > 100, "{target}");
        assert!(ours == theirs, "{target}: other records than alone");
    }

    for (runner, batch) in [(Runner::Inline, 977), (Runner::Threads(1), 4096), (Runner::Threads(2), 64)] {
        both.clear();
        both.run(runner, batch);
        assert!(both.out() == expected, "{runner:?} with polls of {batch} wrote other bytes");
    }
}

#[test]
fn a_record_says_its_target_right_after_its_series() {
    let both = generated("[price, spread]", "1000000");
    both.run(Runner::Inline, 100_000);
    for (name, text) in both.out().iter().filter(|(name, _)| !name.starts_with("rejects")) {
        for line in text.lines() {
            let (series, rest) = line.strip_prefix("{\"series\":\"").unwrap().split_once("\",").unwrap();
            let is_named =
                ["price", "spread"].iter().any(|of| rest.starts_with(&format!("\"target\":\"{of}\",")));
            assert!(!series.is_empty() && is_named, "{name}: {line}");
        }
    }
}

#[test]
fn a_killed_run_writes_the_bytes_of_an_undisturbed_one() {
    let undisturbed = generated("[price, spread]", "1000000");
    undisturbed.run(Runner::Inline, 512);
    let expected = undisturbed.out();

    let killed = generated("[price, spread]", "12000");
    let written = || {
        let forecasts = killed.path("out").join("forecasts-0.ndjson");
        std::fs::metadata(forecasts).map_or(0, |file| file.len())
    };
    for _ in 0..3 {
        let before = written();
        let mut instance = Instance::start(&killed.file(), &killed.path("log"), &StartFrom::default());
        wait_till("a snapshot and results after those of the last life", || {
            instance.lives();
            killed.has_snapshot() && written() > before
        });
        instance.kill();
    }
    killed.run(Runner::Threads(2), 512);
    assert!(killed.out() == expected, "other bytes");
}

#[test]
fn on_a_broker_each_record_of_each_target_comes_once_whoever_is_killed() {
    let Some(addr) = brokers_or_skip() else { return };
    let rig = TestCluster::new(addr, "targets", 2, SHORT_SESSION, "").forecasting("[x, n, top]");
    for part in 0..3 {
        rig.feed(part * 1500, (part + 1) * 1500);
        let mut instance = rig.start(&format!("life-{part}"), &StartFrom::default());
        rig.await_position(3000 * part + 1000, &mut [&mut instance]);
        instance.kill();
    }

    // What it commits is its own: an instance that has only begun dies of the signal to stop.
    let mut last = rig.start("last", &StartFrom::default());
    rig.feed(4500, 4600);
    rig.await_position(9200, &mut [&mut last]);
    last.stop();
    rig.audit().insist(true);
    let sent = committed(addr, &rig.topic("scores"), PartitionId(1));
    for target in ["x", "n", "top"] {
        let marked = format!("\"target\":\"{target}\"");
        let of_target = sent.iter().filter(|record| record.text().contains(&marked));
        assert!(of_target.count() > 100, "{target}");
    }
}

/// A file that goes on: what stays open at its end is closed by what comes later.
const GROWING: &str = "
name: growing
source: { file: { path: in.ndjson, end: keep } }
key: k
time: t
window: { tumbling: 10s, select: { sold: sum(v), price: avg(v) } }
forecast: { target: TARGET, horizons: [1, 2], model: { cell: gru, hidden: 2, bptt: 10, replay: 1 } }
state: { dir: state }
delivery: exactly_once
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
";

#[test]
fn a_target_more_is_another_state_which_is_learned_anew_when_that_is_asked_for() {
    let records: Vec<(u8, i64, i32)> = (0..600).map(|n| ((n % 3) as u8, 2, n * 37 % 101 - 50)).collect();
    let (all, first) = (lines(&records), lines(&records[..400]));
    let [one, both] = ["price", "[price, sold]"].map(|target| GROWING.replace("TARGET", target));
    let undisturbed = TestPipeline::new(&both);
    undisturbed.write("in.ndjson", &all);
    undisturbed.run(Runner::Inline, 100);

    let bench = TestPipeline::new(&one);
    bench.write("in.ndjson", &first);
    bench.run(Runner::Inline, 100);
    let before = bench.out();
    bench.write("in.ndjson", &all);
    let file = bench.write("pipeline.yaml", &both);
    let refused = tickcast("run", &file, &[]);
    let said = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("run --rebuild"), "{said}");
    assert!(said.contains(r#"forecast.target was "price", is ["price","sold"]"#), "{said}");

    let rebuilt = tickcast("run", &file, &["--rebuild"]);
    assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
    for (name, text) in bench.out() {
        let new = text.strip_prefix(before[&name].as_str()).unwrap();
        assert!(new.lines().count() > 50 && new.contains("\"target\":\"sold\""), "{name}");
        assert!(undisturbed.out()[&name].ends_with(new), "{name}: other records than undisturbed");
    }
}

fn lines(records: &[(u8, i64, i32)]) -> String {
    let mut now = 1_700_000_000_000_000i64;
    let line = |&(key, step, v): &(u8, i64, i32)| {
        now += step * 1_000_000;
        format!("{{\"k\":\"s{key}\",\"t\":{now},\"v\":{}}}\n", f64::from(v) / 7.0)
    };
    records.iter().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn in_silence_each_target_is_true_or_carried_as_it_is_alone(
        records in prop::collection::vec((0u8..3, -5i64..30, -50i32..50), 1..200),
        gaps in prop::sample::select(vec!["auto", "carry", "skip", "zero", "{ sold: carry, price: zero }"]),
        stop in 1u64..200, batch in 1usize..40,
    ) {
        let bench = |target: &str| {
            let bench = TestPipeline::new(&JUMBLED.replace("GAPS", gaps).replace("TARGET", target));
            bench.write("in.ndjson", lines(&records));
            bench
        };
        let both = bench("[price, sold]");
        both.run_until(Runner::Threads(1), batch, Some(stop));
        both.run(Runner::Inline, batch);
        for target in ["price", "sold"] {
            let alone = bench(target);
            alone.run(Runner::Inline, 100_000);
            prop_assert!(of_target(&both.out(), target) == of_target(&alone.out(), target), "{target}");
        }
    }
}
