//! Tests of change events: the same rows as those of records without an envelope, in every format,
//! and what becomes of events that are no rows.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use prost_reflect::DynamicMessage;
use serde::de::DeserializeSeed;
use serde_json::{Value, json};
use tickcast_stream::PassReason;
use tickcast_stream::message::column;

use super::protobuf::ProtoSchema;
use super::*;

const AVRO: &str = r#"{"type": "record", "name": "Envelope", "namespace": "plant.readings", "fields": [
    {"name": "before", "default": null, "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.MicroTimestamp"}},
        {"name": "temp", "type": ["null", "double"], "default": null}]}]},
    {"name": "after", "type": ["null", "Value"], "default": null},
    {"name": "source", "type": {"type": "record", "name": "Source", "fields": [{"name": "ts_ms", "type": "long"}]}},
    {"name": "op", "type": "string"},
    {"name": "ts_ms", "type": ["null", "long"], "default": null}]}"#;

const PROTO: &str = "syntax = \"proto3\"; package plant.readings;
message Value { string id = 1; int64 at = 2; optional double temp = 3; }
message Source { int64 ts_ms = 1; }
message Envelope { Value before = 1; Value after = 2; Source source = 3; string op = 4; optional int64 ts_ms = 5; }";

/// What is read of events, and of records that are no events.
fn decoder(format: WireFormat, envelope: Option<Envelope>) -> Decoder {
    let definition = match format {
        WireFormat::Avro => {
            let schema = SchemaText { text: AVRO.to_owned(), references: Vec::new() };
            Some(RecordSchema::avro(&schema).unwrap())
        }
        WireFormat::Protobuf => {
            Some(RecordSchema::protobuf(PROTO.as_bytes(), Some("plant.readings.Envelope")).unwrap())
        }
        _ => None,
    };
    let column = |(name, data_type): (&str, &DataType)| Field::new(name, data_type.clone(), true);
    let columns = [
        ("temp", DataType::Float64),
        ("op", DataType::Utf8),
        ("ts_ms", DataType::Int64),
        ("source.ts_ms", DataType::Int64),
        ("before.temp", DataType::Float64),
    ];
    let spec = DecodeSpec {
        format,
        csv: CsvStyle::default(),
        key: SeriesKey::column("id"),
        time: TimeSpec { unit: Some(TimeCount::Us), ..TimeSpec::of("at") },
        time_by: None,
        future_us: i64::MAX / 2,
        shape: Shape { envelope, ..Shape::default() },
        nulls: Nulls::default(),
        columns: columns.iter().map(|(name, data_type)| column((name, data_type))).collect(),
        needed: ["temp".to_owned()].into(),
        schema: None,
        header: None,
        definition,
        writers: None,
    };
    Decoder::new(spec, PartitionId(0)).unwrap()
}

fn decoded(format: WireFormat, envelope: Option<Envelope>, payloads: &[Option<Vec<u8>>]) -> Decoded {
    let record = |(offset, payload): (usize, &Option<Vec<u8>>)| RawRecord {
        offset: Offset(offset as i64),
        payload: payload.clone().map(Bytes::from),
        ..RawRecord::default()
    };
    let records = payloads.iter().enumerate().map(record).collect();
    decoder(format, envelope).decode(&Records::Raw(records)).unwrap()
}

fn of_json(payloads: &[Option<&str>]) -> Decoded {
    let payloads: Vec<_> = payloads.iter().map(|text| text.map(|text| text.as_bytes().to_vec())).collect();
    decoded(WireFormat::Json, Some(Envelope::Debezium), &payloads)
}

fn passed(decoded: &Decoded) -> Vec<(i64, PassReason)> {
    decoded.passed.iter().map(|passed| (passed.offset.0, passed.reason)).collect()
}

