//! What partitions read in a seed, and what they make of it when nothing disturbs them.
//! It must not know ledgers or faults.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tickcast::ledger::Counts;
use tickcast::message::{RawRecord, Records, Stream};
use tickcast::runtime::{Blueprint, Known, Outcome};
use tickcast::sink::json_lines;

use crate::support::Bench;

const PIPELINE: &str = "
name: simulated
source: { kafka: { brokers: 127.0.0.1:1, topic: t } }
key: k
time: t
window: { tumbling: 10s, lateness: 3s, gaps: GAPS, select: { x: avg(v), n: count(v) } }
forecast: { target: x, horizons: [1, 2], model: { cell: gru, hidden: 2, bptt: 10, replay: 1, scope: SCOPE } }
state: { dir: state }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

/// Planning the SQL takes longer than a seed.
static BLUEPRINTS: LazyLock<Vec<Arc<Blueprint>>> = LazyLock::new(|| {
    let blueprint = |(gaps, scope)| {
        let bench = Bench::new(&PIPELINE.replace("GAPS", gaps).replace("SCOPE", scope));
        Arc::new(Blueprint::new(bench.load().plan, Known::default()).unwrap())
    };
    [("carry", "shared"), ("skip", "shared"), ("carry", "series")].map(blueprint).into()
});

/// The records of every partition, and what is to come of them.
pub struct Input {
    pub blueprint: Arc<Blueprint>,
    pub partitions: Vec<Undisturbed>,
}

/// A partition on which nothing happens.
pub struct Undisturbed {
    pub records: Vec<RawRecord>,
    pub results: BTreeMap<Stream, Vec<String>>,
    /// What it has put out before the record at each position that it comes to.
    pub counts: BTreeMap<i64, Counts>,
    /// Its state at the end.
    pub state: Vec<u8>,
}

impl Input {
    pub fn new(seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 0x5eed);
        let blueprint = Arc::clone(BLUEPRINTS.choose(&mut rng).unwrap());
        let count = rng.random_range(1..4);
        let partitions = (0..count).map(|id| Undisturbed::new(&blueprint, id, records(&mut rng))).collect();
        Input { blueprint, partitions }
    }

    pub fn ids(&self) -> impl Iterator<Item = i32> + use<> {
        0..self.partitions.len() as i32
    }

    pub fn of(&self, id: i32) -> &Undisturbed {
        &self.partitions[id as usize]
    }
}

/// Late ones, broken ones, and offsets with gaps as transactions and compaction leave them.
fn records(rng: &mut Pcg64Mcg) -> Vec<RawRecord> {
    let series = rng.random_range(1..4);
    let mut offset = rng.random_range(0..50);
    let mut now = 1_700_000_000i64;
    let mut record = || {
        now += rng.random_range(-6..14);
        offset += if rng.random_range(0..10) == 0 { rng.random_range(2..5) } else { 1 };
        let (series, value) = (rng.random_range(0..series), f64::from(rng.random_range(-50..50)) / 7.0);
        let fields = match rng.random_range(0..40) {
            0 => r#""v":"#.to_owned(),
            1 => r#""v":null"#.to_owned(),
            2 => r#""v":1e999"#.to_owned(),
            _ => format!(r#""v":{value}"#),
        };
        let payload = format!(r#"{{"k":"s{series}","t":{now}000000,{fields}}}"#);
        RawRecord { offset, timestamp: None, payload: Some(payload.into_bytes()) }
    };
    let count = record().offset as usize * 7 % 91 + 60;
    (0..count).map(|_| record()).collect()
}

impl Undisturbed {
    /// One record after the other.
    fn new(blueprint: &Blueprint, id: i32, records: Vec<RawRecord>) -> Self {
        let mut partition = blueprint.partition(id).unwrap();
        let mut results: BTreeMap<Stream, Vec<String>> = Stream::ALL.map(|of| (of, Vec::new())).into();
        let mut keep = |outcome: Outcome| {
            for (stream, rows) in outcome.results {
                let text = String::from_utf8(json_lines(&rows)?).unwrap();
                results.entry(stream).or_default().extend(text.lines().map(str::to_owned));
            }
            Ok(())
        };
        let mut counts = BTreeMap::new();
        for record in &records {
            let position = record.offset + 1;
            partition.take(Records::Raw(vec![record.clone()]), &mut keep).unwrap();
            counts.insert(position, partition.emitted());
        }
        partition.finish(&mut keep).unwrap();
        let state = partition.snapshot().unwrap().unwrap().state;
        Undisturbed { records, results, counts, state }
    }

    /// The first record at a position or after it.
    pub fn index(&self, position: i64) -> usize {
        self.records.partition_point(|record| record.offset < position)
    }
}
