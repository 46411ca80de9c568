//! The reference page: that it is the schema's, and that the defaults it names are those that hold.
//! It must not know a description.

use super::super::reference::defaults;
use super::*;

/// Defaults that are said in words.
const IN_WORDS: [&str; 31] = [
    "deduplicate",
    "deduplicate.by",
    "delivery",
    "derive",
    "forecast.bounds",
    "forecast.bounds.min",
    "forecast.calendar",
    "forecast.experts",
    "forecast.features",
    "forecast.model.bptt",
    "forecast.model.optimizer",
    "forecast.season",
    "name",
    "serve",
    "serve.http",
    "sinks",
    "sinks.rejects",
    "sinks.scores",
    "source.generate.rate",
    "source.http.into.kafka.brokers",
    "source.http.into.kafka.group",
    "source.http.listen",
    "source.http.token_file",
    "source.kafka.brokers",
    "source.kafka.group",
    "source.mqtt.ca_file",
    "source.mqtt.client_id",
    "where",
    "window.select",
    "window.session.max",
    "workers",
];

#[test]
fn the_reference_in_docs_is_that_of_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let is_same = written == super::super::reference();
    assert!(is_same, "renew it: cargo run -- schema --markdown > docs/reference.md");
}

#[test]
fn a_default_that_is_written_out_changes_nothing() {
    let mut in_words = Vec::new();
    for (path, default) in defaults(&schema()) {
        if IN_WORDS.contains(&path.as_str()) {
            in_words.push(path);
            continue;
        }
        let set = format!("{path}={default}");
        let shown = |sets: &[&str]| format!("{:?}", plan_around(&path, sets));
        assert_eq!(shown(&[&set]), shown(&[]), "{set}");
    }
    in_words.sort_unstable();
    assert_eq!(in_words, IN_WORDS);
}

#[test]
fn a_default_in_words_is_what_it_says() {
    let plan = plan(SMALLEST);
    assert_eq!(plan.name, "weather");
    assert_eq!(plan.workers, std::thread::available_parallelism().unwrap().get());
    assert_eq!(plan.serve.http, None);
    assert!(plan.prepare.is_empty() && plan.deduplicate.is_none());
    assert_eq!(plan.window.select, [("temp".to_owned(), "avg(\"temp\")".to_owned())]);
    assert_eq!(plan.targets.shared().features, ["temp"]);
    assert_eq!(
        (plan.targets.shared().season, plan.targets.shared().week, plan.targets.shared().calendar.len()),
        (Some(24), Some(168), 0)
    );
    assert_eq!(plan.targets.shared().bounds, Bounds::default());
    assert_eq!(plan.targets.shared().experts, ExpertKind::ALL);
    assert_eq!(plan.targets.shared().model.optimizer, Optimizer::adam(1e-3));
    assert_eq!(plan.targets.shared().model.bptt, 32);
    assert!(plan.sinks.forecasts.is_some() && plan.sinks.scores.is_none() && plan.sinks.rejects.is_none());
    let SourceSpec::Kafka(kafka) = &plan.source else { panic!("{:?}", plan.source) };
    assert_eq!((kafka.client.brokers.as_str(), kafka.group.as_str()), ("localhost:9092", "weather"));
}

/// The plan of a small pipeline in which the block around `path` is there.
fn plan_around(path: &str, sets: &[&str]) -> Plan {
    let generate = "source={generate: {}}";
    let block = path.rsplit_once('.').map(|(block, _)| format!("{block}={{}}"));
    let is_optional = ["optimizer.", "serve.", "deduplicate."].iter().any(|of| path.contains(of));
    let optional = block.filter(|_| is_optional);
    let mut all: Vec<&str> = if path.starts_with("source.generate.") { vec![generate] } else { Vec::new() };
    if path.starts_with("source.file.") {
        all.push("source={file: {path: a.csv}}");
    }
    let pushed = [
        ("source.http.into.", "source={http: {path: /i/w, listen: '[::1]:1', into: {kafka: {topic: t}}}}"),
        ("source.http.", "source={http: {path: /i/w, listen: '[::1]:1'}}"),
        ("source.mqtt.into.", "source={mqtt: {broker: h, topics: a, into: {kafka: {topic: t}}}}"),
        ("source.mqtt.", "source={mqtt: {broker: h, topics: a}}"),
    ];
    all.extend(pushed.iter().find(|(block, _)| path.starts_with(block)).map(|(_, source)| *source));
    all.extend(optional.as_deref());
    if path.starts_with("source.melt.") {
        all.push("source.melt={columns: [a]}");
    }
    if path.starts_with("sinks.forecasts.") {
        all.push("sinks.forecasts={kafka: {topic: f}, format: avro, registry: {url: 'http://a'}}");
    }
    if path.starts_with("time.") {
        all.push("time={column: at}");
    }
    if path.contains(".cosine.") {
        all.push("forecast.model.optimizer={adam: {schedule: {cosine: {updates: 9}}}}");
    }
    all.extend(sets);
    with_sets(SMALLEST, &all).unwrap_or_else(|faults| panic!("{path}: {faults}")).plan
}
