//! Files that grow between runs, that end in half a line, and that are replaced.

use std::fs;

use crate::support::pipeline::{TestPipeline, read_dir};
use crate::support::process::{text, tickcast};

const PIPELINE: &str = "
name: growing
source: { file: { path: in.FORM, end: keep } }
key: id
time: t
window: { tumbling: 1h, select: { v: sum(v) } }
forecast: { target: v, experts: [naive] }
state: { dir: state }
delivery: DELIVERY
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

/// A record every ten minutes; the window of the first line's hour is open at most cuts.
fn lines(form: &str) -> String {
    let csv = |n: u64| format!("m,2024-01-{:02}T{:02}:{:02}:00Z,{n}\n", 1 + n / 144, n / 6 % 24, n % 6 * 10);
    let json = |n: u64| {
        format!(
            "{{\"id\":\"m\",\"t\":\"2024-01-{:02}T{:02}:{:02}:00Z\",\"v\":{n}}}\n",
            1 + n / 144,
            n / 6 % 24,
            n % 6 * 10
        )
    };
    match form {
        "csv" => (0..200).fold("id,t,v\n".to_owned(), |text, n| text + &csv(n)),
        _ => (0..200).map(json).collect(),
    }
}

fn run(bench: &TestPipeline, args: &[&str]) -> (Option<i32>, String) {
    let output = tickcast("run", &bench.file(), args);
    (output.status.code(), text(&output.stderr).to_owned())
}

/// Found by: users' cases. The half window at the end of a file was learned as the truth, the rest
/// of it came late, and `verify` failed.
#[test]
fn a_file_that_grows_and_is_read_again_is_as_if_it_had_been_whole() {
    for (form, delivery) in [("csv", "exactly_once"), ("ndjson", "at_least_once")] {
        let yaml = PIPELINE.replace("FORM", form).replace("DELIVERY", delivery);
        let all = lines(form);
        let whole = TestPipeline::new(&yaml);
        whole.write(&format!("in.{form}"), &all);
        assert_eq!(run(&whole, &[]).0, Some(0));

        let bench = TestPipeline::new(&yaml);
        // In the middle of a line, too.
        for cut in [0, 700, 701, 2000, 2017, 4100, all.len()] {
            bench.write(&format!("in.{form}"), &all[..cut]);
            let (code, said) = run(&bench, &["--allow-empty"]);
            assert_eq!(code, Some(0), "{said}");
        }
        assert_eq!(bench.out(), whole.out());
        assert!(bench.out()["rejects-0.ndjson"].is_empty() && bench.out_lines("forecasts-0.ndjson") == 33);
        let verified = tickcast("verify", &bench.file(), &[]);
        assert!(delivery != "exactly_once" || verified.status.success(), "{}", text(&verified.stderr));

        // Now it is at its end.
        assert_eq!(run(&bench, &["--set", "source.file.end=close"]).0, Some(0));
        assert_eq!(bench.out_lines("forecasts-0.ndjson"), 34);
    }
}

/// Found by: users' cases. The records before the old position were skipped without a word.
#[test]
fn a_file_that_was_replaced_is_refused_and_begun_anew_when_that_is_asked_for() {
    let bench = TestPipeline::new(&PIPELINE.replace("FORM", "csv").replace("DELIVERY", "exactly_once"));
    let all = lines("csv");
    bench.write("in.csv", &all[..2000]);
    assert_eq!(run(&bench, &[]).0, Some(0));
    let before = bench.out();

    for other in [all.replace(",7\n", ",8\n"), all[..1000].to_owned()] {
        bench.write("in.csv", &other);
        let (code, said) = run(&bench, &[]);
        assert!(
            code == Some(1) && said.contains("in.csv was replaced") && said.contains("--rebuild"),
            "{said}"
        );
        assert_eq!(read_dir(&bench.path("out")), before);
    }
    let (code, said) = run(&bench, &["--rebuild"]);
    assert_eq!(code, Some(0), "{said}");
    fs::write(bench.path("in.csv"), &all).unwrap();
    assert_eq!(run(&bench, &[]).0, Some(0), "it has grown");
}

/// Found while `idle` was built: that a file had once ended was in no log, so whatever made its
/// results again did not know where its windows had closed.
#[test]
fn the_end_of_a_file_that_grew_all_the_same_is_part_of_the_commit() {
    let yaml = PIPELINE.replace("FORM", "csv").replace("DELIVERY", "exactly_once").replace("keep", "close");
    let (bench, all) = (TestPipeline::new(&yaml), lines("csv"));
    for cut in [2019, 4101, all.len()] {
        // At the end of a line, in the middle of an hour.
        let end = all[..cut].rfind('\n').unwrap() + 1;
        bench.write("in.csv", &all[..end]);
        assert_eq!(run(&bench, &[]).0, Some(0));
        let verified = tickcast("verify", &bench.file(), &[]);
        assert!(verified.status.success(), "{cut}: {}", text(&verified.stderr));
    }
    assert!(!bench.out()["rejects-0.ndjson"].is_empty(), "the rest of two hours is late");

    let before = bench.out();
    assert_eq!(run(&bench, &["--rebuild"]).0, Some(0));
    assert!(bench.out() == before, "the last windows were written again");
    assert!(tickcast("verify", &bench.file(), &[]).status.success(), "after a rebuild");
}
