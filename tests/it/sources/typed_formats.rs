//! Avro and Protobuf in a topic, written by other libraries: every form of them becomes the same
//! forecasts.

use std::path::Path;

use tickcast_connect::registry::{NewSchema, Registry, RegistrySpec, SchemaKind};
use tickcast_stream::PartitionId;

use super::times::{rejects, windows};
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, producer, send};
use crate::support::peers::{python_or_skip, run_peer};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};
use crate::support::registry::TestRegistry;

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

/// A payload with the number of its schema before it.
fn framed(id: u32, indexes: &[u8], body: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], indexes, body].concat()
}

#[test]
fn a_registry_says_what_records_were_written_with() {
    let (Some(addr), Some(python)) = (brokers_or_skip(), python_or_skip()) else { return };
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let peer = tempfile::tempdir().unwrap();
    run_peer(python, "typed.py", &[peer.path()]);
    let registry = Registry::open(&RegistrySpec { url: server.url(), ..RegistrySpec::default() }).unwrap();
    let register = |subject: &str, kind, text: &str| {
        let schema = NewSchema { kind, text: text.to_owned(), references: Vec::new() };
        registry.register(subject, &schema).unwrap()
    };
    let records = payloads(peer.path(), "avro-plain");
    let messages = payloads(peer.path(), "proto-plain");
    let written = std::fs::read_to_string(peer.path().join("reading.avsc")).unwrap();
    // A later writer has a field more, which the records of the first do not have.
    let later = written.replacen(
        "\"fields\": [",
        "\"fields\": [{\"name\": \"site\", \"type\": \"string\", \"default\": \"north\"}, ",
        1,
    );
    let proto = "syntax = \"proto3\"; package plant; import \"google/protobuf/timestamp.proto\";
message Other { int32 x = 1; }
message Reading {
  message Device { string id = 1; }
  enum Quality { BAD = 0; OK = 1; }
  Device device = 1; google.protobuf.Timestamp at = 2; double value = 3; sint64 price = 4; Quality quality = 5;
}";

    let first = register("typed.reg-avro-value", SchemaKind::Avro, &written);
    let second = register("typed.reg-avro-value", SchemaKind::Avro, &later);
    let of_proto = register("typed.reg-proto-value", SchemaKind::Protobuf, proto);
    assert_ne!(first, second);
    let site = [&[10_u8][..], b"south"].concat();
    let avro: Vec<Vec<u8>> = records
        .iter()
        .enumerate()
        .map(
            |(n, record)| if n % 3 == 0 { framed(second, &site, record) } else { framed(first, &[], record) },
        )
        .collect();
    let proto: Vec<Vec<u8>> = messages.iter().map(|message| framed(of_proto, &[2, 2], message)).collect();

    for (topic, format, mut payloads) in [
        ("typed.reg-avro", "format: avro", avro),
        ("typed.reg-proto", "format: protobuf, message: plant.Reading", proto),
    ] {
        create_topic(addr, topic, 1);
        let producer = producer(addr);
        payloads.insert(20, framed(987_654, &[2, 2], &records[20]));
        payloads.iter().for_each(|payload| send(&producer, topic, PartitionId(0), payload));
        let bench = pipeline(addr, topic, &format!("{format}, registry: {{ url: \"{}\" }}", server.url()));
        bench.run_until(Runner::Threads(2), 7, Some(payloads.len() as u64));
        let spoken: Vec<f64> = windows(&bench).into_iter().map(|(.., value)| value).collect();
        assert_eq!(spoken, (0..39).map(|n| f64::from(n) / 4.0).collect::<Vec<_>>(), "{topic}");
        let why = "the schema 987654: the registry does not have it".to_owned();
        assert_eq!(rejects(&bench), [(20, "undecodable".to_owned(), why)], "{topic}");
    }
}

#[test]
fn a_registry_that_has_nothing_or_does_not_answer_is_named() {
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    for (url, said) in [
        (server.url(), "the registry has no subject typed.none-value"),
        ("http://127.0.0.1:9".to_owned(), "http://127.0.0.1:9"),
    ] {
        let bench =
            pipeline("localhost:9", "typed.none", &format!("format: avro, registry: {{ url: \"{url}\" }}"));
        let output = tickcast("check", &bench.file(), &[]);
        let told = text(&output.stderr);
        assert!(!output.status.success() && told.contains(said), "{told}");
    }
}
