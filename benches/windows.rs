//! Times what a record costs from JSON to its window, for each kind of window: five aggregates,
//! 1,000 series; ends with a table of ticks a second and of ratios to windows that do not overlap.
//! It must not know how windows are made.
//!
//!     cargo bench -p tickcast --bench windows                  # a release build, DataFusion's too
//!     cargo bench -p tickcast --bench windows --profile dev    # the tests' build
//!
//! Only the ratios of one run count: what else the machine does is in all of them.

#![allow(clippy::expect_used, reason = "a measurement fails by a panic")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::Schema;
use criterion::{Criterion, SamplingMode, Throughput};
use tickcast::config::{self, Plan};
use tickcast::factory::factory;
use tickcast_connect::SourceSchema;
use tickcast_sql::window::{Aggregation, window_operator};
use tickcast_stream::Offset;
use tickcast_stream::decode::Decode;
use tickcast_stream::message::{EventTime, RawRecord, Records, system_fields};
use tickcast_stream::operator::Operator;
use tickcast_stream::testing::Collected;

const SERIES: usize = 1_000;
/// Ticks of a series in a minute that is timed: as a watermark passes, each minute makes a row of
/// each series.
const TICKS: usize = 12;
/// Minutes that are timed.
const MINUTES: usize = 4;
/// The first of them.
const FROM: usize = 100;
/// Times that all kinds are timed.
const TURNS: usize = 3;
/// Records handed on at once, as a worker does.
const BATCH: usize = 4096;
const MINUTE_US: i64 = 60_000_000;
const START_US: i64 = 28_333_334 * MINUTE_US;

/// Each kind of window, and the minutes that fill its longest window before the timed ones, with a
/// tick of each series. The first is what the others are compared with; a new kind is a line here.
const KINDS: [(&str, &str, usize); 7] = [
    ("tumbling", "tumbling: 1m, lateness: 2s", 2),
    ("hopping, 60 panes", "hopping: { size: 1h, every: 1m }, lateness: 2s", 61),
    ("by series", "tumbling: 1m, lateness: 2s, watermark: series", 2),
    ("hopping by series", "hopping: { size: 1h, every: 1m }, lateness: 2s, watermark: series", 61),
    ("sessions of a minute", "session: { gap: 30s, max: 1m }, lateness: 2s", 2),
    ("the same by series", "session: { gap: 30s, max: 1m }, lateness: 2s, watermark: series", 2),
    ("count: 12", "count: 12", 12),
];

const PIPELINE: &str = r#"
name: windows
source: { kafka: { topic: ticks } }
key: series
time: time
window:
  { KIND, select: { price: last_value(price ORDER BY time), mean: avg(price), low: min(price), high: max(price), volume: sum(volume) } }
forecast: { target: price }
"#;

fn main() {
    let quick = Duration::from_millis(500);
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(quick)
        .measurement_time(6 * quick)
        .sample_size(10)
        .nresamples(2000)
        .configure_from_args();

    let timed = records(FROM..FROM + MINUTES, TICKS);
    // In turns, so that a moment in which the machine is busy does not fall on one kind alone.
    let mut least = [f64::INFINITY; KINDS.len()];
    for turn in 1..=TURNS {
        let mut group = criterion.benchmark_group(format!("turn {turn}"));
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements((SERIES * MINUTES * TICKS) as u64));
        for ((name, kind, minutes), least) in KINDS.iter().zip(&mut least) {
            let (plan, before) = (plan(kind), records(FROM - minutes..FROM, 1));
            group.bench_function(*name, |bencher| {
                bencher.iter_custom(|calls| {
                    let seconds: Vec<f64> = (0..calls).map(|_| call(&plan, &before, &timed)).collect();
                    *least = seconds.iter().copied().fold(*least, f64::min);
                    Duration::from_secs_f64(seconds.iter().sum())
                });
            });
        }
    }

    criterion.final_summary();
    if std::env::args().any(|arg| arg == "--bench") {
        print(&least);
    }
}

/// Seconds that the timed records take, decoding included.
fn call(plan: &Plan, before: &[Records], timed: &[Records]) -> f64 {
    let decoder = decoder(plan);
    let mut operator = operator(plan, decoder.as_ref());
    let mut out = Collected::default();
    let mut take = |records: &[Records], out: &mut Collected| {
        for records in records {
            let rows = decoder.decode(records).expect("good records").rows;
            operator.on_batch(&rows, out).expect("good rows");
        }
    };

    take(before, &mut out);
    out.rows.clear();
    let from = Instant::now();
    take(timed, &mut out);
    let seconds = from.elapsed().as_secs_f64();
    let closed: usize = out.rows.iter().map(|rows| rows.num_rows()).sum();
    assert!(closed >= SERIES * (MINUTES - 1), "{closed} rows of closed windows");
    seconds
}

fn plan(kind: &str) -> Plan {
    let text = PIPELINE.replace("KIND", kind);
    let pipeline = config::parse(&text, "windows.yaml", Path::new(""), &[], &|_| None);
    pipeline.unwrap_or_else(|faults| panic!("{faults}")).plan
}

fn decoder(plan: &Plan) -> Box<dyn Decode> {
    let factory = factory(plan, SourceSchema::default()).expect("a good pipeline");
    factory.decoder().expect("a decoder")
}

fn operator(plan: &Plan, decoder: &dyn Decode) -> Box<dyn Operator> {
    let data = Schema::new(decoder.schema().fields()[system_fields().len()..].to_vec());
    let aggregation = Aggregation::plan(&plan.window.select, &Arc::new(data)).expect("a good select");
    window_operator(&plan.window, &Arc::new(aggregation))
}

/// Ticks of all series in the order of time, so many a minute and series, in batches.
fn records(minutes: std::ops::Range<usize>, ticks: usize) -> Vec<Records> {
    let raw = |tick: usize| {
        let (moment, series) = (tick / SERIES, tick % SERIES);
        let time_us = (minutes.start * ticks + moment) as i64 * MINUTE_US / ticks as i64 + START_US;
        let price = 100.0 + (moment as f64 / 40.0).sin() + ((moment * 7 + series * 13) % 17) as f64 / 8.0;
        let payload = format!(
            r#"{{"series":"series-{series:04}","time":{},"price":{price:.3},"volume":{}}}"#,
            time_us / 1000,
            tick % 11
        );
        RawRecord {
            offset: Offset(tick as i64),
            timestamp: Some(EventTime(time_us)),
            payload: Some(payload.into()),
            ..RawRecord::default()
        }
    };
    let all: Vec<RawRecord> = (0..SERIES * minutes.len() * ticks).map(raw).collect();
    all.chunks(BATCH).map(|batch| Records::Raw(batch.to_vec())).collect()
}

fn print(least: &[f64]) {
    println!("\nleast of all calls, JSON decoding included");
    println!("windows               ticks/s  to the first");
    for ((name, ..), seconds) in KINDS.iter().zip(least).filter(|(_, seconds)| seconds.is_finite()) {
        let ticks = (SERIES * MINUTES * TICKS) as f64;
        println!("{name:18} {:10.0} {:9.2}×", ticks / seconds, seconds / least[0]);
    }
}
