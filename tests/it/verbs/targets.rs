//! Several targets as a user sees them, in every verb that says something of a target.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{binary, text, tickcast};

const PIPELINE: &str = "
name: both
source: { generate: { series: 3, ticks: 9000, seed: 5, process: weather } }
window: { tumbling: 1h, select: { temp: avg(temp), wind: avg(wind) } }
forecast: { target: TARGET, horizons: [1, 3], levels: [0.9], direction: true, model: { hidden: 4, bptt: 11, replay: 0 } }
state: { dir: state }
sinks:
  forecasts: { file: { path: out/ }, format: FORMAT }
  scores: { file: { path: out/ }, format: FORMAT }
";

fn bench_of(target: &str, format: &str) -> TestPipeline {
    TestPipeline::new(&PIPELINE.replace("TARGET", target).replace("FORMAT", format))
}

fn both() -> TestPipeline {
    bench_of("[temp, wind]", "ndjson")
}

fn done(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn refused(output: &Output, code: i32) -> &str {
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    text(&output.stderr)
}

fn backtest(bench: &TestPipeline, more: &[&str]) -> Output {
    tickcast("backtest", &bench.file(), more)
}

/// The document without what depends on the clock or on the pipeline as a whole.
fn json(bench: &TestPipeline, more: &[&str]) -> Value {
    serde_json::from_str(done(&backtest(bench, &[&["--json"], more].concat()))).unwrap()
}

#[test]
fn a_backtest_measures_each_target_as_if_it_were_alone() {
    let document = json(&both(), &[]);
    assert!(document["records"] == 9000 && document.get("target").is_none(), "{document:#}");
    for (nth, target) in ["temp", "wind"].into_iter().enumerate() {
        let alone = json(&bench_of(target, "ndjson"), &[]);
        assert_eq!(alone["target"], target);
        let of = document["targets"][nth].as_object().unwrap();
        assert_eq!(of.len(), 8, "{of:?}");
        of.iter().for_each(|(key, value)| assert_eq!(value, &alone[key], "{target}: {key}"));
    }
}

#[test]
fn tables_and_the_report_name_the_target() {
    let bench = both();
    let page = bench.path("page.html");
    let output = backtest(&bench, &["--report", page.to_str().unwrap()]);
    let said = done(&output);
    let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..2], ["target", "horizon"]);
    let heads: Vec<[&str; 2]> = rows[1..5].iter().map(|row| [row[0], row[1]]).collect();
    assert_eq!(heads, [["temp", "1"], ["temp", "3"], ["wind", "1"], ["wind", "3"]]);

    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("<th>target</th>") && page.contains("<td>wind</td>"));
    for view in ["temp: 1 window (1h) ahead", "wind: 1 window (1h) ahead", "\"name\":\"wind\""] {
        assert!(page.contains(view), "{view}");
    }
}

#[test]
fn assertions_are_of_each_target_or_of_the_one_in_front() {
    let bench = both();
    let output = backtest(&bench, &["--assert", "mae[1]>0", "--assert", "wind.mae[3]<0"]);
    let said = refused(&output, 1);
    for line in ["temp: mae[1]>0 holds", "wind: mae[1]>0 holds", "wind: wind.mae[3]<0 does not hold"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains("one assertion does not hold"), "{said}");
    let none = backtest(&bench, &["--assert", "rain.mae[1]>0"]);
    assert!(refused(&none, 1).contains("there is no such target"), "{}", text(&none.stderr));
}

#[test]
fn a_sweep_has_columns_for_each_target() {
    let output = backtest(&both(), &["--sweep", "forecast.target=wind,[temp, wind]"]);
    let said = done(&output);
    let titles = said.lines().next().unwrap();
    let order = ["wind MAE 1", "wind skill 3", "temp MAE 1", "temp skill 3"].map(|title| titles.find(title));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{titles}");
}

#[test]
fn queries_tell_targets_apart() {
    for format in ["ndjson", "parquet"] {
        let bench = bench_of("[temp, wind]", format);
        bench.run(Runner::Threads(1), 500);
        let sql = |sql: &str| done(&tickcast("sql", &bench.file(), &[sql, "--format", "csv"])).to_owned();
        let counts = sql("SELECT f.target, count(*) = count(s.actual) FROM scores s JOIN forecasts f \
                          USING (series, target, issued_at, horizon) GROUP BY f.target ORDER BY 1");
        assert_eq!(counts.lines().skip(1).collect::<Vec<_>>(), ["temp,true", "wind,true"], "{format}");
        let columns = sql("SELECT * FROM scores LIMIT 0");
        assert!(columns.starts_with("series,target,issued_at,"), "{columns}");
    }
}

#[test]
fn results_are_verified_and_a_target_is_not_taken_for_another() {
    let bench = both();
    bench.run(Runner::Threads(1), 500);
    assert!(done(&tickcast("verify", &bench.file(), &[])).contains("results are as the input makes them"));
    let path = bench.path("out/scores-0.ndjson");
    let changed =
        fs::read_to_string(&path).unwrap().replacen("\"target\":\"wind\"", "\"target\":\"temp\"", 1);
    fs::write(&path, changed).unwrap();
    let output = tickcast("verify", &bench.file(), &[]);
    assert!(refused(&output, 1).contains("is not what the input makes"), "{}", text(&output.stderr));
}

