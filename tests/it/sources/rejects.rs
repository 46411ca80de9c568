//! Broken records: each becomes a reject with its reason and its offset, and the good records
//! around it are forecast.

use std::collections::BTreeMap;

use crate::support::pipeline::{Runner, TestPipeline};

const PIPELINE: &str = "
name: broken
source: { file: { path: in.ndjson }, schema: in.avsc }
key: k
time: t
window: { tumbling: 1h, select: { x: avg(v) } }
forecast: { target: x, horizons: [1] }
sinks:
  forecasts: { file: { path: out/ } }
  rejects: { file: { path: out/ } }
";

const SCHEMA: &str = r#"{"type": "record", "name": "In", "fields": [
  {"name": "k", "type": ["null", "string"]},
  {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
  {"name": "v", "type": ["null", "double"]}
]}"#;

/// Ten kinds, each with the reason it must be given.
pub fn broken() -> Vec<(Vec<u8>, &'static str)> {
    let text = |s: &str| s.as_bytes().to_vec();
    let mut huge = text(r#"{"k":"a","t":"2024-01-01T02:00:00Z","v":1,"pad":""#);
    huge.extend(std::iter::repeat_n(b'x', 1 << 20));
    huge.extend(b"\"}");
    vec![
        (vec![0xff, 0xfe, 0x00, 0x7b], "undecodable"),
        (text(r#"{"k":"a","t":"2024-01-01T02:00:00Z","v":"#), "undecodable"),
        (text(r#"{"k":"a","t":"2024-01-01T02:00:00Z","v":"warm"}"#), "undecodable"),
        (text(r#"{"t":"2024-01-01T02:00:00Z","v":1}"#), "missing_key"),
        (text(r#"{"k":null,"t":"2024-01-01T02:00:00Z","v":1}"#), "missing_key"),
        (text(r#"{"k":"a","v":1}"#), "bad_time"),
        (text(r#"{"k":"a","t":"yesterday","v":1}"#), "bad_time"),
        (text(r#"{"k":"a","t":"2024-01-01T02:00:00Z","v":1e999}"#), "not_finite"),
        (text(r#"{"k":"a","t":"2023-12-31T00:00:00Z","v":1}"#), "late"),
        (huge, "too_large"),
    ]
}

/// Good records around the broken ones: one an hour, from midnight.
pub fn good(hour: usize) -> Vec<u8> {
    format!(r#"{{"k":"a","t":"2024-01-01T{hour:02}:30:00Z","v":{hour}}}"#).into_bytes()
}

#[test]
fn ten_kinds_of_broken_records_are_ten_rejects_and_the_good_ones_are_forecast() {
    let bench = TestPipeline::new(PIPELINE);
    bench.write("in.avsc", SCHEMA);
    let mut input = Vec::new();
    let mut expected = BTreeMap::new();
    let mut put = |record: &[u8]| {
        input.extend_from_slice(record);
        input.push(b'\n');
    };
    let mut offset = 0;
    for hour in 0..3 {
        put(&good(hour));
        offset += 1;
    }
    for (record, reason) in broken() {
        put(&record);
        expected.insert(offset, reason.to_owned());
        offset += 1;
    }
    put(&good(3));
    put(br#"{"k":"a","t":"2024-01-01T03:40:00Z","v":null}"#);
    bench.write("in.ndjson", input);
    let summary = bench.run(Runner::Threads(2), 4);
    assert_eq!((summary.rejects, summary.forecasts), (10, 4));
    let rejects = &bench.out()["rejects-0.ndjson"];
    let found: BTreeMap<i64, String> = rejects
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|reject| {
            assert!(!reject["detail"].as_str().unwrap().is_empty());
            (reject["offset"].as_i64().unwrap(), reject["reason"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn an_empty_file_is_no_error_and_a_missing_one_names_itself() {
    let bench = TestPipeline::new(PIPELINE);
    bench.write("in.avsc", SCHEMA);
    bench.write("in.ndjson", "");
    assert_eq!(bench.run(Runner::Threads(1), 10).records, 0);
    std::fs::remove_file(bench.path("in.ndjson")).unwrap();
    let error = tickcast_connect::FileSource::open(match &bench.load().plan.source {
        tickcast_connect::SourceSpec::File(file) => file,
        _ => unreachable!("the pipeline names a file"),
    });
    assert!(error.err().unwrap().to_string().contains("in.ndjson"));
}

/// Found by: a review. A division by zero in `select`, and a key as large as a record, ended the
/// run.
#[test]
fn a_record_that_an_expression_cannot_take_is_a_reject_and_a_quotient_by_no_rows_a_null() {
    let bench = TestPipeline::new(
        "name: divided\nsource: { file: { path: in.ndjson }, schema: in.avsc }\nkey: k\ntime: t\n\
         window: { tumbling: 1h, select: { x: avg(a / b), share: count(*) / count(*) FILTER (WHERE b > 3) } }\n\
         forecast: { target: x, features: [x, share] }\n\
         sinks: { forecasts: { file: { path: out/ } }, rejects: { file: { path: out/ } } }\n",
    );
    bench.write(
        "in.avsc",
        r#"{"type": "record", "name": "In", "fields": [{"name": "k", "type": "string"},
            {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "a", "type": "long"}, {"name": "b", "type": "long"}]}"#,
    );
    let record =
        |hour: usize, b: usize| format!(r#"{{"k":"a","t":"2024-01-01T{hour:02}:30:00Z","a":8,"b":{b}}}"#);
    let long = format!(r#"{{"k":"{}","t":"2024-01-01T02:30:00Z","a":8,"b":2}}"#, "x".repeat(2000));
    bench.write("in.ndjson", [record(0, 2), record(1, 0), record(1, 4), long, record(2, 2)].join("\n"));
    let summary = bench.run(Runner::Threads(1), 10);
    assert_eq!((summary.rejects, summary.forecasts), (2, 3));
    let rejects = &bench.out()["rejects-0.ndjson"];
    assert!(rejects.contains("Divide by zero") && rejects.contains("\"offset\":1"), "{rejects}");
    assert!(rejects.contains("too_large") && rejects.contains("\"offset\":3"), "{rejects}");
}

/// Found by: a review. The end of a file closed windows whose other records were still to come.
#[test]
fn a_file_that_grew_is_read_on() {
    let bench = TestPipeline::new(&format!("{PIPELINE}state: {{ dir: state }}\n"));
    bench.write("in.avsc", SCHEMA);
    let hours = |from: usize, to: usize| {
        (from..to).map(good).map(|r| [r, b"\n".to_vec()].concat()).collect::<Vec<_>>().concat()
    };
    bench.write("in.ndjson", hours(0, 5));
    assert_eq!(bench.run(Runner::Threads(1), 3).forecasts, 5);
    bench.write("in.ndjson", hours(0, 9));
    let again = bench.run(Runner::Threads(1), 3);
    assert_eq!((again.records, again.forecasts, again.rejects), (4, 4, 0));
}
