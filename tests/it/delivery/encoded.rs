//! Results as Avro, Protobuf and JSON with a schema registry: Confluent's own clients read the same
//! as stands in bare JSON, queries and audits too.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::{Value, json};
use tickcast_stream::PartitionId;

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{count, create_topic, input};
use crate::support::peers::{python_or_skip, run_peer};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{binary, text, tickcast};
use crate::support::registry::TestRegistry;

/// Two partitions, both streams.
fn pipeline(addr: &str, name: &str, written: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: {name}
source: {{ generate: {{ series: 4, ticks: 6000, seed: 5, process: market, partitions: 2 }} }}
window: {{ tumbling: 30s, select: {{ price: avg(price) }} }}
forecast: {{ target: price, horizons: [1, 2], levels: [0.5, 0.995], direction: true, model: {{ hidden: 4, bptt: 10, replay: 1 }} }}
delivery: exactly_once
state: {{ kafka: {{ brokers: \"{addr}\", topic: {name}.state }} }}
sinks:
  forecasts: {{ kafka: {{ brokers: \"{addr}\", topic: {name}.forecasts }}{written} }}
  scores: {{ kafka: {{ brokers: \"{addr}\", topic: {name}.scores }}{written} }}
"
    ))
}

/// A record as a peer reads it: partition, key and value with times in microseconds.
type Read = (i64, String, Value);

/// A record whose times are numbers.
fn counted_times(mut value: Value) -> Value {
    for time in ["window_start", "issued_at", "target_time"] {
        let Some(text) = value[time].as_str() else { continue };
        value[time] = json!(text.parse::<Timestamp>().unwrap().as_microsecond());
    }
    value
}

/// What is on a topic in bare JSON under plain keys.
fn bare(addr: &str, topic: &str) -> Vec<Read> {
    let mut all = Vec::new();
    for partition in 0..2 {
        for record in input(addr, topic, PartitionId(partition)) {
            let value = counted_times(serde_json::from_slice(&record.payload.unwrap()).unwrap());
            all.push((i64::from(partition), String::from_utf8(record.key.unwrap().to_vec()).unwrap(), value));
        }
    }
    all
}

/// What a peer has written to a file; and the headers of its first record.
fn read_by_peer(file: &Path) -> (Vec<Read>, BTreeMap<String, String>) {
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut all: Vec<Read> = lines
        .iter()
        .map(|line| {
            let key = line["key"].as_str().unwrap().to_owned();
            (line["partition"].as_i64().unwrap(), key, counted_times(line["value"].clone()))
        })
        .collect();
    // Partitions come in any order, the records of each in theirs.
    all.sort_by_key(|(partition, ..)| *partition);
    (all, serde_json::from_value(lines[0]["headers"].clone()).unwrap())
}

/// A `.proto` file as a descriptor set.
fn compile(text: &str) -> Vec<u8> {
    struct One(String);
    impl FileResolver for One {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            match name {
                "results.proto" => File::from_source(name, &self.0),
                _ => Err(protox::Error::file_not_found(name)),
            }
        }
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(One(text.to_owned()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("results.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn other_clients_read_what_stands_in_bare_json() {
    let (Some(addr), Some(python)) = (brokers_or_skip(), python_or_skip()) else { return };
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let plain = pipeline(addr, "bare", "");
    plain.run(Runner::Threads(2), 100);
    let counted = |bench: &TestPipeline| {
        let query = "SELECT count(*), sum(forecast), max(target_time), sum(lower_99_5), max(expert) FROM forecasts \
                     UNION ALL SELECT count(*), sum(error), max(issued_at), sum(actual), max(series) FROM scores \
                     ORDER BY 1";
        let output = tickcast("sql", &bench.file(), &[query, "--format", "csv"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };

    for (form, keys, more) in
        [("avro", "avro", ", headers: cloudevents"), ("protobuf", "text", ""), ("json", "json", "")]
    {
        let name = format!("encoded-{form}");
        let written =
            format!(", format: {form}, key_format: {keys}, registry: {{ url: \"{}\" }}{more}", server.url());
        let bench = pipeline(addr, &name, &written);
        bench.run(Runner::Threads(2), 100);
        assert_eq!(counted(&bench), counted(&plain), "{form}");
        let verified = tickcast("verify", &bench.file(), &[]);
        assert_eq!(verified.status.code(), Some(0), "{}{}", text(&verified.stdout), text(&verified.stderr));

        for stream in ["forecasts", "scores"] {
            let schema = bench.file();
            let options =
                ["--records", stream, "--format", "protobuf", "--pipeline", schema.to_str().unwrap()];
            let proto = tickcast_schema(&options);
            bench.write("results.desc", compile(&proto));
            let topic = format!("{name}.{stream}");
            let directory = bench.dir.path();
            let arguments = ["consume", addr, &server.url(), directory.to_str().unwrap(), &topic, form, keys];
            run_peer(python, "confluent.py", &arguments.map(Path::new));
            let (read, headers) = read_by_peer(&directory.join(format!("{topic}.ndjson")));
            let bare = bare(addr, &format!("bare.{stream}"));
            assert!(
                bare.len() > 100 && read.len() == bare.len(),
                "{topic}: {} of {}",
                read.len(),
                bare.len()
            );
            read.iter().zip(&bare).for_each(|(read, bare)| assert_eq!(read, bare, "{topic}"));
            assert_eq!(headers.len(), if form == "avro" { 7 } else { 0 }, "{headers:?}");
        }
        let (_, subjects) = server.call("GET", "/subjects", "");
        assert!(subjects.contains(&format!("{name}.forecasts-value")), "{subjects}");
        assert_eq!(subjects.contains(&format!("{name}.forecasts-key")), keys != "text", "{subjects}");
    }
}

fn tickcast_schema(options: &[&str]) -> String {
    let output = binary().arg("schema").args(options).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).to_owned()
}

#[test]
fn what_other_clients_write_is_read() {
    let (Some(addr), Some(python)) = (brokers_or_skip(), python_or_skip()) else { return };
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let proto =
        "syntax = \"proto3\"; package plant; message Reading { string id = 1; int64 at = 2; double v = 3; }";
    let peer = tempfile::tempdir().unwrap();
    std::fs::write(peer.path().join("reading.desc"), compile(proto)).unwrap();
    let forms = ["avro", "protobuf", "json"];
    forms.iter().for_each(|form| create_topic(addr, &format!("confluent.{form}"), 1));
    let arguments = ["produce", addr, &server.url(), peer.path().to_str().unwrap()];
    run_peer(python, "confluent.py", &arguments.map(Path::new));

    for form in forms {
        let registry = match form {
            "json" => String::new(),
            _ => format!(", registry: {{ url: \"{}\" }}", server.url()),
        };
        let bench = TestPipeline::new(&format!(
            "name: confluent
source: {{ kafka: {{ brokers: \"{addr}\", topic: confluent.{form}, start: earliest }}, format: {form}{registry} }}
key: id
time: {{ column: at, unit: s }}
window: {{ tumbling: 1m, select: {{ v: max(v) }} }}
forecast: {{ target: v, experts: [naive] }}
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }} }}
"
        ));
        bench.run_until(Runner::Threads(2), 7, Some(40));
        assert_eq!(bench.out_lines("forecasts-0.ndjson"), 39, "{form}");
    }
    assert_eq!(count(addr, "confluent.avro", 1), 40);
}

#[test]
fn a_schema_that_the_registry_refuses_ends_the_run_before_it_begins() {
    let Some(addr) = brokers_or_skip() else { return };
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let other = json!({ "type": "record", "name": "Forecast", "namespace": "tickcast",
                        "fields": [{ "name": "other", "type": "string" }] });
    let body = json!({ "schema": other.to_string() }).to_string();
    let subject = "refused.forecasts-value";
    assert_eq!(server.call("POST", &format!("/subjects/{subject}/versions"), &body).0, 200);
    assert_eq!(server.call("PUT", &format!("/config/{subject}"), r#"{"compatibility":"FULL"}"#).0, 200);
    let bench =
        pipeline(addr, "refused", &format!(", format: avro, registry: {{ url: \"{}\" }}", server.url()));

    let checked = tickcast("check", &bench.file(), &["--connect"]);
    let told = format!("{}{}", text(&checked.stdout), text(&checked.stderr));
    assert!(told.contains("sinks.scores: the registry does not have its schema yet"), "{told}");
    let output = tickcast("run", &bench.file(), &[]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(subject) && told.contains("HTTP 409"), "{told}");
    assert_eq!(count(addr, "refused.forecasts", 2), 0);
}
