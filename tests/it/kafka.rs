//! Kafka in, Kafka out, on a real broker.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tickcast_connect::kafka::partition_count;

use crate::broker::{brokers_or_skip, create_topic, private_or_skip};
use crate::cli::get;
use crate::rejects::{broken, good};
use crate::support::{self, Runner, TestPipeline};

pub const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

fn yaml(addr: &str, id: &str) -> String {
    format!(
        "
name: {id}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {id}.in, start: earliest }}, schema: in.avsc }}
key: k
time: t
window: {{ tumbling: 1h, select: {{ x: avg(v), n: count(*) }} }}
forecast: {{ target: x, horizons: [1, 2], model: {{ cell: gru, hidden: 6, bptt: 10, replay: 1 }} }}
snapshot_every: 200ms
state: {{ dir: state }}
sinks:
  forecasts: {{ kafka: {{ topic: {id}.forecasts }} }}
  scores: {{ kafka: {{ topic: {id}.scores }} }}
  rejects: {{ kafka: {{ topic: {id}.rejects }} }}
"
    )
}

const SCHEMA: &str = r#"{"type": "record", "name": "In", "fields": [
  {"name": "k", "type": ["null", "string"]},
  {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
  {"name": "v", "type": ["null", "double"]}
]}"#;

pub fn bench(addr: &str, id: &str) -> TestPipeline {
    let bench = TestPipeline::new(&yaml(addr, id));
    bench.write("in.avsc", SCHEMA);
    bench
}

