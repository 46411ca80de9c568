//! Several files as one source: what comes out is what one file of all of them makes, whatever is
//! killed, and a file that is not as it was read is named.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::times::rejects;
use crate::support::pipeline::{Runner, TestPipeline, read_dir};
use crate::support::process::{text, tickcast};

const PIPELINE: &str = "
name: many
source: { file: { path: 'PATH', end: END, order: ORDER } }
key: id
time: t
window: { tumbling: 1h, lateness: 0s, gaps: skip, select: { v: sum(v), w: last_value(w) } }
forecast: { target: v, features: [v, w], horizons: [1, 2], model: { hidden: 3, bptt: 11 } }
state: { dir: state }
delivery: exactly_once
sinks:
  forecasts: { file: { path: out/ } }
  scores: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

const ROWS: usize = 300;
/// The one that is no record.
const BROKEN: usize = 77;

fn bench(path: &str, end: &str) -> TestPipeline {
    ordered(path, end, "arrival")
}

fn ordered(path: &str, end: &str, order: &str) -> TestPipeline {
    let bench =
        TestPipeline::new(&PIPELINE.replace("PATH", path).replace("END", end).replace("ORDER", order));
    fs::create_dir_all(bench.path("in put/[2024]")).unwrap();
    bench
}

fn time(n: usize) -> String {
    format!("2024-01-{:02}T{:02}:{:02}:00Z", 1 + n / 144, n / 6 % 24, n % 6 * 10)
}

/// A record every ten minutes, of two series.
fn json(n: usize) -> String {
    if n == BROKEN {
        return "{\"id\": broken\n".to_owned();
    }
    format!("{{\"id\":\"s{}\",\"t\":\"{}\",\"v\":{n},\"w\":{}}}\n", n % 2, time(n), n * 7 % 13)
}

/// The same as CSV, with its columns in one of two orders.
fn csv(n: usize, is_turned: bool) -> String {
    let (id, t, w) = (format!("s{}", n % 2), time(n), n * 7 % 13);
    match is_turned {
        _ if n == BROKEN => "too,few\n".to_owned(),
        true => format!("{w},\"{t}\",more,{n},{id}\n"),
        false => format!("{id},{t},{n},{w}\n"),
    }
}

fn csv_file(rows: std::ops::Range<usize>, is_turned: bool) -> String {
    let header = if is_turned { "w,t,x,v,id\n" } else { "id,t,v,w\n" };
    rows.fold(header.to_owned(), |text, n| text + &csv(n, is_turned))
}

