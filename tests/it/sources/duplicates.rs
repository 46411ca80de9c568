//! `deduplicate`: a record that comes twice counts once, and the second is told.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;
use tickcast::config;

use crate::support::pipeline::{Runner, TestPipeline};

fn bench(deduplicate: &str, window: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "
name: duplicates
source: {{ file: {{ path: in.ndjson }} }}
key: id
time: t
{deduplicate}
window: {{ {window} }}
forecast: {{ target: v, horizons: [1], experts: [naive] }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

const S: i64 = 1_000_000;
const START: i64 = 1_735_689_600;

fn lines(bench: &TestPipeline, stream: &str) -> Vec<Value> {
    let text = bench.out().remove(&format!("{stream}-0.ndjson")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The sum of each window, which naive forecasts.
fn sums(bench: &TestPipeline) -> Vec<f64> {
    lines(bench, "forecasts")
        .iter()
        .map(|made| (made["naive"].as_f64().unwrap() * 1e6).round() / 1e6)
        .collect()
}

/// The offsets of what was rejected, and that each is a duplicate.
fn duplicates(bench: &TestPipeline) -> Vec<i64> {
    let offset = |reject: &Value| {
        assert_eq!(reject["reason"], "duplicate", "{reject}");
        reject["offset"].as_i64().unwrap()
    };
    lines(bench, "rejects").iter().map(offset).collect()
}

/// Found by: users' cases. Three readings a minute, a quarter of them delivered twice: sums were a
/// quarter too large, and nobody said so.
#[test]
fn what_is_delivered_twice_counts_once() {
    let (mut text, mut twice, mut offset) = (String::new(), Vec::new(), 0);
    for n in 0..720i64 {
        let (minute, second) = (n / 3, n % 3 * 10);
        let line = format!(
            "{{\"event_id\":{n},\"id\":\"m\",\"t\":{},\"v\":{}}}\n",
            (START + minute * 60 + second) * S,
            (minute * 10 + n % 3) as f64 / 10.0
        );
        text.push_str(&line);
        offset += 1;
        if n * 7919 % 13 < 3 {
            text.push_str(&line);
            twice.push(offset);
            offset += 1;
        }
    }
    let expected: Vec<f64> = (0..240).map(|minute| (minute * 30 + 3) as f64 / 10.0).collect();
    for deduplicate in
        ["deduplicate: {}", "deduplicate: { by: [event_id], within: 1h }", "deduplicate: { by: [t, v] }"]
    {
        let bench = bench(deduplicate, "tumbling: 1m, select: { v: sum(v) }");
        bench.write("in.ndjson", &text);
        bench.run(Runner::Threads(1), 50);
        assert_eq!(sums(&bench), expected, "{deduplicate}");
        assert_eq!(duplicates(&bench), twice, "{deduplicate}");
        let detail = &lines(&bench, "rejects")[0]["detail"];
        assert!(
            detail.as_str().unwrap().ends_with(&format!("of the record at offset {}", twice[0] - 1)),
            "{detail}"
        );
    }
}

/// An id is a text where no expression reads it: as a float, neighbours of more than 53 bits would
/// be the same. A record without one is the same as no other.
#[test]
fn ids_are_compared_as_they_are_written() {
    let ids = [
        "9007199254740992",
        "9007199254740993",
        "\"9007199254740993\"",
        "null",
        "null",
        "\"a-1\"",
        "\"a-2\"",
        "\"a-1\"",
    ];
    let text: String = ids
        .iter()
        .enumerate()
        .map(|(n, id)| format!("{{\"id\":\"m\",\"seq\":{id},\"t\":{},\"v\":1}}\n", (START + n as i64) * S))
        .collect();
    let bench = bench("deduplicate: { by: [seq] }", "tumbling: 1m, select: { v: sum(v) }");
    bench.write("in.ndjson", text);
    bench.run(Runner::Inline, 100);
    assert_eq!((sums(&bench), duplicates(&bench)), (vec![6.0], vec![2, 7]));
}

/// It comes after `where` and `derive`: what is left out is the same as nothing, and what is
/// derived can be compared.
#[test]
fn what_is_derived_can_be_compared_and_what_is_left_out_cannot() {
    let record = |n: i64, name: &str, quality: &str| {
        format!(
            "{{\"id\":\"m\",\"name\":\"{name}\",\"q\":\"{quality}\",\"t\":{},\"v\":1}}\n",
            (START + n) * S
        )
    };
    let text = [record(0, "A", "bad"), record(1, "a", "ok"), record(2, "A", "ok"), record(3, "b", "ok")];
    let rules = "derive: { low: lower(name) }\nwhere: \"q = 'ok'\"\ndeduplicate: { by: [low] }";
    let bench = bench(rules, "tumbling: 1m, select: { v: sum(v) }");
    bench.write("in.ndjson", text.concat());
    bench.run(Runner::Inline, 100);
    assert_eq!((sums(&bench), duplicates(&bench)), (vec![2.0], vec![2]));
}

/// A file that has one series after the other: where every series has windows by its own times,
/// records are remembered by them too.
#[test]
fn series_with_times_of_their_own_are_remembered_by_them() {
    let record =
        |id: &str, day: i64| format!("{{\"id\":\"{id}\",\"t\":{},\"v\":1}}\n", (START + day * 86_400) * S);
    let series = |id: &str| (0..30).flat_map(|day| [record(id, day), record(id, day)]).collect::<String>();
    let text = series("a") + &series("b");
    let bench = bench("deduplicate: {}", "tumbling: 1d, watermark: series, select: { v: sum(v) }");
    bench.write("in.ndjson", text);
    bench.run(Runner::Inline, 7);
    assert_eq!(sums(&bench), vec![1.0; 60]);
    assert_eq!(duplicates(&bench).len(), 60);
}

#[test]
fn what_cannot_be_meant_is_refused_by_name() {
    for (deduplicate, why) in [
        ("deduplicate: { by: [] }", "an empty list"),
        ("deduplicate: { by: [seq, seq] }", "listed twice"),
        ("deduplicate: { form: [seq] }", "form"),
        ("deduplicate: { within: 0s }", "within"),
    ] {
        let bench = bench(deduplicate, "tumbling: 1m, select: { v: sum(v) }");
        let faults =
            config::load(&bench.file(), &[]).err().unwrap_or_else(|| panic!("{deduplicate} is taken"));
        assert!(faults.to_string().contains(why), "{faults}");
    }
}

/// A series, seconds, an id.
type Record = (u8, i64, u8);

/// The rule in plain steps: which records came before.
fn by_rule(records: &[Record], by_id: bool, within: i64) -> Vec<i64> {
    let (mut latest, mut kept, mut twice) = (i64::MIN, Vec::<Record>::new(), Vec::new());
    for (at, &record) in records.iter().enumerate() {
        latest = latest.max(record.1);
        let is_same = |other: &Record| {
            let same = if by_id { other.2 == record.2 } else { other.1 == record.1 };
            other.0 == record.0 && same && (other.1 - record.1).abs() <= within && other.1 >= latest - within
        };
        if kept.iter().any(is_same) { twice.push(at as i64) } else { kept.push(record) }
    }
    twice
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn of_records_that_come_in_any_order_those_that_came_before_are_told(
        records in prop::collection::vec((0u8..3, 0i64..200, 0u8..6), 1..200),
        disorder in prop::sample::select(vec![1i64, 20, 200]),
        by_id in any::<bool>(),
        within in prop::sample::select(vec![5i64, 30, 3600]),
        batch in prop::sample::select(vec![1usize, 13, 1000]),
    ) {
        let mut records = records;
        records.sort_by_key(|record| record.1 / disorder);
        let text: String = records
            .iter()
            .map(|(id, second, seq)| {
                format!("{{\"id\":\"s{id}\",\"seq\":\"q{seq}\",\"t\":{},\"v\":1}}\n", (START + second) * S)
            })
            .collect();
        let by = if by_id { "by: [seq], " } else { "" };
        // Nothing is late.
        let bench = bench(
            &format!("deduplicate: {{ {by}within: {within}s }}"),
            "tumbling: 10s, lateness: 1d, gaps: skip, select: { v: sum(v) }",
        );
        bench.write("in.ndjson", text);
        bench.run(Runner::Inline, batch);
        let expected = by_rule(&records, by_id, within);
        let found: BTreeSet<i64> = duplicates(&bench).into_iter().collect();
        prop_assert_eq!(found, expected.iter().copied().collect());
        prop_assert_eq!(sums(&bench).iter().sum::<f64>(), (records.len() - expected.len()) as f64);
    }
}