fn weights(bench: &TestPipeline, verb: &[&str], file: &str, more: &[&str]) -> Output {
    let mut command = binary();
    command.args(verb).arg(bench.file()).arg("--file").arg(bench.path(file)).args(more);
    command.output().unwrap()
}

#[test]
fn verbs_of_a_network_ask_which_target_is_meant() {
    let bench = both();
    bench.run(Runner::Inline, 500);
    bench.write("w.safetensors", "");
    for verb in [&["model", "export"][..], &["model", "import"], &["train"]] {
        let said = weights(&bench, verb, "w.safetensors", &[]);
        let said = refused(&said, 1);
        assert!(said.contains("say which: --target temp, wind"), "{verb:?}: {said}");
        let said = weights(&bench, verb, "w.safetensors", &["--target", "rain"]);
        assert!(
            refused(&said, 1).contains("--target rain: forecast.target has no such column, but temp, wind")
        );
    }
}

#[test]
fn weights_of_a_target_go_into_its_networks_and_no_others() {
    let taught = both();
    taught.run(Runner::Inline, 500);
    done(&weights(&taught, &["model", "export"], "wind", &["--target", "wind"]));
    done(&weights(&taught, &["model", "export"], "temp", &["--target", "temp"]));
    let [wind, temp] = ["wind", "temp"].map(|name| fs::read(taught.path(name)).unwrap());
    assert_ne!(wind, temp);

    // Into a state: the network of the one is the file's, that of the other is as it was.
    let bench = both();
    bench.run_until(Runner::Inline, 100, Some(4000));
    done(&weights(&bench, &["model", "export"], "before", &["--target", "temp"]));
    bench.write("wind", &wind);
    done(&weights(&bench, &["model", "import"], "wind", &["--target", "wind"]));
    done(&weights(&bench, &["model", "export"], "after", &["--target", "temp"]));
    done(&weights(&bench, &["model", "export"], "again", &["--target", "wind"]));
    let data = |file: &str| {
        let bytes = fs::read(bench.path(file)).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[8 + length..].to_vec()
    };
    assert!(data("after") == data("before") && data("again") == data("wind"));
    bench.run(Runner::Threads(1), 500);
}

#[test]
fn new_networks_begin_with_the_weights_of_their_target() {
    let taught = both();
    taught.run(Runner::Inline, 500);
    let fresh = both();
    for target in ["wind", "temp"] {
        done(&weights(&taught, &["model", "export"], target, &["--target", target]));
        fresh.write(target, fs::read(taught.path(target)).unwrap());
        done(&weights(&fresh, &["model", "import"], target, &["--target", target]));
    }
    fresh.run(Runner::Threads(1), 500);

    // Both go in, in any order: then each target forecasts as a pipeline does that begins with its
    // weights alone.
    for target in ["temp", "wind"] {
        let alone = bench_of(target, "ndjson");
        alone.write(target, fs::read(taught.path(target)).unwrap());
        done(&weights(&alone, &["model", "import"], target, &[]));
        alone.run(Runner::Inline, 500);
        let lines = |bench: &TestPipeline| -> Vec<String> {
            let text = fs::read_to_string(bench.path("out/forecasts-0.ndjson")).unwrap();
            let is_meant = |line: &&str| line.contains(&format!("\"target\":\"{target}\""));
            text.lines().filter(is_meant).map(str::to_owned).collect()
        };
        assert!(lines(&fresh).len() > 100 && lines(&fresh) == lines(&alone), "{target}");
    }
}

#[test]
fn a_network_is_trained_for_the_target_that_is_named() {
    let bench = both();
    let more = ["--epochs", "2", "--target", "wind"];
    done(&weights(&bench, &["train"], "w.safetensors", &more));
    let alone = bench_of("wind", "ndjson");
    done(&weights(&alone, &["train"], "w.safetensors", &more[..2]));
    let file = |bench: &TestPipeline| fs::read(bench.path("w.safetensors")).unwrap();
    assert!(file(&bench) == file(&alone));
}

#[test]
fn a_target_that_is_always_null_is_named_and_the_others_go_on() {
    let yaml = PIPELINE.replace("TARGET", "[temp, wind]").replace("FORMAT", "ndjson");
    let null =
        |yaml: &str, of: &str| yaml.replace(&format!("avg({of})"), &format!("\"sum(nullif({of}, {of}))\""));
    let run = |yaml: &str| tickcast("run", &TestPipeline::new(yaml).file(), &[]);
    let output = run(&null(&yaml, "wind"));
    let (_, said) = (done(&output), text(&output.stderr));
    assert!(said.contains("the target wind was null in all of "), "{said}");

    let output = run(&null(&null(&yaml, "wind"), "temp"));
    let said = refused(&output, 1);
    for target in ["temp", "wind"] {
        assert!(said.contains(&format!("the target {target} was null in all of ")), "{said}");
    }
}