/// Two readings an hour of two series a partition.
pub fn readings(partition: i32, hours: i64) -> Vec<String> {
    let mut readings = Vec::new();
    for half in 0..hours * 2 {
        for series in 0..2 {
            let seconds = 1_704_067_200 + half * 1800 + series * 60;
            let value = f64::from((half * 37 % 101) as i32) / 3.0 + series as f64 * 40.0;
            readings
                .push(format!(r#"{{"k":"p{partition}s{series}","t":{},"v":{value}}}"#, seconds * 1_000_000));
        }
    }
    readings
}

fn producer(addr: &str) -> ThreadedProducer<DefaultProducerContext> {
    ClientConfig::new().set("bootstrap.servers", addr).set("linger.ms", "5").create().unwrap()
}

pub fn produce<'a>(addr: &str, topic: &str, partition: i32, values: impl IntoIterator<Item = &'a [u8]>) {
    let producer = producer(addr);
    for value in values {
        let record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).partition(partition).payload(value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// The consumer groups that the broker knows.
pub fn groups(addr: &str) -> Vec<String> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", addr).create().unwrap();
    let list = consumer.fetch_group_list(None, PATIENCE).unwrap();
    list.groups().iter().map(|group| group.name().to_owned()).collect()
}

#[derive(Debug, Clone, PartialEq)]
struct Read {
    partition: i32,
    key: Option<String>,
    value: Vec<u8>,
    headers: BTreeMap<String, String>,
}

/// Everything on a topic, up to its end.
fn consume(addr: &str, topic: &str, partitions: i32) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", addr)
        .set("group.id", "tests")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    (0..partitions).for_each(|p| list.add_partition_offset(topic, p, Offset::Beginning).unwrap());
    consumer.assign(&list).unwrap();
    let (mut read, mut ended) = (Vec::new(), 0);
    let until = Instant::now() + PATIENCE;
    while ended < partitions {
        assert!(Instant::now() < until, "topic {topic} cannot be read to its end");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => read.push(Read {
                partition: message.partition(),
                key: message.key().map(|key| String::from_utf8(key.to_vec()).unwrap()),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: message.headers().map_or_else(BTreeMap::new, |headers| {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    headers.iter().map(|h| (h.key.to_owned(), text(h.value.unwrap()))).collect()
                }),
            }),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    read
}

/// How many records a topic has.
pub fn count(addr: &str, topic: &str, partitions: i32) -> usize {
    consume(addr, topic, partitions).len()
}

/// Runs the pipeline until `done`, then asks for an orderly end.
pub fn run_until(bench: &TestPipeline, done: impl Fn() -> bool) {
    let (stop, progress) = (Arc::new(AtomicBool::new(false)), Arc::new(|_| ()));
    let running = support::start(&bench.load(), Runner::Threads(2), 50, stop, progress).unwrap();
    let until = Instant::now() + PATIENCE;
    while !done() && !running.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    running.stop();
    running.wait().unwrap();
    assert!(done(), "the results did not come in time");
}

fn make_topics(addr: &str, id: &str, partitions: i32) {
    for stream in ["in", "forecasts", "scores", "rejects"] {
        create_topic(addr, &format!("{id}.{stream}"), partitions);
    }
}

fn values(read: &[Read], partition: i32) -> Vec<String> {
    let of = read.iter().filter(|read| read.partition == partition);
    of.map(|read| String::from_utf8(read.value.clone()).unwrap()).collect()
}

/// The same records from a file give the same bytes.
fn from_file(partition: i32, hours: i64) -> BTreeMap<String, Vec<String>> {
    let yaml = yaml("x", "x");
    let (before, _) = yaml.split_once("snapshot_every").unwrap();
    let (name, rest) = before.split_once("source:").unwrap();
    let rest = rest.split_once('\n').unwrap().1;
    let bench = TestPipeline::new(&format!(
        "{name}source: {{ file: {{ path: in.ndjson }}, schema: in.avsc }}\n{rest}sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, \
         scores: {{ file: {{ path: out/ }} }} }}\n"
    ));
    bench.write("in.avsc", SCHEMA);
    bench.write("in.ndjson", readings(partition, hours).join("\n"));
    bench.run(Runner::Inline, 7);
    // A topic has no end: its last window stays open, with two series' forecasts and scores at two horizons.
    const OPEN: usize = 4;
    ["forecasts", "scores"]
        .map(|stream| {
            let mut lines: Vec<String> =
                bench.out()[&format!("{stream}-0.ndjson")].lines().map(str::to_owned).collect();
            lines.truncate(lines.len() - OPEN);
            (stream.to_owned(), lines)
        })
        .into()
}

#[test]
fn every_record_gives_its_windows_forecasts_on_its_own_partition_across_a_restart() {
    let Some(addr) = brokers_or_skip("kafka::every_record_gives_its_windows_forecasts") else { return };
    let id = "roundtrip";
    make_topics(addr, id, PARTITIONS);
    let bench = bench(addr, id);
    let send = |from: usize, to: usize| {
        for partition in 0..PARTITIONS {
            let readings = readings(partition, 60);
            produce(addr, &format!("{id}.in"), partition, readings[from..to].iter().map(String::as_bytes));
        }
    };
    let count = |stream: &str| consume(addr, &format!("{id}.{stream}"), PARTITIONS).len();
    // Two series, two horizons, windows closed so far; the newest is open.
    let closed = |hours: usize| (hours - 1) * 4 * PARTITIONS as usize;
    send(0, 30 * 4);
    run_until(&bench, || count("forecasts") >= closed(30));
    send(30 * 4, 60 * 4);
    run_until(&bench, || count("forecasts") >= closed(60));
    for stream in ["forecasts", "scores"] {
        let read = consume(addr, &format!("{id}.{stream}"), PARTITIONS);
        for partition in 0..PARTITIONS {
            assert_eq!(values(&read, partition), from_file(partition, 60)[stream], "{stream} {partition}");
        }
        assert!(read.iter().all(|r| r.key.as_ref().unwrap().starts_with(&format!("p{}s", r.partition))));
    }
    let file = bench.file();
    for stream in ["forecasts", "scores"] {
        let sql = Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args([
                "sql",
                file.to_str().unwrap(),
                &format!("SELECT count(*) AS n FROM {stream}"),
                "--format",
                "csv",
            ])
            .output()
            .unwrap();
        let stdout = String::from_utf8(sql.stdout).unwrap();
        assert_eq!(stdout, format!("n\n{}\n", count(stream)), "{}", String::from_utf8_lossy(&sql.stderr));
    }
}

#[test]
fn broken_records_come_out_with_reason_and_offset_in_their_headers() {
    let Some(addr) = brokers_or_skip("kafka::broken_records_come_out") else { return };
    let id = "broken";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let topic = format!("{id}.in");
    let goods: Vec<Vec<u8>> = (0..3).map(good).collect();
    let mut bad = broken();
    // Kafka's own limit on a record is near ours: the largest one here is the largest that a producer takes.
    for (value, _) in bad.iter_mut().filter(|(_, reason)| *reason == "too_large") {
        value.truncate(980_000);
    }
    bad.push((br#"{"k":"a","t":"2199-01-01T00:00:00Z","v":1}"#.to_vec(), "future"));
    produce(addr, &topic, 0, goods.iter().map(Vec::as_slice));
    produce(addr, &topic, 0, bad.iter().map(|(value, _)| value.as_slice()));
    produce(addr, &topic, 0, [good(3).as_slice()]);
    let rejects = || consume(addr, &format!("{id}.rejects"), 1);
    let forecasts = || consume(addr, &format!("{id}.forecasts"), 1).len();
    run_until(&bench, || rejects().len() >= bad.len() && forecasts() >= 6);
    let rejects = rejects();
    assert_eq!((rejects.len(), forecasts()), (bad.len(), 6));
    for (index, (reject, (value, reason))) in rejects.iter().zip(&bad).enumerate() {
        assert_eq!(reject.headers["reason"], *reason);
        assert!(reject.value == value[..value.len().min(900_000)]);
        assert_eq!(
            (reject.headers["offset"].clone(), &reject.headers["topic"]),
            ((3 + index).to_string(), &topic)
        );
        assert_eq!(reject.headers["partition"], "0");
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The binary itself, serving on a port it chose.
fn start(bench: &TestPipeline) -> (Killed, String) {
    let log = bench.path("stderr.log");
    let child = Command::new(env!("CARGO_BIN_EXE_tickcast"))
        .args(["run", bench.file().to_str().unwrap(), "--set", "serve.http=127.0.0.1:0"])
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    let until = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(&log).unwrap();
        if let Some((_, rest)) = text.split_once("http://") {
            return (child, rest.split_whitespace().next().unwrap().to_owned());
        }
        assert!(Instant::now() < until, "it does not serve:\n{text}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what} did not come");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_unreachable_broker_is_waited_for_and_ready_says_why() {
    let Some(mut broker) = private_or_skip("kafka::an_unreachable_broker_is_waited_for") else { return };
    let addr = broker.addr().to_owned();
    let bench = bench(&addr, "away");
    create_topic(&addr, "away.in", 1);
    broker.kill();
    let (_running, http) = start(&bench);
    wait_for("503 with a reason", || {
        let ready = get(&http, "/ready");
        ready.starts_with("HTTP/1.1 503") && ready.contains(&addr)
    });
    assert!(get(&http, "/health").starts_with("HTTP/1.1 200"));
    broker.restart();
    wait_for("200", || get(&http, "/ready").starts_with("HTTP/1.1 200"));
    // The sinks' topics were made with the source's partition count.
    let readings = readings(0, 5);
    produce(&addr, "away.in", 0, readings.iter().map(String::as_bytes));
    wait_for("the forecasts", || consume(&addr, "away.forecasts", 1).len() >= 16);
}

#[test]
fn a_killed_consumer_goes_on_from_its_snapshot_and_loses_nothing() {
    let Some(addr) = brokers_or_skip("kafka::a_killed_consumer_goes_on") else { return };
    let id = "killed";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let readings = readings(0, 200);
    let forecasts = || consume(addr, &format!("{id}.forecasts"), 1);
    for part in readings.chunks(200) {
        produce(addr, &format!("{id}.in"), 0, part.iter().map(String::as_bytes));
        let before = forecasts().len();
        let (running, http) = start(&bench);
        wait_for("more forecasts", || forecasts().len() > before + 50);
        wait_for("a snapshot", || {
            let mut files = std::fs::read_dir(bench.path("state")).unwrap().flatten();
            files.any(|file| file.path().extension().is_some_and(|extension| extension == "snapshot"))
        });
        let restored =
            get(&http, "/metrics").contains("tickcast_restore_seconds_count{pipeline=\"killed\"} 1");
        assert_eq!(restored, before > 0, "it goes on from its snapshot, when there is one");
        drop(running);
    }
    run_until(&bench, || {
        let read: std::collections::BTreeSet<String> = values(&forecasts(), 0).into_iter().collect();
        read.len() >= (200 - 1) * 4
    });
    let read: std::collections::BTreeSet<String> = values(&forecasts(), 0).into_iter().collect();
    let expected: std::collections::BTreeSet<String> =
        from_file(0, 200)["forecasts"].iter().cloned().collect();
    assert!(read == expected, "{} forecasts, undisturbed {}", read.len(), expected.len());
}

fn admin(addr: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", addr).create().unwrap()
}

#[test]
fn records_that_the_broker_dropped_are_passed_over_and_the_rest_is_read() {
    let Some(addr) = brokers_or_skip("kafka::records_that_the_broker_dropped") else { return };
    let id = "dropped";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let topic = format!("{id}.in");
    let readings = readings(0, 60);
    let forecasts = || consume(addr, &format!("{id}.forecasts"), 1).len();
    produce(addr, &topic, 0, readings[..80].iter().map(String::as_bytes));
    run_until(&bench, || forecasts() >= 19 * 4);
    produce(addr, &topic, 0, readings[80..].iter().map(String::as_bytes));
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 0, Offset::Offset(120)).unwrap();
    futures::executor::block_on(admin(addr).delete_records(&list, &AdminOptions::new())).unwrap();
    // Hours 20 to 29 are gone: the series are carried over them, but there is no truth in them.
    run_until(&bench, || forecasts() >= 59 * 4);
}

#[test]
fn a_topic_made_anew_is_no_place_to_go_on() {
    let Some(addr) = brokers_or_skip("kafka::a_topic_made_anew") else { return };
    let id = "anew";
    make_topics(addr, id, 1);
    let bench = bench(addr, id);
    let topic = format!("{id}.in");
    produce(addr, &topic, 0, readings(0, 5).iter().map(String::as_bytes));
    run_until(&bench, || consume(addr, &format!("{id}.forecasts"), 1).len() >= 16);
    futures::executor::block_on(admin(addr).delete_topics(&[&topic], &AdminOptions::new())).unwrap();
    wait_for("the topic's end", || {
        partition_count(&bench.kafka().client, &topic).is_ok_and(|count| count.is_none())
    });
    create_topic(addr, &topic, 1);
    let error =
        support::run(&bench.load(), Runner::Threads(1), 50, Arc::default(), Arc::new(|_| ())).unwrap_err();
    assert!(error.to_string().contains("made anew"), "{error}");
}

#[test]
fn two_instances_share_the_partitions_and_one_goes_on_when_the_other_is_killed() {
    let Some(addr) = brokers_or_skip("kafka::two_instances_share_the_partitions") else { return };
    let id = "group";
    make_topics(addr, id, PARTITIONS);
    let bench = bench(addr, id);
    let send = |from: usize, to: usize| {
        for partition in 0..PARTITIONS {
            let readings = readings(partition, 60);
            produce(
                addr,
                &format!("{id}.in"),
                partition,
                readings[from * 4..to * 4].iter().map(String::as_bytes),
            );
        }
    };
    let distinct = || -> std::collections::BTreeSet<Vec<u8>> {
        consume(addr, &format!("{id}.forecasts"), PARTITIONS).into_iter().map(|read| read.value).collect()
    };
    let closed = |hours: usize| (hours - 1) * 4 * PARTITIONS as usize;
    send(0, 20);
    let (_first, _) = start(&bench);
    wait_for("the first instance's forecasts", || distinct().len() >= closed(20));
    let (second, http) = start(&bench);
    wait_for("the second instance", || get(&http, "/ready").starts_with("HTTP/1.1 200"));
    send(20, 40);
    wait_for("both instances' forecasts", || distinct().len() >= closed(40));
    assert!(
        get(&http, "/metrics").contains("tickcast_records_received_total{"),
        "the second instance had no share"
    );
    drop(second);
    send(40, 60);
    wait_for("the rest", || distinct().len() >= closed(60));
    let expected: std::collections::BTreeSet<Vec<u8>> = (0..PARTITIONS)
        .flat_map(|partition| from_file(partition, 60)["forecasts"].clone())
        .map(String::into_bytes)
        .collect();
    assert!(distinct() == expected, "{} forecasts, undisturbed {}", distinct().len(), expected.len());
}

#[test]
fn an_outage_in_mid_run_is_waited_out_and_ready_says_so() {
    let Some(mut broker) = private_or_skip("kafka::an_outage_in_mid_run") else { return };
    let addr = broker.addr().to_owned();
    let id = "outage";
    make_topics(&addr, id, 1);
    let bench = bench(&addr, id);
    let readings = readings(0, 40);
    let send = |from: usize, to: usize| {
        produce(&addr, "outage.in", 0, readings[from..to].iter().map(String::as_bytes))
    };
    let forecasts = || consume(&addr, "outage.forecasts", 1).len();
    send(0, 80);
    let (_running, http) = start(&bench);
    wait_for("forecasts", || forecasts() >= 19 * 4);
    assert!(get(&http, "/ready").starts_with("HTTP/1.1 200"));
    broker.kill();
    wait_for("503", || get(&http, "/ready").starts_with("HTTP/1.1 503"));
    broker.restart();
    // Nothing is produced yet: that brokers answer again is enough.
    wait_for("200", || get(&http, "/ready").starts_with("HTTP/1.1 200"));
    send(80, 160);
    wait_for("the other forecasts", || forecasts() >= 39 * 4);
    assert_eq!(values(&consume(&addr, "outage.forecasts", 1), 0), from_file(0, 40)["forecasts"]);
}

#[test]
fn sink_topics_are_made_with_the_sources_partitions_and_a_mismatch_is_named() {
    let Some(addr) = brokers_or_skip("kafka::sink_topics_are_made") else { return };
    let run = |partitions: usize| {
        let bench = TestPipeline::new(&format!(
            "name: made\nsource: {{ generate: {{ series: 6, ticks: 2000, process: weather, partitions: {partitions} }} }}\n\
             window: {{ tumbling: 1h, select: {{ temp: avg(temp) }} }}\nforecast: {{ target: temp, model: {{ hidden: 2 }} }}\n\
             sinks: {{ forecasts: {{ kafka: {{ brokers: \"{addr}\", topic: made.forecasts }} }} }}\n"
        ));
        Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .args(["run", bench.file().to_str().unwrap()])
            .output()
            .unwrap()
    };
    let output = run(2);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let read = consume(addr, "made.forecasts", 2);
    assert!((0..2).all(|partition| !values(&read, partition).is_empty()));
    let output = run(3);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("made.forecasts has 2 partitions, the source has 3"), "{stderr}");
}
