//! `train` as a user sees it: what it prints, and the file that it leaves.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;
use tickcast_stream::PartitionId;

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, groups, produce};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{binary, signal, text, tickcast};
use crate::support::readings::{self, PARTITIONS, readings};

const GENERATED: &str = "
name: ticks
source: { generate: { series: 3, ticks: 6000, process: weather } }
window: { tumbling: 1h, select: { temp: avg(temp) } }
forecast: { target: temp, model: { hidden: 4 } }
";

fn train(pipeline: &Path, file: &Path, more: &[&str]) -> Output {
    tickcast("train", pipeline, &[&["--file", file.to_str().unwrap()], more].concat())
}

/// The header of a safetensors file: its tensors by name, and how many bytes they take.
fn tensors(file: &Path) -> (BTreeMap<String, Value>, usize) {
    let bytes = std::fs::read(file).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes.len() - 8 - length)
}

/// The held-out losses by epoch, as the table on stdout has them.
fn held_out(stdout: &str) -> Vec<f64> {
    let rows = stdout.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.take_while(|row| row[0].parse::<u32>().is_ok()).map(|row| row[2].parse().unwrap()).collect()
}

#[test]
fn the_bundled_weather_is_learned_and_its_weights_are_pytorchs() {
    let bench = TestPipeline::new("");
    let file = bench.path("weather.safetensors");
    let pipeline = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/weather.yaml");
    let source = "source={file: {path: data/nyc-weather.csv.gz}, schema: ../schemas/observation.avsc}";
    let more = [
        "--epochs",
        "3",
        "--set",
        source,
        "--set",
        "forecast.model.hidden=8",
        "--set",
        "forecast.model.optimizer.adam.lr=3e-3",
    ];
    let output = train(&pipeline, &file, &more);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    let losses = held_out(stdout);
    assert_eq!(losses.len(), 4, "{stdout}");
    // Epoch 0 is naive.
    assert!(losses[3] < 0.85 * losses[0], "{stdout}");
    assert!(stdout.contains("all epochs are done") && stdout.contains("best epoch"), "{stdout}");
    assert!(text(&output.stderr).contains("26115 records, 3 series"), "{}", text(&output.stderr));

    let (tensors, bytes) = tensors(&file);
    let shapes: Vec<(&str, String)> = tensors
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(name, tensor)| (name.as_str(), tensor["shape"].to_string()))
        .collect();
    let expected = [
        ("bias_hh_l0", "[24]"),
        ("bias_ih_l0", "[24]"),
        ("head.bias", "[3]"),
        ("head.weight", "[3,8]"),
        ("skip.weight", "[3,26]"),
        ("weight_hh_l0", "[24,8]"),
        ("weight_ih_l0", "[24,26]"),
    ];
    assert_eq!(shapes, expected.map(|(name, shape)| (name, shape.to_owned())));
    assert_eq!(bytes, 4 * (24 + 24 + 3 + 24 + 78 + 192 + 624));
    assert_eq!(tensors["__metadata__"]["pipeline"], "weather");
}

