//! `verify`, `run --rebuild` and `run --bootstrap`, as a user sees them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use rdkafka::message::Message;
use tickcast_stream::ledger::chunk::base_in_head;
use tickcast_stream::{Offset, PartitionId};

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{count, create_topic, delete_records, produce, read_all};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};
use crate::support::readings::{closed, readings, run_until};

const FILES: &str = "
name: audited
source: { generate: { series: 4, ticks: 6000, seed: 5, process: market, partitions: 2 } }
window: { tumbling: 30s, select: { price: avg(price) } }
forecast: { target: price, horizons: [1, 2], model: { hidden: 4, bptt: 10, replay: 1 } }
state: { dir: state }
recover_within: 10s
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ }, format: FORMAT }
";

fn verify(bench: &TestPipeline) -> Output {
    tickcast("verify", &bench.file(), &[])
}

fn run(bench: &TestPipeline, more: &[&str]) -> Output {
    tickcast("run", &bench.file(), more)
}

#[test]
fn files_are_as_the_input_makes_them_and_a_changed_byte_is_found() {
    for format in ["ndjson", "parquet"] {
        let bench = TestPipeline::new(&FILES.replace("FORMAT", format));
        let nothing = verify(&bench);
        assert_eq!(nothing.status.code(), Some(1), "{}", text(&nothing.stderr));
        assert!(text(&nothing.stderr).contains("nothing is committed yet"), "{}", text(&nothing.stderr));
        bench.run(Runner::Threads(2), 100);
        let good = verify(&bench);
        assert_eq!(good.status.code(), Some(0), "{}{}", text(&good.stdout), text(&good.stderr));
        assert!(text(&good.stdout).contains("results are as the input makes them"), "{}", text(&good.stdout));
        let path = bench.path("out/forecasts-1.ndjson");
        let changed = fs::read_to_string(&path).unwrap().replacen("\"horizon\":2", "\"horizon\":1", 1);
        fs::write(&path, changed).unwrap();
        let bad = verify(&bench);
        assert_eq!(bad.status.code(), Some(1));
        let said = text(&bad.stderr);
        assert!(
            said.contains("partition 1 forecasts: record 1, at 2, is not what the input makes"),
            "{said}"
        );
    }
}

#[test]
fn a_pipeline_that_no_state_goes_with_learns_anew_and_goes_on_where_its_results_ended() {
    let bench = TestPipeline::new(&FILES.replace("FORMAT", "ndjson"));
    bench.run_until(Runner::Threads(2), 100, Some(3000));
    let before = bench.out();
    let other = TestPipeline::new(&FILES.replace("FORMAT", "ndjson").replace("hidden: 4", "hidden: 5"));
    for dir in ["out", "state"] {
        fs::rename(bench.path(dir), other.path(dir)).unwrap();
    }
    let refused = run(&other, &[]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("hidden was 4, is 5") && said.contains("--rebuild"), "{said}");
    let rebuilt = run(&other, &["--rebuild"]);
    assert_eq!(rebuilt.status.code(), Some(0), "{}", text(&rebuilt.stderr));
    let undisturbed = TestPipeline::new(&FILES.replace("FORMAT", "ndjson").replace("hidden: 4", "hidden: 5"));
    undisturbed.run(Runner::Inline, 100);
    for (name, after) in other.out() {
        // What was there stays; what follows is what a pipeline with the new network makes there.
        let kept = &before[&name];
        assert!(after.starts_with(kept.as_str()), "{name}");
        let (all, there) = (undisturbed.out()[&name].lines().count(), after.lines().count());
        assert_eq!(there, all, "{name}: neither lost nor doubled");
        let rest: Vec<String> = after.lines().skip(kept.lines().count()).map(str::to_owned).collect();
        let expected = undisturbed.out()[&name].clone();
        let expected: Vec<&str> = expected.lines().skip(kept.lines().count()).collect();
        assert!(!rest.is_empty() && rest == expected, "{name}");
    }
}

#[test]
fn settings_that_shape_no_state_may_change_after_an_orderly_end() {
    let bench = TestPipeline::new(&FILES.replace("FORMAT", "ndjson"));
    bench.run_until(Runner::Threads(2), 100, Some(3000));
    let other =
        TestPipeline::new(&FILES.replace("FORMAT", "ndjson").replace("bptt: 10", "bptt: 10, clip: 0.5"));
    for dir in ["out", "state"] {
        fs::rename(bench.path(dir), other.path(dir)).unwrap();
    }
    let kept = run(&other, &[]);
    assert_eq!(kept.status.code(), Some(0), "{}", text(&kept.stderr));
    assert!(text(&kept.stderr).contains("forecast.model.clip"), "{}", text(&kept.stderr));
}

