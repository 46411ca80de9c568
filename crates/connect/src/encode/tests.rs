//! What is written is what is read back, in every format, by the readers of queries; and the
//! published schemas are those of what is written.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Float64Builder, Int32Array, Int64Array, MapBuilder, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rdkafka::message::{Header, Headers};
use tickcast_stream::record::{RecordShape, json_lines};

use super::*;
use crate::table::read_payloads;

const SHAPE: RecordShape<'_> = RecordShape { levels: &[0.5, 0.9], direction: true };
const STREAMS: [Stream; 2] = [Stream::Forecasts, Stream::Scores];
const FORMATS: [PayloadFormat; 3] = [PayloadFormat::Json, PayloadFormat::Avro, PayloadFormat::Protobuf];

/// Rows of every value that a column may have: defaults, negatives, nulls where they are allowed.
fn rows(schema: &SchemaRef) -> RecordBatch {
    let column = |field: &arrow::datatypes::FieldRef| -> ArrayRef {
        let null = field.is_nullable();
        match field.data_type() {
            DataType::Utf8 => Arc::new(StringArray::from(vec!["é/ä", "", "b"])),
            DataType::Timestamp(..) => {
                let last = (!null).then_some(-1);
                let times = vec![Some(0), Some(1_704_067_200_000_001), last];
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
            }
            DataType::Int32 => Arc::new(Int32Array::from(vec![0, 24, -3])),
            DataType::Int64 => Arc::new(Int64Array::from(vec![0, 1 << 40, -1])),
            DataType::Float64 => {
                Arc::new(Float64Array::from(vec![Some(0.0), Some(-1.25e-300), (!null).then_some(7.0)]))
            }
            DataType::Boolean => {
                Arc::new(BooleanArray::from(vec![Some(false), Some(true), (!null).then_some(true)]))
            }
            DataType::Map(entries, _) => experts(entries),
            other => panic!("{other}"),
        }
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

fn experts(entries: &arrow::datatypes::FieldRef) -> ArrayRef {
    let DataType::Struct(fields) = entries.data_type() else { panic!("no map") };
    let names = arrow::array::MapFieldNames {
        entry: entries.name().clone(),
        key: fields[0].name().clone(),
        value: fields[1].name().clone(),
    };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), Float64Builder::new())
        .with_keys_field(Arc::clone(&fields[0]))
        .with_values_field(Arc::clone(&fields[1]));
    for entries in [&[("naive", 0.0), ("rls", -2.5)][..], &[], &[("rnn", 1e9)]] {
        for (name, value) in entries {
            map.keys().append_value(name);
            map.values().append_value(*value);
        }
        map.append(true).unwrap();
    }
    Arc::new(map.finish())
}

fn spec(format: PayloadFormat) -> PayloadSpec {
    PayloadSpec { format, ..PayloadSpec::default() }
}

fn payloads(format: PayloadFormat, stream: Stream, rows: &RecordBatch) -> Vec<Vec<u8>> {
    let columns = rows.schema();
    let encoder = ResultEncoder::open(&spec(format), stream, &columns, "t", Numbering::LookUp).unwrap();
    let mut all = Vec::new();
    encoder
        .for_each(rows, &mut |result| {
            all.push(result.value.to_vec());
            Ok(())
        })
        .unwrap();
    all
}

fn lines_of(rows: &RecordBatch) -> String {
    String::from_utf8(json_lines(rows).unwrap()).unwrap()
}

#[test]
fn what_is_written_is_read_back_in_every_format() {
    for stream in STREAMS {
        let rows = rows(&SHAPE.schema(stream));
        for format in FORMATS {
            let payloads = payloads(format, stream, &rows);
            let read = read_payloads(stream, rows.schema(), &spec(format), &payloads).unwrap();
            assert_eq!(read.schema(), rows.schema());
            assert_eq!(lines_of(&read), lines_of(&rows), "{stream:?} as {format:?}");
        }
    }
}

#[test]
fn a_payload_that_is_cut_short_or_too_long_is_no_row() {
    for stream in STREAMS {
        let rows = rows(&SHAPE.schema(stream));
        for format in FORMATS {
            let whole = payloads(format, stream, &rows).remove(1);
            let read = |payload: Vec<u8>| read_payloads(stream, rows.schema(), &spec(format), &[payload]);
            // What is cut between two fields of a message is a whole message of fewer fields.
            let cut = whole[..whole.len() - 1].to_vec();
            assert!(read(cut).is_err(), "{stream:?} as {format:?}");
            let long = [&whole[..], &[0xff]].concat();
            assert!(read(long).is_err(), "{stream:?} as {format:?}");
        }
    }
}

