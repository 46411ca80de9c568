//! Damaged and foreign bytes at every door that reads some: an answer or an error, never a panic.
//!
//! A case is an input that is known to be good, or was taken before, with bytes flipped, cut,
//! doubled and mixed. What is taken joins the inputs. A seed decides everything, so a failure
//! repeats. `TICKCAST_FUZZ_SECONDS=60 cargo test --test it fuzz` gives each target a minute.

mod ingest;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tickcast::config::Pipeline;
use tickcast::factory::factory_for;
use tickcast_connect::{OpenOptions, RecordSchema, SchemaText, SourceSchema};
use tickcast_model::{Activation, CellKind, NetworkSpec, file};
use tickcast_sql::query::{OutputFormat, Session};
use tickcast_stream::ledger::{Base, Chunk, Snapshot, chunk};
use tickcast_stream::message::{RawRecord, Records};
use tickcast_stream::runtime::{Partition, PipelineFactory, RestorePoint};
use tickcast_stream::source::Event;
use tickcast_stream::{Offset, PartitionId};

use crate::support::avro_file::avro_file;
use crate::support::pipeline::{Runner, TestPipeline};

const P: PartitionId = PartitionId(0);
/// Inputs that were taken and are kept.
const KEPT: usize = 300;

/// Inputs, and what is done to them.
struct Mutator {
    rng: Pcg64Mcg,
    inputs: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    fn new(inputs: &[&[u8]], words: &[&str]) -> Self {
        let inputs = inputs.iter().map(|input| input.to_vec()).collect();
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        Mutator { rng: Pcg64Mcg::seed_from_u64(7), inputs, words }
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end.max(1))
    }

    fn any_input(&mut self) -> Vec<u8> {
        let at = self.below(self.inputs.len());
        self.inputs[at].clone()
    }

    fn next(&mut self) -> Vec<u8> {
        let mut bytes = self.any_input();
        for _ in 0..1 + self.below(5) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let to = (at + 1 + self.below(40)).min(bytes.len());
        match self.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'-', b'9'][self.below(8)],
            2 => bytes.truncate(at),
            3 if at < to => drop(bytes.drain(at..to)),
            4 => {
                let part = bytes.get(at..to).unwrap_or_default().to_vec();
                let times = 1 + self.below(20);
                bytes.splice(at..at, part.repeat(times));
            }
            5 => {
                let other = self.any_input();
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from.min(other.len())..]);
            }
            _ => {
                let word = if self.words.is_empty() {
                    vec![self.rng.random()]
                } else {
                    let word = self.below(self.words.len());
                    self.words[word].clone()
                };
                bytes.splice(at..at, word);
            }
        }
    }
}

