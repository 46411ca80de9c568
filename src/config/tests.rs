//! What a pipeline file does as a whole: the contract, the smallest files, every fault at once,
//! secrets.
//! It must not test single layers: those have their tests beside them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tickcast_connect::{
    FileFormat, FileSinkSpec, KafkaClientSpec, KafkaSinkSpec, KafkaTopicSpec, Process, SinkFileFormat,
    SinkSpec, SourceSpec, StartFrom, StateSpec, WireFormat,
};
use tickcast_forecast::{Bounds, Correction, ExpertKind, Horizon, LearnerSpec, MixtureRule, Scope};
use tickcast_model::{Activation, Backend, CellKind, Loss, LrSchedule, Optimizer, OptimizerRule};
use tickcast_sql::{Gaps, WindowKind};

use super::plan::*;
use super::*;

mod delivery;
mod envelope;
mod ingest;
mod model;
mod payloads;
mod reference;
mod targets;
mod time;
mod window_kinds;

/// The contract's example, word for word, but for comments.
const CONTRACT: &str = r#"name: weather
source:
  kafka: { brokers: "${KAFKA_BROKERS:-localhost:9092}", topic: observations, group: weather, start: earliest, properties: {} }
  format: json                    # json | avro | protobuf | csv
  schema: ../schemas/observation.avsc
key: station
time: observed_at
window:
  tumbling: 1h                    # or hopping: { size: 6h, every: 1h } | session: { gap: 30m } | count: 100
  lateness: 10m
  idle: 60s                       # optional
  gaps: carry                     # carry | skip
  select: { temp: avg(temp), wind: max(wind), spread: max(temp) - min(temp) }
forecast:
  target: temp
  horizons: [1, 6, 24]            # in windows
  season: 24
  calendar: [hour, day_of_week, day_of_year]
  levels: [0.5, 0.9]
  direction: true
  model: { cell: gru, hidden: 32, layers: 1, activation: tanh, bptt: 32, replay: 2, loss: huber,
           optimizer: { adam: { lr: 3e-4 } }, scope: shared, seed: 1 }
  experts: [naive, seasonal_naive, ewma, rls, rnn]
sinks:
  forecasts: { kafka: { topic: weather.forecasts }, format: json }
  scores:    { kafka: { topic: weather.scores } }
  rejects:   { kafka: { topic: weather.rejects } }
state: { kafka: { topic: weather.state } }
delivery: exactly_once            # or at_least_once
commit_every: 100ms
workers: 2
serve: { http: 127.0.0.1:8088, postgres: 127.0.0.1:5433 }
"#;

const SMALLEST: &str = "source: {kafka: {topic: t}}
key: station
time: at
window: {tumbling: 1h}
forecast: {target: temp}
";

fn with_sets(text: &str, sets: &[&str]) -> Result<Pipeline, Faults> {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    parse(text, "weather.yaml", Path::new("/base"), &sets, &|name| match name {
        "N" => Some("3".into()),
        "PASSWORD" => Some("hunter2".into()),
        _ => None,
    })
}

fn plan(text: &str) -> Plan {
    with_sets(text, &[]).unwrap().plan
}

fn faults(text: &str) -> Vec<String> {
    let faults = with_sets(text, &[]).err().map_or(Vec::new(), |faults| faults.0);
    faults.iter().map(|fault| fault.to_string().replace("weather.yaml:", "")).collect()
}

/// The smallest pipeline with these lines more.
fn smallest_and(lines: &str) -> String {
    format!("{SMALLEST}{lines}\n")
}

/// The smallest pipeline with its `forecast` block replaced.
fn forecasting(block: &str) -> String {
    SMALLEST.replace("{target: temp}", block)
}

#[test]
fn of_the_contract_only_what_is_not_yet_built_is_refused() {
    assert_eq!(faults(CONTRACT), ["32:32: serve.postgres: the SQL server: not yet built",]);
}

