//! Files whose records are taken in the order of their times: what comes out is what the sorted
//! file would have made, whatever is killed, and rejects name the lines of the file as it is.

use std::io::Write;

use crate::sources::times::{expected, rejects, windows};
use crate::support::pipeline::{Runner, TestPipeline, read_dir};
use crate::support::process::{text, tickcast};

const PIPELINE: &str = "
name: ordered
source: { file: { path: FILE, order: ORDER } }
key: id
time: t
window: { tumbling: 10m, lateness: 0s, gaps: skip, select: { v: sum(v), last: last_value(v) } }
forecast: { target: v, features: [v, last], horizons: [1, 2], model: { hidden: 3, bptt: 11 } }
state: { dir: state }
delivery: exactly_once
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

const LINES: u64 = 600;

fn bench(file: &str, order: &str) -> TestPipeline {
    TestPipeline::new(&PIPELINE.replace("FILE", file).replace("ORDER", order))
}

/// Two series whose records are out of order by days, and a line that is none.
fn lines(form: &str) -> Vec<String> {
    let line = |n: u64| {
        let at = n * 7919 % LINES / 3;
        let time = format!("2024-05-{:02}T{:02}:{:02}:00Z", 1 + at / 144, at / 6 % 24, at % 6 * 10);
        match form {
            _ if n == 77 => "no record\"".to_owned(),
            "csv" => format!("s{},{time},{n}", n % 2),
            _ => format!("{{\"id\":\"s{}\",\"t\":\"{time}\",\"v\":{n}}}", n % 2),
        }
    };
    (0..LINES).map(line).collect()
}

/// The lines as a file, and its first line where it has a header.
fn file(form: &str, lines: &[String]) -> String {
    let header = if form == "csv" { "id,t,v\n" } else { "" };
    format!("{header}{}\n", lines.join("\n"))
}

fn sorted(form: &str) -> String {
    let mut lines = lines(form);
    let time_of = |line: &String| line.find("2024-").map(|at| line[at..at + 20].to_owned());
    lines.sort_by_key(time_of);
    file(form, &lines)
}

fn gz(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn a_file_by_time_makes_what_the_sorted_file_makes_and_nothing_is_late() {
    for (form, name) in [("csv", "in.csv"), ("ndjson", "in.ndjson"), ("csv", "in.csv.gz")] {
        let whole = bench(&format!("in.{form}"), "arrival");
        whole.write(&format!("in.{form}"), sorted(form));
        whole.run(Runner::Inline, 100);
        let mut expected = whole.out();
        expected.remove("rejects-0.ndjson");
        assert!(expected["forecasts-0.ndjson"].lines().count() > 300);

        for (runner, batch) in [(Runner::Inline, 1000), (Runner::Inline, 7), (Runner::Threads(2), 50)] {
            let ordered = bench(name, "time");
            let text = file(form, &lines(form));
            ordered.write(name, if name.ends_with("gz") { gz(&text) } else { text.into_bytes() });
            ordered.run(runner, batch);
            let mut found = ordered.out();
            found.remove("rejects-0.ndjson");
            assert!(found == expected, "{name} {runner:?} {batch}");
            let refused = rejects(&ordered);
            let refused: Vec<_> = refused.iter().map(|(line, reason, _)| (*line, reason.as_str())).collect();
            assert_eq!(refused, [(77, "undecodable")]);
        }
    }
}

/// Each run stops within; the next one goes on in the same order.
#[test]
fn a_run_that_is_stopped_goes_on_and_verify_holds() {
    let whole = bench("in.csv", "time");
    whole.write("in.csv", file("csv", &lines("csv")));
    whole.run(Runner::Inline, 1000);

    let bench = bench("in.csv", "time");
    bench.write("in.csv", file("csv", &lines("csv")));
    for (runner, records) in [(Runner::Inline, 100), (Runner::Threads(1), 150), (Runner::Inline, 200)] {
        bench.run_until(runner, 30, Some(records));
    }
    bench.run(Runner::Threads(1), 64);
    // A reject names the file, and that is in another directory.
    let out = |bench: &TestPipeline| {
        let dir = bench.dir.path().to_str().unwrap().to_owned();
        bench.out().into_iter().map(|(name, text)| (name, text.replace(&dir, ""))).collect::<Vec<_>>()
    };
    assert!(out(&bench) == out(&whole));
    let verified = tickcast("verify", &bench.file(), &[]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let backtested = tickcast("backtest", &bench.file(), &[]);
    assert!(backtested.status.success(), "{}", text(&backtested.stderr));
}

/// What is added would stand among what was read.
#[test]
fn a_file_that_has_grown_is_refused_by_name() {
    let bench = bench("in.csv", "time");
    let all = lines("csv");
    bench.write("in.csv", file("csv", &all[..300]));
    bench.run(Runner::Inline, 100);
    let before = bench.out();

    bench.write("in.csv", file("csv", &all));
    let output = tickcast("run", &bench.file(), &[]);
    let log = text(&output.stderr);
    let said = log.contains("in.csv is another than it was") && log.contains("`order: time`");
    assert!(output.status.code() == Some(1) && said && log.contains("--rebuild"), "{log}");
    assert_eq!(read_dir(&bench.path("out")), before);

    for more in ["source.file.end=keep", "source.file.path=\"-\""] {
        let output = tickcast("check", &bench.file(), &["--set", more, "--set", "source.format=csv"]);
        let log = text(&output.stderr);
        assert!(output.status.code() == Some(78) && log.contains("source.file.order"), "{more}: {log}");
    }
}

const DISORDER: &str = include_str!("../../fixtures/cases/20-dup-disorder.ndjson");
const DISORDER_EXPECTED: &str = include_str!("../../fixtures/cases/20-dup-disorder.expected.csv");

/// Case 20: records out of order by minutes, and some of them twice.
#[test]
fn no_record_of_the_disordered_case_is_late() {
    let yaml = PIPELINE.replace("FILE", "in.ndjson").replace("ORDER", "time");
    let yaml = yaml.replace("10m, lateness", "1m, lateness").replace("v: sum(v)", "v: sum(DISTINCT v)");
    let bench = TestPipeline::new(
        &yaml.replace("horizons: [1, 2], model: { hidden: 3, bptt: 11 }", "experts: [naive]"),
    );
    bench.write("in.ndjson", DISORDER);
    bench.run(Runner::Threads(1), 100);
    assert_eq!(rejects(&bench), []);
    let (found, expected) = (windows(&bench), expected(DISORDER_EXPECTED));
    assert_eq!(found.len(), expected.len());
    for ((_, at, value), (_, expected_at, expected)) in found.iter().zip(&expected) {
        assert!(at == expected_at && (value - expected).abs() < 1e-9, "{at}: {value}, not {expected}");
    }
}
