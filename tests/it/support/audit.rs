//! The audit compares what is committed in the sink topics and the state topic with what an
//! undisturbed run makes of the same records. It must not know what was done to the run. It takes
//! one partition at a time, so that a million records fit into memory.

use std::collections::HashMap;
use std::fmt;

use tickcast::clock::closes;
use tickcast::config::plan::Plan;
use tickcast::factory::factory;
use tickcast_connect::ledger::StateTopic;
use tickcast_connect::{KafkaRecords, KafkaTopicSpec, Room, SourceSchema, SourceSpec, StateSpec};
use tickcast_stream::ledger::Snapshot;
use tickcast_stream::message::{RawRecord, Records, Stream};
use tickcast_stream::runtime::{PartitionOutput, PipelineFactory};
use tickcast_stream::{LogId, Offset, PartitionId};

use super::kafka::{Sent, committed, headers_of, log};

/// Records that the undisturbed partition takes at once.
const BATCH: usize = 1000;

/// What one life without any fault makes of a partition's records.
pub struct Undisturbed {
    pub results: Vec<(Stream, Vec<Sent>)>,
    /// At the end; before a clock has closed windows there, and after.
    pub states: [Option<Snapshot>; 2],
    pub records: usize,
}

/// `log`: the topic's id and the partition's records; `live`: where its past ends; `closes`: where a
/// clock has closed its windows.
pub fn undisturbed(
    factory: &PipelineFactory,
    id: PartitionId,
    (log, records): (Option<LogId>, Vec<RawRecord>),
    live: Option<Offset>,
    closes: &[Offset],
) -> Undisturbed {
    let mut results: Vec<(Stream, Vec<Sent>)> = Stream::ALL.map(|stream| (stream, Vec::new())).to_vec();
    let mut keep = |outcome: PartitionOutput| {
        for (stream, rows) in outcome.results {
            let (_, kept) = results.iter_mut().find(|(of, _)| *of == stream).unwrap();
            KafkaRecords::json(stream).for_each(&rows, Room::ANY, &mut |record| {
                let (key, value) =
                    (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec).unwrap_or_default());
                kept.push(Sent { key, value, headers: headers_of(record.headers.as_ref()) });
                Ok(())
            })?;
        }
        Ok(())
    };
    let count = records.len();
    let mut partition = factory.partition(id).unwrap();
    partition.read_from(log);
    partition.go_live_at(live);
    let end = records.last().map(|record| record.offset.next());
    let within: Vec<Offset> = closes.iter().copied().filter(|&close| Some(close) < end).collect();
    partition.will_close_at(&within);
    for batch in records.chunks(BATCH) {
        partition.take(Records::Raw(batch.to_vec()), &mut keep).unwrap();
    }

    let before = partition.snapshot().unwrap();
    partition.will_close_at(closes);
    partition.catch_up(&mut keep).unwrap();
    Undisturbed { results, states: [before, partition.snapshot().unwrap()], records: count }
}

/// How what is there differs from what should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Difference {
    pub lost: u64,
    pub doubled: u64,
    pub out_of_order: u64,
    /// Records that the undisturbed run has not: their bytes.
    pub bytes: u64,
}

pub fn compare(expected: &[Sent], found: &[Sent]) -> Difference {
    let mut difference = Difference::default();
    if expected == found {
        return difference;
    }
    let mut places: HashMap<&Sent, Vec<usize>> = HashMap::new();
    for (place, sent) in expected.iter().enumerate().rev() {
        places.entry(sent).or_default().push(place);
    }
    let mut last = None;
    for sent in found {
        match places.get_mut(sent).map(Vec::pop) {
            Some(Some(place)) => {
                difference.out_of_order += u64::from(last > Some(place));
                last = last.max(Some(place));
            }
            Some(None) => difference.doubled += 1,
            None => difference.bytes += sent.value.len() as u64,
        }
    }
    difference.lost = places.values().map(|places| places.len() as u64).sum();
    difference
}

/// What an audit found.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    pub difference: Difference,
    pub records: usize,
    pub forecasts: usize,
    pub scores: usize,
    pub rejects: usize,
    /// How often a clock has closed windows.
    pub closes: usize,
    /// Of every partition's state, and of those it should be.
    pub hashes: (u32, u32),
    /// Partitions whose newest state is not that of the undisturbed run at its end.
    pub states_differing: Vec<PartitionId>,
    /// The first difference, for a person.
    pub first: Option<String>,
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit { difference, hashes, .. } = self;
        writeln!(
            f,
            "compared {} forecasts, {} scores, {} rejects",
            self.forecasts, self.scores, self.rejects
        )?;
        write!(
            f,
            "lost {}, doubled {}, out of order {}, bytes differing from the undisturbed run {}, ",
            difference.lost, difference.doubled, difference.out_of_order, difference.bytes
        )?;
        if self.states_differing.is_empty() {
            write!(f, "state hash equal ({:08x})", hashes.0)?;
        } else {
            let (ours, theirs) = hashes;
            write!(f, "state differs of partitions {:?} ({ours:08x}, {theirs:08x})", self.states_differing)?;
        }
        self.first.iter().try_for_each(|first| write!(f, "\n{first}"))
    }
}

