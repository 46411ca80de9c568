//! `model export` and `model import`: learned weights go out of the state of one run and into the
//! state of another, and everything that cannot work is refused.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tickcast_connect::ledger::{Hold, SnapshotDir};
use tickcast_model::file;

use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{binary, tickcast};

const WEATHER: &str = "
name: weather
source: { file: { path: in.csv } }
key: station
time: observed_at
window: { tumbling: 1h, select: { temp: avg(temp), wind: max(wind_speed) } }
forecast:
  target: temp
  experts: [rnn]
  horizons: [1, 3]
  calendar: [hour]
  model: { cell: gru, hidden: 6, bptt: 11, replay: 0, optimizer: { adam: { lr: 3e-3 } }, scope: SCOPE }
state: { dir: state }
sinks: { forecasts: { file: { path: out/ } } }
";

/// The pipeline on the first hours of the bundled weather.
fn weather(scope: &str) -> TestPipeline {
    bench(&WEATHER.replace("SCOPE", scope))
}

fn bench(yaml: &str) -> TestPipeline {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/data/nyc-weather.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(bundled).unwrap()).read_to_string(&mut text).unwrap();
    let bench = TestPipeline::new(yaml);
    bench.write("in.csv", text.split_inclusive('\n').take(2401).collect::<String>());
    bench
}

/// `tickcast model ARGS` on the bench's pipeline and its file `W`.
fn model(bench: &TestPipeline, verb: &str, weights: &str, more: &[&str]) -> Output {
    let mut command = binary();
    command.args(["model", verb]).arg(bench.file()).arg("--file").arg(bench.path(weights)).args(more);
    command.output().unwrap()
}

