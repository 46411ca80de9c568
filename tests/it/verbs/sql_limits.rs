//! `sql` with queries that would take all of a machine: each ends with exit code 1 and a sentence.

use std::process::Output;

use crate::support::pipeline::TestPipeline;
use crate::support::process::{text, tickcast};

const PIPELINE: &str = "
name: ticks
source: { generate: { series: 3, ticks: 3000, process: weather } }
window: { tumbling: 1h, select: { temp: avg(temp) } }
forecast: { target: temp, model: { hidden: 4 } }
sinks: { forecasts: { file: { path: out/ } } }
";

fn sql(query: &str, limits: &[&str]) -> Output {
    let bench = TestPipeline::new(PIPELINE);
    let arguments: Vec<&str> = [query, "--format", "csv"].into_iter().chain(limits.iter().copied()).collect();
    tickcast("sql", &bench.file(), &arguments)
}

#[track_caller]
fn ends_with(query: &str, limits: &[&str], sentence: &str) {
    let output = sql(query, limits);
    let stderr = text(&output.stderr);
    let shown = &query[..query.len().min(80)];
    assert_eq!(output.status.code(), Some(1), "{shown}: {:?}: {stderr}", output.status);
    assert!(stderr.starts_with("error: query: ") && stderr.contains(sentence), "{shown}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{shown}: {stderr}");
}

/// F11: 20,000 terms and 3,000 branches ended the process with SIGABRT. Found by hostile testing.
#[test]
fn a_query_that_is_too_deep_is_refused_by_a_sentence() {
    for query in [
        format!("SELECT {}1", "1+".repeat(20_000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(3_000)),
        format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000)),
    ] {
        ends_with(&query, &[], "nested too deeply");
    }
    // Some hundreds of terms took more stack than a thread usually has.
    let terms = sql(&format!("SELECT {}1 AS n", "1+".repeat(800)), &["--timeout", "none"]);
    assert_eq!(text(&terms.stdout), "n\n801\n", "{}", text(&terms.stderr));
}

/// F11: each of these took 3 GB within seconds and grew until it was killed. The first is
/// counted by DataFusion, the others are one value of one row. Found by hostile testing.
#[test]
fn a_query_that_needs_too_much_memory_ends() {
    for query in [
        "SELECT * FROM generate_series(1, 1000000000000) ORDER BY 1 DESC",
        "SELECT array_length(range(0, 2000000000))",
        "SELECT length(lpad('a', 2000000000, 'b'))",
        "SELECT length(repeat('a', 2000000000))",
    ] {
        ends_with(query, &["--memory", "200MiB", "--timeout", "none"], "--memory");
    }
}

/// F11: these ran on for ever. Found by hostile testing.
#[test]
fn a_query_that_takes_too_long_ends() {
    for query in [
        "SELECT count(*) FROM generate_series(1, 1000000000000) WHERE value % 7 = 8",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
    ] {
        ends_with(query, &["--timeout", "1s"], "--timeout");
    }
}

#[test]
fn limits_are_read_as_people_write_them() {
    let answered = sql("SELECT 1 AS one", &["--memory", "64MiB", "--timeout", "1m 30s"]);
    assert_eq!(text(&answered.stdout), "one\n1\n", "{}", text(&answered.stderr));
    assert_eq!(sql("SELECT 1", &["--memory", "much"]).status.code(), Some(2));
    assert_eq!(sql("SELECT 1", &["--timeout", "0s"]).status.code(), Some(2));
}