#[test]
fn the_built_part_of_the_contract_becomes_a_plan() {
    let text = CONTRACT
        .replace("  direction: true\n", "")
        .replace("seasonal_naive, ewma, rls, ", "")
        .replace(", postgres: 127.0.0.1:5433", "");
    let plan = plan(&text);
    let columns: Vec<&str> = plan.window.select.iter().map(|(column, _)| column.as_str()).collect();
    assert_eq!(columns, ["temp", "wind", "spread"], "the order of the file");
    assert_eq!(plan.idle, Some(Duration::from_secs(60)));
    assert_eq!(plan.targets.shared().features, columns);
    let hours = WindowKind::Grid(3_600_000_000.into());
    assert_eq!((plan.window.kind, plan.window.lateness_us), (hours, 600_000_000));
    assert_eq!(plan.targets.shared().horizons, [Horizon(1), Horizon(6), Horizon(24)]);
    assert_eq!(plan.targets.shared().model.optimizer, Optimizer::adam(3e-4));
    assert_eq!(plan.records.schema, Some(PathBuf::from("/base/../schemas/observation.avsc")));
    assert_eq!(plan.serve.http, Some("127.0.0.1:8088".parse().unwrap()));
    assert_eq!(plan.delivery, Delivery::ExactlyOnce);
    assert!(matches!(plan.state, Some(StateSpec::Kafka(topic)) if topic.topic == "weather.state"));
    let Some(SinkSpec::Kafka(KafkaSinkSpec { to: KafkaTopicSpec { client, topic }, .. })) = plan.sinks.scores
    else {
        panic!("no scores")
    };
    assert_eq!((client.brokers.as_str(), topic.as_str()), ("localhost:9092", "weather.scores"));
}

#[test]
fn every_other_thing_not_yet_built_is_refused_by_name_too() {
    let cases = [
        (
            "{topic: t}}",
            "{topic: t}, format: avro}",
            "1:29: source.format: needs a schema (add source.schema, the file that has it, or source.registry)",
        ),
        (
            "{kafka: {topic: t}}",
            "{file: {path: a.csv}, format: protobuf}",
            "1:31: source.format: is for messages; files are csv, json, avro or parquet",
        ),
        (
            "{topic: t}}",
            "{topic: t}, schema: {registry: 'http://r'}}",
            "1:29: source.schema: needs text, not a block of keys",
        ),
        (
            "{topic: t}}",
            "{topic: t}, schema: 'http://r'}",
            "1:29: source.schema: needs a path (a schema registry is named by source.registry: { url: … })",
        ),
        (
            "{topic: t}}",
            "{topic: t}, format: avro, registry: {url: 'http://me:hunter2@r'}}",
            "1:54: source.registry.url: address 1: no place for a user or a password: write registry.username and registry.password_file",
        ),
        (
            "{topic: t}}",
            "{topic: t}, format: csv, csv: {header: [a]}, registry: {url: 'http://r'}}",
            "1:62: source.registry: belongs to format: avro, protobuf or json",
        ),
        (
            "{kafka: {topic: t}}",
            "{file: {path: a.avro}, format: avro, registry: {url: 'http://r'}}",
            "1:46: source.registry: is for messages; an Avro file has its own schema",
        ),
        (
            "{kafka: {topic: t}}",
            "{file: {path: 's3://bucket/*.csv'}}",
            "1:17: source.file.path: files in object stores and on web servers: not yet built",
        ),
    ];
    for (from, to, fault) in cases {
        assert_eq!(faults(&SMALLEST.replace(from, to)), [fault], "{to}");
    }
}

