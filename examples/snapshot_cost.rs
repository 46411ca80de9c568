//! Times snapshots of a partition with 100,000 series: what they cost its worker, what it takes to
//! write them out, and what of that is left where no window closes in between.
//! It must not know how they are made. Nothing here depends on the figures; they are for people to
//! read.
//!
//!     cargo run --release --example snapshot_cost [SERIES]

#![allow(clippy::expect_used, reason = "a measurement fails by a panic")]

use std::path::Path;
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use tickcast::config;
use tickcast::factory::factory;
use tickcast_connect::SourceSchema;
use tickcast_stream::message::Records;
use tickcast_stream::runtime::{LastWhole, Partition, Ticket};
use tickcast_stream::{Offset, PartitionId};

const SERIES: usize = 100_000;
/// Records handed to the partition at once.
const BATCH: usize = 4096;
const WINDOW_US: i64 = 60_000_000;
/// Windows of each kind that are timed.
const ROUNDS: i64 = 3;
/// The work after which `run` takes a snapshot unless told otherwise.
const EVERY: Duration = Duration::from_secs(10);
/// How often in a minute a state is saved at least.
const A_MINUTE: f64 = 2.0;

/// Forecasts to run, and the windows after which a series' memory is full.
const FORECASTS: [(&str, &str, i64); 2] = [
    ("gru 8, horizon 1", "horizons: [1], model: { hidden: 8 }", 33),
    ("gru 32, horizons 1 6 24", "horizons: [1, 6, 24], season: 24, calendar: [hour]", 56),
];

/// When in a window its snapshot is taken.
#[derive(Clone, Copy, PartialEq)]
enum Freeze {
    Never,
    /// Right before the record that closes all series' windows: nothing is written out yet when
    /// they change.
    BeforeTheClose,
    /// Right after it.
    AfterTheClose,
}

/// What a window took.
#[derive(Clone, Copy, Default)]
struct Took {
    whole: Duration,
    /// The longest run of `Partition::take`: the one that closes the window before.
    longest: Duration,
    freeze: Duration,
    write: Duration,
    bytes: usize,
}

struct Feed {
    partition: Partition,
    series: usize,
    offset: Offset,
}

impl Feed {
    /// Gives the window `number` a record of each of the first `series`; the first of them closes
    /// the window before.
    fn window(&mut self, number: i64, series: usize, freeze: Freeze) -> Took {
        let batches: Vec<RecordBatch> =
            (0..series).step_by(BATCH).map(|at| batch(number, at, (at + BATCH).min(series))).collect();
        let mut took = Took::default();
        let mut writer = None;
        let from = Instant::now();
        for (index, rows) in batches.into_iter().enumerate() {
            if index == 0 && freeze == Freeze::BeforeTheClose || index == 1 && freeze == Freeze::AfterTheClose
            {
                let from = Instant::now();
                writer = Some(self.save());
                took.freeze = from.elapsed();
            }
            let (first_offset, count) = (self.offset, rows.num_rows());
            let from = Instant::now();
            self.partition.take(Records::Rows { first_offset, rows }, &mut |_| Ok(())).expect("good records");
            took.longest = took.longest.max(from.elapsed());
            self.offset = self.offset.plus(count);
        }
        took.whole = from.elapsed();
        if let Some(writer) = writer {
            (took.write, took.bytes) = writer.join().expect("the writer lives");
        }
        took
    }

    /// Writes states out, each after a record more of every series, while the window stays open:
    /// the mean time and size of one. `light`: once one is kept, what has not changed is left out.
    fn write_between_closes(&mut self, number: i64, light: bool) -> (f64, f64) {
        let (mut last, mut took) = (LastWhole::default(), Vec::new());
        for round in 0..=ROUNDS {
            self.window(number, self.series, Freeze::Never);
            let frozen = self.partition.freeze().expect("records were taken");
            let (from, ticket) = (Instant::now(), Ticket::default());
            let snapshot = last.write(frozen, &ticket).expect("a state can be written");
            // The first one is whole in any case.
            if round > 0 {
                took.push((from.elapsed().as_secs_f64(), snapshot.state.len() as f64));
            }
            if light {
                ticket.keep();
            }
        }
        let (count, sums) =
            (took.len() as f64, took.iter().fold((0.0, 0.0), |sums, one| (sums.0 + one.0, sums.1 + one.1)));
        (sums.0 / count, sums.1 / count)
    }

    /// Freezes the partition and writes it out beside it.
    fn save(&mut self) -> JoinHandle<(Duration, usize)> {
        let frozen = self.partition.freeze().expect("records were taken");
        spawn(move || {
            let from = Instant::now();
            let snapshot = frozen.write().expect("a state can be written");
            (from.elapsed(), snapshot.state.len())
        })
    }
}

