//! `backtest` as a user sees it. Its measures are those of a run's own scores, and it leaves
//! nothing behind.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};

use rdkafka::producer::{BaseRecord, Producer};
use serde_json::Value;
use tickcast_stream::PartitionId;

use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, groups, producer, send_record};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{binary, signal, text, tickcast};
use crate::support::readings::{self, PARTITIONS, readings};
use crate::support::wait::{PATIENCE, wait_till};

const WINDOWS: usize = 400;

const PIPELINE: &str = "
name: ticks
source: { file: { path: in.csv } }
key: k
time: t
window: { tumbling: 1h, select: { x: avg(x) } }
forecast: { target: x, horizons: [1, 6], levels: [0.5, 0.9], model: { hidden: 4, optimizer: { adam: { lr: 3e-3 } } } }
";

/// Two series that swing with the day, each in its own measure.
fn input() -> String {
    let mut lines = String::from("k,t,x\n");
    for hour in 0..WINDOWS {
        let (day, of_day) = (hour / 24, hour % 24);
        let (month, day) = (1 + day / 28, 1 + day % 28);
        for (series, scale) in [("a", 1.0), ("b", 10.0)] {
            let noise = (hour * 7919 % 101) as f64 / 101.0;
            let x = scale * ((of_day as f64 / 24.0 * std::f64::consts::TAU).sin() + 0.3 * noise);
            lines += &format!("{series},2024-{month:02}-{day:02}T{of_day:02}:30:00Z,{x}\n");
        }
    }
    lines
}

fn bench(more: &str) -> TestPipeline {
    let bench = TestPipeline::new(&format!("{PIPELINE}{more}"));
    bench.write("in.csv", input());
    bench
}

fn backtest(bench: &TestPipeline, more: &[&str]) -> Output {
    tickcast("backtest", &bench.file(), more)
}

