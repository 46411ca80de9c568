//! The watch against regressions: how many instructions each stage takes for the same records,
//! counted by callgrind and compared with `benches/instructions.txt`.
//! It must not know how a stage works, and it asserts no time: a busy machine counts the same.
//!
//!     cargo run --example instructions                # compare; fails where a stage takes more
//!     cargo run --example instructions -- --update    # write what was counted
//!
//! Counts are those of the tests' build, of x86-64 with AVX2, which is what callgrind shows a
//! program at most. They move a little with the C library and the seeds of hash tables.

#![allow(clippy::expect_used, reason = "a measurement fails by a panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use tickcast::config::{self, Plan};
use tickcast::factory::factory;
use tickcast_connect::{KafkaRecords, Room, SourceSchema};
use tickcast_sql::window::{Aggregation, window_operator};
use tickcast_stream::decode::Decode;
use tickcast_stream::forecast::ForecastOperator;
use tickcast_stream::message::{EventTime, RawRecord, Records, Stream, system_fields};
use tickcast_stream::operator::Operator;
use tickcast_stream::testing::Collected;
use tickcast_stream::{Offset, PartitionId};

/// More than this above the kept count, and the watch fails.
const TOLERANCE_PERCENT: f64 = 5.0;
/// The argument with which callgrind starts this program.
const COUNTED: &str = "counted";
const KEPT: &str = "benches/instructions.txt";

const SERIES: usize = 20;
const WINDOWS: usize = 48;
/// Records of a series in a window.
const TICKS: usize = 12;
/// Records handed on at once, as a worker does.
const BATCH: usize = 4096;
const WINDOW_US: i64 = 60_000_000;
/// A window begins here.
const START_US: i64 = 28_333_334 * WINDOW_US;

/// A pipeline with the default experts and network.
const PIPELINE: &str = r#"
name: instructions
source: { kafka: { topic: ticks } }
key: series
time: time
window:
  tumbling: 1m
  lateness: 2s
  select:
    price: last_value(price ORDER BY time)
    mean: avg(price)
    low: min(price)
    high: max(price)
    volume: sum(volume)
forecast: { target: price, horizons: [1, 5], levels: [0.5, 0.9] }
"#;

/// The functions that are counted, and what a record of each is.
const STAGES: [(&str, &str); 4] = [
    ("decode", "a record"),
    ("window", "a record"),
    ("forecast", "a series and window"),
    ("encode", "a result"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(COUNTED) => {
            println!("{}", run().map(|units| units.to_string()).join(" "));
            ExitCode::SUCCESS
        }
        Some("--update") => keep(&count()),
        None => compare(&count()),
        Some(other) => panic!("{other}: neither nothing nor --update"),
    }
}

/// What a stage took, and for how many of its units.
struct Count {
    instructions: u64,
    units: u64,
}

type Counts = BTreeMap<&'static str, Count>;

/// Runs this program under callgrind.
fn count() -> Counts {
    if !has_avx2() {
        panic!("the kept counts are of x86-64 with AVX2, and this CPU is another");
    }
    let out = tempfile::NamedTempFile::new().expect("a file for callgrind");
    let run = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.path().display()))
        .arg(std::env::current_exe().expect("a program"))
        .arg(COUNTED)
        .output()
        .expect("valgrind, which has to be installed");
    assert!(run.status.success(), "under callgrind: {}", String::from_utf8_lossy(&run.stderr));

    let profile = std::fs::read_to_string(out.path()).expect("callgrind's profile");
    let said = String::from_utf8_lossy(&run.stdout);
    let units = said.split_whitespace().map(|units| units.parse().expect("a number"));
    STAGES
        .into_iter()
        .zip(units)
        .map(|((stage, _), units)| (stage, Count { instructions: instructions_of(stage, &profile), units }))
        .collect()
}

/// What the one call of a stage's function took, with all that it calls. In a profile a name stands
/// where its number is first used, and a call is three lines:
///
/// ```text
/// cfn=(number)
/// calls=1 line
/// line instructions
/// ```
fn instructions_of(stage: &str, profile: &str) -> u64 {
    let named = format!(") instructions::{stage}");
    let name = profile.lines().find_map(|line| line.strip_suffix(&named)?.split_once("fn=("));
    let (_, number) = name.unwrap_or_else(|| panic!("callgrind did not see {stage}"));

    let called = format!("cfn=({number})");
    let mut lines = profile.lines().skip_while(|line| !line.starts_with(&called)).skip(1);
    let calls = lines.next().expect("the calls");
    assert!(calls.starts_with("calls=1 "), "{stage} is called once: {calls}");
    let cost = lines.next().and_then(|line| line.rsplit(' ').next()).expect("a cost");
    cost.parse().expect("a number")
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

fn kept_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT)
}

fn keep(counts: &Counts) -> ExitCode {
    let mut text = String::from(
        "# Instructions of each stage in the tests' build, by callgrind. `cargo run --example instructions`\n\
         # compares with them; with `-- --update` it writes them.\n",
    );
    for (stage, _) in STAGES {
        text.push_str(&format!("{stage} {}\n", counts[stage].instructions));
    }
    std::fs::write(kept_file(), &text).expect("the file can be written");
    print!("{text}");
    ExitCode::SUCCESS
}

