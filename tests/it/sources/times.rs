//! Times as people write them, from the file to the forecasts.
//!
//! The inputs are of public bug reports and public data; the right values were found by other
//! means.

use std::collections::BTreeMap;

use serde_json::Value;
use tickcast::factory::factory;
use tickcast_connect::SourceSchema;
use tickcast_stream::message::{EventTime, RawRecord, Reason, Records};
use tickcast_stream::{Offset, PartitionId};

use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};

/// A pipeline over `in.csv` or `in.ndjson` that shows each window's value as its naive forecast.
pub fn pipeline(file: &str, key: &str, time: &str, window: &str, target: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: times
source: {{ file: {{ path: {file} }} }}
key: {key}
time: {time}
window: {{ {window} }}
forecast: {{ target: {target}, features: [], experts: [naive] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

fn lines(bench: &TestPipeline, stream: &str) -> Vec<Value> {
    let text = bench.out().remove(&format!("{stream}-0.ndjson")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The windows that had records, as `series,window_start,value`.
pub fn windows(bench: &TestPipeline) -> Vec<(String, String, f64)> {
    let row = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("series"), text("window_start"), line["naive"].as_f64().unwrap())
    };
    lines(bench, "forecasts").iter().map(row).collect()
}

/// Rejects: offset, reason, detail.
pub fn rejects(bench: &TestPipeline) -> Vec<(i64, String, String)> {
    let row = |line: &Value| {
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (line["offset"].as_i64().unwrap(), text("reason"), text("detail"))
    };
    lines(bench, "rejects").iter().map(row).collect()
}

/// The rows of an `expected.csv`, its times as the records write them.
pub fn expected(csv: &str) -> Vec<(String, String, f64)> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        let time = cells[1].replace(' ', "T");
        let time = if time.contains('T') { format!("{time}Z") } else { format!("{time}T00:00:00Z") };
        (cells[0].to_owned(), time, cells[2].parse().unwrap())
    };
    csv.lines().skip(1).map(row).collect()
}

const CO2: &str = include_str!("../../fixtures/cases/05-co2s.csv");
const CO2_EXPECTED: &str = include_str!("../../fixtures/cases/05-co2s.expected.csv");

/// Case 05: `19580329` was taken for seconds since 1970 by its size: two windows, exit 0, no word.
#[test]
fn a_date_as_a_number_is_refused_until_its_format_is_said() {
    let window = "tumbling: 7d, gaps: skip";
    let bench = pipeline("in.csv", "site", "date", window, "co2");
    bench.write("in.csv", CO2);
    bench.run(Runner::Inline, 7);
    let refused = rejects(&bench);
    assert_eq!(refused.len(), CO2.lines().count() - 1);
    assert_eq!(refused[0].1, "bad_time");
    assert_eq!(
        refused[0].2,
        "time `date`: `19580329` is no count from 1990 to 2100: a date is read with `time: { column: date, format: \"%Y%m%d\" }`"
    );

    let bench = pipeline("in.csv", "site", "{ column: date, format: '%Y%m%d' }", window, "co2");
    bench.write("in.csv", CO2);
    bench.run(Runner::Inline, 7);
    assert_eq!(rejects(&bench), []);
    assert_eq!(windows(&bench), expected(CO2_EXPECTED));
}

/// Case 05, hours: `2024050113` was taken for a second of 2034.
#[test]
fn an_hour_as_a_number_is_refused_until_its_format_is_said() {
    let hour = |n: usize| format!("x,202405{:02}{:02},{n}", 1 + n / 24, n % 24);
    let csv = format!("id,t,v\n{}\n", (0..49).map(hour).collect::<Vec<_>>().join("\n"));
    let bench = pipeline("in.csv", "id", "t", "tumbling: 1h, gaps: skip", "v");
    bench.write("in.csv", &csv);
    bench.run(Runner::Inline, 100);
    let refused = rejects(&bench);
    assert!(refused.len() == 49 && refused[0].2.contains("unit: s"), "{refused:?}");

    let bench =
        pipeline("in.csv", "id", "{ column: t, format: '%Y%m%d%H' }", "tumbling: 1h, gaps: skip", "v");
    bench.write("in.csv", &csv);
    bench.run(Runner::Inline, 100);
    let hours = (0..49)
        .map(|n| ("x".to_owned(), format!("2024-05-{:02}T{:02}:00:00Z", 1 + n / 24, n % 24), n as f64));
    assert_eq!(windows(&bench), hours.collect::<Vec<_>>());
}

/// Case 27: texts of one instant in many forms; half of them were refused.
#[test]
fn every_form_of_an_instant_falls_into_its_window() {
    let texts = [
        "2024-05-01T13:30:00Z",
        "2024-05-01T13:30",
        "2024-05-01T1330Z",
        "2024-05-01T13:30:00,000Z",
        "2024-05-01 13:30:00 UTC",
        "2024-05-01 13:30:00+00",
        "2024-05-01T13:30:00+00:00[UTC]",
        "2024-05-01 15:30:00 Europe/Berlin",
        "2024-05-01 09:30:00 EDT",
        "2024/05/01 13:30",
        "May 1, 2024 1:30 PM",
        "Wed May  1 13:30:00 UTC 2024",
        "2024-05-01_13:30:00",
        "1714570200.0",
        "1714570200000",
        "1714570200000000",
        "/Date(1714570200000)/",
        "Wed, 01 May 2024 13:30:00 +0000",
    ];
    let refused = [
        "01/05/2024 13:30",
        "05/01/2024 01:30:00 PM",
        "24-05-01 13:30:00",
        "2024050113",
        "20240501133000",
        "2024",
        "0000-00-00 00:00:00",
        "-1",
        "2460432.0625",
    ];
    let record = |text: &&str| format!("{{\"id\": \"a\", \"t\": {text:?}, \"v\": 1}}");
    let bench = pipeline("in.ndjson", "id", "t", "tumbling: 1s, gaps: skip, select: { n: count(v) }", "n");
    let input: Vec<String> = texts.iter().chain(&refused).map(record).collect();
    bench.write("in.ndjson", input.join("\n"));
    bench.run(Runner::Threads(2), 5);
    assert_eq!(windows(&bench), [("a".to_owned(), "2024-05-01T13:30:00Z".to_owned(), texts.len() as f64)]);
    let reasons: Vec<_> = rejects(&bench).into_iter().map(|(offset, reason, _)| (offset, reason)).collect();
    let all = (texts.len()..texts.len() + refused.len()).map(|offset| (offset as i64, "bad_time".to_owned()));
    assert_eq!(reasons, all.collect::<Vec<_>>());
}

/// A day in Berlin when the clocks are put back has 25 hours, and one of them is said twice.
#[test]
fn the_hour_that_comes_twice_is_rejected_or_settled() {
    let local = |n: usize| format!("x,27.10.2024 {:02}:30,{n}", if n > 2 { n - 1 } else { n });
    let csv = format!("id,t,v\n{}\n", (0..25).map(local).collect::<Vec<_>>().join("\n"));
    let run = |ambiguous: &str| {
        let time = format!("{{ column: t, format: '%d.%m.%Y %H:%M', zone: Europe/Berlin{ambiguous} }}");
        let bench = pipeline("in.csv", "id", &time, "tumbling: 1h, gaps: skip", "v");
        bench.write("in.csv", &csv);
        bench.run(Runner::Inline, 4);
        bench
    };

    let bench = run("");
    let refused = rejects(&bench);
    assert_eq!(refused.iter().map(|(offset, ..)| *offset).collect::<Vec<_>>(), [2, 3]);
    assert!(refused[0].2.contains("ambiguous: earlier"), "{refused:?}");
    assert_eq!(windows(&bench).len(), 23);
    // Both readings are of one hour now, and the other has none.
    let earlier = windows(&run(", ambiguous: earlier"));
    let by_start: BTreeMap<&str, f64> = earlier.iter().map(|(_, at, v)| (at.as_str(), *v)).collect();
    assert_eq!((earlier.len(), by_start["2024-10-27T00:00:00Z"]), (24, 2.5));
    assert_eq!(by_start["2024-10-27T02:00:00Z"], 4.0);
}

#[test]
fn the_log_has_the_first_time_beside_what_it_was_read_from() {
    let bench = pipeline("in.csv", "id", "t", "tumbling: 1h", "v");
    bench.write("in.csv", "id,t,v\nx,\"May 1, 2024 1:30 PM\",1\nx,2024-05-01 15:30,2\n");
    let run = tickcast("run", &bench.file(), &[]);
    let log = text(&run.stderr);
    let said = "the first record's time: 2024-05-01T13:30:00Z, read from `May 1, 2024 1:30 PM`";
    assert_eq!(log.matches("the first record's time").count(), 1, "{log}");
    assert!(log.contains(said), "{log}");
}

const AHEAD: &str = include_str!("../../fixtures/cases/08-future-row.ndjson");
const AHEAD_EXPECTED: &str = include_str!("../../fixtures/cases/08-future-row.expected.csv");

/// Case 08: one record of ten years ahead closed all windows: 93 % of the others were late.
#[test]
fn a_record_of_2035_among_those_of_2025_is_one_reject() {
    for (runner, batch) in [(Runner::Inline, 1000), (Runner::Inline, 1), (Runner::Threads(1), 7)] {
        let bench = pipeline("in.ndjson", "dev", "ts", "tumbling: 1m, lateness: 1m, gaps: skip", "v");
        bench.write("in.ndjson", AHEAD);
        bench.run(runner, batch);
        let refused = rejects(&bench);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert_eq!((refused[0].0, refused[0].1.as_str()), (61, "future"));
        assert!(
            refused[0].2.contains("2035-02-01T00:20:00Z, is far after 2025-02-01T00:20:00Z"),
            "{refused:?}"
        );
        let mut found = windows(&bench);
        found.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
        assert_eq!(found, expected(AHEAD_EXPECTED));
    }
}

/// Wherever it stands, in the first place and the last too.
#[test]
fn a_record_far_ahead_is_one_reject_wherever_it_stands() {
    let lines: Vec<&str> = AHEAD.lines().filter(|line| !line.contains("2035")).collect();
    let ahead = r#"{"dev": "d2", "ts": "2035-02-01T00:20:00Z", "v": 7.0}"#;
    for at in [0, 1, 60, lines.len()] {
        let mut lines = lines.clone();
        lines.insert(at, ahead);
        let bench = pipeline("in.ndjson", "dev", "ts", "tumbling: 1m, lateness: 1m, gaps: skip", "v");
        bench.write("in.ndjson", lines.join("\n"));
        bench.run(Runner::Inline, 10);
        let refused: Vec<_> =
            rejects(&bench).into_iter().map(|(offset, reason, _)| (offset, reason)).collect();
        assert_eq!(refused, [(at as i64, "future".to_owned())]);
    }
}

/// Case 14 from a file: the clock of one of three gauges is two hours ahead, minute for minute.
#[test]
fn a_gauge_whose_clock_is_ahead_makes_no_record_of_the_others_late() {
    let record = |n: usize| {
        let (minute, gauge) = (n / 3, n % 3);
        let time = 1_735_689_600 + 60 * minute + if gauge == 2 { 7200 } else { 0 };
        format!("{{\"id\": \"{}\", \"t\": {time}, \"v\": {minute}}}", ["a", "b", "c"][gauge])
    };
    let input: Vec<String> = (0..240 * 3).map(record).collect();
    let bench = pipeline("in.ndjson", "id", "t", "tumbling: 1m, lateness: 5m, gaps: skip", "v");
    bench.write("in.ndjson", input.join("\n"));
    bench.run(Runner::Threads(2), 50);
    let refused = rejects(&bench);
    assert!(
        refused.len() == 240
            && refused.iter().all(|(offset, reason, _)| offset % 3 == 2 && reason == "future")
    );
    assert_eq!(windows(&bench).len(), 480);
}

/// Case 14: in a topic each record is measured by its own timestamp. 478 of 480 good ones were late
/// for ever.
#[test]
fn a_topics_records_are_measured_by_their_own_timestamps() {
    let bench = TestPipeline::new(
        "name: clock
source: { kafka: { brokers: 127.0.0.1:1, topic: clock, start: earliest } }
key: id
time: t
window: { tumbling: 1m, lateness: 5m }
forecast: { target: v, experts: [naive] }
sinks: { forecasts: { kafka: { topic: f } }, rejects: { kafka: { topic: r } } }
",
    );
    let mut partition =
        factory(&bench.load().plan, SourceSchema::default()).unwrap().partition(PartitionId(0)).unwrap();
    let record = |n: i64| {
        let (minute, gauge) = (n / 3, n % 3);
        let second = 1_735_689_600 + 60 * minute;
        let time = second + if gauge == 2 { 7200 } else { 0 };
        let payload =
            format!("{{\"id\": \"{}\", \"t\": {time}, \"v\": {minute}}}", ["a", "b", "c"][gauge as usize]);
        let timestamp = Some(EventTime(second * 1_000_000));
        RawRecord { offset: Offset(n), timestamp, payload: Some(payload.into()), ..RawRecord::default() }
    };
    let mut rejected = Vec::new();
    let records = Records::Raw((0..240 * 3).map(record).collect());
    let mut keep = |outcome: tickcast_stream::runtime::PartitionOutput| {
        rejected.extend(outcome.rejected);
        Ok(())
    };
    partition.take(records, &mut keep).unwrap();
    assert_eq!(rejected.len(), 240);
    let (reason, detail) = &rejected[0];
    assert_eq!(*reason, Reason::Future);
    assert_eq!(
        detail,
        "time `t` is 2025-01-01T02:00:00Z, more than 5m after the record's timestamp 2025-01-01T00:00:00Z"
    );
}
