//! Every ledger behind one face, for the conformance suite: memory, a directory, a broker.
//! It must not judge: the cases do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tempfile::TempDir;
use tickcast_connect::FileSink;
use tickcast_connect::kafka::idle_member;
use tickcast_connect::ledger::{FilesLedger, KafkaLedger, ResultTopic, SnapshotDir};
use tickcast_connect::{KafkaClientSpec, KafkaRecords, SinkFileFormat};
use tickcast_stream::ledger::{Commit, CommitBatch, Recover};
use tickcast_stream::message::Stream;
use tickcast_stream::record::json_lines;
use tickcast_stream::sink::{Begin, Sink};
use tickcast_stream::testing::{Fate, InstanceId, Step, World};
use tickcast_stream::{Offset, PartitionId};

use crate::support::kafka::{client, create_topic, delete_records, end_of, read_visible};
use crate::support::wait::PATIENCE;

pub const PARTITIONS: i32 = 3;
/// The suite's rows are forecasts and scores; a topic has rejects in another shape.
pub const STREAMS: [Stream; 2] = [Stream::Forecasts, Stream::Scores];

pub type Halves = (Box<dyn Recover>, Box<dyn Commit>);

/// A ledger of its own, empty at first.
pub trait Harness {
    /// Both halves, for a new life of a member. `anyway`: begin anew where nobody remembers how far
    /// results go.
    fn open(&self, member: InstanceId, anyway: bool) -> Halves;

    /// The committed records of a stream, as a reader sees them.
    fn committed(&self, partition: PartitionId, stream: Stream) -> Vec<String>;

    /// Damages the newest snapshot of a partition where it is kept.
    fn damage(&self, partition: PartitionId);

    /// Damages the oldest snapshot of a partition that is kept.
    fn damage_oldest(&self, partition: PartitionId);

    /// Leaves what a life of a member leaves that dies when it has written these rows and committed
    /// nothing of them.
    fn die_writing(&self, member: InstanceId, partition: PartitionId, stream: Stream, rows: &RecordBatch);

    /// Forgets what is committed of every partition, and how it was saved, but no results.
    fn forget(&self);

    /// Whether a partition is held so that nobody else can take it over while its holder lives.
    fn is_exclusive(&self) -> bool;
}

#[derive(Default)]
pub struct Memory {
    world: World,
    members: RefCell<BTreeSet<InstanceId>>,
}

impl Memory {
    fn halves(&self, member: InstanceId, fate: Fate) -> Halves {
        self.members.borrow_mut().insert(member);
        let members: Vec<InstanceId> = self.members.borrow().iter().copied().collect();
        self.world.rebalance(&members);
        let fate = move |step| if step == Step::Produced { fate } else { Fate::Go };
        self.world.open(member, Box::new(fate))
    }
}

impl Harness for Memory {
    /// The ledger in memory knows no `anyway`.
    fn open(&self, member: InstanceId, _: bool) -> Halves {
        self.halves(member, Fate::Go)
    }

    fn committed(&self, partition: PartitionId, stream: Stream) -> Vec<String> {
        self.world.results(partition, stream)
    }

    fn damage(&self, partition: PartitionId) {
        self.world.tear(partition);
    }

    fn damage_oldest(&self, partition: PartitionId) {
        self.world.tear_oldest(partition);
    }

    fn die_writing(&self, member: InstanceId, partition: PartitionId, stream: Stream, rows: &RecordBatch) {
        let (_, mut commit) = self.halves(member, Fate::Crash);
        let epoch =
            CommitBatch { results: vec![(partition, stream, rows.clone())], ..CommitBatch::default() };
        commit.attempt(&epoch).unwrap_err();
    }

    fn forget(&self) {
        self.world.expire_offsets();
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}

pub struct Files {
    dir: TempDir,
    format: SinkFileFormat,
    /// As where the input is a topic: partitions come and go.
    shared: bool,
}

impl Files {
    pub fn new(format: SinkFileFormat, shared: bool) -> Self {
        Files { dir: tempfile::tempdir().unwrap(), format, shared }
    }

    /// Where its directories are.
    #[cfg(target_os = "linux")]
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The next manifest of partition 0 meets a full disk: nothing fits on this device.
    pub fn fill(&self) {
        symlink("/dev/full", self.state().join("partition-0.manifest.tmp")).unwrap();
    }

    /// Files of a partition's state whose names end so, oldest first.
    fn kept(&self, partition: PartitionId, end: &str) -> Vec<PathBuf> {
        let prefix = format!("partition-{partition}");
        let is = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&prefix) && name.ends_with(end)
        };
        let entries = fs::read_dir(self.state()).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is).collect();
        files.sort();
        files
    }
}

