//! The binary as a user sees it: exit codes, standard output, signals and HTTP.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::pipeline::TestPipeline;
use crate::support::process::{Instance, StartFrom, binary, get, is_ready, signal, text, tickcast};
use crate::support::wait::wait_till;

const GENERATED: &str = "
name: ticks
source: { generate: { series: 3, ticks: 3000, process: weather } }
window: { tumbling: 1h, select: { temp: avg(temp) } }
forecast: { target: temp, model: { hidden: 4 } }
";

#[test]
fn results_go_to_stdout_and_a_good_run_exits_0() {
    let bench = TestPipeline::new(GENERATED);
    let output = tickcast("run", &bench.file(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let first: serde_json::Value =
        serde_json::from_str(text(&output.stdout).lines().next().unwrap()).unwrap();
    assert_eq!(first["horizon"], 1);
    assert_eq!(first["expert"], "naive");
    assert!(text(&output.stderr).contains("skill"));
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    assert_eq!(binary().arg("walk").output().unwrap().status.code(), Some(2));
    let bench = TestPipeline::new("name: x\nsorce: {}\nwindow: { tumbling: 1h, lateness: soon }\n");
    let output = tickcast("check", &bench.file(), &[]);
    assert_eq!(output.status.code(), Some(78));
    let stderr = text(&output.stderr);
    assert!(stderr.contains(":2:1:") && stderr.contains("did you mean \"source\"?"), "{stderr}");
    assert!(stderr.contains(":3:") && stderr.contains("window.lateness"), "{stderr}");
    let good = TestPipeline::new(GENERATED);
    assert_eq!(tickcast("check", &good.file(), &[]).status.code(), Some(0));
    let away = TestPipeline::new(
        "source: { kafka: { brokers: 127.0.0.1:1, topic: nowhere } }\nkey: k\ntime: t\n\
         window: { tumbling: 1h }\nforecast: { target: x }\nsinks: { forecasts: { kafka: { topic: out } } }\n",
    );
    let output = tickcast("check", &away.file(), &["--connect"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    for end in ["source: ", "sinks.forecasts: ", "state: "] {
        let line = stderr.lines().find(|line| line.starts_with(end));
        assert!(line.is_some_and(|line| line.contains("127.0.0.1:1")), "{end}: {stderr}");
    }
}

/// What comes of an input of which nothing is forecast, and the words on standard error.
fn nothing_comes(pipeline: &str, input: &str, args: &[&str]) -> (Option<i32>, String) {
    let bench = TestPipeline::new(&format!(
        "source: {{ file: {{ path: in.ndjson }} }}\nkey: id\ntime: t\n{pipeline}"
    ));
    bench.write("in.ndjson", input);
    let output = tickcast("run", &bench.file(), args);
    (output.status.code(), text(&output.stderr).to_owned())
}

/// Found by: users' cases. All records rejected, or a typo in the target, ended with exit code 0 and
/// an empty table.
#[test]
fn a_run_that_forecast_nothing_says_why_and_fails() {
    const PLAIN: &str = "window: { tumbling: 1h }\nforecast: { target: temp }\n";
    let record =
        |n: usize| format!("{{\"id\":\"m\",\"t\":{},\"temp\":{n},\"note\":null}}\n", 1_704_067_200 + n * 60);
    let good: String = (0..1500).map(record).collect();
    let bad = good.replace("170", "noon 170");
    let typo = PLAIN.replace("target: temp", "target: Temp");
    let cases = [
        (PLAIN, bad.as_str(), "all of the first "),
        (&typo, &good, "no column `Temp`, did you mean `temp`? It has: id, note, t, temp"),
        (&PLAIN.replace("temp }", "note }"), &good, "column `note`: the newest has it, and it is null"),
        (&format!("where: temp < 0\n{PLAIN}"), &good, "no record is left that `where` is true of"),
        (
            "window: { tumbling: 1h, select: { temp: \"sum(nullif(temp, temp))\" } }\nforecast: { target: temp }\n",
            &good,
            "the target was null in all of ",
        ),
        (PLAIN, "", "the input has no records"),
    ];
    for (pipeline, input, why) in cases {
        let (code, said) = nothing_comes(pipeline, input, &[]);
        assert!(
            code == Some(1) && said.contains("no forecast was made") && said.contains(why),
            "{why}: {said}"
        );
        assert_eq!(nothing_comes(pipeline, input, &["--allow-empty"]).0, Some(0), "{why}");
    }
    let (code, said) = nothing_comes(PLAIN, &good, &[]);
    assert!(code == Some(0) && !said.contains("ERROR"), "{said}");
}

/// Found by: a review. The message showed the value of the misspelled property.
#[test]
fn a_misspelled_property_is_a_fault_of_the_file_and_its_value_is_never_shown() {
    let bench = TestPipeline::new(
        "source: { kafka: { topic: t, properties: { sasl.pasword: hunter2 } } }\nkey: k\ntime: t\n\
         window: { tumbling: 1h }\nforecast: { target: x }\n",
    );
    let state = TestPipeline::new(&format!(
        "{GENERATED}state: {{ kafka: {{ topic: kept, properties: {{ sasl.pasword: hunter2 }} }} }}\n"
    ));
    for (bench, end) in [(bench, ":1:"), (state, ":6:")] {
        for verb in ["check", "run"] {
            let output = tickcast(verb, &bench.file(), &[]);
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{stderr}");
            assert!(stderr.contains(&format!("pipeline.yaml{end}")), "{stderr}");
            assert!(stderr.contains("sasl.pasword") && !stderr.contains("hunter2"), "{stderr}");
        }
    }
}

#[test]
fn a_fault_in_sql_is_a_fault_at_its_line() {
    let bench = TestPipeline::new(&GENERATED.replace("avg(temp)", "avgg(temp)"));
    let output = tickcast("check", &bench.file(), &[]);
    assert_eq!(output.status.code(), Some(78));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("pipeline.yaml:4:") && stderr.contains("avgg"), "{stderr}");
}

#[test]
fn sql_counts_what_the_run_wrote() {
    let bench = TestPipeline::new(&format!(
        "{GENERATED}sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }}, format: parquet }} }}\n"
    ));
    let file = bench.file();
    let sql = |query: &str, format: &str| tickcast("sql", &file, &[query, "--format", format]);
    assert_eq!(tickcast("run", &file, &[]).status.code(), Some(0));
    let forecasts = bench.out_lines("forecasts-0.ndjson");
    let count = sql("SELECT count(*) AS n FROM forecasts", "csv");
    assert_eq!(text(&count.stdout), format!("n\n{forecasts}\n"), "{}", text(&count.stderr));
    let scores = sql("SELECT count(*) AS n, min(actual) < max(actual) AS ok FROM scores", "json");
    // The last window of each series has no truth yet.
    assert_eq!(text(&scores.stdout).trim(), format!("{{\"n\":{},\"ok\":true}}", forecasts - 3));
    let denied = tickcast("sql", &file, &["DROP TABLE forecasts"]);
    assert_eq!(denied.status.code(), Some(1));
}

#[test]
fn the_first_sigterm_ends_a_run_in_order() {
    let bench = TestPipeline::new(&format!(
        "{}sinks: {{ forecasts: {{ file: {{ path: out/ }} }} }}\nstate: {{ dir: state }}\nserve: {{ http: 127.0.0.1:0 }}\n",
        GENERATED.replace("ticks: 3000", "ticks: 100000000, rate: 3000")
    ));
    let mut instance = Instance::start(&bench.file(), &bench.path("log"), &StartFrom::default());
    let address = instance.http();
    wait_till("the first forecasts", || {
        get(&address, "/metrics").contains("tickcast_forecasts_emitted_total{")
    });
    let metrics = get(&address, "/metrics");
    for name in
        ["records_received_total{", "windows_closed_total", "channel_depth{", "stage_busy_seconds_total{"]
    {
        assert!(metrics.contains(&format!("tickcast_{name}")), "{name} is missing");
    }
    assert!(get(&address, "/health").starts_with("HTTP/1.1 200"));
    assert!(is_ready(&address));
    instance.stop();
    assert!(bench.has_snapshot(), "no state was saved");
}

#[test]
fn a_quiet_standard_input_does_not_keep_a_run_from_ending() {
    let bench = TestPipeline::new(
        "source: { file: { path: \"-\" }, format: json }\nkey: k\ntime: t\nwindow: { tumbling: 1h }\nforecast: { target: x }\n",
    );
    let mut child = binary()
        .arg("run")
        .arg(bench.file())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for hour in 0..3 {
        writeln!(stdin, "{{\"k\":\"a\",\"t\":\"2024-01-01T0{hour}:00:00Z\",\"x\":{hour}}}").unwrap();
    }
    let mut forecasts = BufReader::new(child.stdout.take().unwrap()).lines();
    // Two hours have closed, and their forecasts come while the input is open.
    assert!(forecasts.next().unwrap().unwrap().contains("\"forecast\":0.0"));
    assert!(forecasts.next().unwrap().unwrap().contains("\"forecast\":1.0"));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(stdin);
}
