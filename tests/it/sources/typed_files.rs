//! Files whose records carry their types: Parquet with objects and lists of objects, and Avro's
//! object container files. What is made of them is what the same records make as JSON, or from a
//! topic.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampMillisecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::Field;
use parquet::arrow::ArrowWriter;

use super::times::{rejects, windows};
use crate::support::avro_file::avro_file;
use crate::support::peers::{python_or_skip, run_peer};
use crate::support::pipeline::{Runner, TestPipeline};
use crate::support::process::{text, tickcast};

fn pipeline(file: &str, more: &str, key: &str, time: &str, select: &str) -> TestPipeline {
    TestPipeline::new(&format!(
        "name: typed
source: {{ file: {{ path: '{file}' }}{more} }}
key: {key}
time: {time}
window: {{ tumbling: 1h, gaps: skip, select: {{ {select} }} }}
forecast: {{ target: temp, features: [], experts: [naive] }}
state: {{ dir: state }}
delivery: exactly_once
sinks: {{ forecasts: {{ file: {{ path: out/ }} }}, rejects: {{ file: {{ path: out/ }} }} }}
"
    ))
}

fn run(bench: &TestPipeline, args: &[&str]) -> (Option<i32>, String) {
    let output = tickcast("run", &bench.file(), args);
    (output.status.code(), text(&output.stderr).to_owned())
}

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_704_067_200_000;

fn object(fields: Vec<(&str, ArrayRef)>, nulls: Option<NullBuffer>) -> StructArray {
    let (names, arrays): (Vec<&str>, Vec<ArrayRef>) = fields.into_iter().unzip();
    let field = |(name, array): (&&str, &ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let fields: Vec<Field> = names.iter().zip(&arrays).map(field).collect();
    StructArray::new(fields.into(), arrays, nulls)
}

/// Records `from..to`, each with a device and four readings; the list of record 3 is null, that of
/// record 5 empty.
pub fn nested(from: usize, to: usize) -> RecordBatch {
    let rows: Vec<usize> = (from..to).collect();
    let ids = Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "m7")));
    let extra: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| *row as i64)));
    let device = object(vec![("fw", Arc::clone(&extra)), ("id", ids)], None);

    let lengths: Vec<usize> = rows.iter().map(|row| if [3, 5].contains(row) { 0 } else { 4 }).collect();
    let readings: Vec<usize> =
        rows.iter().filter(|row| ![3, 5].contains(*row)).flat_map(|row| 4 * row..4 * row + 4).collect();
    let times = readings.iter().map(|n| START_MS + *n as i64 * HOUR_MS);
    let times = Arc::new(TimestampMillisecondArray::from_iter_values(times).with_timezone("UTC"));
    // One reading has no value, and one no values at all.
    let temps = readings.iter().map(|n| (*n != 9).then_some(*n as f64));
    let temps: ArrayRef = Arc::new(temps.collect::<Float64Array>());
    let unused: ArrayRef =
        Arc::new(StringArray::from_iter_values(readings.iter().map(|n| format!("note {n}"))));
    let valid = NullBuffer::from_iter(readings.iter().map(|n| *n != 14));
    let quality = object(vec![("temp", temps), ("note", Arc::clone(&unused))], Some(valid));
    let elements = object(vec![("ts", times), ("q", Arc::new(quality)), ("note", unused)], None);
    let item = Arc::new(Field::new("item", elements.data_type().clone(), true));
    let nulls = NullBuffer::from_iter(rows.iter().map(|row| *row != 3));
    let list = ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(elements), Some(nulls));
    let columns: Vec<(&str, ArrayRef)> =
        vec![("device", Arc::new(device)), ("readings", Arc::new(list)), ("note", extra)];
    RecordBatch::try_from_iter(columns).unwrap()
}

pub fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    for start in (0..batch.num_rows()).step_by(7) {
        writer.write(&batch.slice(start, 7.min(batch.num_rows() - start))).unwrap();
        writer.flush().unwrap();
    }
    writer.into_inner().unwrap()
}

fn json_lines(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    writer.into_inner()
}

/// The files of results but the rejects, and what these say.
type Results = (BTreeMap<String, String>, Vec<(i64, String, String)>);

/// Without the rejects' values, which show a record of a Parquet file as far as it was read.
fn results(bench: &TestPipeline) -> Results {
    let mut out = bench.out();
    out.remove("rejects-0.ndjson");
    (out, rejects(bench))
}

