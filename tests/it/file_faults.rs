//! Faults of a run whose results and state are files: deaths at every step of a commit, a full disk, one that cannot be
//! written, a second run on the same state. It must not know how exactly once is made: it sees files and exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cli::get;
use crate::instance::{Instance, StartFrom, wait_for};
use crate::support::{Runner, TestPipeline};

const PATIENCE: Duration = Duration::from_secs(60);

fn pipeline(rate: u32) -> String {
    format!(
        "
name: files
source: {{ generate: {{ series: 8, ticks: 16000, rate: {rate}, seed: 5, process: market, partitions: 2 }} }}
window: {{ tumbling: 30s, select: {{ price: avg(price) }} }}
forecast: {{ target: price, horizons: [1, 2], model: {{ cell: lstm, hidden: 6, bptt: 10, replay: 1 }} }}
delivery: exactly_once
state: {{ dir: disk/state }}
commit_every: 20ms
snapshot_every: 100ms
workers: 2
sinks:
  forecasts: {{ file: {{ path: disk/out }} }}
  scores: {{ file: {{ path: disk/out }} }}
"
    )
}

fn out(bench: &TestPipeline) -> std::collections::BTreeMap<String, String> {
    crate::support::read_dir(&bench.path("disk/out"))
}

fn undisturbed() -> std::collections::BTreeMap<String, String> {
    let bench = TestPipeline::new(&pipeline(1_000_000));
    bench.run(Runner::Inline, 512);
    out(&bench)
}

fn start(bench: &TestPipeline, start: &StartFrom) -> Instance {
    Instance::start(&bench.file(), &bench.path("log"), start)
}

fn assert_same(bench: &TestPipeline) {
    let (found, expected) = (out(bench), undisturbed());
    assert_eq!(found.len(), expected.len());
    for (name, text) in &expected {
        let lines = (found[name].lines().count(), text.lines().count());
        assert!(found[name] == *text, "{name}: {} lines, undisturbed {}", lines.0, lines.1);
    }
}

#[test]
fn faults_a_death_at_any_step_of_a_commit_to_files_changes_no_byte() {
    let bench = TestPipeline::new(&pipeline(6000));
    for (nth, step) in ["begin", "produced", "offsets", "commit", "committed"].into_iter().enumerate() {
        let points = Some(format!("ledger.{step}={}*off->return", 2 + nth * 3));
        let mut instance = start(&bench, &StartFrom { fail_points: points, ..StartFrom::default() });
        let status = instance.ended_within(PATIENCE).expect("its death");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(6),
            "{}",
            instance.last_words()
        );
    }
    let status = start(&bench, &StartFrom::default()).ended_within(PATIENCE).expect("its end");
    assert_eq!(status.code(), Some(0));
    assert_same(&bench);
}

/// A small disk of its own at `disk/`, gone when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// None, where this user may not mount.
    fn mount(test: &str, at: &Path, options: &str) -> Option<Disk> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Disk(at.to_owned()));
        }
        let said = format!("\nSKIPPED {test}: this user cannot mount a small disk\n");
        let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
        None
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn faults_a_full_disk_is_waited_for_and_said() {
    let bench = TestPipeline::new(&pipeline(4000));
    let test = "faults_a_full_disk_is_waited_for";
    let Some(_disk) = Disk::mount(test, &bench.path("disk"), "size=12m") else { return };
    let filler = bench.path("disk/filler");
    // Room for half a megabyte: the results take more.
    std::fs::write(&filler, vec![0; (12 << 20) - (512 << 10)]).unwrap();
    let serving = StartFrom { sets: vec!["serve.http=127.0.0.1:0".into()], ..StartFrom::default() };
    let mut instance = start(&bench, &serving);
    let http = instance.http();
    wait_for("503 that says why", PATIENCE, || {
        assert!(instance.ended().is_none(), "{}", instance.last_words());
        let ready = get(&http, "/ready");
        (ready.starts_with("HTTP/1.1 503") && ready.contains("No space left")).then_some(())
    });
    assert!(instance.said().contains("No space left"), "{}", instance.last_words());
    std::fs::remove_file(&filler).unwrap();
    let status = instance.ended_within(PATIENCE).expect("its end");
    assert_eq!(status.code(), Some(0), "{}", instance.last_words());
    assert_same(&bench);
}

#[test]
fn faults_a_disk_that_cannot_be_written_ends_the_run_with_its_name() {
    let bench = TestPipeline::new(&pipeline(1_000_000));
    let test = "faults_a_disk_that_cannot_be_written";
    let Some(_disk) = Disk::mount(test, &bench.path("disk"), "ro") else { return };
    let said = start(&bench, &StartFrom::default()).fails_within(PATIENCE);
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(error.contains("disk/") && error.contains("Read-only file system"), "{said}");
}

#[test]
fn faults_a_second_run_on_the_same_state_is_refused_by_name() {
    let bench = TestPipeline::new(&pipeline(4000));
    let mut first = start(&bench, &StartFrom::default());
    wait_for("its hold on the state", PATIENCE, || {
        bench.path("disk/out/forecasts-0.ndjson").exists().then_some(())
    });
    let second = Instance::start(&bench.file(), &bench.path("second.log"), &StartFrom::default());
    let said = { second }.fails_within(PATIENCE);
    assert!(said.contains("another run") && said.contains("disk/state"), "{said}");
    let status = first.ended_within(PATIENCE).expect("its end");
    assert_eq!(status.code(), Some(0), "{}", first.last_words());
    assert_same(&bench);
}