/// Topics in and out; the state in a topic too.
fn topics(addr: &str, id: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: {id}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {id}.in, start: earliest }} }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ x: avg(v) }} }}
forecast: {{ target: x, horizons: [1, 2], model: {{ cell: gru, hidden: 6, bptt: 10, replay: 1 }} }}
sinks:
  forecasts: {{ kafka: {{ topic: {id}.forecasts }} }}
  scores: {{ kafka: {{ topic: {id}.scores }} }}
  rejects: {{ kafka: {{ topic: {id}.rejects }} }}
"
    ))
}

#[test]
fn topics_are_as_the_input_makes_them_and_results_of_a_forgotten_group_stop_the_run() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "audit";
    create_topic(addr, &format!("{id}.in"), 1);
    ["forecasts", "scores", "rejects", "state"]
        .iter()
        .for_each(|s| create_topic(addr, &format!("{id}.{s}"), 1));
    let bench = topics(addr, id);
    let mut records: Vec<Vec<u8>> =
        readings(PartitionId(0), 30).into_iter().map(String::into_bytes).collect();
    records.insert(40, b"broken".to_vec());
    produce(addr, &format!("{id}.in"), PartitionId(0), records.iter().map(Vec::as_slice));
    run_until(&bench, || count(addr, &format!("{id}.forecasts"), 1) >= closed(30));
    let good = verify(&bench);
    assert_eq!(good.status.code(), Some(0), "{}{}", text(&good.stdout), text(&good.stderr));
    let table = text(&good.stdout);
    assert!(table.contains("rejects             1           1          0               0"), "{table}");
    // A record that no commit knows.
    produce(addr, &format!("{id}.forecasts"), PartitionId(0), [b"{}".as_slice()]);
    let bad = verify(&bench);
    assert_eq!(bad.status.code(), Some(1), "{}", text(&bad.stdout));
    assert!(text(&bad.stderr).contains("1 records that no commit knows"), "{}", text(&bad.stderr));
    // Another group, as one whose offsets have expired: the state topic is there, but nothing says
    // how far results go.
    let stopped = run(&bench, &["--set", "source.kafka.group=another"]);
    assert_eq!(stopped.status.code(), Some(1));
    let said = text(&stopped.stderr);
    assert!(said.contains("has results of partition 0") && said.contains("--bootstrap"), "{said}");
}

/// A row of the table: what was committed, compared, differing and not comparable.
type Row = (PartitionId, String, [u64; 4]);

fn rows(output: &Output) -> Vec<Row> {
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers: Vec<u64> = words.iter().skip(2).filter_map(|word| word.parse().ok()).collect();
        Some((PartitionId(words.first()?.parse().ok()?), words[1].to_owned(), numbers.try_into().ok()?))
    };
    text(&output.stdout).lines().filter_map(row).collect()
}

fn sums(rows: &[Row]) -> [u64; 4] {
    rows.iter().fold([0; 4], |sums, (.., row)| [0, 1, 2, 3].map(|n| sums[n] + row[n]))
}

