//! How results are written to topics: formats, keys, registries, subjects, headers.

use tickcast_connect::{KeyFormat, PayloadFormat, PayloadSpec, SubjectName};

use super::*;

fn written(source: &str, sink: &str) -> PayloadSpec {
    let text = SMALLEST.replace("{kafka: {topic: t}}", source)
        + &format!("sinks: {{forecasts: {{kafka: {{topic: f}}{sink}}}}}\n");
    let Some(SinkSpec::Kafka(sink)) = plan(&text).sinks.forecasts else { panic!("no topic") };
    sink.payload
}

const PLAIN: &str = "{kafka: {topic: t}}";
const REGISTERED: &str = "{kafka: {topic: t}, format: avro, registry: {url: 'http://a:8081'}}";

#[test]
fn a_topic_takes_json_unless_another_format_is_said() {
    assert_eq!(written(PLAIN, ""), PayloadSpec::default());
    assert_eq!(written(PLAIN, ", format: json"), PayloadSpec::default());
    let avro = written(PLAIN, ", format: avro, key_format: protobuf, headers: cloudevents");
    assert_eq!(
        avro,
        PayloadSpec {
            format: PayloadFormat::Avro,
            key: KeyFormat::Protobuf,
            registry: None,
            event_source: Some("/tickcast/weather".to_owned()),
        }
    );
}

#[test]
fn typed_results_take_the_sources_registry_unless_the_sink_says_otherwise() {
    let urls = |sink: &str| written(REGISTERED, sink).registry.map(|registry| registry.spec.url);
    assert_eq!(urls(""), None);
    assert_eq!(urls(", format: protobuf"), Some("http://a:8081".to_owned()));
    assert_eq!(urls(", format: avro, registry: none"), None);
    assert_eq!(urls(", format: json, registry: {url: 'http://b'}"), Some("http://b".to_owned()));
    let subject = |sink: &str| written(REGISTERED, sink).registry.map(|registry| registry.subject);
    assert_eq!(subject(", format: avro"), Some(SubjectName::Topic));
    assert_eq!(subject(", format: avro, subject: topic_record"), Some(SubjectName::TopicRecord));
}

#[test]
fn what_a_place_cannot_take_is_said() {
    let said = |sinks: &str| faults(&format!("{SMALLEST}sinks: {{{sinks}}}\n")).join("\n");
    for (sinks, expected) in [
        (
            "forecasts: {kafka: {topic: f}, format: parquet}",
            "is for files (a topic takes json, avro or protobuf)",
        ),
        (
            "forecasts: {kafka: {topic: f}, format: avro, subject: record}",
            "sinks.forecasts.subject: is for a registry",
        ),
        (
            "rejects: {kafka: {topic: r}, format: avro}",
            "sinks.rejects.format: is for forecasts and scores on a topic (write json)",
        ),
        (
            "rejects: {kafka: {topic: r}, headers: cloudevents}",
            "sinks.rejects.headers: is for forecasts and scores on a topic, not for rejects",
        ),
        (
            "scores: {file: {path: out}, key_format: avro}",
            "sinks.scores.key_format: is for forecasts and scores on a topic, not for files",
        ),
        ("forecasts: {file: {path: out}, format: protobuf}", "is for a topic (files are ndjson or parquet)"),
        ("forecasts: {stdout: {}, format: parquet}", "only a file sink writes parquet"),
        (
            "forecasts: {kafka: {topic: f}, format: avro, registry: {}}",
            "sinks.forecasts.registry.url: missing",
        ),
        (
            "forecasts: {kafka: {topic: f}, format: avro, registry: {url: 'http://a', username: me}}",
            "sinks.forecasts.registry.username: needs password_file beside it",
        ),
        ("forecasts: {kafka: {topic: f}, format: avro, registry: yes}", "sinks.forecasts.registry"),
        ("forecasts: {kafka: {topic: f}, headers: cloud}", "sinks.forecasts.headers"),
    ] {
        let found = said(sinks);
        assert!(found.contains(expected), "{sinks}: {found}");
    }

    let fine = SMALLEST.replace("target: temp", "target: temp, levels: [0.9995]");
    let found = faults(&format!("{fine}sinks: {{forecasts: {{kafka: {{topic: f}}, format: protobuf}}}}\n"))
        .join("\n");
    assert!(found.contains("the level 0.9995 has no number in protobuf"), "{found}");
}

#[test]
fn the_pages_sinks_are_sinks() {
    let page = include_str!("../../../docs/encodings.md");
    let sinks = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let text = format!("{SMALLEST}{sinks}");
    assert_eq!(faults(&text), [""; 0]);
    assert!(plan(&text).sinks.kafka().all(|(_, sink)| sink.payload.format == PayloadFormat::Avro));
}
