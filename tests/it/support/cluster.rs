//! A pipeline whose input, results and state are topics of one broker, the records of its input,
//! and how far its group has committed. The tests of exactly once run their instances on it. The
//! file must not start or disturb instances by itself.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset as KafkaOffset, TopicPartitionList};
use serde_json::Value;
use tempfile::TempDir;
use tickcast::config::plan::Plan;
use tickcast::factory::factory;
use tickcast_connect::SourceSchema;
use tickcast_stream::{Offset, PartitionId};

use super::audit::{Audit, Undisturbed, audit, undisturbed};
use super::kafka::{client, create_topic, log, producer, send};
use super::process::{Instance, StartFrom};
use super::wait::{PATIENCE, wait_till};

/// Properties of a consumer whose partitions are free soon after it was killed.
pub const SHORT_SESSION: &str = "session.timeout.ms: 1500, heartbeat.interval.ms: 400";

fn pipeline(addr: &str, id: &str, source: &str, state: &str) -> String {
    format!(
        "
name: {id}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {id}.in, start: earliest, properties: {{ {source} }} }} }}
key: k
time: t
window: {{ tumbling: 10s, lateness: 2s, select: {{ x: avg(v), top: max(v), n: count(*) }} }}
forecast: {{ target: x, horizons: [1, 3], model: {{ cell: gru, hidden: 4, bptt: 11, replay: 1 }} }}
delivery: exactly_once
commit_every: 20ms
recover_within: 4ms
workers: 2
state: {{ kafka: {{ topic: {id}.state, properties: {{ {state} }} }} }}
sinks:
  forecasts: {{ kafka: {{ topic: {id}.forecasts }} }}
  scores: {{ kafka: {{ topic: {id}.scores }} }}
  rejects: {{ kafka: {{ topic: {id}.rejects }} }}
"
    )
}

/// Records of a stretch in which time passes as fast everywhere.
const STRETCH: u64 = 4000;

/// When the n-th record of a partition is made: one a second, in every other stretch a hundred.
/// There windows close seldom, and most snapshots are light.
fn second(n: u64) -> u64 {
    let (stretch, rest) = (n / STRETCH, n % STRETCH);
    let slow = STRETCH / 100;
    let before = stretch.div_ceil(2) * STRETCH + stretch / 2 * slow;
    before + if stretch % 2 == 0 { rest } else { rest / 100 }
}

