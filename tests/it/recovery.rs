//! A killed process writes before and after together what an undisturbed one writes, byte for byte.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::{Runner, TestPipeline, lines};

const PIPELINE: &str = "
name: killed
source: { generate: { series: 8, ticks: 24000, rate: RATE, seed: 5, process: market, partitions: 2 } }
window: { tumbling: 30s, select: { price: avg(price) } }
forecast: { target: price, horizons: [1, 2], model: { cell: lstm, hidden: 6, bptt: 10, replay: 1 } }
state: { dir: state }
snapshot_every: 100ms
workers: 2
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
";

fn bench(rate: &str) -> TestPipeline {
    TestPipeline::new(&PIPELINE.replace("RATE", rate))
}

#[test]
fn a_killed_run_writes_the_bytes_of_an_undisturbed_one() {
    let undisturbed = bench("1000000");
    undisturbed.run(Runner::Inline, 512);
    let expected = undisturbed.out();

    let killed = bench("12000");
    for _ in 0..3 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tickcast"))
            .arg("run")
            .arg(killed.file())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_new_snapshot(&killed);
        sleep(Duration::from_millis(130));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    killed.run(Runner::Threads(2), 512);

    for (name, text) in &killed.out() {
        let (ours, theirs) = (lines(text).len(), lines(&expected[name]).len());
        assert!(text == &expected[name], "{name}: {ours} lines, undisturbed {theirs}");
    }
    assert_eq!(killed.out().len(), expected.len());
}

fn wait_for_new_snapshot(bench: &TestPipeline) {
    let newest = |bench: &TestPipeline| {
        let files = std::fs::read_dir(bench.path("state")).ok()?;
        files
            .flatten()
            .map(|file| file.file_name())
            .filter(|n| n.to_string_lossy().ends_with(".snapshot"))
            .max()
    };
    let before = newest(bench);
    let until = Instant::now() + Duration::from_secs(30);
    while newest(bench) == before {
        assert!(Instant::now() < until, "no snapshot was written");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_state_of_another_pipeline_is_refused_by_name() {
    let bench = bench("1000000");
    bench.run(Runner::Inline, 512);
    let other =
        TestPipeline::new(&PIPELINE.replace("RATE", "1000000").replace("tumbling: 30s", "tumbling: 20s"));
    std::fs::rename(bench.path("state"), other.path("state")).unwrap();
    let pipeline = other.load();
    let progress = std::sync::Arc::new(|_| ());
    let error =
        crate::support::run(&pipeline, Runner::Threads(2), 512, Default::default(), progress).unwrap_err();
    assert!(error.to_string().contains("belongs to another pipeline file"), "{error}");
}