fn gz(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

/// Without the rejects, which name their files.
fn results(bench: &TestPipeline) -> BTreeMap<String, String> {
    let mut out = bench.out();
    out.remove("rejects-0.ndjson");
    out
}

fn run(bench: &TestPipeline, args: &[&str]) -> (Option<i32>, String) {
    let output = tickcast("run", &bench.file(), args);
    (output.status.code(), text(&output.stderr).to_owned())
}

/// What one file of all records makes.
fn whole(form: &str) -> TestPipeline {
    let whole = bench(&format!("in.{form}"), "close");
    let text = if form == "csv" { csv_file(0..ROWS, false) } else { (0..ROWS).map(json).collect() };
    whole.write(&format!("in.{form}"), text);
    whole.run(Runner::Inline, 100);
    whole
}

/// Ends of the files, some of them empty.
fn cuts(rng: &mut Pcg64Mcg) -> Vec<usize> {
    let mut cuts: Vec<usize> = (0..rng.random_range(0..12)).map(|_| rng.random_range(0..=ROWS)).collect();
    cuts.push(ROWS);
    cuts.sort_unstable();
    cuts
}

#[test]
fn files_that_are_read_one_after_the_other_are_as_one() {
    for form in ["csv", "ndjson"] {
        let expected = results(&whole(form));
        assert!(expected["forecasts-0.ndjson"].lines().count() > 90);
        for seed in 0..8 {
            let mut rng = Pcg64Mcg::seed_from_u64(seed);
            let many = bench("in put/[2024]/*", "close");
            let mut from = 0;
            let mut files: Vec<(usize, usize)> = Vec::new();
            for to in cuts(&mut rng) {
                files.push((std::mem::replace(&mut from, to), to));
            }
            let mut order: Vec<usize> = (0..files.len()).collect();
            order.shuffle(&mut rng);
            for at in order {
                let (from, to) = files[at];
                let text = match form {
                    "csv" if from == to && rng.random() => String::new(),
                    "csv" => csv_file(from..to, rng.random()),
                    _ => (from..to).map(json).collect(),
                };
                let name = format!("in put/[2024]/part-{at}.{form}");
                match rng.random_range(0..3) {
                    0 => many.write(&format!("{name}.gz"), gz(&text)),
                    1 => many.write(&format!("{name}.zst"), zstd::encode_all(text.as_bytes(), 1).unwrap()),
                    // The last line of a file may end with it.
                    _ => many.write(&name, text.trim_end_matches('\n')),
                };
            }
            let stops: Vec<u64> = (0..rng.random_range(0..4)).map(|_| rng.random_range(1..200)).collect();
            let runner = if rng.random() { Runner::Inline } else { Runner::Threads(2) };
            let batch = rng.random_range(1..50);
            stops.iter().for_each(|records| _ = many.run_until(runner, batch, Some(*records)));
            many.run(runner, batch);
            assert_eq!(results(&many), expected, "{form} {seed} {stops:?}");
            assert!(tickcast("verify", &many.file(), &[]).status.success(), "{form} {seed}");

            let at = files.iter().position(|(_, to)| *to > BROKEN).unwrap();
            let rejects = many.out()["rejects-0.ndjson"].clone();
            assert_eq!(rejects.lines().count(), 1, "{rejects}");
            assert!(rejects.contains(&format!("/part-{at}.{form}")), "{rejects}");
            assert!(rejects.contains(&format!("\"offset\":{},", BROKEN - files[at].0)), "{rejects}");
        }
    }
}

#[test]
fn files_that_come_behind_those_that_were_read_are_read_on() {
    let expected = results(&whole("csv"));
    let many = bench("in put/", "keep");
    let (mut from, all) = (0, [31, 32, 150, 200, 299, ROWS]);
    for (at, to) in all.into_iter().enumerate() {
        // Half a line is one that is being written.
        let text = csv_file(from..to, at % 2 == 1);
        let half = &text[..text.len() - 4];
        many.write(&format!("in put/{at}.csv"), half);
        assert_eq!(run(&many, &["--allow-empty"]).0, Some(0));
        many.write(&format!("in put/{at}.csv"), &text);
        if at % 3 == 0 {
            assert_eq!(run(&many, &["--allow-empty"]).0, Some(0));
        }
        from = to;
    }
    let (code, said) = run(&many, &["--set", "source.file.end=close"]);
    assert!(
        code == Some(0) && said.contains("6 files are read, in this order: 0.csv, 1.csv, 2.csv"),
        "{said}"
    );
    assert_eq!(results(&many), expected);
    assert!(tickcast("verify", &many.file(), &[]).status.success());
}

/// A state that goes on in other files than it was learned from would be wrong without a word.
#[test]
fn a_file_that_came_in_before_was_changed_or_is_gone_is_named() {
    let many = bench("in put/*.csv", "keep");
    for at in 0..5 {
        many.write(&format!("in put/b{at}.csv"), csv_file(at * 60..(at + 1) * 60, false));
    }
    assert_eq!(run(&many, &[]).0, Some(0));
    let before = read_dir(&many.path("out"));
    let refused = |why: &str, file: &str| {
        let (code, said) = run(&many, &[]);
        assert!(code == Some(1) && said.contains(why) && said.contains(file), "{said}");
        assert!(said.contains("--rebuild"), "{said}");
        assert_eq!(read_dir(&many.path("out")), before);
    };

    for (name, next) in [("a.csv", "b0.csv"), ("b2x.csv", "b3.csv"), ("b3x.csv", "b4.csv")] {
        let path = many.write(&format!("in put/{name}"), csv_file(0..3, false));
        refused(
            "came in before",
            &format!("{name} came in before {}", many.path("in put").join(next).display()),
        );
        fs::remove_file(path).unwrap();
    }
    for at in 0..4 {
        let name = format!("in put/b{at}.csv");
        let text = fs::read_to_string(many.path(&name)).unwrap();
        many.write(&name, text.replace(":10:00Z,", ":20:00Z,"));
        refused("was changed after it had been read", &format!("/b{at}.csv was changed"));
        fs::remove_file(many.path(&name)).unwrap();
        refused("a file that had been read is gone", &format!("/b{}.csv", at + 1));
        many.write(&name, text);
    }
    let last = fs::read_to_string(many.path("in put/b4.csv")).unwrap();
    many.write("in put/b4.csv", last.replace(":10:00Z,", ":20:00Z,"));
    refused("is not as it was when it was being read", "/b4.csv");
    fs::remove_file(many.path("in put/b4.csv")).unwrap();
    refused("the file that was being read is gone", "after ");
    many.write("in put/b4.csv", &last);

    // Names that are passed over are no files.
    many.write("in put/.a.csv", "");
    many.write("in put/b0.csv.tmp", "");
    assert_eq!(run(&many, &[]).0, Some(0));
    many.write("in put/a.csv", csv_file(0..3, false));
    let (code, said) = run(&many, &["--rebuild"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(run(&many, &[]).0, Some(0), "the state is of the files as they are");
    many.write("in put/a.csv", csv_file(0..2, false));
    let (code, said) = run(&many, &[]);
    assert!(code == Some(1) && said.contains("a.csv was changed"), "{said}");
}

#[test]
fn a_shorter_file_is_never_made_up_for_by_the_next() {
    let many = bench("in put/*.ndjson", "keep");
    let lines: Vec<String> = (0..200).map(json).collect();
    many.write("in put/1.ndjson", lines[..150].concat());
    assert_eq!(run(&many, &[]).0, Some(0));
    many.write("in put/1.ndjson", lines[..100].concat());
    many.write("in put/2.ndjson", lines[150..].concat());
    let (code, said) = run(&many, &[]);
    assert!(code == Some(1) && said.contains("1.ndjson has 100 records"), "{said}");
}

#[test]
fn what_cannot_be_read_together_is_named() {
    let refused = |path: &str, files: &[(&str, &str)], wanted: &str| {
        let many = bench(path, "close");
        files.iter().for_each(|(name, text)| _ = many.write(&format!("in put/{name}"), text));
        let (code, said) = run(&many, &[]);
        assert!(code != Some(0) && said.contains(wanted), "{wanted}: {said}");
    };
    let good = csv_file(0..9, false);
    refused("in put/*.parquet", &[("a.csv", &good)], "no file matches");
    refused("in put/", &[], "no file is in the directory");
    refused("in put/", &[("a.csv", &good), ("b.ndjson", "{}")], "b.ndjson are of different formats");
    refused(
        "in put/",
        &[("a.csv", &good), ("notes.txt", "")],
        "notes.txt: its name does not tell its format",
    );
    let other = good.replace("id,t,v,w", "id,t,volume,w");
    refused("in put/*.csv", &[("a.csv", &good), ("b.csv", &other)], "b.csv has no column `v`");
    refused("in put/*.csv", &[("a.csv", &good), ("b.csv", "1,2,3,4\n5,6,7,8\n")], "b.csv has no header");
    refused("in put/*", &[("a.csv.gz", "no gzip")], "a.csv.gz");
}

#[test]
fn files_by_time_are_sorted_together() {
    let rows: Vec<usize> = (0..ROWS).filter(|n| *n != BROKEN).collect();
    let file = |rows: &[usize], is_turned: bool| {
        let header = if is_turned { "w,t,x,v,id\n" } else { "id,t,v,w\n" };
        rows.iter().fold(header.to_owned(), |text, n| text + &csv(*n, is_turned))
    };
    let whole = bench("in.csv", "close");
    whole.write("in.csv", file(&rows, false));
    whole.run(Runner::Inline, 100);

    let many = ordered("in put/", "close", "time");
    let mut mixed = rows;
    mixed.shuffle(&mut Pcg64Mcg::seed_from_u64(5));
    for (at, part) in mixed.chunks(70).enumerate() {
        many.write(&format!("in put/{at}.csv"), file(part, at % 2 == 1));
    }
    many.write("in put/9.csv", "id,t,v,w\nno,record\n");
    many.run_until(Runner::Threads(2), 7, Some(100));
    many.run(Runner::Inline, 11);
    assert_eq!(results(&many), results(&whole));
    assert_eq!(rejects(&many).len(), 1);
    assert!(many.out()["rejects-0.ndjson"].contains("/9.csv") && rejects(&many)[0].0 == 0);

    many.write("in put/99.csv", file(&[3], false));
    let (code, said) = run(&many, &[]);
    assert!(code == Some(1) && said.contains("99.csv came in") && said.contains("order: time"), "{said}");
}