#[test]
fn every_mode_trains_and_repeats_itself() {
    let bench = TestPipeline::new(GENERATED);
    for mode in ["online", "mini-batch", "full-batch"] {
        let (once, again) = (bench.path("once"), bench.path("again"));
        for file in [&once, &again] {
            let output = train(&bench.file(), file, &["--epochs", "2", "--mode", mode]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        }
        let weights = |file| {
            let bytes = std::fs::read(file).unwrap();
            bytes[bytes.len() - tensors(file).1..].to_vec()
        };
        assert!(weights(&once) == weights(&again), "{mode}");
    }
}

#[test]
fn a_signal_ends_it_with_the_best_weights_so_far() {
    let bench = TestPipeline::new(GENERATED);
    let file = bench.path("w.safetensors");
    let mut child = binary()
        .args(["train", bench.file().to_str().unwrap(), "--file", file.to_str().unwrap()])
        .args(["--epochs", "1000000", "--patience", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let second = stderr.find(|line| line.as_ref().unwrap().contains("epoch=2"));
    assert!(second.is_some(), "it ended before its second epoch");
    signal(&child, "INT");
    stderr.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("stopped by a signal"), "{}", text(&output.stdout));
    assert!(tensors(&file).0.contains_key("head.weight"));
    let left: Vec<_> =
        std::fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn what_cannot_be_trained_is_said_and_leaves_no_file() {
    let refused = |yaml: &str, more: &[&str], code: i32, words: &[&str]| {
        let bench = TestPipeline::new(yaml);
        let file = bench.path("w.safetensors");
        let output = train(&bench.file(), &file, more);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        words.iter().for_each(|word| assert!(stderr.contains(word), "{word:?} is not in {stderr}"));
        assert!(!file.exists());
    };
    let few = GENERATED.replace("ticks: 6000", "ticks: 90");
    refused(&few, &["--set", "forecast.horizons=[24]"], 1, &["too short", "needs 125"]);
    refused(&GENERATED.replace("avg(temp)", "avg(0 * temp)"), &[], 1, &["temp never changes"]);
    refused(GENERATED, &["--set", "forecast.experts=[naive]"], 78, &["forecast.experts", "no rnn"]);
    refused(GENERATED, &["--holdout", "1.5"], 2, &["between 0 and 1"]);
    let bench = TestPipeline::new(
        "source: { file: { path: in.ndjson } }\nkey: k\ntime: t\nwindow: { tumbling: 1m }\nforecast: { target: x }\n",
    );
    bench.write("in.ndjson", "{\"k\":\"a\",\"t\":\"2024-01-01T00:00:00Z\",\"y\":1}\n");
    let output = train(&bench.file(), &bench.path("w.safetensors"), &[]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no series: none of 1 records has a value for x"), "{stderr}");
    let lost = Path::new("/nowhere/at/all/w.safetensors");
    let bench = TestPipeline::new(GENERATED);
    let output = train(&bench.file(), lost, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write /nowhere"), "{}", text(&output.stderr));
}

#[test]
fn standard_input_is_read_to_its_end_and_rejects_are_counted() {
    let bench = TestPipeline::new(
        "source: { file: { path: \"-\" }, format: json }\nkey: k\ntime: t\nwindow: { tumbling: 1m }\n\
         forecast: { target: x, model: { hidden: 4, scope: series } }\n",
    );
    let file = bench.path("w.safetensors");
    let mut child = binary()
        .args(["train", bench.file().to_str().unwrap(), "--file", file.to_str().unwrap(), "--epochs", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for minute in 0..120 {
        let (hour, minute, x) = (minute / 60, minute % 60, minute * 37 % 11);
        writeln!(stdin, "{{\"k\":\"a\",\"t\":\"2024-01-01T{hour:02}:{minute:02}:00Z\",\"x\":{x}}}").unwrap();
        if minute == 30 {
            writeln!(stdin, "no json").unwrap();
        }
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("122 records, 1 series, 120 windows; rejected: 2 undecodable"), "{stderr}");
    assert!(stderr.contains("one network is trained on all series"), "{stderr}");
    assert!(file.exists());
}

#[test]
fn a_topic_is_read_to_its_end_and_no_group_is_left() {
    let Some(addr) = brokers_or_skip() else { return };
    let bench = readings::bench(addr, "trained");
    create_topic(addr, "trained.in", PARTITIONS);
    // The last partition stays empty.
    for partition in (0..PARTITIONS - 1).map(PartitionId) {
        produce(addr, "trained.in", partition, readings(partition, 60).iter().map(|text| text.as_bytes()));
    }
    let file = bench.path("w.safetensors");
    let output = train(&bench.file(), &file, &["--epochs", "2"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("480 records, 4 series, 60 windows; no record was rejected"), "{stderr}");
    assert!(file.exists());
    let groups = groups(addr);
    assert!(!groups.iter().any(|group| group == "trained" || group.contains("train")), "{groups:?}");
    let again = train(&bench.file(), &file, &["--epochs", "1", "--set", "source.kafka.topic=nowhere"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("topic nowhere does not exist"), "{}", text(&again.stderr));
}
