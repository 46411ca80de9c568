//! Avro and Protobuf in a topic, written by other libraries: every form of them becomes the same
//! forecasts.

use std::path::Path;

use super::times::{rejects, windows};
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, producer, send};
use crate::support::peers::{python_or_skip, run_peer};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};
use tickcast_stream::PartitionId;

/// The records of a form.
pub fn payloads(directory: &Path, form: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(directory.join(form)).unwrap();
    let byte = |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    text.lines().map(|line| (0..line.len()).step_by(2).map(|at| byte(line, at)).collect()).collect()
}

fn pipeline(addr: &str, topic: &str, format: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: typed
source: {{ kafka: {{ brokers: \"{addr}\", topic: {topic}, start: earliest }}, {format} }}
key: device.id
time: at
where: \"quality IN ('OK', 'BAD')\"
window: {{ tumbling: 1m, gaps: skip, select: {{ v: avg(value), price: max(price), ok: \"count(*) FILTER (WHERE quality = 'OK')\" }} }}
forecast: {{ target: v, features: [price, ok], experts: [naive] }}
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

#[test]
fn what_other_libraries_write_is_read() {
    let (Some(addr), Some(python)) = (brokers_or_skip(), python_or_skip()) else { return };
    let peer = tempfile::tempdir().unwrap();
    run_peer(python, "typed.py", &[peer.path()]);
    let avro = "format: avro, schema: reading.avsc";
    let proto = "format: protobuf, schema: reading.desc, message: plant.Reading";
    let forms = [
        ("avro-plain", avro),
        ("avro-single", avro),
        ("avro-confluent", avro),
        ("proto-plain", proto),
        ("proto-confluent", proto),
    ];

    for (form, format) in forms {
        let topic = format!("typed.{form}");
        create_topic(addr, &topic, 1);
        let producer = producer(addr);
        let mut records = payloads(peer.path(), form);
        // One is cut short: it costs itself.
        let broken = records[10][..records[10].len() - 1].to_vec();
        records.insert(10, broken);
        records.iter().for_each(|record| send(&producer, &topic, PartitionId(0), record));

        let bench = pipeline(addr, &topic, format);
        for schema in ["reading.avsc", "reading.desc"] {
            bench.write(schema, std::fs::read(peer.path().join(schema)).unwrap());
        }
        bench.run_until(Runner::Threads(2), 7, Some(records.len() as u64));
        let spoken: Vec<f64> = windows(&bench).into_iter().map(|(.., value)| value).collect();
        // The last window waits for what comes after it.
        assert_eq!(spoken, (0..39).map(|n| f64::from(n) / 4.0).collect::<Vec<_>>(), "{form}");
        let refused: Vec<(i64, String)> = rejects(&bench).into_iter().map(|(at, why, _)| (at, why)).collect();
        assert_eq!(refused, [(10, "undecodable".to_owned())], "{form}");
    }
}

#[test]
fn what_a_schema_lacks_is_told_before_a_record_is_read() {
    let proto = "syntax = \"proto3\"; package plant;
message Reading { string id = 1; int64 at = 2; double value = 3; string quality = 4; double price = 5; Device device = 6; }
message Device { string id = 1; }";
    for (format, said) in [
        (
            "format: protobuf, schema: reading.proto",
            "source.message: missing, the schema has several messages: plant.Reading, plant.Device",
        ),
        ("format: protobuf, schema: reading.proto, message: plant.Device", "the schema has no column"),
        ("format: avro, schema: reading.proto", "the schema is not JSON"),
        ("format: protobuf, schema: reading.proto, message: plant.Reading", "good"),
    ] {
        let bench = pipeline("localhost:9", "typed", format);
        bench.write("reading.proto", proto);
        let output = tickcast("check", &bench.file(), &[]);
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(told.contains(said), "{format}: {told}");
    }
}