/// A record of each of some series in a window, spread over its time.
fn batch(number: i64, from: usize, to: usize) -> RecordBatch {
    let series = StringArray::from_iter_values((from..to).map(|series| format!("series-{series:06}")));
    let times = (from..to).map(|series| number * WINDOW_US + series as i64 % WINDOW_US);
    let prices = (from..to).map(|series| ((series as i64 * 31 + number * number * 17) % 97) as f64);
    let columns: [(&str, ArrayRef); 3] = [
        ("series", Arc::new(series)),
        ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))),
        ("price", Arc::new(Float64Array::from_iter_values(prices))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// A partition whose series are as full as they get, but for their residuals.
fn full(forecast: &str, windows: i64, series: usize) -> Feed {
    let text = format!(
        "source: {{ generate: {{}} }}\n\
         window: {{ tumbling: 1m, select: {{ x: avg(price), y: max(price) }} }}\n\
         forecast: {{ target: x, {forecast} }}\n"
    );
    let pipeline = config::parse(&text, "p.yaml", Path::new(""), &[], &|_| None);
    let plan = pipeline.unwrap_or_else(|faults| panic!("{faults}")).plan;
    let factory = factory(&plan, SourceSchema::default()).expect("a plan that can be run");
    let mut feed = Feed {
        partition: factory.partition(PartitionId(0)).expect("a partition"),
        series,
        offset: Offset(0),
    };
    feed.window(0, series, Freeze::Never);
    feed.window(1, series, Freeze::Never);
    // Silent series are carried through the windows in between.
    feed.window(windows, 1, Freeze::Never);
    feed
}

fn main() {
    let series = std::env::args().nth(1).map_or(SERIES, |text| text.parse().expect("a number of series"));
    println!(
        "{series} series, a record a window each; times in ms, the worst of {ROUNDS}, a window's their mean"
    );
    println!(
        "longest: the run of `take` that closes a window; cost: of one snapshot in {} s of work",
        EVERY.as_secs()
    );
    println!(
        "forecast                 snapshot       freeze  write  state MB  window  longest  records/s  ratio     cost"
    );
    let mut written = Vec::new();
    for (name, forecast, windows) in FORECASTS {
        let mut feed = full(forecast, windows, series);
        let number = compare(name, &mut feed, windows);
        let whole = feed.write_between_closes(number + 1, false);
        let light = feed.write_between_closes(number + 2, true);
        written.push((name, [("all of it", whole), ("what changed", light)]));
    }

    println!("\nbetween two closes, a state every 30 s; of the thread that writes");
    println!("forecast                 written        ms a state  MB a state  ms a minute  MB a minute");
    for (name, what, (took, bytes)) in
        written.iter().flat_map(|(name, both)| both.iter().map(move |(what, cost)| (name, what, *cost)))
    {
        let (ms, mb) = (took * 1e3, bytes / 1e6);
        println!("{name:24} {what:14} {ms:10.0} {mb:11.1} {:12.0} {:12.1}", ms * A_MINUTE, mb * A_MINUTE);
    }
}

/// Windows with a snapshot and without, in turns; the number of the last one.
fn compare(name: &str, feed: &mut Feed, windows: i64) -> i64 {
    let mut number = windows;
    let kinds = [Freeze::Never, Freeze::BeforeTheClose, Freeze::AfterTheClose];
    let mut took = [const { Vec::new() }; 3];
    for round in 0..=ROUNDS {
        for (kind, took) in kinds.into_iter().zip(&mut took) {
            number += 1;
            let window = feed.window(number, feed.series, kind);
            // The first round warms up.
            if round > 0 {
                took.push(window);
            }
        }
    }

    let plain = mean(&took[0], |took| took.whole);
    for (what, took) in ["none", "before a close", "after a close"].into_iter().zip(&took) {
        let whole = mean(took, |took| took.whole);
        let bytes = took.iter().map(|took| took.bytes).max().unwrap_or_default();
        let worst = |of: fn(&Took) -> Duration| took.iter().map(of).max().unwrap_or_default().as_secs_f64();
        println!(
            "{name:24} {what:14} {:6.1} {:6.0} {:9.0} {:7.0} {:8.0} {:10.0} {:6.3} {:7.1}%",
            worst(|took| took.freeze) * 1e3,
            worst(|took| took.write) * 1e3,
            bytes as f64 / 1e6,
            whole * 1e3,
            worst(|took| took.longest) * 1e3,
            feed.series as f64 / whole,
            plain / whole,
            (whole - plain) / EVERY.as_secs_f64() * 100.0,
        );
    }
    number
}

/// In seconds.
fn mean(took: &[Took], of: impl Fn(&Took) -> Duration) -> f64 {
    took.iter().map(of).sum::<Duration>().as_secs_f64() / took.len() as f64
}