fn done(output: Output) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// What stderr said of a failure with this exit code.
fn failed(output: Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

fn forecasts(bench: &TestPipeline) -> Vec<Value> {
    let text = fs::read_to_string(bench.path("out/forecasts-0.ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The tensors' bytes of a weights file, without its header.
fn data(bytes: &[u8]) -> &[u8] {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    &bytes[8 + length..]
}

/// The bytes of every file of the state but the lock.
fn state(bench: &TestPipeline) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(bench.path("state")).unwrap().map(|entry| entry.unwrap());
    let files = files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()));
    files.filter(|(name, _)| name != "lock").collect()
}

#[test]
fn a_run_from_imported_weights_knows_at_once_what_the_other_learned() {
    let taught = weather("shared");
    taught.run(Runner::Inline, 500);
    let said = done(model(&taught, "export", "w.safetensors", &[]));
    assert!(said.contains("the average weights of partition 0"), "{said}");
    let weights = fs::read(taught.path("w.safetensors")).unwrap();
    let metadata = file::metadata(&weights).unwrap();
    for (key, value) in
        [("cell", "gru"), ("features", "temp, wind"), ("horizons", "1, 3"), ("weights", "average")]
    {
        assert_eq!(metadata[key], value);
    }
    assert!(metadata["updates"].parse::<u64>().unwrap() > 500, "{metadata:?}");
    done(model(&taught, "export", "raw.safetensors", &["--weights", "raw", "--partition", "0"]));
    assert_ne!(data(&fs::read(taught.path("raw.safetensors")).unwrap()), data(&weights));

    let fresh = weather("shared");
    fresh.write("w.safetensors", &weights);
    let said = done(model(&fresh, "import", "w.safetensors", &[]));
    assert!(said.contains("no partition has state yet; new networks begin with it"), "{said}");
    fresh.run(Runner::Threads(1), 500);
    let untaught = |forecast: &&Value| forecast["model_updates"] == 0;
    for forecast in forecasts(&taught).iter().filter(untaught) {
        assert_eq!((&forecast["forecast"], &forecast["expert"]), (&forecast["naive"], &"naive".into()));
    }
    let differ = forecasts(&fresh);
    let differ = differ.iter().filter(untaught).filter(|made| made["forecast"] != made["naive"]);
    let experts: Vec<&Value> = differ.map(|made| &made["expert"]).collect();
    assert!(!experts.is_empty() && experts.iter().all(|expert| **expert == "rnn"), "{experts:?}");
}

#[test]
fn an_import_into_a_state_changes_the_weights_and_nothing_else() {
    let other = weather("shared");
    other.run(Runner::Inline, 500);
    done(model(&other, "export", "w.safetensors", &[]));
    let weights = fs::read(other.path("w.safetensors")).unwrap();

    let bench = weather("shared");
    bench.run_until(Runner::Inline, 100, Some(1200));
    let before = forecasts(&bench);
    bench.write("w.safetensors", &weights);
    assert!(done(model(&bench, "import", "w.safetensors", &[])).contains("imported into 1 partition"));
    for which in ["average", "raw"] {
        done(model(&bench, "export", "back.safetensors", &["--weights", which]));
        assert_eq!(data(&fs::read(bench.path("back.safetensors")).unwrap()), data(&weights), "{which}");
    }
    bench.run(Runner::Threads(2), 500);
    let (undisturbed, after) = (forecasts(&other), forecasts(&bench));
    // Position, windows and series are as they were: no record is read twice, and none is missing.
    let place = |made: &Value| (made["series"].clone(), made["issued_at"].clone(), made["naive"].clone());
    assert!(after.iter().map(place).eq(undisturbed.iter().map(place)));
    assert!(after[..before.len()] == undisturbed[..before.len()]);
    let new = &after[before.len()];
    assert_eq!(new["model_updates"], 0);
    assert_ne!(new["forecast"], undisturbed[before.len()]["forecast"]);
}

/// With a network a series, and a stop before the last series has come: it begins with the weights
/// all the same.
#[test]
fn an_imported_start_outlives_restarts() {
    let taught = weather("shared");
    taught.run(Runner::Inline, 500);
    done(model(&taught, "export", "w.safetensors", &[]));
    let weights = fs::read(taught.path("w.safetensors")).unwrap();
    let written = |stops: &[u64]| {
        let bench = weather("series");
        bench.write("w.safetensors", &weights);
        done(model(&bench, "import", "w.safetensors", &[]));
        for stop in stops {
            bench.run_until(Runner::Threads(1), 1, Some(*stop));
        }
        bench.run(Runner::Threads(2), 100);
        bench.out()
    };
    assert!(written(&[1, 500]) == written(&[]));
}

#[test]
fn each_series_can_have_its_own() {
    let bench = weather("series");
    bench.run(Runner::Inline, 500);
    let which = failed(model(&bench, "export", "w.safetensors", &[]), 1);
    assert!(which.contains("say whose: --series KEY; there are EWR, JFK, LGA"), "{which}");
    let unknown = failed(model(&bench, "export", "w.safetensors", &["--series", "SFO"]), 1);
    assert!(unknown.contains("no series SFO: there are EWR, JFK, LGA"), "{unknown}");
    done(model(&bench, "export", "jfk.safetensors", &["--series", "JFK"]));
    done(model(&bench, "export", "lga.safetensors", &["--series", "LGA"]));
    let jfk = fs::read(bench.path("jfk.safetensors")).unwrap();
    assert_ne!(data(&jfk), data(&fs::read(bench.path("lga.safetensors")).unwrap()));
    done(model(&bench, "import", "jfk.safetensors", &[]));
    done(model(&bench, "export", "lga.safetensors", &["--series", "LGA"]));
    assert_eq!(data(&jfk), data(&fs::read(bench.path("lga.safetensors")).unwrap()));
    let shared = weather("shared");
    shared.run_until(Runner::Inline, 100, Some(300));
    let refused = failed(model(&shared, "export", "w.safetensors", &["--series", "JFK"]), 1);
    assert!(refused.contains("--series is for scope: series"), "{refused}");
}

#[test]
fn a_bad_file_is_refused_and_the_state_is_as_it_was() {
    let bench = weather("shared");
    bench.run_until(Runner::Inline, 100, Some(600));
    done(model(&bench, "export", "w.safetensors", &[]));
    let (good, before) = (fs::read(bench.path("w.safetensors")).unwrap(), state(&bench));
    let mut not_finite = good.clone();
    let last = not_finite.len() - 4;
    not_finite[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    let wider = self::bench(&WEATHER.replace("SCOPE", "shared").replace("hidden: 6", "hidden: 7"));
    wider.run_until(Runner::Inline, 100, Some(100));
    done(model(&wider, "export", "w.safetensors", &[]));
    let cases = [
        (not_finite, "tensor skip.weight is NaN at [1, "),
        (good[..good.len() - 4].to_vec(), "cut off: its tensors take"),
        (b"PK".to_vec(), "not a safetensors file: shorter than 8 bytes"),
        (
            fs::read(wider.path("w.safetensors")).unwrap(),
            "tensor weight_ih_l0 has the shape [21, 16], this network needs [18, 16]",
        ),
    ];
    for (bytes, expected) in cases {
        bench.write("bad.safetensors", bytes);
        let refused = failed(model(&bench, "import", "bad.safetensors", &[]), 1);
        assert!(refused.contains("cannot import ") && refused.contains(expected), "{refused}");
        assert!(state(&bench) == before, "{expected}");
    }
    let missing = failed(model(&bench, "import", "none.safetensors", &[]), 1);
    assert!(missing.contains("none.safetensors: No such file"), "{missing}");
    let elsewhere = failed(model(&bench, "export", "w.safetensors", &["--partition", "3"]), 1);
    assert!(elsewhere.contains("partition 3 has no state; there are 0"), "{elsewhere}");
    let renamed = model(&bench, "export", "w.safetensors", &["--set", "forecast.horizons=[1, 2]"]);
    assert!(
        failed(renamed, 1)
            .contains("belongs to another pipeline file: forecast.horizons was [1,3], is [1,2]")
    );
}

#[test]
fn without_a_state_or_a_network_the_file_says_where() {
    let stateless = bench(&WEATHER.replace("SCOPE", "shared").replace("state: { dir: state }\n", ""));
    for verb in ["export", "import"] {
        let refused = failed(model(&stateless, verb, "w.safetensors", &[]), 78);
        assert!(refused.contains(&format!("state: model {verb} needs state: {{ dir: … }}")), "{refused}");
    }
    let in_topic = WEATHER.replace("state: { dir: state }", "state: { kafka: { topic: kept } }");
    let in_topic = bench(&in_topic.replace("SCOPE", "shared"));
    for verb in ["export", "import"] {
        let refused = failed(model(&in_topic, verb, "w.safetensors", &[]), 78);
        let expected =
            format!("state: the state is in topic kept; model {verb} needs state: {{ dir: … }} for now");
        assert!(refused.contains(&expected), "{refused}");
    }
    let naive = bench(&WEATHER.replace("SCOPE", "shared").replace("experts: [rnn]", "experts: [naive]"));
    let refused = failed(model(&naive, "export", "w.safetensors", &[]), 78);
    assert!(refused.contains(":9:3: forecast.experts: model export needs rnn"), "{refused}");
    let unused = weather("shared");
    let refused = failed(model(&unused, "export", "w.safetensors", &[]), 1);
    assert!(refused.contains("run the pipeline first"), "{refused}");
    assert!(!unused.path("state").exists());
}

#[test]
fn a_state_in_use_is_not_imported_into() {
    let bench = weather("shared");
    bench.run_until(Runner::Inline, 100, Some(300));
    done(model(&bench, "export", "w.safetensors", &[]));
    let ledger = SnapshotDir::open(&bench.path("state")).unwrap();
    let run = ledger.lock(Hold::Shared).unwrap();
    let refused = failed(model(&bench, "import", "w.safetensors", &[]), 1);
    assert!(refused.contains("another process has the state directory"), "{refused}");
    assert!(refused.contains("a run is using it; stop it first"), "{refused}");
    done(model(&bench, "export", "w.safetensors", &[]));
    drop(run);
    let _import = ledger.lock(Hold::Alone).unwrap();
    let refused = failed(tickcast("run", &bench.file(), &[]), 1);
    assert!(refused.contains("weights are being imported into it"), "{refused}");
}
