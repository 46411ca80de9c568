//! Expressions of a window that fail: the column is null there, it is counted, and it is told.

use std::sync::Arc;

use serde_json::Value;
use tickcast::config;

use crate::support::pipeline::{Runner, TestPipeline, start};

const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"},
  {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "v", "type": "long"},
  {"name": "word", "type": "string"}]}"#;

const HOUR_US: i64 = 3_600_000_000;

fn bench(window: &str) -> TestPipeline {
    let bench = TestPipeline::new(&format!(
        "
name: failing
source: {{ file: {{ path: in.ndjson }}, schema: r.avsc }}
key: id
time: t
window: {{ {window} }}
forecast: {{ target: v, horizons: [1], experts: [naive] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }} }}
"
    ));
    bench.write("r.avsc", SCHEMA);
    bench
}

/// Two records an hour of two series; in every third hour those of one of them are too large for a
/// sum of 64 bits.
fn input() -> String {
    let mut text = String::new();
    for hour in 0..30i64 {
        for (id, large) in [("a", hour % 3 == 1), ("b", false)] {
            let v = if large { 9_000_000_000_000_000_000 } else { hour };
            let t = 1_704_067_200_000_000 + hour * HOUR_US;
            let line = format!("{{\"id\":\"{id}\",\"t\":{t},\"v\":{v},\"word\":\"{v}\"}}\n");
            text.push_str(&line.repeat(2));
        }
    }
    text
}

/// What a run says of failures: the metric, and the notes.
fn run(bench: &TestPipeline) -> (u64, Vec<String>) {
    bench.write("in.ndjson", input());
    let mut running = start(&bench.load(), Runner::Threads(1), 7, Arc::default(), Arc::new(|_| ())).unwrap();
    running.finish().unwrap();
    let text = running.metrics().text();
    let line = text.lines().find(|line| line.starts_with("tickcast_expressions_failed_total")).unwrap();
    (line.rsplit(' ').next().unwrap().parse().unwrap(), running.notes())
}

/// Found by: users' cases. The sum of two numbers of 63 bits was a negative number.
#[test]
fn a_sum_that_overflows_is_null_counted_and_told() {
    for window in ["tumbling: 1h", "hopping: { size: 1h, every: 1h }", "tumbling: 1h, watermark: series"] {
        let bench = bench(&format!("{window}, select: {{ v: sum(v), n: count(*) }}"));
        let (failed, notes) = run(&bench);
        assert_eq!(failed, 10, "{window}");
        let note =
            notes.iter().find(|note| note.contains("window.select.v")).unwrap_or_else(|| panic!("{notes:?}"));
        assert!(note.contains("of series a in the window from 2024-01-01T01:00:00Z: "), "{note}");
        assert!(!notes.iter().any(|note| note.contains("window.select.n")), "{notes:?}");

        // What is forecast from there is made of the last value that is known, and no truth is
        // made of it.
        let scores: Vec<Value> =
            bench.out()["scores-0.ndjson"].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let actual = |of: &str| -> Vec<i64> {
            let own = scores.iter().filter(|score| score["series"] == of);
            own.map(|score| score["actual"].as_f64().unwrap() as i64).collect()
        };
        assert_eq!(actual("b"), (1..30).map(|hour| 2 * hour).collect::<Vec<_>>());
        assert!(actual("a").iter().all(|actual| (0..=58).contains(actual)), "{:?}", actual("a"));
    }
}

#[test]
fn other_failures_are_told_too_and_each_column_by_itself() {
    let bench = bench(
        "tumbling: 1h, select: { v: avg(v), none: sum(v) / (count(*) - 2), product: max(v) * min(v), \
         ratio: avg(v) / (count(*) - 2), \
         text: \"cast(max(word || 'x') AS BIGINT)\" }",
    );
    let (failed, notes) = run(&bench);
    // The quotients and the text fail in all 60 rows, the product in ten.
    assert_eq!(failed, 3 * 60 + 10);
    for column in ["none", "product", "ratio", "text"] {
        assert!(notes.iter().any(|note| note.contains(&format!("window.select.{column} of"))), "{notes:?}");
    }
}

/// What can be planned and not be run is told by `check`, by the key it stands at.
#[test]
fn what_never_could_be_computed_is_refused_before_the_first_record() {
    let bench = bench("tumbling: 1h, select: { n: count(*), v: \"max(v) + cast('much' AS BIGINT)\" }");
    bench.write("in.ndjson", input());
    let pipeline = config::load(&bench.file(), &[]).unwrap_or_else(|faults| panic!("{faults}"));
    let refused = tickcast::factory::factory_unread(&pipeline.plan).err().unwrap().to_string();
    assert!(refused.contains("window.select.v"), "{refused}");
}
