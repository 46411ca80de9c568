//! Records as others shape them: nested objects, lists of readings, a column a sensor, keys of
//! several columns or of none, and what Kafka has beside a record. Cases 13, 14, 15 and 29 of users.

use std::collections::BTreeSet;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use serde_json::json;

use super::times::{pipeline, rejects, windows};
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, producer, send_record};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};

fn lines(records: impl IntoIterator<Item = serde_json::Value>) -> String {
    records.into_iter().map(|record| format!("{record}\n")).collect()
}

/// So many windows of `m`, an hour each, with the hours as values.
fn hours(series: &str, from: usize, to: usize) -> Vec<(String, String, f64)> {
    (from..to)
        .map(|n| (series.to_owned(), format!("2024-01-0{}T{:02}:00:00Z", 1 + n / 24, n % 24), n as f64))
        .collect()
}

fn at(n: usize) -> String {
    format!("2024-01-0{}T{:02}:00:00Z", 1 + n / 24, n % 24)
}

const HOURLY: &str = "tumbling: 1h, gaps: skip";

#[test]
fn paths_lead_into_objects_in_every_key() {
    let window = format!("{HOURLY}, select: {{ temp: 'avg(payload.c)' }}");
    let bench = pipeline("in.ndjson", "device.id", "meta.ts", &window, "temp")
        .with("where: payload.q = 'ok'")
        .with("derive: { payload_f: payload.c * 1.8 + 32 }");
    let record = |n: usize| {
        let quality = if n == 5 { "bad" } else { "ok" };
        json!({"device": {"id": "m", "fw": "1.2"}, "meta": {"ts": at(n)}, "payload": {"c": n, "q": quality}})
    };
    bench.write("in.ndjson", lines((0..30).map(record)));
    bench.run(Runner::Threads(2), 7);
    let mut expected = hours("m", 0, 30);
    expected.remove(5);
    assert_eq!((windows(&bench), rejects(&bench).len()), (expected, 0));

    let direct = pipeline("in.ndjson", "device.id", "meta.ts", HOURLY, "payload.c");
    direct.write("in.ndjson", lines((0..30).map(record)));
    direct.run(Runner::Inline, 3);
    assert_eq!(windows(&direct), hours("m", 0, 30));
}

/// A typo in a path was silent.
#[test]
fn a_path_that_no_record_has_is_told_with_the_nearest() {
    let window = format!("{HOURLY}, select: {{ temp: 'avg(payload.tmep)' }}");
    let bench = pipeline("in.ndjson", "id", "ts", &window, "temp");
    bench.write("in.ndjson", lines((0..9).map(|n| json!({"id": "m", "ts": at(n), "payload": {"temp": n}}))));
    let output = tickcast("run", &bench.file(), &["--allow-empty"]);
    let said = text(&output.stderr);
    assert!(
        said.contains("column `payload.tmep`") && said.contains("did you mean `payload.temp`?"),
        "{said}"
    );
}

#[test]
fn each_element_of_a_list_is_a_row() {
    for (unnest, time, value) in
        [("readings", "readings.ts", "temp"), ("payload.readings", "ts", "payload.readings.temp")]
    {
        let window = format!("{HOURLY}, select: {{ temp: 'avg({value})' }}");
        let bench = pipeline("in.ndjson", "id", time, &window, "temp");
        let record = |n: usize| {
            let readings: Vec<_> = (4 * n..4 * n + 4).map(|n| json!({"ts": at(n), "temp": n})).collect();
            match unnest {
                "readings" => json!({"id": "m", "readings": readings}),
                _ => json!({"payload": {"readings": readings}, "id": "m"}),
            }
        };
        let mut records: Vec<_> = (0..10).map(record).collect();
        records.insert(3, json!({"id": "m"}));
        bench.write("in.ndjson", lines(records));
        let setting = format!("source.unnest={unnest}");
        let output = tickcast("run", &bench.file(), &["--set", &setting]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(windows(&bench), hours("m", 0, 40));
        let why = format!("the record has no list `{unnest}`");
        assert_eq!(rejects(&bench), [(3, "undecodable".to_owned(), why)]);
    }
}

/// Case 29: a column a sensor, and a key of several columns.
#[test]
fn columns_of_a_wide_file_become_series() {
    let row = |n: usize| {
        format!("p/1,{},{n},{},\n", at(n), if n == 2 { "NA".to_owned() } else { (n + 100).to_string() })
    };
    let csv = std::iter::once("plant,at,t1,t2,t3\n".to_owned()).chain((0..24).map(row)).collect::<String>();
    let bench = pipeline("in.csv", "[plant, sensor]", "at", HOURLY, "v");
    bench.write("in.csv", csv);
    let settings = ["--set", "source.melt={columns: [t1, t2, t3], name: sensor, value: v}"];
    let output = tickcast("run", &bench.file(), &settings);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let of = |series: &str| -> Vec<_> { windows(&bench).into_iter().filter(|row| row.0 == series).collect() };
    assert_eq!(of("p\\/1/t1"), hours("p\\/1/t1", 0, 24));
    assert_eq!((of("p\\/1/t2").len(), of("p\\/1/t2")[0].2, windows(&bench).len()), (23, 100.0, 47));
}

/// Case 15.
#[test]
fn without_a_key_all_records_are_of_one_series_that_the_pipeline_names() {
    for key in ["key: none\n", ""] {
        let bench = TestPipeline::new(&format!(
            "name: taxi
source: {{ file: {{ path: in.csv }} }}
{key}time: t
window: {{ tumbling: 1h }}
forecast: {{ target: v, experts: [naive] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }} }}
"
        ));
        bench.write("in.csv", (0..20).fold("t,v\n".to_owned(), |csv, n| csv + &format!("{},{n}\n", at(n))));
        bench.run(Runner::Inline, 3);
        assert_eq!(windows(&bench), hours("taxi", 0, 20));
    }
}