/// A topic may hold anybody's bytes; a query answers or says why not.
#[test]
fn no_bytes_make_a_query_panic() {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    for (stream, format) in STREAMS.into_iter().flat_map(|stream| FORMATS.map(|format| (stream, format))) {
        let rows = rows(&SHAPE.schema(stream));
        let whole = payloads(format, stream, &rows);
        let mut taken = 0;
        for _ in 0..3000 {
            let mut payload = whole[rng.random_range(0..whole.len())].clone();
            for _ in 0..rng.random_range(1..5) {
                let at = rng.random_range(0..=payload.len());
                match rng.random_range(0..4) {
                    0 if at < payload.len() => payload[at] = rng.random(),
                    1 => payload.truncate(at),
                    // A length or a count of up to 2^63.
                    2 => drop(payload.splice(at..at, [0xff; 9])),
                    _ => payload.insert(at, [0, 1, 2, 0x7f, 0x80, 0xff][rng.random_range(0..6)]),
                }
            }
            taken += usize::from(read_payloads(stream, rows.schema(), &spec(format), &[payload]).is_ok());
        }
        assert!(taken > 0, "{stream:?} as {format:?}: nothing is tested");
    }
}

#[test]
fn a_message_of_other_levels_is_read_by_the_numbers_of_its_fields() {
    let (stream, other) = (Stream::Forecasts, RecordShape { levels: &[0.9, 0.995], direction: false });
    let rows = rows(&SHAPE.schema(stream));
    let payloads = payloads(PayloadFormat::Protobuf, stream, &rows);
    let read =
        read_payloads(stream, other.schema(stream), &spec(PayloadFormat::Protobuf), &payloads).unwrap();
    assert_eq!(read.column_by_name("lower_90"), rows.column_by_name("lower_90"));
    assert_eq!(read.column_by_name("lower_99_5").unwrap().null_count(), 3);
}

#[test]
fn the_published_schemas_are_those_of_what_is_written() {
    let published = |name: &str| {
        let path = format!("{}/../../schemas/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    for (stream, name) in [(Stream::Forecasts, "forecast"), (Stream::Scores, "score")] {
        let schema = ResultSchema::of(stream, &SHAPE.schema(stream)).unwrap();
        for (format, end) in [(PayloadFormat::Protobuf, "proto"), (PayloadFormat::Json, "schema.json")] {
            let text = schema.text(format).unwrap();
            let way =
                format!("cargo run -- schema --records {name}s --format {format:?} > schemas/{name}.{end}");
            assert_eq!(published(&format!("{name}.{end}")), text, "renew it: {}", way.to_lowercase());
        }
    }
}

#[test]
fn levels_of_a_pipeline_have_schemas_of_their_own() {
    let shape = RecordShape { levels: &[0.995], direction: false };
    let schema = ResultSchema::of(Stream::Forecasts, &shape.schema(Stream::Forecasts)).unwrap();
    assert_eq!(schema.name(), "tickcast.Forecast");
    let avro = schema.text(PayloadFormat::Avro).unwrap();
    assert!(avro.contains("Lower bound of the central 99.5 % interval"), "{avro}");
    assert!(avro.contains("lower_99_5") && !avro.contains("_50") && !avro.contains("prob_up"), "{avro}");

    let shape = RecordShape { levels: &[0.9995], direction: false };
    let schema = ResultSchema::of(Stream::Forecasts, &shape.schema(Stream::Forecasts)).unwrap();
    let error = schema.text(PayloadFormat::Protobuf).unwrap_err().to_string();
    assert!(error.contains("0.9995 has no number in Protobuf"), "{error}");
}

#[test]
fn events_have_the_headers_of_their_kind_and_an_id_of_their_own() {
    let spec = PayloadSpec {
        event_source: Some("/tickcast/weather".to_owned()),
        format: PayloadFormat::Avro,
        ..PayloadSpec::default()
    };
    let mut ids = Vec::new();
    for stream in STREAMS {
        let rows = rows(&SHAPE.schema(stream));
        let encoder = ResultEncoder::open(&spec, stream, &rows.schema(), "t", Numbering::LookUp).unwrap();
        let mut all = Vec::new();
        encoder
            .for_each(&rows, &mut |result| {
                let headers = result.headers.unwrap();
                let text = |Header { key, value }: Header<'_, &[u8]>| {
                    (key.to_owned(), String::from_utf8(value.unwrap().to_vec()).unwrap())
                };
                all.push(headers.iter().map(text).collect::<Vec<_>>());
                Ok(())
            })
            .unwrap();
        ids.extend(all.iter().map(|headers| headers[1].1.clone()));
        if stream == Stream::Forecasts {
            let said: Vec<(&str, &str)> =
                all[0].iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(
                said,
                [
                    ("ce_specversion", "1.0"),
                    ("ce_id", "tickcast.forecast/é/ä/é/ä/1970-01-01T00:00:00Z/0"),
                    ("ce_source", "/tickcast/weather"),
                    ("ce_type", "tickcast.forecast"),
                    ("ce_time", "1970-01-01T00:00:00Z"),
                    ("ce_subject", "é/ä"),
                    ("content-type", "application/avro"),
                ]
            );
            // An attribute is not empty: a series without a name is no subject.
            assert!(all[1].iter().all(|(name, _)| name != "ce_subject"), "{:?}", all[1]);
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6, "{ids:?}");
}
