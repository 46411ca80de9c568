//! What comes of session and count windows, from a file to a backtest: forecasts whose target time
//! nobody knows, and scores that know it.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use tickcast_sql::query::{OutputFormat, Session};

use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};

const PIPELINE: &str = "
name: cycles
source: { file: { path: in.csv END } }
key: machine
time: at
window: { WINDOW, select: { used: sum(used), n: count(*) } }
forecast: { target: used, horizons: [1, 3], model: { hidden: 4, bptt: 12, replay: 1 } }
state: { dir: state }
delivery: exactly_once
sinks:
  forecasts: { file: { path: out/ }, format: FORMAT }
  scores: { file: { path: out/ }, format: FORMAT }
  rejects: { file: { path: out/ } }
";

const SESSION: &str = "session: { gap: 30m }, lateness: 10m";
const COUNT: &str = "count: 5";
const CYCLES: i64 = 120;

fn bench(window: &str, format: &str, end: &str) -> TestPipeline {
    let bench =
        TestPipeline::new(&PIPELINE.replace("WINDOW", window).replace("FORMAT", format).replace("END", end));
    bench.write("in.csv", input());
    bench
}

/// How much a machine uses in a cycle, at each of its records.
fn used(machine: i64, cycle: i64) -> Vec<i64> {
    let records = 3 + (cycle * 7 + machine) % 4;
    (0..records).map(|n| 10 * machine + (cycle * 31 + n * 7) % 13).collect()
}