#[test]
fn objects_and_lists_of_objects_are_read_from_parquet_as_from_json() {
    let batch = nested(0, 20);
    let select = "temp: avg(readings.q.temp), fw: max(device.fw)";
    let of = |file: &str, bytes: Vec<u8>| {
        let bench = pipeline(file, ", unnest: readings", "device.id", "readings.ts", select);
        bench.write(file, bytes);
        bench
    };
    let json = of("in.ndjson", json_lines(&batch));
    json.run(Runner::Inline, 5);
    let (expected, expected_rejects) = results(&json);
    // Two of them have no value of their own.
    assert_eq!(windows(&json).len(), 72);
    assert_eq!(
        expected_rejects,
        [(3, "undecodable".to_owned(), "the record has no list `readings`".to_owned())]
    );

    let nested_file = of("in.parquet", parquet(&batch));
    for (runner, batch, stops) in [(Runner::Inline, 3, vec![]), (Runner::Threads(2), 1, vec![4, 9])] {
        nested_file.clear();
        stops.iter().for_each(|records| _ = nested_file.run_until(runner, batch, Some(*records)));
        nested_file.run(runner, batch);
        assert_eq!(results(&nested_file), (expected.clone(), expected_rejects.clone()));
    }
    // A path into an object without a list.
    let plain = pipeline(
        "in.parquet",
        "",
        "device.id",
        "{ expr: 'to_timestamp(note * 3600)' }",
        "temp: max(device.fw)",
    );
    plain.write("in.parquet", parquet(&batch));
    plain.run(Runner::Inline, 3);
    assert_eq!(windows(&plain).len(), 20);
}

/// A file of floats or whole numbers may follow one of doubles; one of texts may not.
#[test]
fn parquet_files_are_read_together_where_no_value_becomes_another() {
    let of =
        |path: &str| pipeline(path, ", unnest: readings", "device.id", "readings.ts", "temp: avg(q.temp)");
    let whole = of("in.parquet");
    whole.write("in.parquet", parquet(&nested(0, 20)));
    whole.run(Runner::Inline, 5);

    let many = of("parts/*.parquet");
    fs::create_dir(many.path("parts")).unwrap();
    for (at, to) in [6, 13, 20].into_iter().enumerate() {
        many.write(&format!("parts/{at}.parquet"), parquet(&nested([0, 6, 13][at], to)));
    }
    many.run_until(Runner::Inline, 2, Some(8));
    many.run(Runner::Threads(2), 3);
    assert_eq!(results(&many), results(&whole));

    let simple = |path: &str| pipeline(path, "", "id", "at", "temp: avg(temp)");
    let rows = |temp: ArrayRef| {
        let count = temp.len() as i64;
        let at = TimestampMillisecondArray::from_iter_values((0..count).map(|n| START_MS + n * HOUR_MS));
        let id = StringArray::from_iter_values((0..count).map(|_| "m"));
        let columns: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(id)), ("at", Arc::new(at)), ("temp", temp)];
        parquet(&RecordBatch::try_from_iter(columns).unwrap())
    };
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 2.5]));
    for (name, other, why) in [
        ("ints", Arc::new(Int32Array::from(vec![3, 4])) as ArrayRef, None),
        ("floats", Arc::new(Float32Array::from(vec![3.5, 4.0])), None),
        (
            "texts",
            Arc::new(StringArray::from(vec!["3", "x"])),
            Some("is Utf8, and Float64 in the first file"),
        ),
    ] {
        let many = simple("parts/");
        fs::create_dir(many.path("parts")).unwrap();
        many.write("parts/1.parquet", rows(Arc::clone(&doubles)));
        many.write("parts/2.parquet", rows(other));
        let (code, said) = run(&many, &[]);
        match why {
            None => assert_eq!(code, Some(0), "{name}: {said}"),
            Some(why) => {
                assert!(code == Some(1) && said.contains(why) && said.contains("2.parquet"), "{said}")
            }
        }
    }
}

const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "temp", "type": ["null", "double"]}, {"name": "more", "type": {"type": "map", "values": "int"}}]}"#;

fn varint(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1) as u64;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// An object of the schema, an hour each.
fn avro_object(n: i64) -> Vec<u8> {
    let mut out = vec![2, b'm'];
    varint(START_MS + n * HOUR_MS, &mut out);
    out.push(2);
    out.extend((n as f64).to_le_bytes());
    out.extend([2, 2, b'k', 2 * (n % 30) as u8, 0]);
    out
}

fn avro_bench(path: &str, more: &str) -> TestPipeline {
    pipeline(path, more, "id", "at", "temp: avg(temp), k: max(more.k)")
}

#[test]
fn avro_files_are_read_whatever_their_codec_and_from_any_record_on() {
    let objects: Vec<Vec<u8>> = (0..100).map(avro_object).collect();
    let mut expected = None;
    for (codec, a_block) in [("null", 100), ("null", 7), ("deflate", 1), ("zstandard", 33)] {
        let bench = avro_bench("in.avro", "");
        bench.write("in.avro", avro_file(SCHEMA, codec, &objects, a_block));
        for (runner, batch, stops) in [
            (Runner::Inline, 1000, vec![]),
            (Runner::Threads(2), 3, vec![20, 50]),
            (Runner::Inline, 1, vec![33]),
        ] {
            bench.clear();
            stops.iter().for_each(|records| _ = bench.run_until(runner, batch, Some(*records)));
            bench.run(runner, batch);
            let found = results(&bench);
            assert_eq!(windows(&bench).len(), 100);
            assert_eq!(*expected.get_or_insert(found.clone()), found, "{codec} {a_block} {batch}");
        }
    }
}

