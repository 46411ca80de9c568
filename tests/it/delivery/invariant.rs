//! The invariant: a partition's output is a pure function of its records and its pipeline file.
//! Property tests try any batches, workers, restores, snapshots and stops, and compare the bytes.

use std::sync::Arc;

use proptest::prelude::*;
use tickcast::factory::factory_for;
use tickcast_connect::OpenOptions;
use tickcast_stream::ledger::chunk::decode;
use tickcast_stream::ledger::{Assembly, Chunk, Snapshot};
use tickcast_stream::message::{Records, Stream};
use tickcast_stream::runtime::{
    LastWhole, Partition, PartitionOutput, PendingSnapshot, PipelineFactory, RestorePoint, Ticket,
};
use tickcast_stream::source::Event;
use tickcast_stream::{Offset, PartitionId};

use crate::support::pipeline::{Runner, TestPipeline};

const GENERATED: &str = "
name: ticks
source: { generate: { series: 20, ticks: 100000, seed: 3, process: market, partitions: 4 } }
window:
  tumbling: 1m
  lateness: 2s
  select:
    price: last_value(price ORDER BY time)
    spread: max(price) - min(price)
    mid: median(price)
    wild: stddev(price)
forecast:
  target: price
  horizons: [1, 3]
  levels: [0.5, 0.9]
  model: { cell: gru, hidden: 8, bptt: 11, replay: 1 }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

/// 1, 2 or 4 workers, inline or threaded, and any poll size: byte-identical files on 100,000 ticks.
#[test]
fn workers_and_poll_sizes_do_not_change_a_byte_of_100_000_ticks() {
    let bench = TestPipeline::new(GENERATED);
    let summary = bench.run(Runner::Inline, 100_000);
    assert_eq!(summary.records, 100_000);
    let expected = bench.out();
    assert!(expected["forecasts-3.ndjson"].lines().count() > 500);
    for (runner, batch) in [
        (Runner::Inline, 977),
        (Runner::Threads(1), 4096),
        (Runner::Threads(2), 64),
        (Runner::Threads(4), 1500),
    ] {
        bench.clear();
        bench.run(runner, batch);
        assert!(bench.out() == expected, "{runner:?} with polls of {batch} wrote other bytes");
    }
}

/// The same by the plain network.
#[test]
fn workers_and_poll_sizes_do_not_change_a_byte_of_the_plain_network_either() {
    let ticks = GENERATED.replace("ticks: 100000", "ticks: 20000");
    let bench = TestPipeline::new(&ticks.replace("replay: 1", "replay: 1, backend: nalgebra"));
    bench.run(Runner::Inline, 100_000);
    let expected = bench.out();
    for (runner, batch) in [(Runner::Inline, 977), (Runner::Threads(2), 64)] {
        bench.clear();
        bench.run(runner, batch);
        assert!(bench.out() == expected, "{runner:?} with polls of {batch} wrote other bytes");
    }

    let fused = TestPipeline::new(&ticks);
    fused.run(Runner::Inline, 100_000);
    let (plain, fused) = (forecasts(&expected), forecasts(&fused.out()));
    assert!(plain.len() > 100 && plain.len() == fused.len() && plain != fused);
    for (plain, fused) in plain.iter().zip(&fused) {
        assert!((plain - fused).abs() <= 1e-4 * fused.abs(), "{plain} by nalgebra, {fused} by the kernels");
    }
}

/// The forecasts of all files, in their order.
fn forecasts(out: &std::collections::BTreeMap<String, String>) -> Vec<f64> {
    let files = out.iter().filter(|(name, _)| name.starts_with("forecasts")).map(|(_, text)| text);
    let line =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["forecast"].as_f64().unwrap();
    files.flat_map(|text| text.lines().map(line)).collect()
}