/// Cycles of two machines, every few hours, their records five minutes apart; two of each three are
/// in each other's place.
fn input() -> String {
    let mut lines = Vec::new();
    for machine in 1..=2 {
        let mut at = 1_704_067_200 + machine * 777;
        for cycle in 0..CYCLES {
            let used = used(machine, cycle);
            for (n, used) in used.iter().enumerate() {
                lines.push((at + n as i64 * 300, format!("m{machine},{{}},{used}\n")));
            }
            at += used.len() as i64 * 300 + 3_600 * (1 + cycle % 5);
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.chunks_mut(3).filter(|lines| lines.len() == 3).for_each(|lines| {
        if lines[2].0 - lines[1].0 < 600 {
            lines.swap(1, 2);
        }
    });
    let line = |(at, text): &(i64, String)| {
        text.replace("{}", &jiff::Timestamp::from_second(*at).unwrap().to_string())
    };
    "machine,at,used\n".to_owned() + &lines.iter().map(line).collect::<String>()
}

fn lines(bench: &TestPipeline, name: &str) -> Vec<Value> {
    let text = bench.out().remove(&format!("{name}-0.ndjson")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(rows: &'a [Value], series: &str, horizon: i64) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["series"] == series && row["horizon"] == horizon).collect()
}

/// The targets of a machine's windows, as they close.
fn expected(window: &str, machine: i64) -> Vec<f64> {
    let cycles: Vec<Vec<i64>> = (0..CYCLES).map(|cycle| used(machine, cycle)).collect();
    let windows: Vec<i64> = if window == COUNT {
        let input = input();
        let own: Vec<i64> = input
            .lines()
            .filter(|line| line.starts_with(&format!("m{machine},")))
            .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
            .collect();
        own.chunks_exact(5).map(|own| own.iter().sum()).collect()
    } else {
        cycles.iter().map(|own| own.iter().sum()).collect()
    };
    windows.into_iter().map(|used| used as f64).collect()
}

#[test]
fn nobody_knows_when_the_window_ends_that_is_forecast_and_its_score_does() {
    for window in [SESSION, COUNT] {
        let bench = bench(window, "ndjson", "");
        bench.run(Runner::Threads(1), 50);
        let (forecasts, scores) = (lines(&bench, "forecasts"), lines(&bench, "scores"));
        assert!(lines(&bench, "rejects").is_empty() && !forecasts.is_empty());
        assert!(forecasts.iter().all(|made| made["target_time"].is_null() && made["carried"] == false));
        for machine in 1..=2 {
            let (series, targets) = (format!("m{machine}"), expected(window, machine));
            for horizon in [1, 3] {
                let ahead = horizon as usize;
                let (made, scored) = (of(&forecasts, &series, horizon), of(&scores, &series, horizon));
                let naive: Vec<f64> = made.iter().map(|made| made["naive"].as_f64().unwrap()).collect();
                assert_eq!(naive, targets, "{window}: a window and its row");
                let actual: Vec<f64> = scored.iter().map(|score| score["actual"].as_f64().unwrap()).collect();
                assert_eq!(actual, targets[ahead..], "{window}: so many windows later");
                for (n, score) in scored.iter().enumerate() {
                    assert_eq!(score["issued_at"], made[n]["issued_at"]);
                    assert_eq!(score["forecast"], made[n]["forecast"]);
                    assert_eq!(score["target_time"], made[n + ahead]["issued_at"], "where it did end");
                }
            }
        }
    }
}

#[test]
fn a_window_ends_a_gap_after_its_last_record_or_with_it() {
    let bench = bench(SESSION, "ndjson", "");
    bench.run(Runner::Inline, 7);
    let first = &lines(&bench, "forecasts")[0];
    // The first machine's first cycle has three records or more from 00:12:57 on, five minutes
    // apart.
    let records = used(1, 0).len() as i64;
    let end = jiff::Timestamp::from_second(1_704_067_200 + 777 + (records - 1) * 300 + 1800).unwrap();
    assert_eq!(first["window_start"], "2024-01-01T00:12:57Z");
    assert_eq!(first["issued_at"], end.to_string());

    let counted = self::bench("count: 1", "ndjson", "");
    counted.run(Runner::Inline, 7);
    let made = lines(&counted, "forecasts");
    assert!(made.iter().all(|made| made["issued_at"] == made["window_start"]));
    assert_eq!(made.len(), 2 * (input().lines().count() - 1));
}

#[test]
fn sql_over_both_kinds_of_files_knows_what_is_not_known() {
    for format in ["ndjson", "parquet"] {
        let bench = bench(SESSION, format, "");
        bench.run(Runner::Inline, 64);
        let ask = |sql: &str| {
            let (plan, mut out) = (bench.load().plan, Vec::new());
            let session = Session::open(plan.tables().unwrap(), 1 << 28).unwrap();
            session.answer(sql, OutputFormat::Csv, &mut out).unwrap_or_else(|error| panic!("{sql}: {error}"));
            String::from_utf8(out).unwrap()
        };
        let all = 2 * 2 * CYCLES;
        let nulls = "SELECT count(*), count(target_time) FROM forecasts WHERE target_time IS NULL";
        assert_eq!(ask(nulls).lines().last().unwrap(), format!("{all},0"), "{format}");
        let joined = "SELECT count(*), sum(abs(s.forecast - f.forecast)), count(s.target_time) FROM scores s \
                      JOIN forecasts f USING (series, issued_at, horizon)";
        let scored = all - 2 * (1 + 3);
        assert_eq!(ask(joined).lines().last().unwrap(), format!("{scored},0.0,{scored}"), "{format}");
        let sorted = "SELECT series FROM forecasts ORDER BY target_time, issued_at DESC LIMIT 1";
        assert!(ask(sorted).contains('m'));
    }
}

#[test]
fn a_backtest_says_what_the_scores_of_a_run_say_and_draws_it() {
    for window in [SESSION, COUNT] {
        let bench = bench(window, "ndjson", "");
        let page = bench.path("report.html");
        let output = tickcast("backtest", &bench.file(), &["--json", "--report", page.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let measured: Value = serde_json::from_slice(&output.stdout).unwrap();
        bench.run(Runner::Threads(2), 30);
        let (forecasts, scores) = (lines(&bench, "forecasts"), lines(&bench, "scores"));
        assert_eq!(measured["forecasts"], forecasts.len());
        for (nth, horizon) in [1, 3].into_iter().enumerate() {
            let errors: Vec<f64> = ["m1", "m2"]
                .iter()
                .flat_map(|series| of(&scores, series, horizon))
                .map(|score| score["error"].as_f64().unwrap().abs())
                .collect();
            let of = &measured["horizons"][nth];
            assert_eq!((&of["horizon"], &of["scored"]), (&horizon.into(), &errors.len().into()));
            let mae = errors.iter().sum::<f64>() / errors.len() as f64;
            assert!((of["mae"].as_f64().unwrap() - mae).abs() < 1e-9 * mae, "{window}: {of:#}");
            assert!(of["mase"].as_f64().is_some_and(f64::is_finite), "{of:#}");
        }
        let html = fs::read_to_string(page).unwrap();
        assert!(html.contains("3 windows ahead") && !html.contains("windows ()"));
    }
}

/// No other engine puts out a window that never filled: it is another measure than a full one. Here
/// it is said how many records are in none.
#[test]
fn at_the_end_of_a_file_sessions_close_and_half_full_windows_are_told() {
    let bench = bench("count: 100", "ndjson", "");
    let records: BTreeMap<i64, usize> =
        (1..=2).map(|machine| (machine, (0..CYCLES).map(|cycle| used(machine, cycle).len()).sum())).collect();
    let rest: usize = records.values().map(|records| records % 100).sum();
    assert!(rest > 0);
    let output = tickcast("run", &bench.file(), &[]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let expected = format!("before their windows were full: {rest} records are in no window");
    assert!(said.contains(&expected), "{said}");

    let none = self::bench("count: 100000", "ndjson", "");
    let output = tickcast("run", &none.file(), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no forecast was made: no window has closed"));
}

/// Sessions and windows that are half full stay open at the end of a file that may grow.
#[test]
fn a_file_that_grows_goes_on_with_its_open_windows() {
    for window in [SESSION, COUNT, "session: { gap: 30m }, lateness: 20m, watermark: series"] {
        let whole = bench(window, "ndjson", ", end: keep");
        whole.run(Runner::Inline, 100_000);
        let expected = whole.out();
        assert!(expected["forecasts-0.ndjson"].lines().count() > 400);

        let bench = bench(window, "ndjson", ", end: keep");
        let all = input();
        for cut in [0, 900, 901, 4_000, 9_017, all.len()] {
            bench.write("in.csv", &all[..cut]);
            let output = tickcast("run", &bench.file(), &["--allow-empty"]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        }
        assert!(bench.out() == expected, "{window}");
        let verified = tickcast("verify", &bench.file(), &[]);
        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified.stderr));
    }
}

#[test]
fn a_network_is_trained_on_sessions_too() {
    let bench = bench(SESSION, "ndjson", "");
    let weights = bench.path("cycles.safetensors");
    let more = ["--file", weights.to_str().unwrap(), "--epochs", "2"];
    let output = tickcast("train", &bench.file(), &more);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("2 series, {CYCLES} windows")), "{said}");
    assert!(weights.exists());
}