/// Case 14: key and time are Kafka's own.
#[test]
fn key_and_time_may_be_those_of_kafka() {
    let Some(addr) = brokers_or_skip() else { return };
    create_topic(addr, "shapes.keyed", 1);
    let producer = producer(addr);
    // 2024-01-01T00:00:00Z.
    let start_ms = 1_704_067_200_000;
    for n in 0..20_i64 {
        let (key, value) = (if n % 2 == 0 { "a" } else { "b" }, format!("{{\"v\":{n}}}"));
        let headers = OwnedHeaders::new().insert(Header { key: "unit", value: Some("C") });
        let record = BaseRecord::to("shapes.keyed")
            .partition(0)
            .key(key.as_bytes())
            .payload(value.as_bytes())
            .timestamp(start_ms + n * 3_600_000)
            .headers(headers);
        send_record(&producer, record);
    }

    let bench = TestPipeline::new(&format!(
        "name: keyed
source: {{ kafka: {{ brokers: \"{addr}\", topic: shapes.keyed, start: earliest }} }}
key: [$key, $headers.unit]
time: $timestamp
where: \"$offset < 18 AND $headers.unit = 'C'\"
window: {{ tumbling: 1h, gaps: skip }}
forecast: {{ target: v, experts: [naive] }}
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }} }}
"
    ));
    bench.run_until(Runner::Inline, 7, Some(20));
    let expected: Vec<_> = hours("", 0, 17)
        .into_iter()
        .enumerate()
        .map(|(n, (_, start, value))| (if n % 2 == 0 { "a/C" } else { "b/C" }.to_owned(), start, value))
        .collect();
    assert_eq!(windows(&bench), expected);
}

#[test]
fn what_only_kafka_has_is_refused_of_a_file() {
    let bench = pipeline("in.ndjson", "$key", "t", HOURLY, "v");
    bench.write("in.ndjson", "{}\n");
    let output = tickcast("check", &bench.file(), &[]);
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && said.contains("only the records of a topic have a column `$key`"),
        "{said}"
    );
}

/// Rows of one record, some of them late, broken or far ahead, are the same whatever batches, threads
/// and stops there are.
#[test]
fn records_of_several_rows_show_no_batches_threads_or_stops() {
    let record = |n: usize| {
        let element = |part: usize| match (n * 7 + part) % 23 {
            0 => json!({"ts": "no time", "temp": 1}),
            1 => json!({"ts": "2031-01-01T00:00:00Z", "temp": 1}),
            2 => json!({"ts": at(n / 8), "temp": "warm"}),
            3 => json!({"ts": at(0), "temp": 5, "hum": "wet"}),
            _ => json!({"ts": at(n / 4), "temp": n + part, "hum": part}),
        };
        let list: Vec<_> = (0..n % 5).map(element).collect();
        json!({"id": format!("m{}", n % 3), "readings": list})
    };
    let bench = TestPipeline::new(
        "name: rows
source: { file: { path: in.ndjson }, unnest: readings, melt: { columns: [temp, hum], name: what, value: v } }
key: [id, what]
time: readings.ts
window: { tumbling: 1h, lateness: 1h }
forecast: { target: v, horizons: [1, 2], model: { cell: gru, hidden: 4, bptt: 12, replay: 1 } }
state: { dir: state }
recover_within: 1ms
sinks: { forecasts: { file: { path: out/ } }, scores: { file: { path: out/ } }, rejects: { file: { path: out/ } } }
",
    );
    bench.write("in.ndjson", lines((0..190).map(record)));
    bench.run(Runner::Inline, 1000);
    let whole = bench.out();
    let reasons: BTreeSet<String> = rejects(&bench).into_iter().map(|of| of.1).collect();
    assert!(
        ["bad_time", "future", "late", "undecodable"].iter().all(|why| reasons.contains(*why)),
        "{reasons:?}"
    );

    for (runner, batch, stops) in [
        (Runner::Inline, 1, vec![]),
        (Runner::Threads(2), 7, vec![]),
        (Runner::Inline, 3, vec![20, 55, 90]),
        (Runner::Threads(2), 5, vec![40, 10, 70]),
    ] {
        bench.clear();
        stops.iter().for_each(|records| _ = bench.run_until(runner, batch, Some(*records)));
        bench.run(runner, batch);
        assert_eq!(bench.out(), whole, "{runner:?}, {batch}, {stops:?}");
    }
}
