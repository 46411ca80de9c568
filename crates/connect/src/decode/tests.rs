//! Tests of decoding as a whole: the reasons, their order, and that batching does not matter.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, Float64Array, Int64Array, StringArray, TimestampNanosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType};
use proptest::prelude::*;
use tickcast_stream::message::{column, timestamp_type};
use tickcast_stream::{Offset, PassReason};

use super::*;

/// 2013-01-01T12:00:00Z.
const NOON_US: i64 = 1_357_041_600_000_000;

fn decoder(format: WireFormat, wanted: &[&str]) -> Decoder {
    let wanted: Vec<String> = wanted.iter().map(|name| (*name).into()).collect();
    let header =
        (format == WireFormat::Csv).then(|| ["station", "at", "temp", "note"].map(String::from).to_vec());
    let shape = Shape::default();
    let columns = columns(None, &shape, &["station".to_owned()], Some("at"), &wanted).unwrap();
    let needed = wanted.into_iter().collect();
    Decoder::new(DecodeSpec { header, ..spec(format, shape, columns, needed) }, PartitionId(0)).unwrap()
}

fn spec(format: WireFormat, shape: Shape, columns: Vec<Field>, needed: BTreeSet<String>) -> DecodeSpec {
    DecodeSpec {
        format,
        csv: CsvStyle::default(),
        key: SeriesKey::column("station"),
        time: TimeSpec::of("at"),
        time_by: None,
        future_us: 300_000_000,
        shape,
        nulls: Nulls::default(),
        columns,
        needed,
        schema: None,
        header: None,
        definition: None,
        writers: None,
    }
}

fn raw(payloads: &[&[u8]]) -> Records {
    let record = |(offset, payload): (usize, &&[u8])| RawRecord {
        offset: Offset(offset as i64),
        timestamp: Some(EventTime(NOON_US)),
        payload: Some(payload.to_vec().into()),
        ..RawRecord::default()
    };
    Records::Raw(payloads.iter().enumerate().map(record).collect())
}

fn decode(format: WireFormat, payloads: &[&str]) -> Decoded {
    let payloads: Vec<&[u8]> = payloads.iter().map(|payload| payload.as_bytes()).collect();
    decoder(format, &["temp"]).decode(&raw(&payloads)).unwrap()
}

fn json_reject(payload: &str) -> (Reason, String) {
    let good = r#"{"station": "JFK", "at": "2013-01-01T12:00:00Z", "temp": 1}"#;
    let mut decoded = decode(WireFormat::Json, &[good, payload, good]);
    assert_eq!(decoded.rows[column::OFFSET].as_primitive::<Int64Type>().values(), &[0, 2], "{payload}");
    assert_eq!(decoded.rejects.len(), 1, "{payload}");
    let reject = decoded.rejects.remove(0);
    assert_eq!(reject.offset, Offset(1));
    assert!(reject.detail.len() < 250 && !reject.detail.contains('\n'), "{}", reject.detail);
    (reject.reason, reject.detail)
}

#[test]
fn good_records_become_rows_with_system_columns() {
    let decoded = decode(
        WireFormat::Json,
        &[
            r#"{"station": "JFK", "at": "2013-01-01T12:00:00Z", "temp": 1.5, "more": {"x": [1]}}"#,
            r#" {"at": 1357041600, "station": 17, "temp": "-2", "temp": NaN}"#,
            "\u{feff}{\"at\": 1357041600000, \"station\": true, \"temp\": 9, \"temp\": 3}\n",
        ],
    );
    assert_eq!(decoded.rejects, []);
    let rows = decoded.rows;
    assert_eq!(rows[column::SERIES].as_string::<i32>(), &StringArray::from(vec!["JFK", "17", "true"]));
    assert_eq!(rows[column::TIME].as_primitive::<TimestampMicrosecondType>().values(), &[NOON_US; 3]);
    let expected = Float64Array::from(vec![Some(1.5), None, Some(3.0)]);
    assert_eq!(rows["temp"].as_primitive::<Float64Type>(), &expected);
}