fn compare(counts: &Counts) -> ExitCode {
    let text = std::fs::read_to_string(kept_file()).expect("the kept counts");
    let kept: BTreeMap<&str, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(stage, count)| (stage, count.parse().expect("a count")))
        .collect();

    println!("stage     instructions          kept   change  a unit");
    let mut worse = Vec::new();
    for (stage, unit) in STAGES {
        let Count { instructions, units } = counts[stage];
        let change = 100.0 * (instructions as f64 / kept[stage] - 1.0);
        println!(
            "{stage:8} {instructions:13} {:13} {change:+7.2}%  {} {unit}",
            kept[stage],
            instructions / units
        );
        if change > TOLERANCE_PERCENT {
            worse.push(stage);
        } else if change < -TOLERANCE_PERCENT {
            println!("  fewer than kept: `--update` keeps the watch tight");
        }
    }
    if worse.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!(
        "more than {TOLERANCE_PERCENT} % above {KEPT}: {}. Where that is the price of something, say so in the commit \
         and write the new counts: cargo run --example instructions -- --update",
        worse.join(", ")
    );
    ExitCode::FAILURE
}

/// Runs every stage once over all records. The units of each stage.
fn run() -> [u64; 4] {
    let pipeline = config::parse(PIPELINE, "instructions.yaml", Path::new(""), &[], &|_| None);
    let plan = pipeline.unwrap_or_else(|faults| panic!("{faults}")).plan;
    let decoder = decoder(&plan);
    let data = Schema::new(decoder.schema().fields()[system_fields().len()..].to_vec());
    let aggregation = Aggregation::plan(&plan.window.select, &Arc::new(data)).expect("a good select");
    let mut windows = window_operator(&plan.window, &Arc::new(aggregation));
    let mut forecaster = ForecastOperator::new(plan.targets.shared(), plan.window.kind.order());

    let records = records();
    let rows = decode(decoder.as_ref(), &records);
    let closed = window(windows.as_mut(), &rows);
    let results = forecast(&mut forecaster, &closed);
    let encoded = encode(&results);

    let rows_of = |batches: &[RecordBatch]| batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    let (records, rows, closed) = (SERIES * WINDOWS * TICKS, rows_of(&rows), rows_of(&closed));
    assert!(rows == records && closed == SERIES * WINDOWS && encoded > closed, "{rows} {closed} {encoded}");
    [records, rows, closed, encoded].map(|units| units as u64)
}

fn decoder(plan: &Plan) -> Box<dyn Decode> {
    let factory = factory(plan, SourceSchema::default()).expect("a good pipeline");
    factory.decoder(PartitionId(0)).expect("a decoder")
}

/// Ticks of all series in the order of time, in batches.
fn records() -> Vec<Records> {
    let raw = |tick: usize| {
        let (moment, series) = (tick / SERIES, tick % SERIES);
        let time_us = moment as i64 * WINDOW_US / TICKS as i64;
        let price = 100.0 + (moment as f64 / 40.0).sin() + ((moment * 7 + series * 13) % 17) as f64 / 8.0;
        let payload = format!(
            r#"{{"series":"series-{series:04}","time":{},"price":{price:.3},"volume":{}}}"#,
            time_us / 1000 + START_US / 1000,
            tick % 11
        );
        RawRecord {
            offset: Offset(tick as i64),
            timestamp: Some(EventTime(time_us + START_US)),
            payload: Some(payload.into()),
            ..RawRecord::default()
        }
    };
    let ticks: Vec<RawRecord> = (0..SERIES * WINDOWS * TICKS).map(raw).collect();
    ticks.chunks(BATCH).map(|batch| Records::Raw(batch.to_vec())).collect()
}

#[inline(never)]
fn decode(decoder: &dyn Decode, records: &[Records]) -> Vec<RecordBatch> {
    records.iter().map(|records| decoder.decode(records).expect("good records").rows).collect()
}

#[inline(never)]
fn window(operator: &mut dyn Operator, rows: &[RecordBatch]) -> Vec<RecordBatch> {
    let mut out = Collected::default();
    rows.iter().for_each(|rows| operator.on_batch(rows, &mut out).expect("good rows"));
    operator.on_watermark(EventTime::MAX, &mut out).expect("windows close");
    out.rows
}

#[inline(never)]
fn forecast(operator: &mut ForecastOperator, closed: &[RecordBatch]) -> Vec<(Stream, RecordBatch)> {
    let mut out = Collected::default();
    closed.iter().for_each(|window| operator.on_batch(window, &mut out).expect("a good window"));
    out.results
}

/// How many results there were.
#[inline(never)]
fn encode(results: &[(Stream, RecordBatch)]) -> usize {
    let mut count = 0;
    for (stream, rows) in results {
        let encoded = KafkaRecords::json(*stream).for_each(rows, Room::ANY, &mut |_| {
            count += 1;
            Ok(())
        });
        encoded.expect("results are JSON");
    }
    count
}