/// A file of jumbled, late and broken records.
const JUMBLED: &str = "
name: jumbled
source: { file: { path: in.ndjson } }
key: k
time: t
PREPARE
window:
  tumbling: 10s
  lateness: 3s
  gaps: GAPS
  select: { x: avg(v), last: last_value(v), n: count(v), c: \"corr(v, w)\", var: var_pop(v), far: max(w) FILTER (WHERE v > 0), up: increase(v), moved: delta(w) }
forecast:
  target: TARGET
  features: [x, last, n, up, moved]
  horizons: [1, 2, 5]
  season: 6
  calendar: [hour, day_of_week]
  model: { cell: CELL, hidden: 4, bptt: 13, replay: 1, layers: 2, scope: SCOPE MORE }
state: { dir: state }
limits: { series: KEPT }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

const PREPARE: &str = "derive: { v: v * 2, w: \"coalesce(w, 0) - v\" }\nwhere: \"k <> 's3' AND v > -10\"";

fn record() -> impl Strategy<Value = (u8, Step, String)> {
    let line = prop_oneof![
        20 => (-50i32..50).prop_map(|v| format!(r#""v":{},"w":{}"#, f64::from(v) / 7.0, v * v)),
        1 => Just(r#""v":null"#.to_owned()),
        1 => Just(r#""v":1e999"#.to_owned()),
        1 => Just(r#""v":"#.to_owned()),
    ];
    (0u8..4, step(), line)
}

/// Seconds to the record after: disorder, silence, and now and then a clock that lies.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (-6i64..14).prop_map(Step::By),
        1 => (400i64..5000).prop_map(Step::By),
        2 => (400i64..1_000_000).prop_map(Step::Astray),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The next record is so much later.
    By(i64),
    /// It says so, and the one after it does not know of it.
    Astray(i64),
}

/// The simplest select has no arguments: rows without columns.
const COUNTED: &str = "
name: counted
source: { file: { path: in.ndjson } }
key: k
time: t
window: { tumbling: 10s, lateness: 15s, select: { n: count(*) } }
forecast: { target: n, model: { hidden: 2, bptt: 9, replay: 0 } }
sinks: { forecasts: { file: { path: out/ } }, rejects: { file: { path: out/ } } }
";

/// Every kind of window, and how long a step from one record to the next is for it, in seconds.
const KINDS: [(&str, i64); 15] = [
    ("tumbling: 1d, zone: Europe/Berlin, offset: 6h, lateness: 3h", 10_800),
    ("tumbling: 1w, offset: -3d, zone: America/New_York, stamps: end", 43_200),
    ("tumbling: 1mo, lateness: 2d, gaps: skip", 172_800),
    ("tumbling: 1q, zone: Pacific/Apia", 604_800),
    ("tumbling: 1y, stamps: end", 1_209_600),
    ("hopping: { size: 1m, every: 15s }, lateness: 3s", 1),
    ("hopping: { size: 1y, every: 1mo }, zone: Europe/Berlin, gaps: skip", 604_800),
    ("tumbling: 10s, lateness: 3s, watermark: series", 1),
    ("hopping: { size: 1m, every: 15s }, gaps: skip, watermark: series", 1),
    ("tumbling: 10s, offset: 3s, stamps: end, lateness: 3s", 1),
    ("session: { gap: 5s }, lateness: 4s", 1),
    ("session: { gap: 8s, max: 20s }", 1),
    ("session: { gap: 8s, max: 20s }, lateness: 4s, watermark: series", 1),
    ("count: 3", 1),
    ("count: 1", 1),
];

/// Records of any kind of window.
const OF_ANY_KIND: &str = "
name: kinds
source: { file: { path: in.ndjson } }
key: k
time: t
ONCE
window:
  { KIND, select: { x: avg(v), last: last_value(v), n: count(*), c: \"corr(v, w)\", var: var_pop(v), mid: median(v), up: increase(v) } }
forecast: { target: TARGET, features: [x, last, n, up], horizons: [1, 2, 5], model: { hidden: 3, bptt: 13, replay: 1 } }
state: { dir: state }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

fn kind_bench((kind, step_s): (&str, i64), records: &[(u8, Step, String)]) -> TestPipeline {
    let once = if records.len().is_multiple_of(2) { "deduplicate: { within: 10m }" } else { "" };
    let target = ["x", "x", "[n, x]"][records.len() % 3];
    let yaml = OF_ANY_KIND.replace("KIND", kind).replace("ONCE", once).replace("TARGET", target);
    let bench = TestPipeline::new(&yaml);
    bench.write("in.ndjson", jumbled_by(step_s, records));
    bench
}

fn jumbled(records: &[(u8, Step, String)]) -> String {
    jumbled_by(1, records)
}

/// With so many seconds for each step of time.
fn jumbled_by(step_s: i64, records: &[(u8, Step, String)]) -> String {
    let mut now = 1_700_000_000_000_000i64;
    let mut text = String::new();
    for (key, step, fields) in records {
        let at = match step {
            Step::By(steps) => {
                now += steps * step_s * 1_000_000;
                now
            }
            Step::Astray(steps) => now + steps * step_s * 1_000_000,
        };
        text.push_str(&format!("{{\"k\":\"s{key}\",\"t\":{at},{fields}}}\n"));
    }
    text
}

/// More keys of the model.
fn more() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        ", loss: pinball, stride: 3",
        ", loss: gaussian_nll, skip: false, optimizer: { sgd: { schedule: { warm_up: 3 } } }",
        ", stride: 8, ema: 0, clip: 0.1, optimizer: { rmsprop: { schedule: { cosine: { updates: 20 } } } }",
        ", loss: mse, optimizer: { adamw: {} }",
        ", backend: nalgebra",
        ", backend: nalgebra, loss: pinball, stride: 3",
    ])
}

fn bench(cell: &str, gaps: &str, scope: &str, more: &str, records: &[(u8, Step, String)]) -> TestPipeline {
    // Half of the runs keep fewer series than there are.
    let kept = if records.len().is_multiple_of(2) { "2" } else { "100" };
    // A third of them derive columns, and leave records out.
    let prepare = if records.len().is_multiple_of(3) { PREPARE } else { "" };
    // A quarter of them lets nothing through twice.
    let once = ["deduplicate: { by: [v], within: 1m }", "", "", ""][records.len() / 2 % 4];
    let yaml = JUMBLED
        .replace("PREPARE", &format!("{prepare}\n{once}"))
        .replace("CELL", cell)
        .replace("GAPS", gaps)
        .replace("KEPT", kept);
    // And two in five forecast several targets, of which one has a true value in silence.
    let target = ["x", "[x, n]", "x", "[up, x, n]", "x"][records.len() % 5];
    let yaml = yaml.replace("SCOPE", scope).replace("MORE", more).replace("TARGET", target);
    // And a quarter compute the time.
    let computed = "\ntime: { expr: \"concat(left(t, 9), right(t, 7))\" }\n";
    let time = if records.len() % 4 == 1 { computed } else { "\ntime: t\n" };
    let bench = TestPipeline::new(&yaml.replace("\ntime: t\n", time));
    bench.write("in.ndjson", jumbled(records));
    bench
}

/// The records of the bench's file as the source gives them, and the pipeline's factory.
fn records_of(bench: &TestPipeline) -> (PipelineFactory, Records) {
    let plan = bench.load().plan;
    let mut open =
        plan.source.open(OpenOptions { batch_records: Some(usize::MAX), ..OpenOptions::default() }).unwrap();
    let factory = factory_for(&plan, &mut open).unwrap();
    let mut source = open.source;
    assert!(matches!(source.poll(std::time::Duration::ZERO).unwrap(), Event::Assigned(_)));
    source.start(PartitionId(0), None).unwrap();
    loop {
        match source.poll(std::time::Duration::ZERO).unwrap() {
            Event::Records { records, .. } => return (factory, records),
            Event::End { .. } => return (factory, Records::Raw(vec![])),
            _ => {}
        }
    }
}

fn part(records: &Records, from: usize, to: usize) -> Records {
    match records {
        Records::Raw(records) => Records::Raw(records[from..to].to_vec()),
        Records::Rows { first_offset, rows } => {
            Records::Rows { first_offset: first_offset.plus(from), rows: rows.slice(from, to - from) }
        }
    }
}

/// What a partition has put out, by stream.
type Bytes = Vec<(Stream, Vec<u8>)>;

/// What a partition puts out, as JSON.
struct Kept(Bytes);

impl Default for Kept {
    fn default() -> Self {
        Kept(Stream::ALL.map(|stream| (stream, Vec::new())).to_vec())
    }
}

impl Kept {
    fn keep(&mut self, outcome: PartitionOutput) -> tickcast_stream::error::Result<()> {
        for (stream, rows) in outcome.results {
            let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
            writer.write(&rows).unwrap();
            self.0.iter_mut().find(|(of, _)| *of == stream).unwrap().1.extend(writer.into_inner());
        }
        Ok(())
    }
}

/// Everything a partition makes of the records, cut at `cuts`; at each cut it is thrown away and
/// restored.
fn bytes_with_restores(
    factory: &PipelineFactory,
    records: &Records,
    cuts: &[usize],
) -> Vec<(Stream, Vec<u8>)> {
    let mut partition = factory.partition(PartitionId(0)).unwrap();
    let mut kept = Kept::default();
    let mut keep = |outcome: PartitionOutput| kept.keep(outcome);
    let mut from = 0;
    for &cut in cuts.iter().chain([&records.len()]) {
        if cut < from {
            continue;
        }
        partition.take(part(records, from, cut), &mut keep).unwrap();
        // A record that waits for the next one is read again.
        from = partition.position().map_or(from, |position| position.0 as usize);
        partition = restored(factory, &mut partition);
    }
    partition.take(part(records, from, records.len()), &mut keep).unwrap();
    partition.finish(&mut keep).unwrap();
    kept.0
}

/// What a ledger has of the newest of some snapshots, read from their pieces.
fn read_back(partition: PartitionId, of: &[&Snapshot]) -> Snapshot {
    let mut pieces = Assembly::default();
    for snapshot in of {
        let (snapshot, count) = (Arc::new((*snapshot).clone()), snapshot.name().chunks);
        let chunk = |index| Chunk { snapshot: Arc::clone(&snapshot), index, count }.encode();
        (0..count).for_each(|index| pieces.add(decode(&chunk(index)).unwrap()));
    }
    pieces.whole(partition, None).unwrap()
}

/// Everything a partition makes of the records. At each cut its state is written out, light where
/// nothing else has changed, and at every third it is thrown away and restored from that. How often
/// it was light.
fn bytes_with_light_snapshots(
    factory: &PipelineFactory,
    records: &Records,
    cuts: &[usize],
) -> (Vec<(Stream, Vec<u8>)>, usize) {
    let (mut kept, mut light) = (Kept::default(), 0);
    let mut partition = factory.partition(PartitionId(0)).unwrap();
    let (mut writer, mut base, mut from) = (LastWhole::default(), None, 0);
    for (nth, &cut) in cuts.iter().enumerate() {
        partition.take(part(records, from, cut), &mut |outcome| kept.keep(outcome)).unwrap();
        from = cut;
        let Some(frozen) = partition.freeze() else { continue };
        let (whole, ticket) = (partition.snapshot().unwrap().unwrap(), Ticket::default());
        let snapshot = writer.write(frozen, &ticket).unwrap();
        // Every other whole one is lost on its way: nothing may refer to it.
        if nth % 2 == 0 {
            ticket.keep();
        }
        let found = match snapshot.base {
            None => read_back(PartitionId(0), &[&snapshot]),
            Some(_) => read_back(PartitionId(0), &[base.as_ref().unwrap(), &snapshot]),
        };
        assert!(found == whole, "a light state and its base are another state");
        light += usize::from(snapshot.base.is_some());
        base = if snapshot.base.is_none() { Some(snapshot) } else { base };
        if nth % 3 == 2 {
            partition = factory.partition(PartitionId(0)).unwrap();
            partition.restore(&found, RestorePoint::AtEnd).unwrap();
            // A record that waits for the next one is read again.
            from = found.position.0 as usize;
            writer = LastWhole::default();
        }
    }
    partition.take(part(records, from, records.len()), &mut |outcome| kept.keep(outcome)).unwrap();
    partition.finish(&mut |outcome| kept.keep(outcome)).unwrap();
    (kept.0, light)
}

/// The windows of a file that close seldom have light snapshots between them.
#[test]
fn between_two_closes_snapshots_are_light() {
    let records: Vec<(u8, Step, String)> =
        (0..200).map(|n| ((n % 3) as u8, Step::By(n % 2), format!(r#""v":{},"w":{n}"#, n % 7))).collect();
    let bench = bench("gru", "carry", "shared", "", &records);
    let (factory, records) = records_of(&bench);
    let cuts: Vec<usize> = (1..200).collect();
    let (bytes, light) = bytes_with_light_snapshots(&factory, &records, &cuts);
    assert!(light > 20, "{light} of {} snapshots were light", cuts.len());
    assert!(bytes == bytes_with_restores(&factory, &records, &[]));
}

/// Everything a partition makes of the records, cut at `cuts`; at every other cut a clock closes
/// what is open. With it where that was, and the state at the end.
fn bytes_with_closes(
    factory: &PipelineFactory,
    records: &Records,
    cuts: &[usize],
) -> (Bytes, Vec<Offset>, Option<Snapshot>) {
    let (mut partition, mut kept, mut from) =
        (factory.partition(PartitionId(0)).unwrap(), Kept::default(), 0);
    let mut keep = |outcome: PartitionOutput| kept.keep(outcome);
    for (nth, &cut) in cuts.iter().chain([&records.len()]).enumerate() {
        partition.take(part(records, from, cut), &mut keep).unwrap();
        from = cut;
        if nth % 2 == 0 {
            partition.close_open(&mut keep).unwrap();
        }
        // A worker does so when nothing waits for it.
        if nth % 3 == 0 {
            partition.work_off();
        }
    }
    partition.finish(&mut keep).unwrap();
    let (closes, state) = (partition.clock().after(None).to_vec(), partition.snapshot().unwrap());
    (kept.0, closes, state)
}

/// The same in another life, which is told where the clock has closed windows, and is restored at
/// `cuts`.
fn bytes_of_told_closes(
    factory: &PipelineFactory,
    records: &Records,
    closes: &[Offset],
    cuts: &[usize],
) -> (Bytes, Option<Snapshot>) {
    let (mut partition, mut kept, mut from) =
        (factory.partition(PartitionId(0)).unwrap(), Kept::default(), 0);
    let mut keep = |outcome: PartitionOutput| kept.keep(outcome);
    partition.will_close_at(closes);
    for &cut in cuts.iter().chain([&records.len()]).filter(|&&cut| cut > 0) {
        if cut > from {
            partition.take(part(records, from, cut), &mut keep).unwrap();
            // A record that waits for the next one is read again.
            from = partition.position().map_or(from, |position| position.0 as usize);
            partition = restored(factory, &mut partition);
            partition.will_close_at(closes);
        }
    }
    partition.take(part(records, from, records.len()), &mut keep).unwrap();
    partition.catch_up(&mut keep).unwrap();
    let state = partition.snapshot().unwrap();
    (kept.0, state)
}

fn restored(factory: &PipelineFactory, partition: &mut Partition) -> Partition {
    let mut again = factory.partition(PartitionId(0)).unwrap();
    if let Some(snapshot) = partition.snapshot().unwrap() {
        again.restore(&snapshot, RestorePoint::AtEnd).unwrap();
        assert!(again.snapshot().unwrap().as_ref() == Some(&snapshot), "a restored state is another state");
    }
    again
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_batching_and_any_runner_give_the_same_bytes(
        records in prop::collection::vec(record(), 0..300),
        cell in prop::sample::select(vec!["rnn", "lstm", "gru"]),
        gaps in prop::sample::select(vec!["auto", "carry", "skip", "{ x: zero, n: carry }"]),
        scope in prop::sample::select(vec!["shared", "series"]),
        more in more(),
        batch in 1usize..40, workers in 1usize..4,
    ) {
        let bench = bench(cell, gaps, scope, more, &records);
        bench.run(Runner::Inline, 100_000);
        let expected = bench.out();
        for runner in [Runner::Inline, Runner::Threads(workers)] {
            bench.clear();
            bench.run(runner, batch);
            prop_assert!(bench.out() == expected, "{runner:?} {batch}");
        }
    }

    /// Found by: a review. `count(*)` alone ended the run on jumbled records.
    #[test]
    fn counting_alone_does_not_show_batches(
        records in prop::collection::vec(record(), 1..200), batch in 1usize..40,
    ) {
        let bench = TestPipeline::new(COUNTED);
        bench.write("in.ndjson", jumbled(&records));
        bench.run(Runner::Inline, 100_000);
        let expected = bench.out();
        bench.clear();
        bench.run(Runner::Threads(1), batch);
        prop_assert!(bench.out() == expected);
    }

    #[test]
    fn restored_at_any_record_it_goes_on_with_the_same_bytes(
        records in prop::collection::vec(record(), 1..300),
        cell in prop::sample::select(vec!["rnn", "lstm", "gru"]),
        gaps in prop::sample::select(vec!["auto", "carry", "skip", "{ x: zero, n: carry }"]),
        scope in prop::sample::select(vec!["shared", "series"]),
        more in more(),
        mut cuts in prop::collection::vec(0usize..300, 0..12),
    ) {
        let bench = bench(cell, gaps, scope, more, &records);
        let (factory, records) = records_of(&bench);
        cuts.retain(|&cut| cut <= records.len());
        cuts.sort_unstable();
        let expected = bytes_with_restores(&factory, &records, &[]);
        prop_assert!(bytes_with_restores(&factory, &records, &cuts) == expected);
    }

    #[test]
    fn light_snapshots_and_their_bases_are_the_states_that_whole_ones_are(
        records in prop::collection::vec(record(), 1..300),
        cell in prop::sample::select(vec!["rnn", "lstm", "gru"]),
        gaps in prop::sample::select(vec!["auto", "carry", "skip", "{ x: zero, n: carry }"]),
        scope in prop::sample::select(vec!["shared", "series"]),
        more in more(),
        mut cuts in prop::collection::vec(0usize..300, 0..40),
    ) {
        let bench = bench(cell, gaps, scope, more, &records);
        let (factory, records) = records_of(&bench);
        cuts.retain(|&cut| cut <= records.len());
        cuts.sort_unstable();
        cuts.dedup();
        let expected = bytes_with_restores(&factory, &records, &[]);
        prop_assert!(bytes_with_light_snapshots(&factory, &records, &cuts).0 == expected);
    }

    #[test]
    fn no_kind_of_window_shows_batches_workers_restores_or_stops(
        records in prop::collection::vec(record(), 1..300),
        kind in prop::sample::select(KINDS.to_vec()),
        batch in 1usize..40, workers in 1usize..4, stop in 1u64..300,
        mut cuts in prop::collection::vec(0usize..300, 0..12),
    ) {
        let bench = kind_bench(kind, &records);
        bench.run(Runner::Inline, 100_000);
        let expected = bench.out();
        bench.clear();
        bench.run_until(Runner::Threads(1), batch, Some(stop));
        bench.run(Runner::Threads(workers), batch);
        prop_assert!(bench.out() == expected, "{kind:?} {batch} {stop}");

        let (factory, records) = records_of(&bench);
        cuts.retain(|&cut| cut <= records.len());
        cuts.sort_unstable();
        let expected = bytes_with_restores(&factory, &records, &[]);
        prop_assert!(bytes_with_restores(&factory, &records, &cuts) == expected, "{kind:?}");
    }

    #[test]
    fn what_a_clock_has_closed_closes_there_again(
        records in prop::collection::vec(record(), 1..300),
        kind in prop::sample::select(KINDS.to_vec()),
        mut cuts in prop::collection::vec(0usize..300, 0..12),
        mut other_cuts in prop::collection::vec(0usize..300, 0..12),
    ) {
        let bench = kind_bench(kind, &records);
        let (factory, records) = records_of(&bench);
        for cuts in [&mut cuts, &mut other_cuts] {
            cuts.retain(|&cut| cut <= records.len());
            cuts.sort_unstable();
        }
        let (expected, closes, state) = bytes_with_closes(&factory, &records, &cuts);
        let (made, again) = bytes_of_told_closes(&factory, &records, &closes, &other_cuts);
        prop_assert!(made == expected, "{kind:?} closed at {closes:?}");
        prop_assert!(again == state, "{kind:?} closed at {closes:?}: another state");
    }

    /// Frozen states are written last of all, in any thread, and hold the partition up in nothing.
    #[test]
    fn frozen_at_any_record_it_is_written_as_it_was(
        records in prop::collection::vec(record(), 1..300),
        cell in prop::sample::select(vec!["rnn", "lstm", "gru"]),
        gaps in prop::sample::select(vec!["auto", "carry", "skip", "{ x: zero, n: carry }"]),
        scope in prop::sample::select(vec!["shared", "series"]),
        more in more(),
        mut cuts in prop::collection::vec(0usize..300, 1..6),
    ) {
        let bench = bench(cell, gaps, scope, more, &records);
        let (factory, records) = records_of(&bench);
        cuts.retain(|&cut| cut <= records.len());
        cuts.sort_unstable();
        let [mut partition, mut undisturbed] = [(); 2].map(|()| factory.partition(PartitionId(0)).unwrap());
        let (mut frozen, mut from) = (Vec::new(), 0);
        for &cut in &cuts {
            partition.take(part(&records, from, cut), &mut |_| Ok(())).unwrap();
            from = cut;
            frozen.push((partition.freeze(), partition.snapshot().unwrap()));
        }
        for (partition, from) in [(&mut partition, from), (&mut undisturbed, 0)] {
            partition.take(part(&records, from, records.len()), &mut |_| Ok(())).unwrap();
            partition.finish(&mut |_| Ok(())).unwrap();
        }
        prop_assert!(partition.snapshot().unwrap() == undisturbed.snapshot().unwrap(), "a snapshot is felt");
        for (frozen, at_once) in frozen.into_iter().rev() {
            let written = std::thread::spawn(|| frozen.map(PendingSnapshot::write).transpose());
            prop_assert!(written.join().unwrap().unwrap() == at_once, "it shows what came after");
        }
    }

    #[test]
    fn stopped_and_started_again_it_writes_the_same_files(
        records in prop::collection::vec(record(), 1..300),
        stops in prop::collection::vec(1u64..300, 1..4), batch in 1usize..40,
    ) {
        let bench = bench("gru", "carry", "shared", "", &records);
        bench.run(Runner::Inline, 100_000);
        let expected = bench.out();
        bench.clear();
        for stop in stops {
            bench.run_until(Runner::Threads(1), batch, Some(stop));
        }
        bench.run(Runner::Threads(2), batch);
        prop_assert!(bench.out() == expected);
    }
}