#[track_caller]
fn verified(bench: &TestPipeline, code: i32) -> Vec<Row> {
    let output = verify(bench);
    let (table, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{table}{said}");
    assert_eq!(said.contains("not all is verified"), code == 3, "{said}");
    rows(&output)
}

/// 20,000 records in two partitions.
const HOURS: i64 = 2500;

/// One half of them after the other.
fn feed(addr: &str, topic: &str, half: usize) {
    for partition in [0, 1].map(PartitionId) {
        let records = readings(partition, HOURS);
        let (first, second) = records.split_at(records.len() / 2);
        produce(addr, topic, partition, [first, second][half].iter().map(String::as_bytes));
    }
}

fn forget_input(addr: &str, topic: &str, before: i64) {
    [0, 1].iter().for_each(|&id| delete_records(addr, topic, PartitionId(id), Offset(before)));
}

/// Found by: hostile testing. When one record of a partition had gone, `verify` compared nothing and
/// said "verified".
#[test]
fn what_cannot_be_compared_is_not_verified() {
    let Some(addr) = brokers_or_skip() else { return };
    let (id, total) = ("uncompared", 2 * closed(HOURS as usize));
    let topic = |stream: &str| format!("{id}.{stream}");
    ["in", "forecasts", "scores", "rejects", "state"].iter().for_each(|s| create_topic(addr, &topic(s), 2));
    let bench = topics(addr, id).with("recover_within: 1ms");
    // A restart remembers the snapshots of its former life.
    for (half, results) in [(0, 2 * closed(HOURS as usize / 2)), (1, total)] {
        feed(addr, &topic("in"), half);
        run_until(&bench, || count(addr, &topic("forecasts"), 2) >= results);
    }

    let [committed, compared, ..] = sums(&verified(&bench, 0));
    assert!(committed == compared && committed >= total as u64, "{committed} {compared}");

    // It begins at the oldest snapshot, and says what came before that.
    forget_input(addr, &topic("in"), 1);
    let rows = verified(&bench, 3);
    let [committed, compared, differing, missing] = sums(&rows);
    assert_eq!((differing, compared + missing), (0, committed));
    assert!(compared > committed * 6 / 10 && missing > 0, "{rows:?}");

    // What the sinks have dropped too need not be compared.
    for (partition, stream, [.., missing]) in rows {
        let offsets = read_all(addr, &topic(&stream), partition, |message| Offset(message.offset()));
        if let Some(&first) = offsets.get(missing as usize) {
            delete_records(addr, &topic(&stream), partition, first);
        }
    }
    let again = sums(&verified(&bench, 0));
    assert_eq!(again[1], compared);

    // A snapshot takes the place of one that the input no longer reaches.
    forget_input(addr, &topic("in"), 8000);
    let [_, compared, differing, missing] = sums(&verified(&bench, 3));
    assert!(compared > 0 && differing == 0 && missing > 0, "{compared} {missing}");
}

#[test]
fn directories_keep_three_snapshots_to_begin_from() {
    let Some(addr) = brokers_or_skip() else { return };
    create_topic(addr, "anchors.in", 2);
    let bench = TestPipeline::new(&format!(
        "
name: anchors
source: {{ kafka: {{ brokers: \"{addr}\", topic: anchors.in, start: earliest }} }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ x: avg(v) }} }}
forecast: {{ target: x, horizons: [1, 2], model: {{ cell: gru, hidden: 6, bptt: 10, replay: 1 }} }}
recover_within: 1ms
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }} }}
"
    ));
    let lines = || [0, 1].iter().map(|id| bench.out_lines(&format!("forecasts-{id}.ndjson"))).sum::<usize>();
    let is_there =
        || bench.path("out/forecasts-0.ndjson").exists() && bench.path("out/forecasts-1.ndjson").exists();
    for (half, results) in [(0, 2 * closed(HOURS as usize / 2)), (1, 2 * closed(HOURS as usize))] {
        feed(addr, "anchors.in", half);
        run_until(&bench, || is_there() && lines() >= results);
    }
    let snapshots = fs::read_dir(bench.path("state")).unwrap().flatten();
    let snapshots = snapshots.filter(|file| file.path().extension().is_some_and(|end| end == "snapshot"));
    // Three of each partition, and what they need.
    let files: Vec<_> = snapshots.map(|file| file.path()).collect();
    let base_of = |path: &PathBuf| {
        let base = base_in_head(&fs::read(path).unwrap())?.of.position;
        let (partition, _) = path.file_name()?.to_str()?.rsplit_once('-')?;
        Some(path.with_file_name(format!("{partition}-{base:020}.snapshot")))
    };
    let bases: BTreeSet<PathBuf> = files.iter().filter_map(base_of).collect();
    assert!(bases.iter().all(|base| files.contains(base)), "{bases:?} {files:?}");
    assert!((6..=6 + bases.len()).contains(&files.len()), "{files:?}");

    verified(&bench, 0);
    forget_input(addr, "anchors.in", 1);
    let [committed, compared, differing, missing] = sums(&verified(&bench, 3));
    assert_eq!((differing, compared + missing), (0, committed));
    assert!(compared > committed * 6 / 10, "{compared} of {committed}");

    // A file cannot lose its first lines by itself.
    let path = bench.path("out/forecasts-1.ndjson");
    fs::write(&path, "").unwrap();
    assert_eq!(verify(&bench).status.code(), Some(1));
}
