//! Partitions of which nothing comes: with `idle` their windows close, and whoever reads the same
//! records again closes them there too. On a real broker, and from standard input.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;
use tickcast_stream::PartitionId;

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{count, produce, values};
use crate::support::pipeline::TestPipeline;
use crate::support::process::{Instance, StartFrom, binary, get, is_ready, text, tickcast};
use crate::support::readings::{A_WINDOW, AN_HOUR, bench_with, closed, from_records, make_topics, readings};
use crate::support::wait::{wait_for, wait_till};

const P: PartitionId = PartitionId(0);

fn start(bench: &TestPipeline, name: &str, idle: &str) -> Instance {
    let sets = ["serve.http=127.0.0.1:0", &format!("window.idle={idle}")];
    Instance::start(&bench.file(), &bench.path(name), &StartFrom::sets(&sets))
}

fn closes(http: &str) -> f64 {
    let text = get(http, "/metrics");
    let lines = text.lines().filter(|line| line.starts_with("tickcast_idle_closes_total{"));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

/// The last windows of a topic waited for records that never came. Two of three partitions are
/// quiet, and one of them never had any.
#[test]
fn windows_of_a_quiet_partition_close_once_and_again_when_the_topic_is_read_again() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "gone-quiet";
    make_topics(addr, id, 3);
    let state = format!("state: {{ kafka: {{ topic: {id}.state }} }}\ndelivery: exactly_once");
    let bench = bench_with(addr, id, &state);
    let all = readings(P, 12);
    let feed = |readings: &[String]| produce(addr, "gone-quiet.in", P, readings.iter().map(String::as_bytes));
    let forecasts = || count(addr, "gone-quiet.forecasts", 1);

    // Too patient: it is killed while its newest window is open.
    feed(&all[..10 * AN_HOUR]);
    let mut patient = start(&bench, "patient", "1h");
    wait_till("the closed windows", || forecasts() == closed(10));
    patient.kill();

    // The next one hears nothing at all, and closes what the first has left open.
    let mut first = start(&bench, "first", "1s");
    wait_till("the window of a quiet partition", || forecasts() == 10 * A_WINDOW);
    assert_eq!(closes(&first.http()), 1.0, "nothing is open elsewhere");
    first.kill();

    // What comes for a closed window is late, and the clock's word holds for who comes next.
    let late = all[10 * AN_HOUR - 1].clone();
    feed(&[late]);
    feed(&all[10 * AN_HOUR..]);
    let mut second = start(&bench, "second", "1s");
    wait_till("the rest", || forecasts() == 12 * A_WINDOW);
    second.stop();
    let said = text(&tickcast("verify", &bench.file(), &[]).stdout).to_owned();
    assert_eq!(count(addr, "gone-quiet.rejects", 1), 1, "{said} {}", second.said());

    let expected = from_records(&[&all[..], &readings(P, 13)[12 * AN_HOUR..]].concat());
    for stream in ["forecasts", "scores"] {
        assert_eq!(values(addr, &format!("gone-quiet.{stream}"), P), expected[stream], "{stream}");
    }

    let verified = tickcast("verify", &bench.file(), &[]);
    assert!(verified.status.success(), "{}{}", text(&verified.stdout), text(&verified.stderr));
    let tested = tickcast("backtest", &bench.file(), &["--set", "window.idle=1s", "--json"]);
    let tested: Value = serde_json::from_slice(&tested.stdout).unwrap();
    assert_eq!((&tested["windows"], &tested["rejected"]), (&12.into(), &1.into()), "{tested}");

    let rebuilt = start_rebuilt(&bench);
    assert!(rebuilt.contains("rebuilt"), "{rebuilt}");
    let verified = tickcast("verify", &bench.file(), &[]);
    assert!(verified.status.success(), "after a rebuild: {}", text(&verified.stderr));
}

/// What is saved lies before the close, and no record comes that would remind the next run of it:
/// it said until then that it was still restoring.
#[test]
fn a_partition_that_stays_quiet_after_a_restart_is_ready() {
    let Some(addr) = brokers_or_skip() else { return };
    let id = "stays-quiet";
    make_topics(addr, id, 1);
    let state = format!("state: {{ kafka: {{ topic: {id}.state }} }}\ndelivery: exactly_once");
    let bench = bench_with(addr, id, &state);
    let forecasts = || count(addr, "stays-quiet.forecasts", 1);
    produce(addr, "stays-quiet.in", P, readings(P, 10).iter().map(String::as_bytes));

    let mut patient = start(&bench, "patient", "1h");
    wait_till("the closed windows", || forecasts() == closed(10));
    patient.stop();
    let mut first = start(&bench, "first", "1s");
    wait_till("the window of a quiet partition", || forecasts() == 10 * A_WINDOW);
    first.kill();

    let mut second = start(&bench, "second", "1h");
    let http = second.http();
    wait_till("200", || is_ready(&http));
    let open = get(&http, "/metrics");
    let open = open.lines().find(|line| line.starts_with("tickcast_windows_open{")).unwrap();
    assert!(open.ends_with(" 0"), "{open}");
    second.stop();
    assert_eq!(forecasts(), 10 * A_WINDOW, "nothing is told twice");
}

/// Learns the state again, and stops when it is at work.
fn start_rebuilt(bench: &TestPipeline) -> String {
    let mut from = StartFrom::sets(&["serve.http=127.0.0.1:0"]);
    from.args.push("--rebuild");
    let mut again = Instance::start(&bench.file(), &bench.path("again"), &from);
    again.await_share();
    again.stop();
    again.said()
}

/// Somebody follows a log into a pipe, and the log is silent.
#[test]
fn standard_input_that_is_silent_closes_windows_too() {
    let bench = TestPipeline::new(
        "
name: piped
source: { file: { path: '-' }, format: json }
key: k
time: t
window: { tumbling: 1m, idle: 1s, select: { v: sum(v) } }
forecast: { target: v, experts: [naive] }
delivery: at_least_once
sinks: { forecasts: { file: { path: out/ } } }
",
    );
    let mut child = binary();
    child.arg("run").arg(bench.file()).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = child.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    for (minute, lines) in [(0, 1), (1, 2)] {
        writeln!(pipe, "{{\"k\":\"a\",\"t\":\"2024-05-01T00:0{minute}:10Z\",\"v\":{minute}}}").unwrap();
        let file = bench.path("out/forecasts-0.ndjson");
        wait_till("the window", || file.exists() && bench.out_lines("forecasts-0.ndjson") == lines);
    }
    // It goes on in the window that a clock has closed: too late.
    writeln!(pipe, "{{\"k\":\"a\",\"t\":\"2024-05-01T00:01:20Z\",\"v\":5}}").unwrap();
    drop(pipe);
    let status = wait_for("the end", || child.try_wait().unwrap());
    assert!(status.success() && bench.out_lines("forecasts-0.ndjson") == 2);
}