/// The n-th record of a partition: of three series, some of them late, some broken.
pub fn record(partition: PartitionId, n: u64) -> String {
    let series = n % 3;
    let late = if n % 41 == 40 { 120 } else { (n % 7) % 2 };
    let now = second(n);
    let t = (1_704_067_200 + now - late.min(now)) * 1_000_000;
    let v = ((n as f64) / 40.0).sin() * 5.0 + (n * 37 % 101) as f64 / 50.0 + series as f64 * 10.0;
    match n % 53 {
        11 => format!(r#"{{"k":"p{partition}s{series}","t":{t},"v":"#),
        29 => format!(r#"{{"t":{t},"v":{v}}}"#),
        47 => format!(r#"{{"k":"p{partition}s{series}","t":"noon","v":{v}}}"#),
        _ => format!(r#"{{"k":"p{partition}s{series}","t":{t},"v":{v}}}"#),
    }
}

/// A pipeline on a broker, in a folder of its own.
pub struct TestCluster {
    pub addr: String,
    pub id: String,
    pub partitions: i32,
    pub folder: TempDir,
    /// Commits nothing; it asks how far the group is.
    onlooker: BaseConsumer,
}

impl TestCluster {
    /// `source` and `state`: properties of the consumer and of the producer, such as
    /// [`SHORT_SESSION`].
    pub fn new(addr: &str, id: &str, partitions: i32, source: &str, state: &str) -> TestCluster {
        create_topic(addr, &format!("{id}.in"), partitions);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pipeline.yaml"), pipeline(addr, id, source, state)).unwrap();
        let onlooker = client(addr)
            .set("group.id", id)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_uncommitted")
            .create()
            .unwrap();
        TestCluster { addr: addr.to_owned(), id: id.to_owned(), partitions, folder, onlooker }
    }

    /// It forecasts these columns in place of the one.
    pub fn forecasting(self, targets: &str) -> TestCluster {
        let yaml = fs::read_to_string(self.yaml()).unwrap();
        assert!(yaml.contains("target: x,"));
        fs::write(self.yaml(), yaml.replace("target: x,", &format!("target: {targets},"))).unwrap();
        self
    }

    /// Its windows close when nothing comes for so long.
    pub fn closing_after(self, idle: &str) -> TestCluster {
        let yaml = fs::read_to_string(self.yaml()).unwrap();
        let window = "lateness: 2s, ";
        assert!(yaml.contains(window));
        fs::write(self.yaml(), yaml.replace(window, &format!("{window}idle: {idle}, "))).unwrap();
        self
    }

    pub fn yaml(&self) -> PathBuf {
        self.folder.path().join("pipeline.yaml")
    }

    /// The topic of an end: `in`, `state`, `forecasts`, `scores` or `rejects`.
    pub fn topic(&self, end: &str) -> String {
        format!("{}.{end}", self.id)
    }

    pub fn start(&self, name: &str, start: &StartFrom) -> Instance {
        Instance::start(&self.yaml(), &self.folder.path().join(format!("{name}.log")), start)
    }

    pub fn plan(&self) -> Plan {
        tickcast::config::load(&self.yaml(), &[]).unwrap_or_else(|faults| panic!("{faults}")).plan
    }

    /// Sends the records `from` to `to` of every partition.
    pub fn feed(&self, from: u64, to: u64) {
        let producer = producer(&self.addr);
        for n in from..to {
            for partition in (0..self.partitions).map(PartitionId) {
                send(&producer, &self.topic("in"), partition, record(partition, n).as_bytes());
            }
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// How far the group has come, over all partitions; none while no broker answers.
    pub fn position(&self) -> Option<i64> {
        let mut list = TopicPartitionList::new();
        (0..self.partitions).for_each(|partition| _ = list.add_partition(&self.topic("in"), partition));
        let list = self.onlooker.committed_offsets(list, Duration::from_secs(1)).ok()?;
        let elements = list.elements();
        let offsets = elements.iter().map(|element| match element.offset() {
            KafkaOffset::Offset(offset) => offset,
            _ => 0,
        });
        Some(offsets.sum())
    }

    /// What the newest commit says of a partition.
    pub fn entry(&self, partition: PartitionId) -> Value {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic("in"), partition.0);
        let list = self.onlooker.committed_offsets(list, PATIENCE).unwrap();
        let note: Value = serde_json::from_str(list.elements()[0].metadata()).unwrap();
        note["entry"].clone()
    }

    /// Whether members are on their way into or out of the group.
    pub fn is_rebalancing(&self) -> bool {
        let groups = self.onlooker.fetch_group_list(Some(&self.id), Duration::from_millis(500));
        groups.is_ok_and(|list| list.groups().iter().any(|group| group.state() != "Stable"))
    }

    /// Waits until the group has committed `records` of all partitions together; these have to live
    /// on meanwhile.
    pub fn await_position(&self, records: u64, instances: &mut [&mut Instance]) {
        wait_till(&format!("the commit of {records} records"), || {
            instances.iter_mut().for_each(|instance| instance.lives());
            self.position().is_some_and(|position| position >= records as i64)
        });
    }

    /// What one life without any fault makes of what a partition has been sent. `live`: where its
    /// past ends, if it has one.
    pub fn undisturbed(&self, partition: PartitionId, live: Option<Offset>) -> Undisturbed {
        let factory = factory(&self.plan(), SourceSchema::default()).unwrap();
        undisturbed(&factory, partition, log(&self.addr, &self.topic("in"), partition), live, &[])
    }

    pub fn audit(&self) -> Audit {
        let from = Instant::now();
        let audit = audit(&self.plan(), self.partitions);
        println!("{}: {audit} ({:.1?})", self.id, from.elapsed());
        audit
    }
}