/// A state of windows of one length is gone on from as it always was.
#[test]
fn the_windows_part_of_a_fingerprint_tells_only_what_is_not_usual() {
    let of = |window: &str| {
        let plan = plan(&SMALLEST.replace("{tumbling: 1h}", window));
        serde_json::to_string(&plan.window).unwrap().replace(r#","select":[["temp","avg(\"temp\")"]]"#, "")
    };
    let usual = r#","lateness_us":0,"gaps":"Auto"}"#;
    assert_eq!(of("{tumbling: 1h}"), format!(r#"{{"size_us":3600000000{usual}"#));
    assert_eq!(
        of("{tumbling: 1d, offset: 24h, stamps: start}"),
        format!(r#"{{"size_us":86400000000{usual}"#)
    );
    assert_eq!(
        of("{tumbling: 1q, zone: europe/berlin}"),
        format!(r#"{{"unit":{{"months":3}},"zone":"Europe/Berlin","offset_us":0{usual}"#)
    );
    assert_eq!(
        of("{hopping: {size: 6h, every: 4h}, stamps: end}"),
        r#"{"size_us":7200000000,"span":3,"hop":2,"lateness_us":0,"stamps":"end","gaps":"Auto"}"#
    );
}

#[test]
fn windows_that_overlap_are_of_panes_of_one_unit() {
    let grid = |window: &str| match plan(&SMALLEST.replace("{tumbling: 1h}", window)).window.kind {
        WindowKind::Grid(grid) => grid,
        other => panic!("{other:?}"),
    };
    assert_eq!(grid("{hopping: {size: 1h, every: 1h}}"), grid("{tumbling: 1h}"));
    assert_eq!(grid("{hopping: {size: 1y, every: 1mo}}"), grid("{tumbling: 1mo}").grouped(12, 1));
    assert_eq!(grid("{hopping: {size: 4w, every: 1w}}"), grid("{tumbling: 1w}").grouped(4, 1));
    let days = grid("{tumbling: 1d, zone: Europe/Berlin}").grouped(7, 1);
    assert_eq!(grid("{hopping: {size: 7d, every: 1d}, zone: Europe/Berlin}"), days);

    let cases = [
        ("{size: 1h}", "4:10: window.hopping: needs every (write it like { size: 6h, every: 1h })"),
        (
            "{size: 1h, every: 2h}",
            "4:30: window.hopping.every: 2h is longer than a window, 1h: records between two would be in none \
             (write what is as long, or shorter)",
        ),
        (
            "{size: 1mo, every: 1d}",
            "4:31: window.hopping.every: 24h and 1mo are of different units (write both as a time, as weeks, or as months)",
        ),
        (
            "{size: 6w, every: 2w}",
            "4:30: window.hopping.every: 2w: which weeks go together is not said (write 1w, or 14d and offset)",
        ),
        (
            "{size: 366d, every: 1m}",
            "4:20: window.hopping.size: a window has 527040 times what it has in common with every (at most 10000 times)",
        ),
    ];
    let late = "{hopping: {size: 1h, every: 1m}, lateness: 10d}";
    let fault = "4:42: window.lateness: keeps 14400 panes of windows open, at most 10000";
    assert_eq!(faults(&SMALLEST.replace("{tumbling: 1h}", late)), [fault]);
    for (hopping, fault) in cases {
        assert_eq!(faults(&SMALLEST.replace("{tumbling: 1h}", &format!("{{hopping: {hopping}}}"))), [fault]);
    }
}

#[test]
fn the_smallest_pipeline_has_every_default() {
    let plan = plan(SMALLEST);
    let SourceSpec::Kafka(kafka) = &plan.source else { panic!("not Kafka") };
    assert_eq!((kafka.client.brokers.as_str(), kafka.group.as_str()), ("localhost:9092", "weather"));
    assert_eq!(
        (kafka.start, plan.records.format, plan.name.as_str()),
        (StartFrom::Warm, WireFormat::Json, "weather")
    );
    assert_eq!(plan.window.select, [("temp".to_string(), "avg(\"temp\")".to_string())]);
    assert_eq!((plan.window.lateness_us, plan.window.gaps), (0, Gaps::Auto));
    let forecast = plan.targets.shared();
    assert_eq!(
        (&forecast.features[..], &forecast.horizons[..]),
        (&["temp".to_string()][..], &[Horizon(1)][..])
    );
    assert_eq!((&forecast.levels[..], forecast.season), (&[0.9][..], Some(24)));
    assert_eq!((&forecast.experts[..], forecast.mixture), (ExpertKind::ALL, MixtureRule::Boa));
    assert_eq!(forecast.correction, Correction::PTracker);
    assert!(!forecast.direction);
    let model = &forecast.model;
    assert_eq!((model.cell, model.hidden, model.layers, model.bptt), (CellKind::Gru, 32, 1, 32));
    assert_eq!(model.loss, Loss::Huber { delta: 1.5 });
    assert_eq!((model.scope, model.replay, model.seed, model.backend), (Scope::Shared, 2, 1, Backend::Fused));
    assert_eq!((model.stride, model.clip, model.ema, model.skip), (1, 1.0, 0.995, true));
    assert_eq!(model.optimizer, Optimizer::adam(1e-3));
    assert!(matches!(plan.sinks.forecasts, Some(SinkSpec::Stdout(_))));
    assert!(plan.sinks.scores.is_none() && plan.sinks.rejects.is_none() && plan.serve.http.is_none());
    assert!(matches!(plan.state, Some(StateSpec::Dir(dir)) if dir == Path::new("/base/state/weather")));
    assert_eq!((plan.commit_every, plan.delivery), (Duration::from_millis(100), Delivery::AtLeastOnce));
    assert_eq!(plan.recover_within, Duration::from_secs(10));
    assert!(plan.workers >= 1);
}

#[test]
fn a_generated_pipeline_needs_neither_key_nor_time_and_keeps_no_state() {
    let plan =
        plan("source: {generate: {process: weather}}\nwindow: {tumbling: 1m}\nforecast: {target: Temp}\n");
    assert_eq!((plan.key.columns(), plan.time.from.column()), (&["series".to_owned()][..], Some("time")));
    assert!(plan.state.is_none() && plan.delivery == Delivery::AtLeastOnce);
    assert_eq!(plan.window.select[0].1, "avg(\"Temp\")");
    let SourceSpec::Generate(generate) = plan.source else { panic!("not generated") };
    assert_eq!((generate.series, generate.ticks, generate.seed, generate.partitions), (10, 100_000, 1, 1));
    assert_eq!((generate.rate, generate.process), (None, Process::Weather));
}

#[test]
fn a_file_tells_its_format_by_name_or_by_key() {
    let file = |block: &str| SMALLEST.replace("{kafka: {topic: t}}", block);
    let cases = [
        ("{file: {path: a.csv.gz}, format: json}", FileFormat::Csv, "/base/a.csv.gz"),
        ("{file: {path: /x/a.jsonl.zst}}", FileFormat::Ndjson, "/x/a.jsonl.zst"),
        ("{file: {path: a.parquet}}", FileFormat::Parquet, "/base/a.parquet"),
        ("{file: {path: '-'}, format: csv}", FileFormat::Csv, "-"),
        ("{file: {path: a.avro}}", FileFormat::Avro, "/base/a.avro"),
        ("{file: {path: a.bin}, format: avro}", FileFormat::Avro, "/base/a.bin"),
        ("{file: {path: 'd/2024-*.csv.gz'}}", FileFormat::Csv, "/base/d/2024-*.csv.gz"),
        ("{file: {path: 'd/'}}", FileFormat::ByName, "/base/d/"),
        ("{file: {path: 'd/*'}}", FileFormat::ByName, "/base/d/*"),
        ("{file: {path: 'd/*'}, format: json}", FileFormat::Ndjson, "/base/d/*"),
    ];
    for (block, format, path) in cases {
        let SourceSpec::File(source) = plan(&file(block)).source else { panic!("not a file") };
        assert_eq!((source.format, source.path.as_path()), (format, Path::new(path)), "{block}");
    }
    let unclear = r#"1:17: source.file.path: no format is known for "-" (add source.format: json, csv or avro; a directory's path ends with /)"#;
    assert_eq!(faults(&file("{file: {path: '-'}}")), [unclear]);
}

#[test]
fn all_faults_are_listed_at_once_in_the_order_of_the_file() {
    let text = "nmae: x
source:
  kafka: { topic: 'a b', start: begin }
  file: { path: a.csv }
key: at
time: at
window:
  tumbling: 10
  lateness: 10 bananas
  select: { 1x: 'avg(x)', __y: max(y), wind: '' }
forecast:
  target: temp
  horizon: [1]
  horizons: [6, 0, six, 6]
  levels: [0.9, 1.5, 0.90]
  season: 1
  experts: [naiv]
  model: { hidden: 5000, cell: gruu, bptt: 10, optimizer: { adam: { lr: 0 } } }
sinks:
  forecasts: { stdout: {}, file: { path: out.parquet } }
  scores: parquet
workers: two
workers: 3
";
    let expected = [
        r#"1:1: nmae: unknown key; did you mean "name"?"#,
        "3:12: source.kafka.topic: not a topic name (letters, digits, '.', '_' and '-', at most 249)",
        r#"3:26: source.kafka.start: unknown word "begin" (one of warm, earliest, latest)"#,
        "4:3: source.file: only one of kafka, file, http, mqtt, generate; kafka is there already",
        r#"6:1: time: "at" is the key already"#,
        "8:3: window.tumbling: a duration without its unit (which unit: 10ms, 10s, 10m, 10h or 10d?)",
        r#"9:3: window.lateness: invalid duration "10 bananas" (write it like 10m)"#,
        r#"10:13: window.select.1x: "1x" cannot be a column name (letters, digits and _, not a digit first, not __ first)"#,
        r#"10:27: window.select.__y: "__y" cannot be a column name (letters, digits and _, not a digit first, not __ first)"#,
        "10:40: window.select.wind: no expression (write it like avg(temp))",
        r#"12:3: forecast.target: "temp" is not in window.select (valid here: 1x, __y, wind)"#,
        r#"13:3: forecast.horizon: unknown key; did you mean "horizons"?"#,
        "14:17: forecast.horizons[1]: 0 is too small, at least 1",
        r#"14:20: forecast.horizons[2]: needs a whole number, not "six""#,
        "14:25: forecast.horizons[3]: listed twice",
        "15:17: forecast.levels[1]: 1.5 is not between 0 and 1 (write it like 0.9)",
        "15:22: forecast.levels[2]: listed twice",
        "16:3: forecast.season: 1 is too small, at least 2",
        r#"17:13: forecast.experts[0]: unknown word "naiv"; did you mean "naive"? (one of naive, seasonal_naive, ewma, rls, rnn)"#,
        "18:12: forecast.model.hidden: 5000 is too large, at most 1024",
        r#"18:26: forecast.model.cell: unknown word "gruu"; did you mean "gru"? (one of rnn, lstm, gru)"#,
        "18:38: forecast.model.bptt: 10 is too small, at least the longest horizon + 8 = 14",
        "18:69: forecast.model.optimizer.adam.lr: 0 is not a learning rate between 0 and 1 (write it like 3e-4)",
        "20:28: sinks.forecasts.file: only one of stdout, file, kafka; stdout is there already",
        "20:36: sinks.forecasts.file.path: needs a directory, not a file (it gets one file a partition; the format is a key beside file)",
        r#"21:3: sinks.scores: unknown sink "parquet" (stdout, { file: … } or { kafka: … })"#,
        "23:1: workers: written twice, first in line 22",
    ];
    let found = faults(text);
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_key_of_an_older_version_is_told_what_is_in_its_place() {
    let faults = faults(&smallest_and("snapshot_every: 30s"));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].contains("snapshot_every: unknown key (recover_within is in its place: "),
        "{faults:?}"
    );
}

#[test]
fn missing_keys_are_named_at_their_parents() {
    assert_eq!(
        faults("source: {}\nwindow:\nforecast: {season: 2}\n"),
        [
            "1:1: source: needs one of kafka, file, http, mqtt, generate",
            "1:1: time: missing (the column that holds a record's time)",
            "2:1: window: missing (write it like window: { tumbling: 1h })",
            "3:1: forecast.target: missing (the column to forecast)",
        ]
    );
    assert_eq!(faults("source: words\nwindow: []\nforecast: 1\n").len(), 3);
    assert_eq!(faults(""), ["1:1: needs a block of keys, not nothing"]);
    assert_eq!(faults("just words"), ["1:1: needs a block of keys, not \"just words\""]);
}

#[test]
fn what_is_not_yaml_is_one_fault() {
    let found = faults("source: {kafka: {topic: ${T}}}\nkey: [\n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("not YAML") && found[0].contains("in quotes"), "{found:?}");
    let missing = load(Path::new("/nowhere/a.yaml"), &[]).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/a.yaml: cannot be read: "), "{missing}");
}

#[test]
fn a_plain_scalar_is_typed_after_its_variable_is_filled() {
    assert_eq!(plan(&smallest_and("workers: ${N}")).workers, 3);
    assert_eq!(plan(&smallest_and("workers: ${M:-2}")).workers, 2);
    assert_eq!(
        faults(&smallest_and("workers: \"${N}\"")),
        [r#"6:1: workers: needs a whole number, not "3""#]
    );
    assert_eq!(
        faults(&smallest_and("workers: ${M}")),
        ["6:1: workers: the environment variable M is not set"]
    );
    assert_eq!(
        faults(&smallest_and("name: ${M:?call ops}")),
        ["6:1: name: the environment variable M is not set: call ops"]
    );
}

#[test]
fn settings_of_the_command_line_replace_and_add() {
    let sets = [
        "workers=7",
        "forecast.horizons=[1, 2]",
        "forecast.model.optimizer.adam.lr=1e-3",
        "source.kafka.properties.sasl.username=me",
        "source.kafka.brokers=b:9092",
        "name=a=b",
    ];
    let Err(named) = with_sets(SMALLEST, &sets) else { panic!("a name with =") };
    assert!(named.to_string().starts_with("--set: name: \"a=b\" cannot be a name"), "{named}");
    let plan = with_sets(SMALLEST, &sets[..5]).unwrap().plan;
    assert_eq!((plan.workers, plan.targets.shared().horizons.clone()), (7, vec![Horizon(1), Horizon(2)]));
    assert_eq!(plan.targets.shared().model.optimizer, Optimizer::adam(1e-3));
    let SourceSpec::Kafka(kafka) = plan.source else { panic!("not Kafka") };
    assert_eq!(kafka.client.brokers, "b:9092");
    assert_eq!(kafka.client.properties, [("sasl.username".to_string(), "me".to_string())]);
}

#[test]
fn a_bad_setting_is_a_fault_of_the_command_line() {
    let cases = [
        ("workers", "--set: not a setting (write it like --set forecast.season=24)"),
        (".x=1", "--set: .x: not a setting (write it like --set forecast.season=24)"),
        ("key.x=1", "--set: key.x: key has no keys to set; set it as a whole"),
        ("workrs=1", "--set: workrs: unknown key; did you mean \"workers\"?"),
        ("window.tumbling=[", "--set: window.tumbling: its value is not YAML"),
        ("window.lateness=soon", "--set: window.lateness: invalid duration \"soon\" (write it like 10m)"),
    ];
    for (set, fault) in cases {
        assert_eq!(with_sets(SMALLEST, &[set]).unwrap_err().to_string(), fault);
    }
}

#[test]
fn secrets_come_from_files_and_scalars_become_text() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "hunter2\n").unwrap();
    let text = "{topic: t, properties: {sasl.password_file: pw, linger.ms: 10, enable.x: true, v: 1.10}}";
    let text = SMALLEST.replace("{topic: t}", text);
    let pipeline = parse(&text, "weather.yaml", dir.path(), &[], &|_| None).unwrap();
    assert!(!format!("{pipeline:?}").contains("hunter2"));
    let SourceSpec::Kafka(kafka) = pipeline.plan.source else { panic!("not Kafka") };
    let expected = [("sasl.password", "hunter2"), ("linger.ms", "10"), ("enable.x", "true"), ("v", "1.10")];
    assert_eq!(kafka.client.properties, expected.map(|(name, value)| (name.to_string(), value.to_string())));
}

#[test]
fn no_fault_shows_a_secret() {
    let properties = [
        "{sasl.password: hunter2, sasl.password_file: hunter2}",
        "{sasl.password: hunter2, sasl.password: hunter2}",
        "{sasl.password: [hunter2]}",
        "{ssl.key.password: {hunter2: hunter2}}",
        "{sasl.password_file: hunter2}",
        "{sasl.jaas.config: 'a${hunter2'}",
        "{sasl.password: 'a${hunter2}b'}",
        "{sasl.password: !secret hunter2}",
        "sasl.password=hunter2",
        "[hunter2]",
        "{group.id: hunter2}",
    ];
    for properties in properties {
        let text = SMALLEST.replace("{topic: t}", &format!("{{topic: t, properties: {properties}}}"));
        let faults = with_sets(&text, &[]).unwrap_err();
        assert!(!format!("{faults:?} {faults}").contains("hunter2"), "{properties}: {faults}");
    }
    for set in ["source.kafka.properties.sasl.password=[hunter2", "password hunter2", "sasl.password=hunter2"]
    {
        let faults = with_sets(SMALLEST, &[set]).unwrap_err();
        assert!(!format!("{faults:?}").contains("hunter2"), "{faults}");
    }
    let misplaced = SMALLEST.replace("{topic: t}", "{topic: t, sasl.password: hunter2}");
    assert!(!faults(&misplaced)[0].contains("hunter2"));
}

#[test]
fn sinks_inherit_the_brokers_of_the_source() {
    let kafka = "{topic: t, brokers: 'b:1', properties: {a: 1}}";
    let text = SMALLEST.replace("{topic: t}", kafka)
        + "sinks: {forecasts: stdout, scores: {kafka: {topic: s}}, rejects: {file: {path: out/}}}\n";
    let sinks = plan(&text).sinks;
    let Some(SinkSpec::Kafka(KafkaSinkSpec { to: KafkaTopicSpec { client, .. }, .. })) = sinks.scores else {
        panic!("no scores")
    };
    assert_eq!((client.brokers.as_str(), client.properties.len()), ("b:1", 1));
    let Some(SinkSpec::File(FileSinkSpec { dir, format })) = sinks.rejects else { panic!("no rejects") };
    assert_eq!((dir.as_path(), format), (Path::new("/base/out/"), SinkFileFormat::Ndjson));
    let looped = smallest_and("sinks: {scores: {kafka: {topic: t, group: g}}}");
    assert_eq!(
        faults(&looped),
        [
            "6:26: sinks.scores.kafka.topic: is the source's topic: the pipeline would read what it writes",
            "6:36: sinks.scores.kafka.group: belongs to a source, not to a sink",
        ]
    );
}

#[test]
fn the_target_is_the_first_feature_whatever_the_order() {
    let select = "  select: {wind: max(wind), temp: avg(temp), rain: sum(rain)}\n";
    let block =
        |forecast| forecasting(forecast).replace("{tumbling: 1h}\n", &format!("\n  tumbling: 1h\n{select}"));
    assert_eq!(plan(&block("{target: temp}")).targets.shared().features, ["temp", "wind", "rain"]);
    assert_eq!(plan(&block("{target: temp, features: [rain]}")).targets.shared().features, ["temp", "rain"]);
    assert_eq!(
        faults(&block("{target: temp, features: [rainn, wind, wind]}")),
        [
            r#"7:37: forecast.features[0]: "rainn" is not in window.select; did you mean "rain"?"#,
            "7:50: forecast.features[2]: listed twice",
        ]
    );
}

#[test]
fn bptt_follows_the_longest_horizon() {
    assert_eq!(plan(&forecasting("{target: temp, horizons: [48, 1]}")).targets.shared().model.bptt, 56);
    assert_eq!(
        plan(&forecasting("{target: temp, horizons: [48, 1]}")).targets.shared().horizons,
        [Horizon(1), Horizon(48)]
    );
    let far = faults(&forecasting("{target: temp, horizons: [5000]}"));
    assert!(far[0].contains("forecast.horizons: a horizon of 5000 needs more"), "{far:?}");
    let empty = faults(&forecasting("{target: temp, horizons: [], levels: [], experts: []}"));
    assert_eq!(empty.len(), 3, "{empty:?}");
}

#[test]
fn a_season_that_is_not_said_is_the_usual_one() {
    let seasons = |more: &str| {
        let forecast = plan(&forecasting(&format!("{{target: temp{more}}}"))).targets.shared().clone();
        (forecast.season, forecast.week)
    };
    assert_eq!(seasons(""), (Some(24), Some(168)));
    assert_eq!(seasons(", calendar: [hour]"), (Some(24), None));
    assert_eq!(seasons(", calendar: [day_of_week]"), (Some(24), Some(168)));
    assert_eq!(seasons(", season: 12"), (Some(12), None));
    assert_eq!(seasons(", season: none"), (None, None));
    let unknown = faults(&forecasting("{target: temp, season: daily}"));
    assert!(
        unknown[0].ends_with("season: unknown word \"daily\" (the only word here is none)"),
        "{unknown:?}"
    );
}

#[test]
fn bounds_are_given_learned_or_none() {
    let bounds = |bounds: &str| {
        plan(&forecasting(&format!("{{target: temp, bounds: {bounds}}}"))).targets.shared().bounds
    };
    assert_eq!(bounds("{min: 0, max: 100}"), Bounds { min: Some(0.0), max: Some(100.0), learned: true });
    assert_eq!(bounds("{max: 1e3}"), Bounds { min: None, max: Some(1e3), learned: true });
    assert_eq!(bounds("none"), Bounds { min: None, max: None, learned: false });
    let crossed = faults(&forecasting("{target: temp, bounds: {min: 3, max: 3}}"));
    let expected = "forecast.bounds: min 3 is not below max 3 (write it like { min: 0, max: 100 })";
    assert!(crossed[0].ends_with(expected), "{crossed:?}");
}

#[test]
fn experts_and_direction_say_what_they_need() {
    let direction = |more: &str| forecasting(&format!("{{target: temp, direction: true{more}}}"));
    let found = plan(&direction("")).targets.shared().clone();
    assert_eq!(found.model.loss, Loss::Directed { point: Box::new(Loss::Huber { delta: 1.5 }) });
    let none = faults(&direction(", season: none, experts: [naive, seasonal_naive]"));
    let expected = [
        "5:40: forecast.direction: it is the network's (add rnn to forecast.experts)",
        "5:63: forecast.experts[1]: seasonal_naive needs a season (write forecast.season, in windows)",
    ];
    assert_eq!(none.len(), 2, "{none:?}");
    for (found, expected) in none.iter().zip(expected) {
        assert!(found.ends_with(expected.split_once(": ").unwrap().1), "{found}");
    }
}

#[test]
fn a_later_stage_can_say_where_its_fault_is() {
    let pipeline = with_sets(SMALLEST, &[]).unwrap();
    let fault = pipeline.fault(&["window", "select", "temp"], "no such function");
    assert_eq!(fault.to_string(), "weather.yaml:4:1: window.select.temp: no such function");
}

#[test]
fn the_schema_describes_the_keys_with_their_words_and_bounds() {
    let schema = schema();
    let of = |pointer: &str| schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} in {schema:#}"));
    assert_eq!(of("/additionalProperties"), false);
    assert_eq!(of("/properties/workers/maximum"), 1024);
    assert!(of("/properties/commit_every/description").as_str().unwrap().contains("100ms"));
    assert_eq!(of("/required/0"), "source");
    let words = of("/$defs/Calendar").to_string();
    assert!(words.contains("day_of_week"), "{words}");
    assert_eq!(of("/$defs/RawSchedule/anyOf/0/const"), "constant");
    let description = |pointer: &str| of(&format!("{pointer}/description")).as_str().unwrap();
    assert!(description("/properties/state").contains("`NAME.state`"));
    assert!(description("/properties/delivery").contains("exactly_once where all ends can"));
    assert!(!of("/$defs/RawState").to_string().contains("Not yet built"));
    assert!(!of("/$defs/Delivery").to_string().contains("Not yet built"));
    assert!(of("/$defs/RawModel/properties/stride/description").as_str().unwrap().contains("Default: 1"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,80}", set in "[a-z.=\\[\\]{}$:]{0,20}") {
        let _ = with_sets(&text, &[&set]);
    }

    #[test]
    fn no_mutation_of_a_pipeline_panics(at in 0..CONTRACT.len(), len in 0..40usize, new in "[a-z0-9:{}\\[\\],&*!?'\"\n $~.-]{0,6}") {
        let end = (at + len).min(CONTRACT.len());
        let mutated = format!("{}{new}{}", &CONTRACT[..at], &CONTRACT[end..]);
        if let Err(faults) = with_sets(&mutated, &[]) {
            prop_assert!(!faults.0.is_empty());
            prop_assert_eq!(faults.to_string().lines().count(), faults.0.len());
        }
    }
}
