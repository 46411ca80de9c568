//! Faults of a run whose results and state are files: a death at every step of a commit, a full
//! disk, a disk that cannot be written, and a second run on the same state. The file must not know
//! how exactly once is made: it sees files and exit codes.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tickcast_stream::PartitionId;

use crate::support::broker::{brokers_or_skip, skip};
use crate::support::cluster::record;
use crate::support::kafka::{create_topic, produce};
use crate::support::pipeline::{Runner, TestPipeline, read_dir};
use crate::support::process::{Instance, StartFrom, get, is_waiting_for, text, tickcast};
use crate::support::wait::wait_till;

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
recover_within: 5ms
workers: 2
sinks:
  forecasts: {{ file: {{ path: disk/out }} }}
  scores: {{ file: {{ path: disk/out }} }}
"
    )
}

fn out(bench: &TestPipeline) -> BTreeMap<String, String> {
    read_dir(&bench.path("disk/out"))
}

fn undisturbed() -> BTreeMap<String, String> {
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
    let bench = TestPipeline::new(&pipeline(4000));
    for (nth, step) in ["begin", "produced", "offsets", "commit", "committed"].into_iter().enumerate() {
        let points = format!("ledger.{step}={}*off->return", 1 + nth);
        start(&bench, &StartFrom::fail_points(&points)).aborts();
    }
    start(&bench, &StartFrom::default()).finishes();
    assert_same(&bench);
}

/// A small disk of its own at `disk/`, gone when this is dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// None, where this user may not mount.
    pub fn mount(at: &Path, options: &str) -> Option<Disk> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Disk(at.to_owned()));
        }
        skip("this user cannot mount a small disk")
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
    let Some(_disk) = Disk::mount(&bench.path("disk"), "size=12m") else { return };
    let filler = bench.path("disk/filler");
    // Room for half a megabyte: the results take more.
    std::fs::write(&filler, vec![0; (12 << 20) - (512 << 10)]).unwrap();
    let mut instance = start(&bench, &StartFrom::serving());
    let http = instance.http();
    wait_till("503 that says why", || {
        instance.lives();
        is_waiting_for(&http, "No space left")
    });
    assert!(instance.said().contains("No space left"), "{}", instance.last_words());
    std::fs::remove_file(&filler).unwrap();
    instance.finishes();
    assert_same(&bench);
}

/// F3: connections that said nothing had taken the descriptors, and the run ended where on a full
/// disk it waits. Found by hostile testing.
#[test]
fn faults_a_want_of_descriptors_is_waited_for_and_said() {
    for format in ["ndjson", "parquet"] {
        let yaml =
            pipeline(4000).replace("path: disk/out }", &format!("path: disk/out }}, format: {format}"));
        let bench = TestPipeline::new(&yaml);
        let mut instance = start(&bench, &StartFrom::default());
        let begun =
            |partition: u32| bench.path(&format!("disk/state/partition-{partition}.manifest")).exists();
        wait_till("that both partitions have begun", || begun(0) && begun(1));
        // Those that it has stay; there is no further one.
        instance.limit_files(0);
        wait_till("that it says why it waits", || {
            instance.lives();
            instance.said().contains("Too many open files")
        });
        instance.limit_files(1024);
        instance.finishes();
        let verified = tickcast("verify", &bench.file(), &[]);
        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
    }
}

/// F3, the same kind: a partition that came from another instance when there was no descriptor left
/// ended the run that was to take it over.
#[test]
fn faults_a_partition_that_finds_no_descriptor_begins_when_there_is_one() {
    let Some(addr) = brokers_or_skip() else { return };
    create_topic(addr, "scarce.in", 2);
    let bench = TestPipeline::new(&format!(
        "
name: scarce
source: {{ kafka: {{ brokers: \"{addr}\", topic: scarce.in, start: earliest }} }}
key: k
time: t
window: {{ tumbling: 10s, select: {{ x: avg(v) }} }}
forecast: {{ target: x, model: {{ hidden: 2 }} }}
delivery: exactly_once
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }} }}
"
    ));
    let feed = |from: u64| {
        for partition in [0, 1].map(PartitionId) {
            let values: Vec<String> = (from..from + 200).map(|n| record(partition, n)).collect();
            produce(addr, "scarce.in", partition, values.iter().map(String::as_bytes));
        }
    };
    let mut staying = Instance::start(&bench.file(), &bench.path("staying.log"), &StartFrom::default());
    staying.await_share();
    let mut leaving = Instance::start(&bench.file(), &bench.path("leaving.log"), &StartFrom::default());
    leaving.await_share();
    feed(0);

    staying.limit_files(0);
    leaving.stop();
    wait_till("that it says why it waits", || {
        staying.lives();
        staying.said().contains("Too many open files")
    });
    staying.limit_files(1024);
    feed(200);
    let forecasts = |partition: u32| {
        let file = std::fs::read_to_string(bench.path(&format!("out/forecasts-{partition}.ndjson")));
        file.map_or(0, |text| text.lines().count())
    };
    wait_till("forecasts of both", || {
        staying.lives();
        forecasts(0) > 50 && forecasts(1) > 50
    });
    staying.stop();
}

/// F3, the same kind: at least once, a state that could not be kept ended the run.
#[test]
fn faults_a_state_that_finds_no_descriptor_is_kept_the_next_time() {
    let once = "delivery: exactly_once";
    let bench = TestPipeline::new(&pipeline(4000).replace(once, "delivery: at_least_once"));
    let mut instance = start(&bench, &StartFrom::default());
    let begun = |partition: u32| bench.path(&format!("disk/out/scores-{partition}.ndjson")).exists();
    wait_till("that both partitions have begun", || begun(0) && begun(1));
    instance.limit_files(0);
    wait_till("that it says what it could not do", || {
        instance.lives();
        instance.said().contains("Too many open files")
    });
    instance.limit_files(1024);
    instance.finishes();
    assert_same(&bench);
}

/// F3: a thousand connections that said nothing ended the run: `cannot replace the manifest of
/// partition 0: Too many open files`. Found by hostile testing.
#[test]
fn faults_silent_connections_take_nothing_from_the_pipeline() {
    let bench = TestPipeline::new(&pipeline(1000));
    let mut instance = start(&bench, &StartFrom { files: Some(128), ..StartFrom::serving() });
    let http = instance.http();
    let mut silent = Vec::new();
    for nth in 0..400 {
        silent.push(TcpStream::connect(&http).unwrap());
        if nth % 100 == 0 {
            assert!(get(&http, "/health").starts_with("HTTP/1.1 200"));
        }
    }
    instance.lives();
    instance.finishes();
    assert_same(&bench);
    drop(silent);
}

#[test]
fn faults_a_disk_that_cannot_be_written_ends_the_run_with_its_name() {
    let bench = TestPipeline::new(&pipeline(1_000_000));
    let Some(_disk) = Disk::mount(&bench.path("disk"), "ro") else { return };
    let said = start(&bench, &StartFrom::default()).fails();
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(error.contains("disk/") && error.contains("Read-only file system"), "{said}");
}

#[test]
fn faults_a_second_run_on_the_same_state_is_refused_by_name() {
    let bench = TestPipeline::new(&pipeline(4000));
    let mut first = start(&bench, &StartFrom::default());
    wait_till("its hold on the state", || bench.path("disk/out/forecasts-0.ndjson").exists());
    let second = Instance::start(&bench.file(), &bench.path("second.log"), &StartFrom::default());
    let said = { second }.fails();
    assert!(said.contains("another run") && said.contains("disk/state"), "{said}");
    first.finishes();
    assert_same(&bench);
}
