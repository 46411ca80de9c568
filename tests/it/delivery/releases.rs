//! States that were written by releases: each is gone on from as if it were our own.
//! `TICKCAST_WRITE_STATES=1 cargo test --test it releases` writes the newest one anew; an older one
//! is never touched again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::pipeline::{Runner, TestPipeline};

/// Whose states are kept. The last one is written by this release.
const RELEASES: [&str; 1] = ["0.1.0"];

const PIPELINE: &str = "
name: kept
source: { file: { path: in.ndjson } }
key: k
time: t
window: { tumbling: 10s, lateness: 3s, select: { x: avg(v), n: count(*) } }
forecast: { target: TARGET, horizons: [1, 3], season: 6, model: { cell: gru, hidden: 4, bptt: 12, replay: 1 } }
delivery: exactly_once
state: { dir: state }
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";
/// One target, and several; each has a folder of its own.
const TARGETS: [(&str, &str); 2] = [("", "x"), ("-targets", "[x, n]")];
const RECORDS: i64 = 900;
const KEPT: u64 = 600;

fn input() -> String {
    let line = |n: i64| {
        let (k, t, v) =
            (n % 2, (1_704_067_200 + n) * 1_000_000, (n % 60) as f64 + (n * 37 % 101) as f64 / 7.0);
        if n % 97 == 5 { "broken\n".to_owned() } else { format!("{{\"k\":\"s{k}\",\"t\":{t},\"v\":{v}}}\n") }
    };
    (0..RECORDS).map(line).collect()
}

fn bench(target: &str) -> TestPipeline {
    let bench = TestPipeline::new(&PIPELINE.replace("TARGET", target));
    bench.write("in.ndjson", input());
    bench
}

fn folder(release: &str, suffix: &str) -> PathBuf {
    Path::new("tests/fixtures/states").join(format!("{release}{suffix}"))
}

/// All files of a folder and of those in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn write(release: &str, (suffix, target): (&str, &str)) {
    let bench = bench(target);
    bench.run_until(Runner::Inline, 64, Some(KEPT));
    for part in ["state", "out"] {
        let to = folder(release, suffix).join(part);
        _ = fs::remove_dir_all(&to);
        copy(&bench.path(part), &to);
    }
}

/// A line without the path of the input, which a reject names.
fn of_any_folder(line: &str) -> String {
    let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
    line.as_object_mut().unwrap().remove("topic");
    line.to_string()
}

#[test]
fn releases_left_states_that_are_gone_on_from() {
    for (suffix, target) in TARGETS {
        if std::env::var_os("TICKCAST_WRITE_STATES").is_some() {
            write(RELEASES[RELEASES.len() - 1], (suffix, target));
        }
        let whole = bench(target);
        whole.run(Runner::Inline, 64);
        let expected = whole.out();
        RELEASES.iter().for_each(|release| is_gone_on_from(&folder(release, suffix), target, &expected));
    }
}

fn is_gone_on_from(kept: &Path, target: &str, expected: &BTreeMap<String, String>) {
    let (bench, release) = (bench(target), kept.display());
    copy(kept, bench.dir.path());
    let before = bench.out_lines("forecasts-0.ndjson");
    let summary = bench.run(Runner::Threads(1), 50);
    assert!(before > 0 && summary.records < RECORDS as u64, "{release}: it began anew");

    for (name, text) in bench.out() {
        let lines = |text: &str| text.lines().map(of_any_folder).collect::<Vec<_>>();
        let (found, should) = (lines(&text), lines(&expected[&name]));
        let same = found.iter().zip(&should).take_while(|(is, should)| is == should).count();
        assert!(found == should, "{release}: {name}: {same} lines of {} are right", found.len());
    }
}