/// Tries inputs: `take` says whether it has taken one.
fn fuzz(cases: usize, mut from: Mutator, mut take: impl FnMut(&[u8]) -> bool) {
    let seconds = std::env::var("TICKCAST_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut tried, mut taken) = (0, 0);
    for input in from.inputs.clone() {
        assert!(take(&input), "a good input is refused: {}", input.escape_ascii());
    }
    while end.map_or(tried < cases, |end| Instant::now() < end) {
        let input = from.next();
        let is_taken = catch_unwind(AssertUnwindSafe(|| take(&input)))
            .unwrap_or_else(|_| panic!("a panic after {tried} cases at: {}", input.escape_ascii()));
        tried += 1;
        taken += usize::from(is_taken);
        if is_taken && from.inputs.len() < KEPT {
            from.inputs.push(input);
        }
    }
    println!("{tried} tried, {taken} taken");
    assert!(end.is_some() || (taken > 0 && taken < tried), "{taken} of {tried} taken: nothing is tested");
}

fn pipeline(format: &str) -> String {
    format!(
        "name: fuzz
source: {{ file: {{ path: in.{format} }} }}
key: k
time: t
window: {{ tumbling: 10s, lateness: 3s, select: {{ x: avg(v), n: count(*) }} }}
forecast: {{ target: x, horizons: [1, 2], model: {{ cell: gru, hidden: 4, bptt: 12, replay: 1 }} }}
state: {{ dir: state }}
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, scores: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    )
}

fn lines(format: &str, count: i64) -> Vec<String> {
    let line = |n: i64| {
        let (k, t, v) = (n % 3, (1_704_067_200 + n) * 1_000_000, (n * 37 % 101) as f64 / 7.0);
        match format {
            "csv" => format!("s{k},{t},{v}"),
            _ => format!(r#"{{"k":"s{k}","t":{t},"v":{v},"more":{{"a":[1,null,true]}}}}"#),
        }
    };
    (0..count).map(line).collect()
}

fn bench(format: &str) -> TestPipeline {
    let bench = TestPipeline::new(&pipeline(format));
    let header = if format == "csv" { "k,t,v\n" } else { "" };
    bench.write(&format!("in.{format}"), format!("{header}{}\n", lines(format, 400).join("\n")));
    bench
}

fn factory(bench: &TestPipeline) -> PipelineFactory {
    let plan = bench.load().plan;
    let mut open = plan.source.open(OpenOptions::default()).unwrap();
    factory_for(&plan, &mut open).unwrap()
}

fn record(offset: i64, bytes: &[u8]) -> Records {
    let payload = Some(bytes.to_vec().into());
    Records::Raw(vec![RawRecord { offset: Offset(offset), payload, ..RawRecord::default() }])
}

/// One record more: how many rejects it makes. No record ends a run.
fn rejects(partition: &mut Partition, offset: i64, bytes: &[u8]) -> usize {
    let mut rejected = 0;
    let mut deliver = |outcome: tickcast_stream::runtime::PartitionOutput| {
        rejected += outcome.rejected.len();
        Ok(())
    };
    partition.take(record(offset, bytes), &mut deliver).unwrap_or_else(|error| panic!("{error}"));
    rejected
}

#[test]
fn any_record_is_a_row_or_one_reject() {
    for format in ["ndjson", "csv"] {
        let factory = factory(&bench(format));
        let (mut partition, mut offset, mut all_rejected) = (factory.partition(P).unwrap(), 0, 0);
        let good = lines(format, 20);
        let good: Vec<&[u8]> = good.iter().map(String::as_bytes).collect();
        let words = [
            "null",
            "1e999",
            "NaN",
            "\\u0000",
            "9223372036854775808",
            "{",
            "[",
            "\"",
            ",",
            "\n",
            "2024-01-01",
            "May 1, 2024 1:30 PM",
            "2024/5/1 13:30",
            "[Europe/Berlin]",
            " EDT",
            "T13",
            "+02:00",
            "/Date(",
            "2024-W18-3",
            "20240501",
        ];
        fuzz(3000, Mutator::new(&good, &words), |input| {
            offset += 1;
            // A record whose time runs ahead is judged with the next one.
            let rejected = rejects(&mut partition, offset, input);
            all_rejected += rejected as i64;
            assert!(all_rejected <= offset, "{all_rejected} rejects of {offset} records");
            rejected == 0
        });
    }
}

const AVRO: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "k", "type": "string"},
    {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "v", "type": ["null", "double", "R"]}, {"name": "list", "type": {"type": "array", "items": ["null", "int"]}},
    {"name": "more", "type": {"type": "map", "values": {"type": "bytes", "logicalType": "decimal", "scale": 2}}}]}"#;

const PROTO: &str = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
    message R { string k = 1; google.protobuf.Timestamp t = 2; google.protobuf.DoubleValue v = 3; repeated sint32 list = 4;
    map<string, R> more = 5; fixed64 other = 6; }"#;

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A record of the schema, by hand.
fn avro_record(n: u8) -> Vec<u8> {
    let mut out = vec![4, b's', b'0' + n % 3];
    varint((1_704_067_200_000_000 + u64::from(n) * 1_000_000) << 1, &mut out);
    out.push(2);
    out.extend(f64::from(n).to_le_bytes());
    // Two items of the list, one of them in a block that says its size; an entry of the map.
    out.extend([1, 4, 2, 2 * n % 64, 2, 0, 0, 2, 2, b'a', 2, 7, 0]);
    out
}

/// A message of the schema, by hand.
fn proto_message(n: u8) -> Vec<u8> {
    let mut seconds = vec![8];
    varint(1_704_067_200 + u64::from(n), &mut seconds);
    let mut value = vec![9];
    value.extend(f64::from(n).to_le_bytes());
    let mut out = vec![10, 2, b's', b'0' + n % 3, 18, seconds.len() as u8];
    out.extend(seconds);
    out.extend([26, value.len() as u8]);
    out.extend(value);
    out.extend([34, 3, 2, 4, 7, 42, 9, 10, 1, b'a', 18, 4, 10, 2, b'b', b'c', 49, 1, 2, 3, 4, 5, 6, 7, 8]);
    out
}