#[test]
fn the_row_of_an_event_is_what_it_is_after() {
    let decoded = of_json(&[
        Some(
            r#"{"before":null,"after":{"id":"a","at":1700000000000000,"temp":1.5},"source":{"ts_ms":7},"op":"c","ts_ms":8}"#,
        ),
        None,
        Some(r#"{"before":{"id":"a","at":1,"temp":1.5},"after":null,"op":"d"}"#),
        Some(
            r#"{"op":"u","after":{"ts_ms":5,"id":"b","at":1700000000000000,"temp":2},"before":{"temp":9},"ts_ms":8}"#,
        ),
        Some(
            r#"{"schema":{"type":"struct"},"payload":{"op":"r","after":{"id":"c","at":1700000000000000,"temp":3,"op":"own"}}}"#,
        ),
        Some(r#"{"schema":{},"payload":{"op":"t","source":{"table":"x"}}}"#),
        Some(r#"{"op":"m","message":{"prefix":"p","content":"eA=="}}"#),
    ]);
    assert_eq!(decoded.rejects, []);
    let rows = &decoded.rows;
    assert_eq!(rows[column::OFFSET].as_primitive::<Int64Type>().values(), &[0, 3, 4]);
    let series: Vec<_> = rows[column::SERIES].as_string::<i32>().iter().flatten().collect();
    assert_eq!(series, ["a", "b", "c"]);
    let temp: Vec<_> = rows["temp"].as_primitive::<Float64Type>().iter().collect();
    assert_eq!(temp, [Some(1.5), Some(2.0), Some(3.0)]);
    // Where the row has a field of the same name, that counts.
    let op: Vec<_> = rows["op"].as_string::<i32>().iter().flatten().collect();
    assert_eq!(op, ["c", "u", "own"]);
    let whole = |name: &str| rows[name].as_primitive::<Int64Type>().iter().collect::<Vec<_>>();
    assert_eq!(whole("ts_ms"), [Some(8), Some(5), None]);
    assert_eq!(whole("source.ts_ms"), [Some(7), None, None]);
    assert_eq!(rows["before.temp"].as_primitive::<Float64Type>().iter().collect::<Vec<_>>()[1], Some(9.0));
    use PassReason::{Delete, Message, Tombstone, Truncate};
    assert_eq!(passed(&decoded), [(1, Tombstone), (2, Delete), (5, Truncate), (6, Message)]);
}

#[test]
fn what_is_no_event_is_rejected_and_its_row_with_its_own_reason() {
    let cases = [
        (r#"{"id":"a","at":1700000000000000,"temp":1}"#, Reason::Undecodable, "it has no `op`"),
        (r#"{"op":"c","after":null}"#, Reason::Undecodable, "a change event with op `c` has no `after`"),
        (r#"{"op":"u"}"#, Reason::Undecodable, "has no `after`"),
        (r#"{"op":"u","after":[{"id":"a"}]}"#, Reason::Undecodable, "no object"),
        (r#"{"op":"u","after":"{\"id\":\"a\"}"}"#, Reason::Undecodable, "ExtractNewDocumentState"),
        (r#"{"op":"zap","after":{}}"#, Reason::Undecodable, "the unknown op `zap`"),
        (r#"{"op":{"a":1},"after":{}}"#, Reason::Undecodable, "it has no `op`"),
        (r#"{"schema":{},"payload":null}"#, Reason::Undecodable, "it has no `op`"),
        (r#"{"op":"c","after":{"id":"a"#, Reason::Undecodable, "not JSON"),
        (r#"{"op":"c","after":{"id":"a","at":"x","temp":1}}"#, Reason::BadTime, "time `at`: `x`"),
        (r#"{"op":"c","after":{"at":1700000000000000}}"#, Reason::MissingKey, "the key `id`"),
        (
            r#"{"op":"c","after":{"id":"a","at":1700000000000000,"temp":"AZA="}}"#,
            Reason::Undecodable,
            "column `temp`: `AZA=` is no number",
        ),
    ];
    let payloads: Vec<_> = cases.iter().map(|(payload, ..)| Some(*payload)).collect();
    let decoded = of_json(&payloads);
    assert_eq!((decoded.rows.num_rows(), decoded.passed.len()), (0, 0));
    for (nth, (payload, reason, detail)) in cases.iter().enumerate() {
        let reject = &decoded.rejects[nth];
        assert_eq!((reject.offset.0, reject.reason), (nth as i64, *reason), "{payload}: {}", reject.detail);
        assert!(reject.detail.contains(detail), "{payload}: {}", reject.detail);
    }
}

#[test]
fn a_schema_without_a_row_is_refused_and_its_columns_are_those_of_the_row() {
    let shape = Shape { envelope: Some(Envelope::Debezium), ..Shape::default() };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let schema = SchemaText { text: AVRO.to_owned(), references: Vec::new() };
    let fields = RecordSchema::avro(&schema).unwrap().fields().unwrap();
    let wanted = names(&["temp", "after.temp", "op", "source.ts_ms", "before.temp"]);
    let found = columns(Some(&fields), &shape, &names(&["id"]), Some("at"), &wanted).unwrap();
    let types: Vec<_> = found.iter().map(|field| field.data_type().clone()).collect();
    use DataType::{Float64, Int64, Utf8};
    assert_eq!(types, [Float64, Float64, Utf8, Int64, Float64]);

    let error = columns(Some(&fields[..1]), &shape, &[], None, &[]).unwrap_err().to_string();
    assert!(error.contains("source.envelope: the schema is of no change event"), "{error}");
    let error = columns(Some(&fields), &shape, &[], None, &names(&["tmep"])).unwrap_err().to_string();
    assert!(error.contains("no column `tmep`") && error.contains("after.temp"), "{error}");
}

#[test]
fn tombstones_are_rejects_where_that_is_said() {
    let payloads = [Some(br#"{"id":"a","at":1700000000000000,"temp":1}"#.to_vec()), None];
    let plain = decoded(WireFormat::Json, None, &payloads);
    assert_eq!((plain.rows.num_rows(), plain.rejects.len()), (1, 0));
    assert_eq!(passed(&plain), [(1, PassReason::Tombstone)]);

    let mut told = decoder(WireFormat::Json, None);
    told.spec.shape.tombstones = Tombstones::Reject;
    let record = RawRecord { offset: Offset(4), ..RawRecord::default() };
    let told = told.decode(&Records::Raw(vec![record])).unwrap();
    assert_eq!(told.passed, []);
    assert_eq!(told.rejects[0].detail, "the record has no value (a tombstone)");
}

/// A row, with faults among them: a name, a time, a value.
type Row = (Option<&'static str>, i64, Option<f64>);

/// What happened to a row.
#[derive(Debug, Clone)]
enum Event {
    Written(&'static str, Row, Option<Row>),
    Passed(&'static str),
    Tombstone,
}

fn event() -> impl Strategy<Value = Event> {
    let row = || {
        let name = prop_oneof![4 => Just(Some("a")), 2 => Just(Some("b")), 1 => Just(Some(""))];
        let temp = proptest::option::of((-40_i32..40).prop_map(|quarter| f64::from(quarter) / 4.0));
        let at = prop_oneof![9 => 1_700_000_000_000_000_i64..1_700_000_100_000_000, 1 => Just(7)];
        (name, at, temp)
    };
    let op = prop_oneof![Just("c"), Just("u"), Just("r")];
    let written = (op, row(), proptest::option::of(row()))
        .prop_map(|(op, after, before)| Event::Written(op, after, before));
    let passed = prop_oneof![Just("d"), Just("t"), Just("m")].prop_map(Event::Passed);
    prop_oneof![6 => written, 2 => passed, 1 => Just(Event::Tombstone)]
}

fn row_json(row: &Row) -> Value {
    let mut object = json!({"at": row.1, "temp": row.2});
    object["id"] = json!(row.0.unwrap_or_default());
    object
}

/// The event as its envelope says it; none for a tombstone.
fn enveloped(event: &Event, nth: usize) -> Option<Value> {
    let (op, after, before) = match event {
        Event::Written(op, after, before) => (op, Some(row_json(after)), before.as_ref().map(row_json)),
        Event::Passed(op) => (op, None, Some(row_json(&(Some("a"), 7, None)))),
        Event::Tombstone => return None,
    };
    Some(json!({"before": before, "after": after, "source": {"ts_ms": nth}, "op": op, "ts_ms": nth + 1}))
}

/// The row alone, with the fields of the envelope beside it.
fn flat(event: &Event, nth: usize) -> Option<Value> {
    let mut event = enveloped(event, nth)?;
    let Value::Object(mut row) = event["after"].take() else { return None };
    for name in ["before", "source", "op", "ts_ms"] {
        row.insert(name.to_owned(), event[name].take());
    }
    Some(Value::Object(row))
}

fn text(value: &Value, out: &mut Vec<u8>) {
    let text = value.as_str().unwrap();
    write_long(text.len() as i64, out);
    out.extend(text.as_bytes());
}

/// The branch of a union with null, and whether there is more.
fn branch(value: &Value, out: &mut Vec<u8>) -> bool {
    out.push(if value.is_null() { 0 } else { 2 });
    !value.is_null()
}

fn avro(event: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    for name in ["before", "after"] {
        let row = &event[name];
        if branch(row, &mut out) {
            text(&row["id"], &mut out);
            write_long(row["at"].as_i64().unwrap(), &mut out);
            if branch(&row["temp"], &mut out) {
                out.extend(row["temp"].as_f64().unwrap().to_le_bytes());
            }
        }
    }
    write_long(event["source"]["ts_ms"].as_i64().unwrap(), &mut out);
    text(&event["op"], &mut out);
    branch(&event["ts_ms"], &mut out);
    write_long(event["ts_ms"].as_i64().unwrap(), &mut out);
    out
}

fn protobuf(event: &Value) -> Vec<u8> {
    let schema = ProtoSchema::of_bytes(PROTO.as_bytes()).unwrap();
    let message = schema.message(Some("plant.readings.Envelope")).unwrap();
    let message = message.deserialize(event).unwrap();
    DynamicMessage::encode_to_vec(&message)
}

/// How an event is written.
type Write<'w> = dyn Fn(Value) -> Vec<u8> + 'w;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn events_are_the_same_rows_as_records_without_an_envelope(
        events in proptest::collection::vec(event(), 0..12),
    ) {
        let bytes = |value: Value| value.to_string().into_bytes();
        let flat: Vec<_> = events.iter().enumerate().map(|(nth, event)| flat(event, nth).map(bytes)).collect();
        let flat = decoded(WireFormat::Json, None, &flat);
        let wrapped = |value: Value| bytes(json!({"schema": {"type": "struct", "fields": []}, "payload": value}));
        let forms: [(WireFormat, &Write<'_>); 4] = [
            (WireFormat::Json, &bytes),
            (WireFormat::Json, &wrapped),
            (WireFormat::Avro, &|value| avro(&value)),
            (WireFormat::Protobuf, &|value| protobuf(&value)),
        ];

        for (format, write) in forms {
            let payloads: Vec<_> =
                events.iter().enumerate().map(|(nth, event)| enveloped(event, nth).map(write)).collect();
            let found = decoded(format, Some(Envelope::Debezium), &payloads);
            prop_assert_eq!(&found.rows, &flat.rows);
            let places = |decoded: &Decoded| decoded.rejects.iter().map(|of| (of.offset, of.reason)).collect::<Vec<_>>();
            prop_assert_eq!(places(&found), places(&flat));
            let passed = |decoded: &Decoded| decoded.passed.iter().map(|of| of.offset).collect::<Vec<_>>();
            prop_assert_eq!(passed(&found), passed(&flat));

            let alone: Vec<Decoded> = payloads.iter().map(|payload| {
                decoded(format, Some(Envelope::Debezium), std::slice::from_ref(payload))
            }).collect();
            let rows: Vec<_> = alone.iter().map(|part| part.rows.num_rows()).collect();
            prop_assert_eq!(rows.iter().sum::<usize>(), found.rows.num_rows());
        }
    }

    #[test]
    fn no_bytes_make_an_event_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), cut in 0_usize..80) {
        let event = enveloped(&Event::Written("u", (Some("a"), 1, Some(2.0)), Some((Some("b"), 3, None))), 5).unwrap();
        for (format, payload) in [
            (WireFormat::Json, event.to_string().into_bytes()),
            (WireFormat::Avro, avro(&event)),
            (WireFormat::Protobuf, protobuf(&event)),
        ] {
            let payload = [&payload[..cut.min(payload.len())], &bytes].concat();
            let found = decoded(format, Some(Envelope::Debezium), &[Some(payload), Some(bytes.clone())]);
            prop_assert_eq!(found.rows.num_rows() + found.rejects.len() + found.passed.len(), 2);
        }
    }
}
