//! Every pipeline of `docs/formats.md`, run on records like those beside it.

use std::io::Write;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use tickcast_connect::registry::{NewSchema, Registry, RegistrySpec, SchemaKind};
use tickcast_stream::PartitionId;

use super::times::{rejects, windows};
use super::typed_files;
use super::typed_formats::payloads;
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, producer, send, send_record};
use crate::support::peers::{python_or_skip, run_peer};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::registry::TestRegistry;

const PAGE: &str = include_str!("../../../docs/formats.md");

/// The pipelines of the page by the word in their first line.
fn documented(name: &str) -> String {
    let blocks = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let head = format!("# {name}\n");
    let found = blocks.filter_map(|block| block.strip_prefix(&head)).next();
    found.unwrap_or_else(|| panic!("the page has no pipeline {name}")).to_owned()
}

fn bench(name: &str) -> TestPipeline {
    with_results(&documented(name))
}

/// The same on this broker's topic, from its beginning.
fn topic_bench(name: &str, addr: &str, topic: &str, registry: &str) -> TestPipeline {
    let text = documented(name).replace("localhost:9092", addr).replace("http://localhost:8081", registry);
    let named = text
        .replace("topic: readings", "topic: keyed")
        .replace("topic: keyed", &format!("topic: {topic}, start: earliest"));
    with_results(&format!("{named}state: {{ dir: state }}\n"))
}

fn with_results(pipeline: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: page\n{pipeline}sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}\n"
    ))
}

fn spoken(bench: &TestPipeline) -> Vec<(String, f64)> {
    assert_eq!(rejects(bench), []);
    windows(bench).into_iter().map(|(series, _, value)| (series, value)).collect()
}

/// So many lines, an hour each.
fn hourly(line: impl Fn(usize) -> String) -> String {
    (0..20).map(|hour| line(hour) + "\n").collect()
}

fn hours_of(series: &str, value: impl Fn(f64) -> f64) -> Vec<(String, f64)> {
    (0..20).map(|hour| (series.to_owned(), value(f64::from(hour)))).collect()
}

#[test]
fn the_pages_count_is_that_of_its_pipelines() {
    assert_eq!(PAGE.matches("```yaml\n# ").count(), 14);
    assert_eq!(PAGE.matches("```yaml\n").count(), 14);
}