#[test]
fn a_file_of_an_older_schema_is_read_by_that_of_the_pipeline() {
    let reader = SCHEMA
        .replace(r#""name": "temp""#, r#""name": "temp", "aliases": ["t"]"#)
        .replace(r#"{"name": "more""#, r#"{"name": "unit", "type": "int", "default": 5}, {"name": "more""#);
    let older = SCHEMA.replace(r#""name": "temp""#, r#""name": "t""#);
    let bench = pipeline("parts/", ", schema: reader.avsc", "id", "at", "temp: avg(temp), u: max(unit)");
    fs::create_dir(bench.path("parts")).unwrap();
    bench.write("reader.avsc", reader);
    let objects: Vec<Vec<u8>> = (0..40).map(avro_object).collect();
    bench.write("parts/1.avro", avro_file(&older, "null", &objects[..25], 4));
    bench.write("parts/2.avro", avro_file(SCHEMA, "deflate", &objects[25..], 4));
    let (code, said) = run(&bench, &[]);
    assert!(
        code == Some(0) && said.contains("the schema of") && said.contains("no field temp, unit"),
        "{said}"
    );
    let values: Vec<f64> = windows(&bench).into_iter().map(|row| row.2).collect();
    assert_eq!(values, (0..40).map(f64::from).collect::<Vec<_>>());
}

/// What is behind a fault in a block cannot be told from it: the run ends with the place.
#[test]
fn a_damaged_avro_file_ends_the_run_with_its_place() {
    let objects: Vec<Vec<u8>> = (0..30).map(avro_object).collect();
    let good = avro_file(SCHEMA, "null", &objects, 10);
    let block = objects[..10].concat().len();
    let end = good.len();
    let refused = |bytes: &[u8], why: &str| {
        let bench = avro_bench("in.avro", "");
        bench.write("in.avro", bytes);
        let (code, said) = run(&bench, &[]);
        assert!(code == Some(1) && said.contains(why) && said.contains("in.avro"), "{why}: {said}");
        said
    };
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let cut = refused(&good[..end - block], "the file ends within a block");
    assert!(cut.contains("in.avro at record 20"), "{cut}");
    let marks = refused(&changed(end - 1, b'x'), "the mark behind a block is not that of the file");
    assert!(marks.contains("at record 20"), "{marks}");
    refused(&changed(0, b'X'), "does not begin as an Avro object container file does");
    refused(&[], "does not begin as an Avro object container file does");
    refused(&avro_file(SCHEMA, "bzip2", &objects, 10), "compressed by `bzip2`");
    refused(&avro_file("{", "null", &objects, 10), "the schema is not JSON");
    refused(&avro_file(r#""int""#, "null", &objects, 10), "not an Avro record");
    refused(&avro_file(SCHEMA, "null", &[vec![2, b'm', 0xff]], 1), "the record ends");
    // A block of so many zeros takes little room in the file.
    let bomb = avro_file(SCHEMA, "zstandard", &[vec![0; 300 << 20]], 1);
    assert!(bomb.len() < 1 << 20);
    refused(&bomb, "a block holds more than");

    // A block that is still being written is read when it is whole.
    let bench = avro_bench("in.avro", "");
    bench.write("in.avro", &good[..end - 20]);
    let args = ["--set", "source.file.end=keep"];
    assert_eq!(run(&bench, &args).0, Some(0));
    bench.write("in.avro", &good);
    assert_eq!(run(&bench, &[]).0, Some(0));
    assert_eq!(windows(&bench).len(), 30);
}

#[test]
fn files_of_another_librarys_writer_are_read() {
    let Some(python) = python_or_skip() else { return };
    let peer = tempfile::tempdir().unwrap();
    run_peer(python, "typed.py", &[peer.path()]);
    for codec in ["null", "deflate"] {
        let bench = TestPipeline::new(
            "
name: peer
source: { file: { path: in.avro } }
key: device.id
time: at
window: { tumbling: 1m, select: { v: avg(value), price: max(price) } }
forecast: { target: v, features: [], experts: [naive] }
sinks: { forecasts: { file: { path: out/ } }, rejects: { file: { path: out/ } } }
",
        );
        bench.write("in.avro", fs::read(peer.path().join(format!("{codec}.avro"))).unwrap());
        bench.run(Runner::Inline, 7);
        let found: Vec<(String, f64)> = windows(&bench).into_iter().map(|row| (row.0, row.2)).collect();
        let expected: Vec<_> = (0..40).map(|n| ("m".to_owned(), f64::from(n) / 4.0)).collect();
        assert_eq!((found, rejects(&bench).len()), (expected, 0), "{codec}");
    }
}
