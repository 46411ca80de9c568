//! What partitions read in a seed, and what they make of it when nothing disturbs them.
//! It must not know ledgers or faults.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tickcast::factory::factory;
#[cfg(target_os = "linux")]
use tickcast_connect::KafkaSourceSpec;
use tickcast_connect::SourceSchema;
use tickcast_stream::ledger::OutputPosition;
use tickcast_stream::message::{EventTime, RawRecord, Records, Stream};
use tickcast_stream::record::json_lines;
use tickcast_stream::runtime::{PartitionOutput, PipelineFactory};
use tickcast_stream::{Offset, PartitionId};

use super::faults::Chance;

use crate::support::pipeline::TestPipeline;

const PIPELINE: &str = "
name: simulated
source: { kafka: { brokers: 127.0.0.1:1, topic: t, start: START }, future: 10h }
key: k
time: t
window: { tumbling: 10s, lateness: 3s, gaps: GAPS, select: { x: avg(v), n: count(v) } }
forecast: { target: TARGET, horizons: [1, 2], model: { cell: gru, hidden: 2, bptt: 10, replay: 1, scope: SCOPE } }
state: { dir: state }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

/// Planning the SQL takes longer than a seed.
static FACTORIES: LazyLock<Vec<Arc<PipelineFactory>>> = LazyLock::new(|| {
    let factory = |(gaps, scope, start, target)| {
        let yaml = PIPELINE.replace("GAPS", gaps).replace("SCOPE", scope);
        let yaml = yaml.replace("START", start).replace("TARGET", target);
        Arc::new(factory(&TestPipeline::new(&yaml).load().plan, SourceSchema::default()).unwrap())
    };
    let kinds = [
        ("carry", "shared", "earliest", "x"),
        ("skip", "shared", "earliest", "[x, n]"),
        ("carry", "series", "earliest", "x"),
        ("carry", "shared", "warm", "[n, x]"),
    ];
    kinds.map(factory).into()
});

/// The topic that they are read from.
#[cfg(target_os = "linux")]
pub fn topic() -> KafkaSourceSpec {
    let yaml = PIPELINE.replace("GAPS", "carry").replace("SCOPE", "shared");
    TestPipeline::new(&yaml.replace("START", "warm").replace("TARGET", "x")).kafka()
}

/// The records of every partition, and what is to come of them.
pub struct Input {
    pub factory: Arc<PipelineFactory>,
    pub partitions: Vec<Vec<RawRecord>>,
    undisturbed: RefCell<ByClock>,
}

/// By the partition, where its past was taken to end, and where a clock has closed its windows.
type ByClock = BTreeMap<(PartitionId, Option<Offset>, Vec<Offset>), Rc<Undisturbed>>;

/// A partition on which nothing happens.
pub struct Undisturbed {
    pub results: BTreeMap<Stream, Vec<String>>,
    /// What it has put out before the record at each position that it comes to.
    pub counts: BTreeMap<Offset, OutputPosition>,
    /// Its state at the end.
    pub state: Vec<u8>,
}

impl Input {
    pub fn new(seed: u64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed ^ 0x5eed);
        let factory = Arc::clone(FACTORIES.choose(&mut rng).unwrap());
        let count = rng.random_range(1..4);
        let partitions = (0..count).map(|_| records(&mut rng)).collect();
        Input { factory, partitions, undisturbed: RefCell::default() }
    }

    pub fn ids(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partitions.len() as i32).map(PartitionId)
    }

    pub fn records(&self, id: PartitionId) -> &[RawRecord] {
        &self.partitions[id.0 as usize]
    }

    /// Where a partition ends at some moment: the rest of its records come later.
    pub fn end_of(&self, id: PartitionId, chance: &Chance) -> Offset {
        let records = self.records(id);
        let come = chance.pick(0..records.len() + 1);
        records[..come].last().map_or(records[0].offset, |record| record.offset.next())
    }

    /// The place of the first record at a position or after it.
    pub fn index(&self, id: PartitionId, position: Offset) -> usize {
        self.records(id).partition_point(|record| record.offset < position)
    }

    /// What comes of a partition whose past ends at `live`, and whose windows a clock has closed at
    /// `closes`.
    pub fn undisturbed(&self, id: PartitionId, live: Option<Offset>, closes: &[Offset]) -> Rc<Undisturbed> {
        let made = || Rc::new(Undisturbed::new(&self.factory, id, self.records(id), live, closes));
        let mut known = self.undisturbed.borrow_mut();
        Rc::clone(known.entry((id, live, closes.to_vec())).or_insert_with(made))
    }
}

/// Late ones, broken ones, and offsets with gaps as transactions and compaction leave them.
fn records(rng: &mut Pcg64Mcg) -> Vec<RawRecord> {
    let series = rng.random_range(1..4);
    let mut offset = rng.random_range(0..50);
    let mut now = 1_700_000_000i64;
    // In some the windows close seldom: states are saved in between.
    let steps = [-6..14, -2..4][usize::from(rng.random_range(0..3) == 0)].clone();
    let mut record = || {
        now += rng.random_range(steps.clone());
        offset += if rng.random_range(0..10) == 0 { rng.random_range(2..5) } else { 1 };
        let (series, value) = (rng.random_range(0..series), f64::from(rng.random_range(-50..50)) / 7.0);
        let fields = match rng.random_range(0..40) {
            0 => r#""v":"#.to_owned(),
            1 => r#""v":null"#.to_owned(),
            2 => r#""v":1e999"#.to_owned(),
            _ => format!(r#""v":{value}"#),
        };
        let payload = format!(r#"{{"k":"s{series}","t":{now}000000,{fields}}}"#);
        // The broker's clock is hours off, now before and now after the records' own time.
        let timestamp = Some(EventTime((now + rng.random_range(-40_000..40_000)) * 1_000_000));
        RawRecord { timestamp, offset: Offset(offset), payload: Some(payload.into()), ..RawRecord::default() }
    };
    let count = record().offset.0 as usize * 7 % 91 + 60;
    (0..count).map(|_| record()).collect()
}

impl Undisturbed {
    /// One record after the other.
    fn new(
        factory: &PipelineFactory,
        id: PartitionId,
        records: &[RawRecord],
        live: Option<Offset>,
        closes: &[Offset],
    ) -> Self {
        let mut partition = factory.partition(id).unwrap();
        if let Some(live) = live {
            partition.begin_with_past(records[0].offset, live);
        }
        let mut results: BTreeMap<Stream, Vec<String>> = Stream::ALL.map(|of| (of, Vec::new())).into();
        let mut keep = |outcome: PartitionOutput| {
            for (stream, rows) in outcome.results {
                let text = String::from_utf8(json_lines(&rows)?).unwrap();
                results.entry(stream).or_default().extend(text.lines().map(str::to_owned));
            }
            Ok(())
        };
        let mut counts = BTreeMap::new();
        for record in records {
            let position = record.offset.next();
            partition.take(Records::Raw(vec![record.clone()]), &mut keep).unwrap();
            counts.insert(position, partition.emitted());
            if closes.contains(&position) {
                partition.will_close_at(&[position]);
                partition.catch_up(&mut keep).unwrap();
            }
        }
        partition.finish(&mut keep).unwrap();
        let state = partition.snapshot().unwrap().unwrap().state;
        Undisturbed { results, counts, state }
    }
}