#[test]
fn files_are_read_as_the_page_says() {
    let of = |name: &str, file: &str, text: &str| {
        let bench = bench(name);
        bench.write(file, text.chars().map(|letter| letter as u8).collect::<Vec<u8>>());
        bench.run(Runner::Inline, 3);
        spoken(&bench)
    };
    let nested = hourly(|hour| {
        format!(
            r#"{{"device": {{"id": "m7"}}, "ts": "2024-01-01T{hour:02}:00:00Z", "payload": {{"temp": {hour}, "q": "ok"}}}}"#
        )
    });
    assert_eq!(of("json", "nested.ndjson", &nested), hours_of("m7", |hour| hour));

    let list = (0..10).map(|n| {
        let element = |hour: usize| format!(r#"{{"ts": "2024-01-01T{hour:02}:00:00Z", "temp": {hour}}}"#);
        format!("{{\"id\": \"m7\", \"readings\": [{}, {}]}}\n", element(2 * n), element(2 * n + 1))
    });
    assert_eq!(of("list", "list.ndjson", &list.collect::<String>()), hours_of("m7", |hour| hour));

    let changes = hourly(|hour| {
        let at = 1_704_067_200_000_000 + hour * 3_600_000_000;
        let after = format!(r#"{{"id": "m7", "at": {at}, "temp": {hour}}}"#);
        format!(r#"{{"before": null, "after": {after}, "op": "c"}}"#)
    });
    assert_eq!(of("change events", "changes.ndjson", &changes), hours_of("m7", |hour| hour));

    let schema = r##"{"properties": {"device": {"$ref": "#/$defs/device"}, "ts": {"type": "string", "format": "date-time"},
        "code": {"type": "string"}, "temp": {"type": ["number", "null"]}},
        "$defs": {"device": {"properties": {"id": {"type": "string"}, "on": {"type": "boolean"}}}}}"##;
    let typed = bench("json schema");
    typed.write("typed.json", schema);
    let line = |hour: usize| {
        let ts = format!("2024-01-01T{hour:02}:00:00Z");
        format!(r#"{{"device": {{"id": "m7", "on": true}}, "ts": "{ts}", "code": "7", "temp": {hour}}}"#)
    };
    let other =
        r#"{"device": {"id": "m7", "on": true}, "ts": "2024-01-01T00:30:00Z", "code": "8", "temp": 1e3}"#;
    typed.write("typed.ndjson", hourly(line).replacen('\n', &format!("\n{other}\n"), 1));
    typed.run(Runner::Inline, 3);
    assert_eq!(spoken(&typed), hours_of("m7", |hour| hour));

    let meters =
        format!("zaehler;zeit;kw\n{}", hourly(|hour| format!("MT_001;2024-01-01 {hour:02}:00;{hour},5")));
    assert_eq!(of("csv", "meters.csv", &meters), hours_of("MT_001", |hour| hour + 0.5));
    let logger = hourly(|hour| format!("# note\n'Köln; 1';01.01.2024 {hour:02}:00;1.00{},25", hour % 10));
    let logger = format!("Logger 3\nfrom 1.1.\n{logger}");
    let expected = hours_of("Köln; 1", |hour| 1000.25 + hour % 10.0);
    assert_eq!(of("csv, all of it said", "logger.csv", &logger), expected);

    let months = bench("several files");
    std::fs::create_dir(months.path("readings")).unwrap();
    for (name, hours) in [("2024-10", 12..20), ("2024-9", 0..12)] {
        let rows = hours.map(|hour| format!("{hour},m7,2024-01-01T{hour:02}:00:00Z\n"));
        let file = std::fs::File::create(months.path(&format!("readings/{name}.csv.gz"))).unwrap();
        let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        gz.write_all(format!("v,id,t\n{}", rows.collect::<String>()).as_bytes()).unwrap();
        gz.finish().unwrap();
    }
    months.run(Runner::Inline, 3);
    assert_eq!(spoken(&months), hours_of("m7", |hour| hour));

    let typed = bench("parquet");
    typed.write("nested.parquet", typed_files::parquet(&typed_files::nested(10, 15)));
    typed.run(Runner::Inline, 3);
    assert_eq!(spoken(&typed).len(), 20);

    let wide =
        format!("plant,at,t1,t2\n{}", hourly(|hour| format!("north,2024-01-01T{hour:02}:00:00Z,{hour},NA")));
    assert_eq!(of("wide", "wide.csv", &wide), hours_of("north/t1", |hour| hour));
}

#[test]
fn topics_are_read_as_the_page_says() {
    let (Some(addr), Some(python)) = (brokers_or_skip(), python_or_skip()) else { return };
    let peer = tempfile::tempdir().unwrap();
    run_peer(python, "typed.py", &[peer.path()]);
    let read = |name: &str, topic: &str, records: usize| {
        let bench = topic_bench(name, addr, topic, "");
        for schema in ["reading.avsc", "reading.desc"] {
            bench.write(schema, std::fs::read(peer.path().join(schema)).unwrap());
        }
        bench.run_until(Runner::Inline, 7, Some(records as u64));
        spoken(&bench)
    };

    let file = bench("avro file");
    file.write("readings.avro", std::fs::read(peer.path().join("deflate.avro")).unwrap());
    file.run(Runner::Inline, 7);
    assert_eq!(spoken(&file).len(), 40);

    for (name, form) in [("avro", "avro-plain"), ("protobuf", "proto-plain")] {
        let topic = format!("page.{name}");
        create_topic(addr, &topic, 1);
        let producer = producer(addr);
        let records = payloads(peer.path(), form);
        records.iter().for_each(|record| send(&producer, &topic, PartitionId(0), record));
        let found = read(name, &topic, records.len());
        let expected: Vec<_> = (0..39).map(|n| ("m".to_owned(), f64::from(n) / 4.0)).collect();
        assert_eq!(found, expected, "{name}");
    }

    let Some(server) = TestRegistry::start_or_skip(None) else { return };
    let registry = Registry::open(&RegistrySpec { url: server.url(), ..RegistrySpec::default() }).unwrap();
    let text = std::fs::read_to_string(peer.path().join("reading.avsc")).unwrap();
    let schema = NewSchema { kind: SchemaKind::Avro, text, references: Vec::new() };
    let id = registry.register("page.registry-value", &schema).unwrap();
    create_topic(addr, "page.registry", 1);
    let to_registry = producer(addr);
    for record in payloads(peer.path(), "avro-plain") {
        let payload = [&[0], &id.to_be_bytes()[..], &record].concat();
        send(&to_registry, "page.registry", PartitionId(0), &payload);
    }
    let bench = topic_bench("registry", addr, "page.registry", &server.url());
    bench.run_until(Runner::Inline, 7, Some(40));
    assert_eq!(spoken(&bench).len(), 39);

    create_topic(addr, "page.kafka", 1);
    let producer = producer(addr);
    for hour in 0..21_i64 {
        let value = format!("{{\"v\": {hour}}}");
        let headers = OwnedHeaders::new().insert(Header { key: "unit", value: Some("C") });
        let record = BaseRecord::to("page.kafka")
            .partition(0)
            .key(&b"m"[..])
            .payload(value.as_bytes())
            .timestamp(1_704_067_200_000 + hour * 3_600_000)
            .headers(headers);
        send_record(&producer, record);
    }
    assert_eq!(read("kafka", "page.kafka", 21), hours_of("m", |hour| hour));
}