impl Audit {
    /// Nothing lost, doubled, out of order or other than it should be. `states`: those too.
    pub fn insist(&self, states: bool) {
        assert_eq!(self.difference, Difference::default(), "{self}");
        assert!(!states || self.states_differing.is_empty(), "{self}");
    }
}

/// Holds all partitions of a pipeline, all ends of which are topics, to the undisturbed run.
pub fn audit(plan: &Plan, partitions: i32) -> Audit {
    let SourceSpec::Kafka(kafka) = &plan.source else { panic!("no Kafka source") };
    let addr = &kafka.client.brokers;
    let state = match &plan.state {
        Some(StateSpec::Kafka(KafkaTopicSpec { client, topic })) => Some(StateTopic::new(client, topic)),
        _ => None,
    };
    let factory = factory(plan, SourceSchema::default()).unwrap();
    let closes = closes(plan).unwrap();
    let mut audit = Audit { closes: closes.values().map(Vec::len).sum(), ..Audit::default() };
    let (mut ours, mut theirs) = (crc32fast::Hasher::new(), crc32fast::Hasher::new());
    for partition in (0..partitions).map(PartitionId) {
        let log = log(addr, &kafka.topic, partition);
        let closes = closes.get(&partition).map_or(&[][..], Vec::as_slice);
        let expected = undisturbed(&factory, partition, log, None, closes);
        audit.records += expected.records;
        for (stream, expected) in &expected.results {
            let Some((_, spec)) = plan.sinks.topics().find(|(of, _)| of == stream) else { continue };
            audit.compare(*stream, partition, expected, &committed(addr, &spec.topic, partition));
        }
        let found = state.as_ref().and_then(|state| state.load(partition, None).unwrap());
        found.iter().for_each(|snapshot| ours.update(&snapshot.state));
        let [before, after] = expected.states;
        let expected = if found == before { before } else { after };
        expected.iter().for_each(|snapshot| theirs.update(&snapshot.state));
        if found != expected {
            let at = |snapshot: &Option<Snapshot>| snapshot.as_ref().map(|snapshot| snapshot.position);
            let (found, expected) = (at(&found), at(&expected));
            audit.first.get_or_insert(format!(
                "state of partition {partition}: at {found:?}, should be at {expected:?}"
            ));
            audit.states_differing.push(partition);
        }
    }
    audit.hashes = (ours.finalize(), theirs.finalize());
    audit
}

impl Audit {
    fn compare(&mut self, stream: Stream, partition: PartitionId, expected: &[Sent], found: &[Sent]) {
        match stream {
            Stream::Forecasts => self.forecasts += found.len(),
            Stream::Scores => self.scores += found.len(),
            Stream::Rejects => self.rejects += found.len(),
        }
        let Difference { lost, doubled, out_of_order, bytes } = compare(expected, found);
        self.difference.lost += lost;
        self.difference.doubled += doubled;
        self.difference.out_of_order += out_of_order;
        self.difference.bytes += bytes;
        if let Some(at) = (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at)) {
            let show = |sent: Option<&Sent>| sent.map_or("nothing".into(), Sent::to_string);
            self.first.get_or_insert_with(|| {
                format!(
                    "{} {partition}: {} records, undisturbed {}; first at {at}:\n  {}\n  undisturbed: {}",
                    stream.name(),
                    found.len(),
                    expected.len(),
                    show(found.get(at)),
                    show(expected.get(at))
                )
            });
        }
    }
}

#[test]
fn the_audit_sees_what_is_lost_doubled_moved_and_changed() {
    let sent = |value: &str| Sent { key: None, value: value.as_bytes().to_vec(), headers: Vec::new() };
    let all = |values: &str| values.split_whitespace().map(sent).collect::<Vec<_>>();
    let expected = all("a b c d");
    let of = |found: &str| compare(&expected, &all(found));
    assert_eq!(of("a b c d"), Difference::default());
    assert_eq!(of("a b d"), Difference { lost: 1, ..Difference::default() });
    assert_eq!(of("a b b c c d"), Difference { doubled: 2, ..Difference::default() });
    assert_eq!(of("a c b d"), Difference { out_of_order: 1, ..Difference::default() });
    assert_eq!(of("a b xyz d"), Difference { lost: 1, bytes: 3, ..Difference::default() });
    assert_eq!(of(""), Difference { lost: 4, ..Difference::default() });
}
