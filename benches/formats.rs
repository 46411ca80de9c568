//! Times what a record costs from payload to row, in each format: the same records, a text, a time
//! and three numbers, of a thousand series. Ends with rows a second and ratios to flat JSON.
//! It must not know how a format is read.
//!
//!     cargo bench -p tickcast --bench formats                  # a release build, DataFusion's too
//!     cargo bench -p tickcast --bench formats --profile dev    # the tests' build
//!
//! Only the ratios of one run count: what else the machine does is in all of them.

#![allow(clippy::expect_used, reason = "a measurement fails by a panic")]

use std::path::Path;
use std::time::{Duration, Instant};

use tickcast::config::Pipeline;
use tickcast::factory::factory;
use tickcast_connect::SourceSchema;
use tickcast_stream::decode::Decode;
use tickcast_stream::message::{EventTime, RawRecord, Records};
use tickcast_stream::{Offset, PartitionId};

const RECORDS: usize = 4096;
/// Batches of a turn.
const BATCHES: usize = 2;
const TURNS: usize = 60;
const START_US: i64 = 1_704_067_200_000_000;

const AVRO: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "k", "type": "string"},
    {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "a", "type": "double"},
    {"name": "b", "type": ["null", "double"]}, {"name": "c", "type": "long"}]}"#;
const PROTO: &str = r#"syntax = "proto3"; import "google/protobuf/timestamp.proto";
    message R { string k = 1; google.protobuf.Timestamp t = 2; double a = 3; optional double b = 4; sint64 c = 5; }"#;

/// A tick.
struct Tick {
    series: String,
    time_us: i64,
    a: f64,
    b: f64,
    c: i64,
}

fn tick(n: usize) -> Tick {
    let n = n as i64;
    Tick {
        series: format!("s{:04}", n * 7 % 1_000),
        time_us: START_US + n * 1_000,
        a: (n * 37 % 1_009) as f64 / 7.0,
        b: (n * 91 % 499) as f64 / 4.0,
        c: n % 10_000,
    }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn json(Tick { series, time_us, a, b, c }: &Tick) -> Vec<u8> {
    format!(r#"{{"k":"{series}","t":{time_us},"a":{a},"b":{b},"c":{c}}}"#).into_bytes()
}

fn nested(Tick { series, time_us, a, b, c }: &Tick) -> Vec<u8> {
    format!(r#"{{"d":{{"k":"{series}"}},"t":{time_us},"p":{{"a":{a},"b":{b},"c":{c}}}}}"#).into_bytes()
}

fn csv(Tick { series, time_us, a, b, c }: &Tick) -> Vec<u8> {
    format!("{series},{time_us},{a},{b},{c}").into_bytes()
}

fn avro(tick: &Tick) -> Vec<u8> {
    let mut out = vec![2 * tick.series.len() as u8];
    out.extend(tick.series.bytes());
    varint(zigzag(tick.time_us), &mut out);
    out.extend(tick.a.to_le_bytes());
    out.push(2);
    out.extend(tick.b.to_le_bytes());
    varint(zigzag(tick.c), &mut out);
    out
}

fn proto(tick: &Tick) -> Vec<u8> {
    let mut out = vec![10, tick.series.len() as u8];
    out.extend(tick.series.bytes());
    let mut time = vec![8];
    varint((tick.time_us / 1_000_000) as u64, &mut time);
    time.push(16);
    varint((tick.time_us % 1_000_000 * 1_000) as u64, &mut time);
    out.extend([18, time.len() as u8]);
    out.extend(time);
    out.push(25);
    out.extend(tick.a.to_le_bytes());
    out.push(33);
    out.extend(tick.b.to_le_bytes());
    out.push(40);
    varint(zigzag(tick.c), &mut out);
    out
}

/// A format: its keys, the columns of key and numbers, and how a tick is written.
type Form = (&'static str, &'static str, [&'static str; 4], fn(&Tick) -> Vec<u8>);

const FORMS: [Form; 5] = [
    ("json", "format: json", ["k", "a", "b", "c"], json),
    ("json, nested", "format: json", ["d.k", "p.a", "p.b", "p.c"], nested),
    ("csv", "format: csv, csv: { header: [k, t, a, b, c] }", ["k", "a", "b", "c"], csv),
    ("avro", "format: avro, schema: r.avsc", ["k", "a", "b", "c"], avro),
    ("protobuf", "format: protobuf, schema: r.proto", ["k", "a", "b", "c"], proto),
];

fn decoder((_, format, [k, a, b, c], _): &Form, folder: &Path) -> Box<dyn Decode> {
    let yaml = format!(
        "name: formats
source: {{ kafka: {{ topic: ticks }}, {format} }}
key: {k}
time: t
window: {{ tumbling: 1m, select: {{ a: avg({a}), b: max({b}), c: sum({c}) }} }}
forecast: {{ target: a }}
"
    );
    let plan = Pipeline::from_yaml(&yaml, folder).expect("a pipeline").plan;
    let factory = factory(&plan, SourceSchema::default()).expect("a factory");
    factory.decoder(PartitionId(0)).expect("a decoder")
}

fn batch(write: fn(&Tick) -> Vec<u8>) -> Records {
    let record = |n: usize| RawRecord {
        offset: Offset(n as i64),
        timestamp: Some(EventTime(START_US + n as i64 * 1_000)),
        payload: Some(write(&tick(n)).into()),
        ..RawRecord::default()
    };
    Records::Raw((0..RECORDS).map(record).collect())
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("r.avsc"), AVRO).expect("a schema");
    std::fs::write(folder.path().join("r.proto"), PROTO).expect("a schema");
    let forms: Vec<_> =
        FORMS.iter().map(|form| (form.0, decoder(form, folder.path()), batch(form.3))).collect();

    // All formats in turn: what else the machine does is in each of them.
    let mut least = vec![Duration::MAX; forms.len()];
    for _ in 0..TURNS {
        for ((_, decoder, records), least) in forms.iter().zip(&mut least) {
            let from = Instant::now();
            for _ in 0..BATCHES {
                let decoded = decoder.decode(records).expect("rows");
                assert_eq!(decoded.rows.num_rows(), RECORDS, "{:?}", decoded.rejects.first());
            }
            *least = from.elapsed().min(*least);
        }
    }

    println!("| format | rows/s | to flat JSON |\n|---|--:|--:|");
    for ((name, ..), took) in forms.iter().zip(&least) {
        let rows = (RECORDS * BATCHES) as f64 / took.as_secs_f64();
        let ratio = least[0].as_secs_f64() / took.as_secs_f64();
        println!("| {name} | {rows:.0} | {ratio:.2} |");
    }
}