fn flip_last(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

fn parquet_lines(path: &Path) -> Vec<String> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    let text = reader.flat_map(|rows| json_lines(&rows.unwrap()).unwrap()).collect();
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

impl Harness for Files {
    fn open(&self, _: InstanceId, anyway: bool) -> Halves {
        let outputs = STREAMS.map(|stream| (stream, self.out(), self.format)).into();
        let state = SnapshotDir::open(&self.state()).unwrap();
        FilesLedger { state, outputs, shared: self.shared, bootstrap: anyway, source: None }.open().unwrap()
    }

    /// What the manifest names is there for a reader, and nothing else.
    fn committed(&self, partition: PartitionId, stream: Stream) -> Vec<String> {
        let Some(manifest) = self.kept(partition, ".manifest").pop() else { return Vec::new() };
        let text = fs::read_to_string(manifest).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let offset_range = &manifest["outputs"][stream.name()];
        let name = format!("{}-{partition}", stream.name());
        match (offset_range["bytes"].as_u64(), offset_range["parts"].as_u64()) {
            (Some(bytes), _) => {
                let text = fs::read_to_string(self.out().join(format!("{name}.ndjson"))).unwrap();
                text[..bytes as usize].lines().map(str::to_owned).collect()
            }
            (_, Some(parts)) => (0..parts)
                .flat_map(|part| parquet_lines(&self.out().join(format!("{name}-{part:05}.parquet"))))
                .collect(),
            _ => panic!("no extent of {name} in {manifest}"),
        }
    }

    fn damage(&self, partition: PartitionId) {
        flip_last(&self.kept(partition, ".snapshot").pop().unwrap());
    }

    fn damage_oldest(&self, partition: PartitionId) {
        flip_last(&self.kept(partition, ".snapshot")[0]);
    }

    fn die_writing(&self, member: InstanceId, partition: PartitionId, stream: Stream, rows: &RecordBatch) {
        let (mut recover, mut commit) = self.open(member, false);
        let claim = recover.claim(partition).unwrap();
        commit.begin(partition, claim.entry.as_ref()).unwrap();
        let mut sink = FileSink::open(&self.out(), self.format, stream).unwrap();
        sink.begin(partition, Begin::Resume).unwrap();
        sink.write(partition, rows).unwrap();
        sink.sync().unwrap();
    }

    fn forget(&self) {
        fs::remove_dir_all(self.state()).unwrap();
    }

    fn is_exclusive(&self) -> bool {
        true
    }
}

/// Topics of a broker that are this case's own.
pub struct Topics {
    addr: String,
    name: String,
    /// A group that is forgotten is another one from then on.
    group: Cell<u32>,
}

impl Topics {
    pub fn new(addr: &str) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        // A broker that outlives the test may have topics of an earlier one.
        let name = format!("ledger-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let topics = Topics { addr: addr.to_owned(), name, group: Cell::new(0) };
        let state = topics.topic("state");
        STREAMS.iter().map(|stream| topics.topic(stream.name())).chain([state]).for_each(|topic| {
            create_topic(addr, &topic, PARTITIONS);
        });
        topics
    }

    fn topic(&self, of: &str) -> String {
        format!("{}.{of}", self.name)
    }

    fn id(&self, member: InstanceId) -> String {
        format!("{}-{member}", self.name)
    }
}

impl Harness for Topics {
    fn open(&self, member: InstanceId, anyway: bool) -> Halves {
        let spec = KafkaClientSpec { brokers: self.addr.clone(), ..KafkaClientSpec::default() };
        let group_id = format!("{}-{}", self.name, self.group.get());
        let topic = |stream: Stream| ResultTopic {
            stream,
            topic: self.topic(stream.name()),
            records: KafkaRecords::json(stream).into(),
        };
        let ledger = KafkaLedger {
            pipeline: self.name.clone(),
            topics: STREAMS.map(topic).into(),
            state: self.topic("state"),
            offsets: self.topic("state"),
            group: idle_member(&spec, &group_id).unwrap(),
            group_id,
            id: self.id(member),
            former: None,
            shared: true,
            bootstrap: anyway,
            client: spec,
        };
        ledger.open().unwrap()
    }

    fn committed(&self, partition: PartitionId, stream: Stream) -> Vec<String> {
        // A case may have left a transaction open.
        read_visible(&self.addr, &self.topic(stream.name()), partition, |message| {
            String::from_utf8(message.payload().unwrap().to_vec()).unwrap()
        })
    }

    /// A broker checks its records itself; what it can do is lose them.
    fn damage(&self, partition: PartitionId) {
        let topic = self.topic("state");
        delete_records(&self.addr, &topic, partition, end_of(&self.addr, &topic, partition));
    }

    fn damage_oldest(&self, partition: PartitionId) {
        let topic = self.topic("state");
        let first = *read_visible(&self.addr, &topic, partition, |message| message.offset()).first().unwrap();
        delete_records(&self.addr, &topic, partition, Offset(first).next());
    }

    /// Its transaction stays open until somebody ends it.
    fn die_writing(&self, member: InstanceId, partition: PartitionId, stream: Stream, rows: &RecordBatch) {
        let producer: BaseProducer =
            client(&self.addr).set("transactional.id", self.id(member)).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        let topic = self.topic(stream.name());
        for line in json_lines(rows).unwrap().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&topic).partition(partition.0).payload(line);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn forget(&self) {
        self.group.set(self.group.get() + 1);
        (0..PARTITIONS).map(PartitionId).for_each(|partition| self.damage(partition));
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}