#[test]
fn every_kind_of_broken_json_has_its_reason() {
    use Reason::*;
    let cases = [
        ("", Undecodable, "not JSON"),
        ("{", Undecodable, "not JSON"),
        ("nonsense", Undecodable, "`nonsense`"),
        ("7", Undecodable, "a JSON object is expected, not `7`"),
        ("null", Undecodable, "a JSON object is expected, not `null`"),
        ("[{\"station\": \"JFK\"}]", Undecodable, "a JSON object is expected"),
        ("{} {}", Undecodable, "trailing characters"),
        ("{\"station\": \"JFK\"}x", Undecodable, "trailing characters"),
        (r#"{"station": "JFK", "at": 1357041600, "temp": nan}"#, Undecodable, "not JSON"),
        (r#"{"station": NaN, "at": 1357041600, "temp": 1}"#, MissingKey, "missing or null"),
        (r#"{"station": "JFK", "at": Infinity, "temp": 1}"#, BadTime, "missing or null"),
        (r#"{"station": "JFK" "at": 1357041600}"#, Undecodable, "not JSON"),
        (r#"{"station": "\ud800", "at": 1357041600}"#, Undecodable, ""),
        (
            r#"{"station": "JFK", "at": 1357041600, "temp": "warm"}"#,
            Undecodable,
            "column `temp`: `warm` is no number",
        ),
        (
            r#"{"station": "JFK", "at": 1357041600, "temp": true}"#,
            Undecodable,
            "column `temp`: `true` is no number",
        ),
        (r#"{"station": "JFK", "at": 1357041600, "temp": [1]}"#, Undecodable, "temp"),
        (r#"{"station": {"id": 1}, "at": 1357041600, "temp": 1}"#, Undecodable, "station"),
        (r#"{"at": "no", "temp": 1}"#, MissingKey, "the key `station` is missing or null"),
        (r#"{"station": null, "at": 1357041600}"#, MissingKey, "missing or null"),
        (r#"{"station": "", "at": 1357041600}"#, MissingKey, "the key `station` is empty"),
        (r#"{"station": "JFK", "temp": 1}"#, BadTime, "the time `at` is missing or null"),
        (r#"{"station": "JFK", "at": null}"#, BadTime, "missing or null"),
        (r#"{"station": "JFK", "at": "noon", "temp": "NaN"}"#, BadTime, "time `at`: `noon`"),
        (r#"{"station": "JFK", "at": "0000-01-01T00:00:00Z"}"#, BadTime, "years 1 to 9999"),
        (
            r#"{"station": "JFK", "at": "2013-01-01T12:05:00.000001Z", "temp": 1e999}"#,
            Future,
            "2013-01-01T12:05:00.000001Z",
        ),
        (r#"{"station": "JFK", "at": 1357041600, "temp": 1e999}"#, NotFinite, "column `temp` is inf"),
        (r#"{"station": "JFK", "at": 1357041600, "temp": "-Infinity"}"#, NotFinite, "column `temp` is -inf"),
    ];
    for (payload, reason, detail) in cases {
        let found = json_reject(payload);
        assert_eq!(found.0, reason, "{payload}: {}", found.1);
        assert!(found.1.contains(detail), "{payload}: {}", found.1);
    }
}

#[test]
fn a_time_just_within_five_minutes_of_the_timestamp_is_no_future() {
    let decoded = decode(WireFormat::Json, &[r#"{"station": "JFK", "at": "2013-01-01T12:05:00Z"}"#]);
    assert_eq!(decoded.rejects, []);
    let mut records = raw(&[br#"{"station": "JFK", "at": "2999-01-01"}"#]);
    let Records::Raw(only) = &mut records else { unreachable!() };
    only[0].timestamp = None;
    assert_eq!(decoder(WireFormat::Json, &["temp"]).decode(&records).unwrap().rejects, []);
}

#[test]
fn tombstones_and_bytes_that_are_no_text_and_too_many_bytes() {
    let short = r#"{"station": "JFK", "at": 1357041600}"#;
    let full = short.to_owned() + &" ".repeat(MAX_RECORD_BYTES - short.len());
    let mut records = raw(&[b"\xff{}", full.as_bytes(), format!("{full} ").as_bytes(), b""]);
    let Records::Raw(raw) = &mut records else { unreachable!() };
    raw[3].payload = None;
    let decoded = decoder(WireFormat::Json, &[]).decode(&records).unwrap();
    let found: Vec<_> = decoded.rejects.iter().map(|reject| (reject.offset.0, reject.reason)).collect();
    let passed = PassedOver { offset: Offset(3), reason: PassReason::Tombstone };
    assert_eq!(decoded.passed, [passed]);
    assert_eq!(found, [(0, Reason::Undecodable), (2, Reason::TooLarge)]);
    assert_eq!(decoded.rejects[0].detail, "not UTF-8 at byte 0: `�{}`");
    assert_eq!(decoded.rows.num_rows(), 1);
}

#[test]
fn deep_nesting_cannot_overflow_the_stack() {
    let deep = format!(
        r#"{{"station": "JFK", "at": 1357041600, "temp": {}{}}}"#,
        "[".repeat(400_000),
        "]".repeat(400_000)
    );
    let (reason, detail) = json_reject(&deep);
    assert_eq!((reason, detail.as_str()), (Reason::Undecodable, "JSON nested deeper than 128 levels"));
    let brackets_in_text = format!(r#"{{"station": "JFK", "at": 1357041600, "x": "{}\""}}"#, "[".repeat(500));
    assert_eq!(decode(WireFormat::Json, &[&brackets_in_text]).rejects, []);
}

#[test]
fn csv_records_and_what_is_broken_about_them() {
    let payloads = [
        "JFK,2013-01-01T12:00:00Z,1.5,\"a, \"\"b\"\"\nc\"",
        "JFK,2013-01-01 12:00:00, 2.5 ,\r\n",
        "JFK,1357041600,,",
        "JFK,2013-01-01",
        "JFK,2013-01-01,1,x,y",
        "JFK,2013-01-01,1,\"open",
        "",
        "JFK,1357041600,1,x\nJFK,1357041600,1,x",
        ",1357041600,1,x",
        "JFK,,1,x",
        "JFK,1357041600,warm,x",
        "JFK,1357041600,inf,x",
        "JFK,1357041600,nan,x",
    ];
    let decoded = decode(WireFormat::Csv, &payloads);
    assert_eq!(decoded.rows[column::OFFSET].as_primitive::<Int64Type>().values(), &[0, 1, 2, 12]);
    let expected = Float64Array::from(vec![Some(1.5), Some(2.5), None, None]);
    assert_eq!(decoded.rows["temp"].as_primitive::<Float64Type>(), &expected);
    use Reason::*;
    let reasons: Vec<_> = decoded.rejects.iter().map(|reject| reject.reason).collect();
    let undecodable = [Undecodable; 5];
    assert_eq!(reasons[..5], undecodable);
    assert_eq!(reasons[5..], [MissingKey, BadTime, Undecodable, NotFinite]);
    assert_eq!(decoded.rejects[0].detail, "wrong number of fields, expected 4 got 2");
    assert_eq!(decoded.rejects[7].detail, "column `temp`: `warm` is no number");
}

#[test]
fn key_and_time_can_be_data_columns_with_their_types() {
    let schema = [
        Field::new(
            "at",
            DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, Some("UTC".into())),
            false,
        ),
        Field::new("station", DataType::Int64, false),
    ];
    let wanted = ["at", "station"].map(String::from);
    let fields =
        columns(Some(&schema), &Shape::default(), &["station".to_owned()], Some("at"), &wanted).unwrap();
    let needed = wanted.into_iter().collect();
    let spec = DecodeSpec {
        schema: Some(schema.to_vec()),
        ..spec(WireFormat::Json, Shape::default(), fields, needed)
    };
    let decoder = Decoder::new(spec, PartitionId(0)).unwrap();
    let decoded = decoder
        .decode(&raw(&[
            br#"{"station": 7, "at": 1500}"#,
            br#"{"station": "x", "at": 1357041600}"#,
            br#"{"station": 7, "at": "x"}"#,
        ]))
        .unwrap();
    let reasons: Vec<_> = decoded.rejects.iter().map(|reject| reject.reason).collect();
    assert_eq!(reasons, [Reason::Undecodable, Reason::BadTime]);
    assert_eq!(decoded.rows.schema(), decoder.schema());
    assert_eq!(decoded.rows["station"].as_primitive::<Int64Type>().values(), &[7]);
    assert_eq!(decoded.rows[column::TIME].as_primitive::<TimestampMicrosecondType>().values(), &[1_500_000]);
}

#[test]
fn rows_of_a_columnar_source_are_judged_alike() {
    let times = TimestampNanosecondArray::from(vec![Some(NOON_US * 1000), None, Some(0), Some(0)]);
    let batch = RecordBatch::try_from_iter([
        ("station", Arc::new(Int64Array::from(vec![Some(1), Some(2), None, Some(4)])) as ArrayRef),
        ("at", Arc::new(times) as ArrayRef),
        ("temp", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, f64::NAN])) as ArrayRef),
    ])
    .unwrap();
    let decoder = decoder(WireFormat::Json, &["temp", "at"]);
    let decoded = decoder.decode(&Records::Rows { first_offset: Offset(10), rows: batch.clone() }).unwrap();
    let reasons: Vec<_> = decoded.rejects.iter().map(|reject| (reject.offset.0, reject.reason)).collect();
    assert_eq!(reasons, [(11, Reason::BadTime), (12, Reason::MissingKey), (13, Reason::NotFinite)]);
    assert_eq!(decoded.rows.num_rows(), 1);
    assert_eq!(decoded.rows["at"].data_type(), &timestamp_type());
    let halves = [(0, 1), (1, 3)].map(|(start, rows)| {
        let rows = batch.slice(start, rows);
        decoder.decode(&Records::Rows { first_offset: Offset(10).plus(start), rows }).unwrap()
    });
    assert_eq!(joined(&decoder, halves), decoded);
}

#[test]
fn what_cannot_be_decoded_is_refused_when_the_decoder_is_made() {
    let spec = decoder(WireFormat::Csv, &[]).spec;
    let refusal = |spec| Decoder::new(spec, PartitionId(0)).unwrap_err().to_string();
    let column = |name: &str, data_type| vec![Field::new(name, data_type, true)];
    let unknown = DecodeSpec { columns: column("tmep", DataType::Float64), ..spec.clone() };
    assert!(refusal(unknown).contains("the CSV header has no column `tmep`, did you mean `temp`?"));
    let system = DecodeSpec { columns: column("__time", DataType::Float64), ..spec.clone() };
    assert!(refusal(system).contains("column `__time` is taken already"));
    let decimal = DecodeSpec { columns: column("temp", DataType::Decimal128(9, 2)), ..spec.clone() };
    assert!(refusal(decimal).contains("column `temp`: "));
    let nameless = Decoder::new(DecodeSpec { header: None, ..spec }, PartitionId(0)).unwrap();
    let decoded = nameless.decode(&raw(&[b"JFK,1357041600,1,x"])).unwrap();
    assert_eq!(decoded.rejects[0].reason, Reason::Undecodable);
}

fn joined(decoder: &Decoder, parts: impl IntoIterator<Item = Decoded>) -> Decoded {
    let parts: Vec<Decoded> = parts.into_iter().collect();
    let rows: Vec<_> = parts.iter().map(|part| part.rows.clone()).collect();
    let rows = concat_batches(&decoder.schema(), &rows).unwrap();
    let rejects = parts.iter().flat_map(|part| part.rejects.clone()).collect();
    let blank = parts.iter().flat_map(|part| part.blank.clone()).collect();
    Decoded { rows, rejects, blank, passed: parts.into_iter().flat_map(|part| part.passed).collect() }
}

/// Payloads that are whole, cut short, glued or plain noise.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        Just("JFK"),
        Just(""),
        Just("1.5"),
        Just("NaN"),
        Just("1e999"),
        Just("2013-01-01T12:00:00Z"),
        Just("9999-01-01"),
        Just("17"),
        Just("x\"y"),
        Just("\u{feff}"),
        Just("é"),
        Just("\r"),
        Just("\n"),
    ];
    let values = prop_oneof![
        3 => words.clone().prop_map(|word| serde_json::to_string(word).unwrap()),
        1 => prop_oneof![Just("1.5"), Just("null"), Just("[1]"), Just("{}"), Just("true"), Just("1e999"), Just("-"), Just("0")]
            .prop_map(String::from),
    ];
    let json = proptest::collection::vec(
        (prop_oneof![Just("station"), Just("at"), Just("temp"), Just("z")], values),
        0..6,
    )
    .prop_map(|fields| {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    });
    let csv = proptest::collection::vec(words, 3..6).prop_map(|fields| fields.join(","));
    let good_json = Just(r#"{"station":"JFK","at":"2013-01-01T12:00:00Z","temp":1}"#.to_owned());
    let good_csv = Just("JFK,2013-01-01T12:00:00Z,1,x".to_owned());
    let text = prop_oneof![2 => good_json, 2 => good_csv, 3 => json, 3 => csv];
    prop_oneof![
        4 => text.clone().prop_map(String::into_bytes),
        1 => (text.clone(), any::<prop::sample::Index>()).prop_map(|(text, at)| {
            let bytes = text.into_bytes();
            bytes[..at.index(bytes.len() + 1)].to_vec()
        }),
        1 => (text.clone(), any::<prop::sample::Index>()).prop_map(|(text, at)| {
            let bytes = text.into_bytes();
            bytes[at.index(bytes.len() + 1)..].to_vec()
        }),
        1 => (text.clone(), text).prop_map(|(one, two)| [one.into_bytes(), two.into_bytes()].concat()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => "[{}\\[\\]\",:a0\r\n ]{0,20}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn records_are_judged_alone_whatever_their_batch(
        payloads in proptest::collection::vec(payload(), 0..12),
        cut in any::<prop::sample::Index>(),
    ) {
        for format in [WireFormat::Json, WireFormat::Csv] {
            let decoder = decoder(format, &["temp", "at", "station"]);
            let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            let Records::Raw(records) = raw(&payloads) else { unreachable!() };
            let together = decoder.decode(&Records::Raw(records.clone())).unwrap();
            prop_assert_eq!(together.rows.num_rows() + together.rejects.len(), records.len());
            let alone = records.iter().map(|record| decoder.decode(&Records::Raw(vec![record.clone()])).unwrap());
            prop_assert_eq!(&joined(&decoder, alone), &together);
            let (left, right) = records.split_at(cut.index(records.len() + 1));
            let halves = [left, right].map(|part| decoder.decode(&Records::Raw(part.to_vec())).unwrap());
            prop_assert_eq!(&joined(&decoder, halves), &together);
        }
    }
}