fn json_record(n: u8) -> Vec<u8> {
    let t = 1_704_067_200_000_000 + u64::from(n) * 1_000_000;
    format!(r#"{{"k":"s{}","t":{t},"v":{n},"list":[{n},null,2],"more":{{"a":{{"k":"x"}}}}}}"#, n % 3)
        .into_bytes()
}

/// A format, a column beside those of all, and how its records are written.
type Form = (&'static str, &'static str, fn(u8) -> Vec<u8>);

#[test]
fn any_payload_of_a_schema_is_rows_and_rejects() {
    let forms: [Form; 3] = [
        ("format: avro, schema: r.avsc", "more.a", avro_record),
        ("format: protobuf, schema: r.proto", "other", proto_message),
        ("format: json", "more.a.k", json_record),
    ];
    for (form, other, of) in forms {
        for (unnest, target) in [("", "v"), (", unnest: list", "list")] {
            let bench = TestPipeline::new(&format!(
                "name: fuzz
source: {{ kafka: {{ topic: fuzz }}, {form}{unnest} }}
key: k
time: t
window: {{ tumbling: 10s, select: {{ x: avg({target}), a: max({other}) }} }}
forecast: {{ target: x }}
"
            ));
            bench.write("r.avsc", AVRO);
            bench.write("r.proto", PROTO);
            let factory = tickcast::factory::factory(&bench.load().plan, SourceSchema::default()).unwrap();
            let decoder = factory.decoder(P).unwrap();
            let good: Vec<Vec<u8>> = (0..20).map(of).collect();
            let good: Vec<&[u8]> = good.iter().map(Vec::as_slice).collect();
            let words = ["\0\0\0\0\u{1}\0", "\u{c3}\u{1}", "null", "[", "{", "a.b", "NaN", "\u{7f}"];
            fuzz(2000, Mutator::new(&good, &words), |input| {
                let decoded = decoder.decode(&record(0, input)).unwrap_or_else(|error| panic!("{error}"));
                decoded.rejects.is_empty()
            });
        }
    }
}

/// A change event around a record of the schemas above.
fn avro_event(n: u8) -> Vec<u8> {
    [&[2], &avro_record(n)[..], &[2, b"curd"[usize::from(n % 4)]]].concat()
}

fn proto_event(n: u8) -> Vec<u8> {
    let row = proto_message(n);
    [&[10, row.len() as u8], &row[..], &[18, 1, b"curd"[usize::from(n % 4)]]].concat()
}

fn json_event(n: u8) -> Vec<u8> {
    let (op, row) = (&"curd"[usize::from(n % 4)..][..1], String::from_utf8(json_record(n)).unwrap());
    let event = format!(r#"{{"before":null,"after":{row},"op":"{op}","ts_ms":{n}}}"#);
    if n.is_multiple_of(2) {
        event.into_bytes()
    } else {
        format!(r#"{{"schema":{{}},"payload":{event}}}"#).into_bytes()
    }
}

#[test]
fn any_change_event_is_a_row_a_reject_or_passed_over() {
    let forms: [Form; 3] = [
        ("format: avro, schema: r.avsc", "more.a", avro_event),
        ("format: protobuf, schema: r.proto, message: E", "other", proto_event),
        ("format: json", "more.a.k", json_event),
    ];
    for (form, other, of) in forms {
        let bench = TestPipeline::new(&format!(
            "name: fuzz
source: {{ kafka: {{ topic: fuzz }}, {form}, envelope: debezium }}
key: k
time: t
window: {{ tumbling: 10s, select: {{ x: avg(v), a: max({other}), o: max(op) }} }}
forecast: {{ target: x, features: [x] }}
"
        ));
        let after =
            format!(r#"{{"name": "after", "type": ["null", {AVRO}]}}, {{"name": "op", "type": "string"}}"#);
        bench.write("r.avsc", format!(r#"{{"type": "record", "name": "E", "fields": [{after}]}}"#));
        bench.write("r.proto", format!("{PROTO} message E {{ R after = 1; string op = 2; }}"));
        let factory = tickcast::factory::factory(&bench.load().plan, SourceSchema::default()).unwrap();
        let decoder = factory.decoder(P).unwrap();
        let good: Vec<Vec<u8>> = (0..20).map(of).collect();
        let good: Vec<&[u8]> = good.iter().map(Vec::as_slice).collect();
        let words = ["\"after\":", "\"op\":\"d\"", "\"payload\":{", "null", "{}", "[", "\u{1}c", "\u{7f}"];
        fuzz(2000, Mutator::new(&good, &words), |input| {
            let decoded = decoder.decode(&record(0, input)).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(decoded.rows.num_rows() + decoded.rejects.len() + decoded.passed.len(), 1);
            decoded.rejects.is_empty()
        });
    }
}

#[test]
fn any_json_schema_is_columns_or_refused() {
    let good = [
        r##"{"$id":"a","type":"object","properties":{"a":{"$ref":"#/$defs/x"},"b":{"type":["null","number"]}},"$defs":{"x":{"anyOf":[{"type":"string"},{"$ref":"#"}]}}}"##,
        r##"{"allOf":[{"properties":{"l":{"type":"array","items":{"$ref":"#there"}}}},{"additionalProperties":{"enum":[1,null]}}],"definitions":{"y":{"id":"#there","type":"object"}}}"##,
    ];
    let words =
        ["\"$ref\":\"#\"", "\"allOf\":[", "{", "}", "true", "\"type\":\"object\"", "#/$defs/x", "/~1"];
    fuzz(3000, Mutator::new(&good.map(str::as_bytes), &words), |input| {
        let text = String::from_utf8_lossy(input).into_owned();
        RecordSchema::json(&SchemaText { text, references: Vec::new() }).is_ok()
    });
}

/// Damage that the checks of blocks do not see is a reject, or the end of the run with its place.
#[test]
fn any_avro_file_is_read_up_to_its_fault() {
    let objects: Vec<Vec<u8>> = (0..20).map(avro_record).collect();
    let codecs = ["null", "deflate", "zstandard"];
    let good: Vec<Vec<u8>> = codecs.iter().map(|codec| avro_file(AVRO, codec, &objects, 6)).collect();
    let good: Vec<&[u8]> = good.iter().map(Vec::as_slice).collect();
    let bench = TestPipeline::new(&pipeline("avro"));
    let plan = |bytes: &[u8]| {
        bench.write("in.avro", bytes);
        bench.load().plan
    };
    fuzz(
        1500,
        Mutator::new(&good, &["avro.codec", "snappy", "null", "\u{7f}", "sixteen bytes ok"]),
        |input| {
            let plan = plan(input);
            let Ok(mut open) = plan.source.open(OpenOptions::default()) else { return false };
            let Ok(factory) = factory_for(&plan, &mut open) else { return false };
            let (decoder, mut source) = (factory.decoder(P).unwrap(), open.source);
            source.poll(Duration::ZERO).unwrap();
            source.start(P, None).unwrap();
            loop {
                match source.poll(Duration::ZERO) {
                    Ok(Event::Records { records, .. }) => {
                        let decoded = decoder.decode(&records).unwrap_or_else(|error| panic!("{error}"));
                        assert!(decoded.rejects.len() <= records.len());
                    }
                    Ok(Event::End { .. }) => return true,
                    Ok(_) => {}
                    Err(error) => {
                        assert!(error.to_string().contains("in.avro at record"), "{error}");
                        return false;
                    }
                }
            }
        },
    );
}

#[test]
fn any_state_is_restored_or_refused() {
    let factory = factory(&bench("ndjson"));
    let mut partition = factory.partition(P).unwrap();
    let good = lines("ndjson", 400);
    for (n, line) in good.iter().enumerate() {
        rejects(&mut partition, n as i64, line.as_bytes());
    }
    let whole = partition.snapshot().unwrap().unwrap();
    fuzz(1500, Mutator::new(&[&whole.state], &[]), |input| {
        let mut partition = factory.partition(P).unwrap();
        let snapshot = Snapshot::new(P, whole.position, input.to_vec());
        partition.restore(&snapshot, RestorePoint::AtEnd).is_ok()
    });
}

#[test]
fn any_piece_of_a_state_is_read_or_refused() {
    let whole = Snapshot::new(P, Offset(7), vec![5; 3000]);
    let light = Snapshot::light(P, Offset(9), Base::of(&whole, 2000), vec![6; 1000]);
    for snapshot in [whole, light].map(std::sync::Arc::new) {
        let good = Chunk { snapshot, index: 0, count: 1 }.encode();
        // A checksum is over all of it: what is changed is refused.
        let mut from = Mutator::new(&[&good], &[]);
        for _ in 0..20_000 {
            let input = from.next();
            assert!(chunk::decode(&input).is_err() || input == good, "{}", input.escape_ascii());
            // This one is read before all the rest of a file.
            _ = chunk::base_in_head(&input);
        }
    }
}

#[test]
fn any_manifest_and_owner_are_read_or_refused() {
    let bench = bench("ndjson").with("delivery: exactly_once");
    bench.run(Runner::Inline, 50);
    let plan = bench.load().plan;
    for name in ["partition-0.manifest", ".tickcast-owner"] {
        let path = bench.path("state").join(name);
        let good = fs::read(&path).unwrap();
        let mut from = Mutator::new(&[&good], &["{", "\n", "null", "-1", "9999999999999999999"]);
        for _ in 0..300 {
            fs::write(&path, from.next()).unwrap();
            let claimed = plan.ends().ledger(None, false).and_then(|(mut recover, _)| recover.claim(P));
            if let Err(error) = claimed {
                assert!(!error.to_string().is_empty());
            }
        }
        fs::write(&path, good).unwrap();
    }
    assert!(plan.ends().ledger(None, false).and_then(|(mut recover, _)| recover.claim(P)).is_ok());
}

#[test]
fn any_pipeline_file_is_a_pipeline_or_has_its_faults_named() {
    let dir = Path::new("pipelines");
    let weather = fs::read_to_string("pipelines/weather.yaml").unwrap();
    let texts = [pipeline("ndjson"), pipeline("csv"), weather];
    let good: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    let words = [
        "&a ",
        "*a",
        "<<: ",
        "!!binary ",
        "? ",
        "|\n",
        "- ",
        ": ",
        "{",
        "}",
        "${X}",
        "1e999",
        "0x7f",
        "~",
        "\t",
    ];
    fuzz(1500, Mutator::new(&good, &words), |input| {
        let text = String::from_utf8_lossy(input);
        match Pipeline::from_yaml(&text, dir) {
            Ok(_) => true,
            Err(faults) => {
                assert!(!faults.to_string().trim().is_empty());
                false
            }
        }
    });
}

#[test]
fn any_query_is_answered_or_refused() {
    let bench = bench("ndjson");
    bench.run(Runner::Inline, 50);
    let session = Session::open(bench.load().plan.tables().unwrap(), 64 << 20).unwrap();
    let good: [&[u8]; 4] = [
        b"EXPLAIN SELECT horizon, avg(abs(error)) FROM scores GROUP BY horizon",
        b"EXPLAIN SELECT * FROM forecasts f JOIN scores s ON f.series = s.series WHERE s.error > 1",
        b"EXPLAIN WITH a AS (SELECT topic, count(*) n FROM rejects GROUP BY 1) SELECT * FROM a ORDER BY n DESC LIMIT 3",
        b"EXPLAIN SELECT CASE WHEN forecast > 0 THEN 'up' ELSE NULL END, lag(forecast) OVER (PARTITION BY series) FROM forecasts",
    ];
    let words = [
        "SELECT ",
        "(",
        ")",
        "'",
        "\"",
        "--",
        "/*",
        "NOT ",
        "CAST(",
        "::",
        " UNION ALL ",
        "INTERVAL '1' ",
        "$1",
        "*",
    ];
    fuzz(600, Mutator::new(&good, &words), |input| {
        let text = String::from_utf8_lossy(input);
        // What is planned is not run: a query may ask for more than there is time for.
        if !text.starts_with("EXPLAIN ") || text.starts_with("EXPLAIN ANALYZE") {
            return false;
        }
        session.answer(&text, OutputFormat::Json, &mut Vec::new()).is_ok()
    });
}

#[test]
fn any_weights_file_is_finite_weights_or_refused() {
    let spec = NetworkSpec {
        cell: CellKind::Gru,
        activation: Activation::Tanh,
        inputs: 3,
        hidden: 4,
        layers: 1,
        outputs: 2,
        skip: true,
    };
    let len = tickcast_model::ParameterLayout::new(&spec).len();
    let weights = nalgebra::DVector::from_element(len, 0.5f32);
    let good = file::write(&spec, &weights, &Default::default()).unwrap();
    fuzz(5000, Mutator::new(&[&good], &["F32", "shape", "1e9", "\"", "{", "}"]), |input| {
        _ = file::metadata(input);
        let read = file::read(input, &spec);
        assert!(read.as_ref().map_or(true, |weights| weights.iter().all(|weight| weight.is_finite())));
        read.is_ok()
    });
}
