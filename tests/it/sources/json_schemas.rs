//! JSON Schemas in a pipeline: a registry's, and what is told of those that cannot be used.

use serde_json::{Value, json};
use tickcast_connect::registry::{NewSchema, Registry, RegistrySpec, SchemaKind};
use tickcast_stream::PartitionId;

use super::times::{rejects, windows};
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, producer, send};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};
use crate::support::registry::TestRegistry;

fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "at": {"type": "string", "format": "date-time"},
            "value": {"oneOf": [{"type": "null"}, {"type": "number"}]},
            "ok": {"type": "boolean"},
            "next": {"$ref": "#"},
            "odd": {"allOf": [{"type": "string"}, {"type": "number"}]},
            "list": {"type": "array", "items": {"type": "number"}},
        },
    })
}

fn pipeline(source: &str, target: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: schemas
source: {source}
key: id
time: at
where: ok
window: {{ tumbling: 1m, gaps: skip, select: {{ v: 'avg({target})' }} }}
forecast: {{ target: v, experts: [naive] }}
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

#[test]
fn the_subjects_newest_schema_says_the_types_of_json() {
    let Some(addr) = brokers_or_skip() else { return };
    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let registry = Registry::open(&RegistrySpec { url: server.url(), ..RegistrySpec::default() }).unwrap();
    let text = schema().to_string();
    let new = NewSchema { kind: SchemaKind::Json, text, references: Vec::new() };
    let id = registry.register("schemas.in-value", &new).unwrap();

    create_topic(addr, "schemas.in", 1);
    let producer = producer(addr);
    for n in 0..20 {
        let ok = if n == 7 { json!(false) } else { json!(true) };
        let record = json!({"id": "m", "at": format!("2024-01-01T00:{n:02}:00Z"), "value": n, "ok": ok});
        let payload = [&[0], &id.to_be_bytes()[..], record.to_string().as_bytes()].concat();
        send(&producer, "schemas.in", PartitionId(0), &payload);
    }
    let source = format!(
        "{{ kafka: {{ brokers: \"{addr}\", topic: schemas.in, start: earliest }}, format: json, registry: {{ url: \"{}\" }} }}",
        server.url()
    );
    let bench = pipeline(&source, "value");
    bench.run_until(Runner::Threads(1), 5, Some(20));
    let spoken: Vec<f64> = windows(&bench).into_iter().map(|(.., value)| value).collect();
    assert_eq!(spoken, (0..19).filter(|n| *n != 7).map(f64::from).collect::<Vec<_>>());
    assert_eq!(rejects(&bench), []);

    // One of another language is named.
    let avro = r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}]}"#.to_owned();
    let new = NewSchema { kind: SchemaKind::Avro, text: avro, references: Vec::new() };
    registry.register("schemas.avro-value", &new).unwrap();
    let bench = pipeline(&source.replace("schemas.in", "schemas.avro"), "value");
    let output = tickcast("check", &bench.file(), &[]);
    let said = self::text(&output.stderr);
    assert!(said.contains("source.format: the subject schemas.avro-value is of AVRO, not of JSON"), "{said}");
}

#[test]
fn what_a_json_schema_cannot_say_is_told_before_a_record_is_read() {
    let file = "{ file: { path: in.ndjson }, schema: in.json }";
    for (source, target, said) in [
        (file, "valu", "the schema has no column `valu`, did you mean `value`?"),
        (file, "odd", "field `odd` of the schema: the schema contradicts itself: text and a number"),
        (file, "next.next", "field `next.next` of the schema: it holds itself, by `#`"),
        (file, "list", "it is a list: take it apart by source.unnest"),
        (
            "{ file: { path: in.ndjson }, schema: in.json, registry: { url: 'http://r' } }",
            "value",
            "source.registry: is asked for nothing: JSON is read without it",
        ),
        (
            "{ kafka: { brokers: 'localhost:9', topic: t }, format: csv, schema: in.json }",
            "value",
            "a JSON Schema does not say in which order the fields of CSV stand",
        ),
        ("{ file: { path: in.ndjson }, schema: broken.json }", "value", "the schema is not of objects"),
        (file, "value", "good"),
    ] {
        let bench = pipeline(source, target);
        bench.write("in.ndjson", "{}\n");
        bench.write("in.json", schema().to_string());
        bench.write("broken.json", r#"{"$schema": "x", "type": "array"}"#);
        let output = tickcast("check", &bench.file(), &[]);
        let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(told.contains(said), "{source}, {target}: {told}");
    }
}