fn json(bench: &TestPipeline, more: &[&str]) -> Value {
    let output = backtest(bench, &[&["--json"], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The number behind a key of a line of JSON, to the last bit.
fn field(line: &str, key: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("\"{key}\":")).unwrap();
    rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
}

#[test]
fn its_measures_are_those_of_the_scores_of_a_run() {
    let bench = bench("sinks: { forecasts: { file: { path: out/ } }, scores: { file: { path: out/ } } }\n");
    let output = backtest(&bench, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!bench.path("out").exists() && !bench.path("state").exists(), "it wrote");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    bench.run(Runner::Threads(1), 100);
    let mut sums: BTreeMap<(String, i64), (u64, f64, f64)> = BTreeMap::new();
    let scores = std::fs::read_to_string(bench.path("out/scores-0.ndjson")).unwrap();
    for line in scores.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let key = (record["series"].as_str().unwrap().to_owned(), record["horizon"].as_i64().unwrap());
        let sum = sums.entry(key).or_default();
        let (actual, naive) = (field(line, "actual"), field(line, "naive"));
        *sum = (sum.0 + 1, sum.1 + field(line, "error").abs(), sum.2 + (actual - naive).abs());
    }
    assert_eq!(sums.len(), 4);
    for (index, series) in document["series"].as_array().unwrap().iter().enumerate() {
        for (nth, of) in series["horizons"].as_array().unwrap().iter().enumerate() {
            let key = (["a", "b"][index].to_owned(), [1, 6][nth]);
            let (scored, absolute, naive) = sums[&key];
            assert_eq!(
                (&series["series"], &of["horizon"], &of["scored"]),
                (&key.0.into(), &key.1.into(), &scored.into())
            );
            // Printed with all their digits: the same forecasts give the same text.
            let exactly = |name: &str, value: f64| {
                let text_of = format!("\"{name}\": {}", serde_json::to_string(&value).unwrap());
                assert!(text(&output.stdout).contains(&text_of), "{text_of} is missing");
                assert!((of[name].as_f64().unwrap() - value).abs() <= 1e-12 * value);
            };
            exactly("mae", absolute / scored as f64);
            exactly("naive_mae", naive / scored as f64);
        }
    }
    let all = &document["horizons"][0];
    let (a, b) = (sums[&("a".into(), 1)], sums[&("b".into(), 1)]);
    let skill = 1.0 - (a.1 + b.1) / (a.2 + b.2);
    assert!((all["skill"].as_f64().unwrap() - skill).abs() < 1e-12 && skill > 0.1, "{all:#}");
    assert_eq!(all["levels"][1]["level"], 0.9);
    assert!(
        all["levels"][1]["worst_coverage_250"].as_f64().unwrap()
            <= all["levels"][1]["coverage"].as_f64().unwrap()
    );
    let scaled = ["mase", "rmse"].map(|name| all[name].as_f64().unwrap());
    assert!(scaled[0] < 1.0 && scaled[1] > all["mae"].as_f64().unwrap(), "{all:#}");
    let count = |name: &str| document[name].as_u64().unwrap();
    assert_eq!(count("forecasts"), bench.out_lines("forecasts-0.ndjson") as u64);
    assert_eq!(count("scored") + count("pending"), count("forecasts"));
    // The last window of each series and the last six have no truth yet.
    assert_eq!((count("pending"), count("unscored"), count("windows")), (14, 0, WINDOWS as u64));
}

#[test]
fn skipped_windows_are_forecast_and_not_scored() {
    let bench = bench("");
    let (all, later) = (json(&bench, &[]), json(&bench, &["--skip", "100"]));
    assert_eq!(all["forecasts"], later["forecasts"]);
    // Truths in the windows 101 to 400 of two series, the same ones at both horizons.
    for of in later["horizons"].as_array().unwrap() {
        assert_eq!(of["scored"], 600);
    }
    assert_eq!(later["skipped"], 2 * (99 + 94));
    assert_eq!((&later["skip"], &all["skipped"]), (&100.into(), &0.into()));
}

#[test]
fn assertions_make_the_exit_code() {
    let bench = bench("");
    let good = backtest(&bench, &["--assert", "skill[1]>0", "--assert", "coverage[6,0.9] >= 0.5"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert!(text(&good.stderr).contains("skill[1]>0 holds: it is 0."), "{}", text(&good.stderr));
    assert!(text(&good.stdout).contains("naive MAE") && text(&good.stdout).contains("ticks/s"));
    let bad =
        backtest(&bench, &["--assert", "skill[1]>0", "--assert", "mae[6,\"rnn\"]<0", "--assert", "mae[7]<9"]);
    assert_eq!(bad.status.code(), Some(1));
    let stderr = text(&bad.stderr);
    assert!(stderr.contains("mae[6,\"rnn\"]<0 does not hold: it is "), "{stderr}");
    assert!(stderr.contains("mae[7]<9 does not hold: there is no value"), "{stderr}");
    assert!(stderr.contains("2 assertions do not hold"), "{stderr}");
    let usage = backtest(&bench, &["--assert", "skil[1]>0"]);
    assert_eq!((usage.status.code(), usage.stdout.len()), (Some(2), 0));
    assert!(text(&usage.stderr).contains("worst_coverage"), "{}", text(&usage.stderr));
}

#[test]
fn a_sweep_runs_every_setting_and_bad_keys_run_none() {
    let bench = bench("");
    let sweep = ["--sweep", "forecast.model.hidden=2,4", "--sweep", "forecast.horizons=[1],[1, 6]"];
    let trials = json(&bench, &sweep);
    let trials = trials.as_array().unwrap();
    assert_eq!(trials.len(), 4);
    assert_eq!(trials[3]["settings"]["forecast.model.hidden"], "4");
    assert_eq!(trials[3]["settings"]["forecast.horizons"], "[1, 6]");
    assert_eq!(trials[2]["result"]["horizons"].as_array().unwrap().len(), 1);
    // A setting of the sweep is that of the file.
    assert_eq!(trials[3]["result"]["horizons"], json(&bench, &[])["horizons"]);
    let table = backtest(&bench, &sweep);
    let stdout = text(&table.stdout);
    assert_eq!(stdout.lines().count(), 6, "{stdout}");
    assert!(stdout.contains("MAE 6") && stdout.contains('*'), "{stdout}");
    let page = bench.path("never.html");
    for (more, word) in [
        (["--sweep", "forecast.model.hiden=2,4"], "did you mean \"hidden\"?"),
        (["--sweep", "window.select={x: avg(x)},{x: avgg(x)}"], "avgg"),
    ] {
        let bad = backtest(&bench, &[&more[..], &["--report", page.to_str().unwrap()]].concat());
        let stderr = text(&bad.stderr);
        assert_eq!((bad.status.code(), bad.stdout.len()), (Some(78), 0), "{stderr}");
        assert!(stderr.contains(word) && !page.exists(), "{stderr}");
    }
    let stdin =
        ["--set", "source={file: {path: \"-\"}, format: csv}", "--sweep", "forecast.model.hidden=2,4"];
    let twice = backtest(&bench, &stdin);
    assert_eq!(twice.status.code(), Some(78));
    assert!(text(&twice.stderr).contains("can be read once"), "{}", text(&twice.stderr));
    assert_eq!(backtest(&bench, &["--sweep", "forecast.season"]).status.code(), Some(2));
    let file = backtest(&bench, &["--from", "2026-01-01T00:00:00Z"]);
    assert_eq!(file.status.code(), Some(2));
    assert!(text(&file.stderr).contains("times of a Kafka topic"), "{}", text(&file.stderr));
}

#[test]
fn the_report_is_one_page_that_fetches_nothing() {
    let bench = bench("");
    // A name that would end the script, were it not kept from it.
    bench.write("in.csv", input().replace("\nb,", "\n</script><b>,"));
    let page = bench.path("out.html");
    let drawn = json(&bench, &["--report", page.to_str().unwrap(), "--skip", "24"]);
    let plain = json(&bench, &["--skip", "24"]);
    // To look on changes nothing.
    assert_eq!(drawn["series"], plain["series"]);
    let html = std::fs::read_to_string(&page).unwrap();
    assert_eq!(html.matches("* plotly.js v").count(), 1);
    assert!(!html.contains("src=\"http") && !html.contains("<link"));
    assert_eq!(html.matches("</script>").count(), 2);
    for id in ["forecasts", "skill", "weights", "coverage", "calibration", "loss"] {
        assert!(html.contains(&format!("<div class=chart id={id}></div>")), "{id}");
    }
    assert!(html.contains("The worst moments") && html.contains("&lt;/script&gt;&lt;b&gt;"));
    let sweep = ["--report", page.to_str().unwrap(), "--sweep", "forecast.model.hidden=2,4"];
    assert_eq!(backtest(&bench, &sweep).status.code(), Some(0));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(
        html.contains("Comparison by forecast.model.hidden")
            && html.contains("Details of <b>forecast.model.hidden=")
    );
    let nowhere = backtest(&bench, &["--report", "/nowhere/at/all.html"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(text(&nowhere.stderr).contains("cannot write /nowhere"), "{}", text(&nowhere.stderr));
}

#[test]
fn a_topic_is_judged_between_two_times_and_no_group_is_left() {
    let Some(addr) = brokers_or_skip() else { return };
    let bench = readings::bench(addr, "judged");
    create_topic(addr, "judged.in", PARTITIONS);
    let producer = producer(addr);
    // Kafka gets 20 hours of readings three hours ago, 20 two hours ago, 20 one hour ago.
    let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
    let hours_ago = |hours: i64| now - jiff::SignedDuration::from_hours(hours);
    for (number, reading) in readings(PartitionId(0), 60).iter().enumerate() {
        let got = hours_ago(3 - number as i64 / 80).as_millisecond();
        let record = BaseRecord::to("judged.in").partition(0).payload(reading.as_bytes());
        send_record(&producer, record.timestamp(got));
    }
    producer.flush(PATIENCE).unwrap();
    let records = |more: &[&str]| json(&bench, more)["records"].as_u64().unwrap();
    let (from, to) = (hours_ago(2).to_string(), hours_ago(1).to_string());
    assert_eq!(records(&[]), 240);
    assert_eq!(records(&["--from", &from]), 160);
    assert_eq!(records(&["--to", &to]), 160);
    assert_eq!(records(&["--from", &from, "--to", &to]), 80);
    assert_eq!(records(&["--from", &now.to_string()]), 0);
    assert_eq!(records(&["--from", &to, "--to", &from]), 0);
    let groups = groups(addr);
    assert!(!groups.iter().any(|group| group == "judged" || group.contains("train")), "{groups:?}");
}

#[test]
fn a_signal_ends_it_without_a_result() {
    let bench = TestPipeline::new(
        "source: { generate: { series: 3, ticks: 1000000000 } }\nwindow: { tumbling: 1h }\nforecast: { target: temp }\n",
    );
    let child = binary()
        .args(["backtest", bench.file().to_str().unwrap()])
        .args(["--set", "source.generate.process=weather", "--set", "window.select={temp: avg(temp)}"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let status = std::fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & 2 != 0
    };
    wait_till("a handler of the signal", listens);
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    assert!(text(&output.stderr).contains("stopped before the history was read"), "{}", text(&output.stderr));
}
