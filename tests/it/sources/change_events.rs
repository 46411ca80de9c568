//! Change events of Debezium in topics, and records without a value: the same forecasts as from the
//! rows alone. It must not know how an envelope is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rdkafka::producer::{BaseRecord, Producer};
use serde_json::{Value, json};

use super::times::rejects;
use crate::support::broker::brokers_or_skip;
use crate::support::kafka::{create_topic, producer, send_record};
use crate::support::pipeline::{self, Runner, TestPipeline};
use crate::support::readings::run_until;
use crate::support::wait::{PATIENCE, wait_till};

/// 2024-01-01T00:00:00Z.
const START_US: i64 = 1_704_067_200_000_000;

/// What comes of a table: rows that are written, changed and deleted, behind each deletion a
/// tombstone, and twice something of no row.
fn events() -> Vec<Option<Value>> {
    let mut events = Vec::new();
    for n in 0..200_i64 {
        let row = json!({"id": format!("m{}", n % 3), "at": START_US + n * 600_000_000, "temp": n % 17});
        let (op, before, after) = match n % 7 {
            3 => ("d", row.clone(), Value::Null),
            5 => ("u", row.clone(), row),
            _ if n < 20 => ("r", Value::Null, row),
            _ => ("c", Value::Null, row),
        };
        events.push(Some(
            json!({"before": before, "after": after, "source": {"ts_ms": n}, "op": op, "ts_ms": n}),
        ));
        if op == "d" {
            events.push(None);
        }
    }
    events.insert(50, Some(json!({"op": "t", "source": {"table": "readings"}, "ts_ms": 1})));
    events.insert(90, Some(json!({"op": "m", "message": {"prefix": "x", "content": "AA=="}})));
    events.insert(110, Some(json!({"hello": 1})));
    events
}

/// The row alone, as `ExtractNewRecordState` leaves it.
fn flat(event: &Option<Value>) -> Option<Value> {
    let after = event.as_ref()?.get("after").cloned().unwrap_or_default();
    let mut row = after.as_object()?.clone();
    row.insert("op".to_owned(), event.as_ref()?["op"].clone());
    Some(Value::Object(row))
}

fn bench(addr: &str, topic: &str, keys: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: {topic}
source: {{ kafka: {{ brokers: \"{addr}\", topic: {topic}, start: earliest }}{keys} }}
key: id
time: {{ column: at, unit: us }}
where: \"op <> 'r'\"
window: {{ tumbling: 1h, lateness: 1h, select: {{ temp: avg(temp), rows: count(*) }} }}
forecast: {{ target: temp, horizons: [1, 2], model: {{ cell: gru, hidden: 4, bptt: 12, replay: 1 }} }}
state: {{ dir: state }}
recover_within: 1ms
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

/// Sends records with their keys; none is a tombstone.
fn fill(addr: &str, topic: &str, records: impl IntoIterator<Item = Option<String>>) {
    create_topic(addr, topic, 1);
    let producer = producer(addr);
    for value in records {
        let record = BaseRecord::to(topic).partition(0).key(&b"{\"id\":1}"[..]);
        let value = value.map(String::into_bytes);
        send_record(
            &producer,
            match &value {
                Some(value) => record.payload(value.as_slice()),
                None => record,
            },
        );
    }
    producer.flush(PATIENCE).unwrap();
}

/// Forecasts and scores, which name no record.
fn results(bench: &TestPipeline) -> BTreeMap<String, String> {
    let out = files(bench);
    assert_eq!(out.len(), 2, "{:?}", out.keys());
    out
}

fn files(bench: &TestPipeline) -> BTreeMap<String, String> {
    let mut out = bench.out();
    out.retain(|name, _| !name.starts_with("rejects"));
    out
}

/// The counts of `records_passed_over_total` once so many records have been worked on.
fn passed(bench: &TestPipeline, records: u64) -> BTreeMap<String, f64> {
    let worked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&worked);
    let progress = Arc::new(move |records| _ = count.fetch_add(records, Ordering::Relaxed));
    let stop = Arc::new(AtomicBool::new(false));
    let running = pipeline::start(&bench.load(), Runner::Threads(1), 50, stop, progress).unwrap();
    wait_till("all records", || worked.load(Ordering::Relaxed) >= records);
    running.stop();
    let metrics = Arc::clone(running.metrics());
    running.wait().unwrap();

    let text = metrics.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("tickcast_records_passed_over_total{"));
    let count = |line: &str| {
        let reason = line.split("reason=\"").nth(1).unwrap().split('"').next().unwrap();
        (reason.to_owned(), line.rsplit(' ').next().unwrap().parse().unwrap())
    };
    lines.map(count).filter(|(_, count)| *count > 0.0).collect()
}

#[test]
fn change_events_are_the_same_bytes_as_the_rows_alone() {
    let Some(addr) = brokers_or_skip() else { return };
    let events = events();
    let all = events.len() as u64;
    let text = |value: &Value| value.to_string();
    fill(addr, "changes.flat", events.iter().map(|event| flat(event).as_ref().map(text)));
    fill(addr, "changes.bare", events.iter().map(|event| event.as_ref().map(text)));
    let wrapped = |event: &Value| json!({"schema": {"type": "struct"}, "payload": event}).to_string();
    fill(addr, "changes.wrapped", events.iter().map(|event| event.as_ref().map(wrapped)));

    let of_rows = bench(addr, "changes.flat", "");
    let deleted = events.iter().filter(|event| flat(event).is_none()).count() as f64;
    assert_eq!(passed(&of_rows, all), BTreeMap::from([("tombstone".to_owned(), deleted)]));
    let expected = results(&of_rows);
    assert!(expected.values().all(|lines| lines.lines().count() > 20), "{expected:?}");

    for topic in ["changes.bare", "changes.wrapped"] {
        let bench = bench(addr, topic, ", envelope: debezium");
        let deleted = events.iter().filter(|event| event.is_none()).count() as f64;
        let counts = [("tombstone", deleted), ("delete", deleted), ("truncate", 1.0), ("message", 1.0)];
        let counts = counts.map(|(reason, count)| (reason.to_owned(), count));
        assert_eq!(passed(&bench, all), BTreeMap::from(counts), "{topic}");
        assert_eq!(results(&bench), expected, "{topic}");
        let refused: Vec<_> = rejects(&bench).into_iter().map(|(at, why, _)| (at, why)).collect();
        assert_eq!(refused, [(110, "undecodable".to_owned())]);
        let why = "the record is no change event: it has no `op`";
        assert!(rejects(&bench)[0].2.starts_with(why), "{:?}", rejects(&bench));

        // Nothing of it depends on batches and stops.
        bench.clear();
        [30, 51, 90].iter().for_each(|records| _ = bench.run_until(Runner::Inline, 7, Some(*records)));
        run_until(&bench, || files(&bench) == expected);
    }
}

#[test]
fn a_tombstone_is_a_reject_where_that_is_said() {
    let Some(addr) = brokers_or_skip() else { return };
    let row = |n: i64| flat(&Some(json!({"after": {"id": "m", "at": START_US + n, "temp": 1}, "op": "c"})));
    let records = [row(1), None, row(2)];
    fill(addr, "changes.told", records.iter().map(|row| row.as_ref().map(Value::to_string)));
    let told = bench(addr, "changes.told", ", tombstones: reject");
    assert_eq!(passed(&told, 3), BTreeMap::new());
    let why = "the record has no value (a tombstone)".to_owned();
    assert_eq!(rejects(&told), [(1, "undecodable".to_owned(), why)]);
}
